// Values of options: from flags, variables, a config file and defaults to what a command sees.
//
// Promise: a value is parsed once, strictly, wherever it came from, and the message of a bad one says where that was,
// what was wanted and what was found. Pure. Left to others: which options there are (options.ts).

import { parseAddress } from "./address.ts";
import {
  optionTable,
  type Given,
  type GivenFlag,
  type Option,
  type OptionFault,
  type OptionName,
  type Options,
  type OptionSources,
  type Origins,
} from "./options.ts";

/** The values that the sources and defaults give to `names`. The last of two equal flags wins, lists gather. */
export function readOptions(
  names: readonly OptionName[],
  sources: OptionSources,
): { readonly ok: true; readonly options: Options; readonly origins: Origins } | OptionFault {
  const values: Record<string, unknown> = {};
  const origins = new Map<OptionName, readonly Given[]>();
  for (const [name, option] of Object.entries<Option>(optionTable)) {
    const used = names.includes(name as OptionName) ? usedOf(option, sources) : [];
    if (used.length === 0) {
      values[name] = defaultOf(option);
      continue;
    }
    for (const { origin, values: texts } of used) {
      const value = parse(option, texts);
      if (isFault(value))
        return { ok: false, message: `${subject(option, origin)} ${value.wrong}` };
      const below = values[name];
      values[name] = Array.isArray(below) && Array.isArray(value) ? [...below, ...value] : value;
    }
    origins.set(name as OptionName, used);
  }
  return { ok: true, options: values as Options, origins };
}

/** A flag or a variable says by itself what it is; a line of a file does not. */
function subject({ flag, env }: Option, origin: string): string {
  return origin === `--${flag}` || origin === env ? origin : `${origin}: ${flag}`;
}

/** The strongest source that gives the option; of a layered list all, the weakest first. */
function usedOf(option: Option, sources: OptionSources): readonly Given[] {
  const [weakest, ...stronger] = [
    sources.file.filter(({ flag }) => flag === option.flag),
    variableOf(option, sources.env),
    flagsOf(option, sources.flags),
  ];
  if (option.layered === true) return [...weakest, ...stronger.flat()];
  return [...stronger.toReversed(), weakest].find((layer) => layer.length > 0) ?? [];
}

function flagsOf({ flag }: Option, flags: readonly GivenFlag[]): readonly Given[] {
  const values = flags.filter((one) => one.flag === flag).map(({ value }) => value);
  return values.length === 0 ? [] : [{ origin: `--${flag}`, values }];
}

/** An empty variable is as good as none. */
function variableOf({ env: name, kind }: Option, env: OptionSources["env"]): readonly Given[] {
  const text = name === null ? undefined : env[name];
  if (name === null || text === undefined || text === "") return [];
  const values = kind === "list" ? text.split(",").map((part) => part.trim()) : [text];
  return [{ origin: name, values }];
}

function defaultOf(option: Option): unknown {
  if (option.default === null) return option.kind === "list" ? [] : null;
  return option.kind === "duration" ? parse(option, [String(option.default)]) : option.default;
}

interface ParseFault {
  readonly wrong: string;
}

const isFault = (value: unknown): value is ParseFault =>
  typeof value === "object" && value !== null && "wrong" in value;

function parse(option: Option, values: readonly (string | true)[]): unknown {
  const text = values.at(-1) ?? "";
  switch (option.kind) {
    case "flag":
      return parseFlag(text);
    case "list":
      if (values.includes(true)) return { wrong: `needs a value: ${option.unit}` };
      if (option.choices !== undefined) return parseChoices(option, values.map(String));
      return values.map((one) => formFault(option, String(one))).find(isFault) ?? values;
    default:
      if (text === true) return { wrong: `needs a value: ${option.unit}` };
      return parseOne(option, text);
  }
}

function parseOne(option: Option, text: string): unknown {
  if (option.kind === "integer") return parseInteger(option, text);
  if (option.kind === "duration") return parseDuration(option, text);
  if (option.choices?.includes(text) === false)
    return { wrong: `must be one of ${option.choices.join(", ")}, got "${text}"` };
  if (text === "") return { wrong: `needs a value: ${option.unit}` };
  return formFault(option, text) ?? text;
}

/** What is wrong with a text that must look like something; null: nothing. */
function formFault({ form }: Option, text: string): ParseFault | null {
  if (form === undefined || forms[form].holds(text)) return null;
  return { wrong: `must be ${forms[form].wanted}, got "${text}"` };
}

const forms = {
  address: {
    wanted: "HOST:PORT, such as 127.0.0.1:7480",
    holds: (text: string) => parseAddress(text) !== null,
  },
  url: {
    wanted: "a URL such as http://127.0.0.1:7480",
    holds: (text: string) => /^https?:\/\//i.test(text) && URL.canParse(text),
  },
} as const;

function parseFlag(text: string | true): boolean | ParseFault {
  if (text === true || text === "true" || text === "1") return true;
  if (text === "false" || text === "0") return false;
  return { wrong: `must be true or false, got "${text}"` };
}

function parseInteger(option: Option, text: string): number | ParseFault {
  const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  const min = option.min ?? 0;
  const max = option.max ?? Number.MAX_SAFE_INTEGER;
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  return { wrong: `must be a whole number from ${min} to ${max}, got "${text}"` };
}

const msOfUnit: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function parseDuration(option: Option, text: string): number | ParseFault {
  const [, digits, unit] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text) ?? [];
  const value = digits === undefined ? Number.NaN : Math.round(Number(digits) * msOfUnit[unit]);
  const min = option.min ?? 0;
  const max = option.max ?? Number.MAX_SAFE_INTEGER;
  if (value >= min && value <= max) return value;
  return {
    wrong: `must be a time such as 500ms, 10s or 2m, from ${min} ms to ${max / 1_000} s, got "${text}"`,
  };
}

/** Places of a list that may be parted by commas, each one of the choices. */
function parseChoices(option: Option, values: readonly string[]): readonly string[] | ParseFault {
  const places = values.flatMap((value) => value.split(",")).map((place) => place.trim());
  const unknown = places.find((place) => option.choices?.includes(place) !== true);
  if (unknown === undefined) return places;
  return { wrong: `must be some of ${option.choices?.join(", ")}, got "${unknown}"` };
}
