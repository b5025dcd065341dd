// --help, made from the tables of commands and options, for a person who sees Rivulet for the first time.

import { optionTable, type Option, type OptionName } from "../options.ts";
import { commands, type Command } from "./commands.ts";

/** What `rivulet --help` prints. */
export function overview(version: string): string {
  const rows = commands.map((command) => [usage(command), command.summary]);
  return [
    `Rivulet ${version}: a distributed commit log for the edge.`,
    "",
    "Usage: rivulet COMMAND [ARGUMENTS] [--OPTIONS]",
    "",
    table(rows),
    "",
    "Begin:",
    table([
      ["rivulet start", "runs a node here; leave it running and open a second terminal"],
      ["echo hello | rivulet produce greetings", "writes a record; the topic is made"],
      ["rivulet consume greetings --until-end", "reads it back"],
    ]),
    "",
    "`rivulet COMMAND --help` tells more of a command; `rivulet --version` prints the version.",
    "Commands that ask a node take --url URL, else RIVULET_URL, else http://127.0.0.1:7480. A config file (TOML) can hold",
    "what flags and variables say: --config-file FILE or RIVULET_CONFIG_FILE; `rivulet config` shows what holds and why.",
    "Exit code: 0 done, 1 failed, 2 the command line was wrong.",
  ].join("\n");
}

/** What `rivulet topics --help` prints: the commands that begin with a word. */
export function family(word: string): string {
  const members = commands.filter((command) => command.name.startsWith(`${word} `));
  const rows = members.map((command) => [usage(command), command.summary]);
  return [
    `Usage: rivulet ${word} COMMAND [ARGUMENTS] [--OPTIONS]`,
    "",
    table(rows),
    "",
    `\`rivulet ${word} COMMAND --help\` tells more of a command.`,
  ].join("\n");
}

/** What `rivulet COMMAND --help` prints. */
export function manual(command: Command): string {
  return [
    `${command.summary}.`,
    "",
    `Usage: rivulet ${usage(command)} [--OPTIONS]`,
    "",
    command.about,
    "",
    "Options:",
    ...command.options.map(optionHelp),
    "",
    "Examples:",
    ...command.examples.map(([line, does]) => `  # ${does}\n  ${line}`),
  ].join("\n");
}

function usage(command: Command): string {
  return [command.name, ...command.positionals].join(" ");
}

function optionHelp(name: OptionName): string {
  const option: Option = optionTable[name];
  const flag = option.unit === "" ? `--${option.flag}` : `--${option.flag} ${option.unit}`;
  const facts = [
    option.default === null || option.kind === "flag" ? "" : `default ${option.default}`,
    option.env === null ? "" : option.env,
  ].filter((fact) => fact !== "");
  const tail = facts.length === 0 ? "" : ` (${facts.join("; ")})`;
  return `  ${flag}\n      ${option.why}${tail}`;
}

/** Two columns, the first as wide as its widest cell. */
function table(rows: readonly (readonly string[])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}
