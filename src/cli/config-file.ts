// The config file: TOML with the flags' own names, read strictly into one layer of the options.
//
//   data = "/var/lib/rivulet"        a DIR or FILE is looked for from the file's folder, not from where one typed
//   http = "127.0.0.1:9000"
//   cors-origin = ["https://a.example"]
//   [config]                         broker settings under Kafka's names, one a line
//   num.partitions = 3
//
// Promise: nothing in it is overlooked. A key that is in no table, a value of another type and a file that is no TOML
// are refused with the line, and a misspelt key names the nearest one. Only options of the machine may stand in it
// (those with a variable); which of them a command takes is the command's business, so one file serves them all.

import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse, TomlError } from "smol-toml";
import { parseBrokerSettings } from "../cluster/broker-settings.ts";
import { nearestName } from "../cluster/nearest-name.ts";
import {
  optionTable,
  type FileLayer,
  type FileValue,
  type Option,
  type OptionFault,
} from "../options.ts";

/** A config file is a page of text; what is larger was named by mistake. */
const fileBytesMax = 1_000_000;

export type ReadConfigFile = { readonly ok: true; readonly layer: FileLayer } | OptionFault;

/** Reads and checks a config file. Never throws for what a person wrote. */
export function readConfigFile(path: string): ReadConfigFile {
  const read = readText(path);
  if (!read.ok) return read;
  try {
    return layerOf(path, read.text, parse(read.text));
  } catch (thrown) {
    if (thrown instanceof TomlError)
      return wrong(`${path} line ${thrown.line}: ${thrown.message.split("\n", 1)[0]}`);
    throw thrown;
  }
}

function readText(path: string): { readonly ok: true; readonly text: string } | OptionFault {
  try {
    const { size } = statSync(path);
    if (size > fileBytesMax)
      return wrong(`The config file ${path} has ${size} bytes, at most ${fileBytesMax}`);
    // A byte order mark, which editors leave, is dropped; bytes that are no text are not made into some.
    return { ok: true, text: new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path)) };
  } catch (fault) {
    return wrong(`Cannot read the config file ${resolve(path)}: ${reasonOf(fault)}`);
  }
}

function reasonOf(fault: unknown): string {
  const code = fault instanceof Error && "code" in fault ? fault.code : null;
  if (code === "ENOENT") return "there is none";
  // What a decoder throws by its standard.
  return fault instanceof TypeError ? "it is no UTF-8 text" : String(code ?? fault);
}

type Table = Readonly<Record<string, unknown>>;

function layerOf(path: string, text: string, table: Table): ReadConfigFile {
  const layer: FileValue[] = [];
  for (const [key, value] of Object.entries(table)) {
    const origin = (...names: readonly string[]) => `${path}${lineWords(text, [key, ...names])}`;
    const option = rows.find((row) => row.flag === key);
    if (option === undefined) return wrong(`${origin()}: ${unknownKey(key)}`);
    if (option === optionTable.config && isTable(value)) {
      const settings = settingsOf(value, origin);
      if ("ok" in settings) return settings;
      layer.push(...settings);
      continue;
    }
    const values = textsOf(option, value);
    if (values === null)
      return wrong(`${origin()}: ${key} must be ${wantedTypes[option.kind]}, got ${shown(value)}`);
    const onDisk = option.unit === "DIR" || option.unit === "FILE";
    const found = onDisk ? values.map((name) => resolve(dirname(path), name)) : values;
    layer.push({ flag: option.flag, values: found, origin: origin() });
  }
  return { ok: true, layer };
}

/** What may stand in a file: the machine's options. The file itself cannot name another. */
const rows: readonly Option[] = Object.values<Option>(optionTable).filter(
  (option) => option.env !== null && option !== optionTable.configFile,
);

function unknownKey(key: string): string {
  const everywhere = Object.values<Option>(optionTable);
  if (everywhere.some(({ flag }) => flag === key))
    return `${key} is given with each command, not in a config file`;
  const nearest = nearestName(
    key,
    rows.map(({ flag }) => flag),
  );
  return `there is no option ${key}${nearest === null ? "" : `. Did you mean ${nearest}?`}`;
}

const wantedTypes: Readonly<Record<Option["kind"], string>> = {
  text: "a string",
  choice: "a string",
  duration: "a string",
  integer: "an integer",
  flag: "true or false",
  list: "a string or a list of strings",
};

/** The value as a flag would hold it; null when it is of another type. */
function textsOf({ kind }: Option, value: unknown): readonly string[] | null {
  switch (kind) {
    case "integer":
      return Number.isInteger(value) ? [String(value)] : null;
    case "flag":
      return typeof value === "boolean" ? [String(value)] : null;
    case "list":
      if (Array.isArray(value)) return value.every(isText) ? value : null;
      return isText(value) ? [value] : null;
    default:
      return isText(value) ? [value] : null;
  }
}

/** [config]: each setting checked, so that a wrong one is told with its line. Dots may nest tables. */
function settingsOf(
  table: Table,
  origin: (...names: readonly string[]) => string,
): readonly FileValue[] | OptionFault {
  const found: FileValue[] = [];
  for (const [names, value] of leavesOf(table, [])) {
    const name = names.join(".");
    if (!isText(value) && typeof value !== "number" && typeof value !== "boolean")
      return wrong(`${origin(name)}: ${name} must be one value, got ${shown(value)}`);
    const checked = parseBrokerSettings({ [name]: String(value) });
    if (!checked.ok) return wrong(`${origin(name)}: ${checked.detail}`);
    found.push({ flag: "config", values: [`${name}=${value}`], origin: origin(name) });
  }
  return found;
}

function leavesOf(
  table: Table,
  above: readonly string[],
): readonly (readonly [names: readonly string[], value: unknown])[] {
  return Object.entries(table).flatMap(([name, value]) => {
    const names = [...above, name];
    return isTable(value) ? leavesOf(value, names) : [[names, value] as const];
  });
}

/** " line 7", or "" when the key stands where a scan of lines does not see it. */
function lineWords(text: string, path: readonly string[]): string {
  let table = "";
  const wanted = [path.join("."), path[0]];
  const lines = new Map<string, number>();
  for (const [i, line] of text.split("\n").entries()) {
    const header = /^\s*\[+\s*([^\]]+?)\s*\]/.exec(line)?.[1];
    if (header !== undefined) table = bare(header);
    const key = header ?? /^\s*([^=#]+?)\s*=/.exec(line)?.[1];
    if (key === undefined) continue;
    const name = header === undefined && table !== "" ? `${table}.${bare(key)}` : bare(key);
    if (!lines.has(name)) lines.set(name, i + 1);
  }
  const line = wanted.map((name) => lines.get(name)).find((one) => one !== undefined);
  return line === undefined ? "" : ` line ${line}`;
}

/** A key without quotes, and without blanks around its dots. */
function bare(key: string): string {
  return key.replaceAll(/["']/g, "").replaceAll(/\s*\.\s*/g, ".");
}

function isTable(value: unknown): value is Table {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

function wrong(message: string): OptionFault {
  return { ok: false, message };
}
