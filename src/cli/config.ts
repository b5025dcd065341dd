// rivulet config: what a node would run with, and where each value comes from.
//
// Promise: what it prints is itself a config file that means the same wherever it is put; a value that `start` would
// refuse is refused here, and nothing is started or touched. A secret is not printed: its line is a comment.

import { resolve } from "node:path";
import { brokerSettings, parseBrokerSettings } from "../cluster/broker-settings.ts";
import { optionTable, type Option, type OptionName } from "../options.ts";
import { commands, type Call } from "./commands.ts";
import { Failure } from "./failure.ts";
import { nameValues } from "./name-value.ts";
import { peerOptions } from "./peer-options.ts";

interface Row {
  readonly name: string;
  readonly value: unknown;
  /** "default", "--http", "RIVULET_HTTP", "rivulet.toml line 3" */
  readonly from: string;
}

export async function config(call: Call): Promise<number> {
  const { options, terminal } = call;
  peerOptions(options);
  const settings = nameValues(options.config, "--config");
  const checked = parseBrokerSettings(settings);
  if (!checked.ok) throw new Failure(checked.detail);
  const values = optionNames.map((name) => optionRow(call, name));
  const broker = settingRows(call, settings);
  await terminal.out(options.json ? asJson(call, values, broker) : asToml(values, broker));
  return 0;
}

/** The machine's options that this command takes; the broker settings have rows of their own. */
const optionNames: readonly OptionName[] = (
  commands.find(({ name }) => name === "config")?.options ?? []
).filter((name) => {
  const { env } = optionTable[name];
  return env !== null && name !== "config" && name !== "configFile";
});

function optionRow({ options, origins }: Call, name: OptionName): Row {
  const option: Option = optionTable[name];
  const value = options[name];
  const from = origins.get(name)?.at(-1)?.origin ?? "default";
  // From wherever it is read: a place is meant from here, or from the file that named it.
  const onDisk = (option.unit === "DIR" || option.unit === "FILE") && typeof value === "string";
  const told = option.secret === true && value !== null ? hidden : value;
  return { name: option.flag, value: onDisk ? resolve(value) : told, from };
}

/** Stands for a secret: a program sees that there is one. */
const hidden = "(hidden)";

/** The broker's own settings, and what else was given. */
function settingRows({ origins }: Call, given: Readonly<Record<string, string>>): readonly Row[] {
  const from = new Map<string, string>();
  for (const { origin, values } of origins.get("config") ?? [])
    for (const name of Object.keys(nameValues(values.map(String), origin))) from.set(name, origin);
  const defaults = brokerSettings.map((setting) => [setting.name, setting.default] as const);
  return Object.entries({ ...Object.fromEntries(defaults), ...given })
    .map(([name, value]) => ({ name, value, from: from.get(name) ?? "default" }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function asJson({ options }: Call, values: readonly Row[], broker: readonly Row[]): string {
  const byName = (rows: readonly Row[]) =>
    Object.fromEntries(rows.map(({ name, value, from }) => [name, { value, from }]));
  const configFile = options.configFile === null ? null : resolve(options.configFile);
  const told = { configFile, options: byName(values), config: byName(broker) };
  return `${JSON.stringify(told)}\n`;
}

function asToml(values: readonly Row[], broker: readonly Row[]): string {
  const lines = [
    ...values.map((row) => [optionLine(row), row.from] as const),
    ["[config]", ""] as const,
    ...broker.map((row) => [`"${row.name}" = ${JSON.stringify(row.value)}`, row.from] as const),
  ];
  const width = Math.max(...lines.map(([text]) => text.length));
  const line = ([text, from]: readonly [string, string]) =>
    from === "" ? `\n${text}` : `${text.padEnd(width)}  # ${from}`;
  return `${lines.map(line).join("\n")}\n`;
}

/** TOML has no word for nothing: what is not set, and what is not shown, is a comment. */
function optionLine({ name, value }: Row): string {
  if (value === null) return `# ${name} is not set`;
  return value === hidden ? `# ${name} is set` : `${name} = ${JSON.stringify(value)}`;
}
