// The command line as typed, made into one of the table's commands with its options, or into what was wrong with it.
//
// Promise: strict. Nothing that is not in the tables is taken; a misspelt word names the nearest one that is there.
// Pure.

import { parseArgs } from "node:util";
import { nearestName } from "../cluster/nearest-name.ts";
import { readOptions } from "../option-values.ts";
import {
  optionTable,
  type FileLayer,
  type GivenFlag,
  type Option,
  type Options,
  type Origins,
} from "../options.ts";
import { commands, type Command } from "./commands.ts";

export type Parsed =
  | { readonly kind: "version" }
  | { readonly kind: "help"; readonly about: Command | string | null }
  | {
      readonly kind: "run";
      readonly command: Command;
      readonly options: Options;
      readonly origins: Origins;
      readonly positionals: readonly string[];
    }
  | {
      readonly kind: "wrong";
      readonly message: string;
      /** Whose --help tells more: a command's name, or null. */
      readonly help: string | null;
    };

type Env = Readonly<Record<string, string | undefined>>;

/** Reads a command line (without the program's name). `file` is what the config file gives that it may name. */
export function parseCommandLine(args: readonly string[], env: Env, file: FileLayer = []): Parsed {
  const [first, second] = args;
  if (first === undefined || first === "--help" || first === "-h" || first === "help")
    return helpAbout(args.slice(1));
  if (first === "--version" || first === "-v" || first === "version") return { kind: "version" };
  if (first.startsWith("-"))
    return wrong(`The command comes first: rivulet COMMAND ${first} ...`, null);
  const family = commands.some((command) => command.name.startsWith(`${first} `));
  if (family && (second === undefined || second === "--help" || second === "-h"))
    return { kind: "help", about: first };
  const words = family ? 2 : 1;
  const name = args.slice(0, words).join(" ");
  const command = commands.find((one) => one.name === name);
  if (command === undefined) return unknownCommand(name, family ? first : null);
  return parseRest(command, args.slice(words), { env, file });
}

function helpAbout(words: readonly string[]): Parsed {
  const name = words.filter((word) => !word.startsWith("-")).join(" ");
  if (name === "") return { kind: "help", about: null };
  const command = commands.find((one) => one.name === name);
  if (command !== undefined) return { kind: "help", about: command };
  const family = commands.some((one) => one.name.startsWith(`${name} `));
  return family ? { kind: "help", about: name } : unknownCommand(name, null);
}

function unknownCommand(name: string, family: string | null): Parsed {
  const prefix = family === null ? "" : `${family} `;
  const names = commands.map((command) => command.name).filter((one) => one.startsWith(prefix));
  const words = family === null ? [...names, ...names.map((one) => one.split(" ")[0])] : names;
  const nearest = nearestName(name, words);
  const hint =
    nearest === null ? `. There are: ${names.join(", ")}` : `. Did you mean "${nearest}"?`;
  return wrong(`There is no command "${name}"${hint}`, family);
}

function parseRest(
  command: Command,
  args: readonly string[],
  below: { readonly env: Env; readonly file: FileLayer },
): Parsed {
  const { flags, positionals, help } = split(command, args);
  if (help) return { kind: "help", about: command };
  const unknown = flags.find(({ flag }) => optionOf(command, flag) === null);
  if (unknown !== undefined) return unknownFlag(command, unknown.flag);
  const count = countFault(command, positionals);
  if (count !== null) return wrong(count, command.name);
  const read = readOptions(command.options, { flags, ...below });
  if (!read.ok) return wrong(read.message, command.name);
  const { options, origins } = read;
  return { kind: "run", command, options, origins, positionals };
}

/** Flags and positionals, in order. A flag that takes a value takes the next word, whatever it begins with. */
function split(command: Command, args: readonly string[]) {
  const types = command.options.map((name) => optionTable[name] as Option);
  const options = Object.fromEntries(
    types.map(({ flag, kind }) => [
      flag,
      { type: kind === "flag" ? "boolean" : "string" } as const,
    ]),
  );
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...options, help: { type: "boolean", short: "h" } },
    strict: false,
    tokens: true,
  });
  const flags: GivenFlag[] = [];
  const positionals: string[] = [];
  let help = false;
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    else if (token.kind === "option" && token.name === "help") help = true;
    else if (token.kind === "option")
      flags.push({ flag: flagName(token.rawName), value: token.value ?? true });
  }
  return { flags, positionals, help };
}

/** "--x" is the flag x; "-x" stays as it is, and is unknown. */
function flagName(raw: string): string {
  return raw.startsWith("--") ? raw.slice(2) : raw;
}

function optionOf(command: Command, flag: string): Option | null {
  return command.options.map((name) => optionTable[name]).find((one) => one.flag === flag) ?? null;
}

function unknownFlag(command: Command, flag: string): Parsed {
  const shown = flag.startsWith("-") ? flag : `--${flag}`;
  const flags = command.options.map((name) => optionTable[name].flag);
  const nearest = nearestName(flag, flags);
  const elsewhere = Object.values<Option>(optionTable).some((option) => option.flag === flag);
  if (elsewhere) return wrong(`"rivulet ${command.name}" does not take ${shown}`, command.name);
  const hint = nearest === null ? "" : `. Did you mean --${nearest}?`;
  return wrong(`There is no option ${shown}${hint}`, command.name);
}

function countFault(command: Command, positionals: readonly string[]): string | null {
  const needed = command.positionals.filter((name) => !name.startsWith("["));
  if (positionals.length < needed.length)
    return `"rivulet ${command.name}" needs ${needed[positionals.length]}`;
  if (positionals.length > command.positionals.length)
    return `"rivulet ${command.name}" does not know what to do with "${positionals[command.positionals.length]}"`;
  return null;
}

function wrong(message: string, help: string | null): Parsed {
  return { kind: "wrong", message, help };
}
