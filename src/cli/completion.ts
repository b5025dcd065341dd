// rivulet completion: a script that teaches a shell this command line, made from the tables of commands and options.
//
// Promise: what is completed is what the tables hold, so that it cannot grow stale; pressing TAB starts no process but
// for a topic's name, which the node is asked for, two seconds at most. Left to others: each shell's own language
// (completion-bash.ts, completion-zsh.ts, completion-fish.ts).

import { brokerSettingNames } from "../cluster/broker-settings.ts";
import { nearestName } from "../cluster/nearest-name.ts";
import { topicConfigs } from "../cluster/topic-configs.ts";
import { optionTable, type Option, type OptionName } from "../options.ts";
import { commands, type Call, type Command } from "./commands.ts";
import { bashScript } from "./completion-bash.ts";
import { fishScript } from "./completion-fish.ts";
import { zshScript } from "./completion-zsh.ts";
import { Failure } from "./failure.ts";

/** What may stand at a place of the command line. */
export type Place =
  | { readonly kind: "words"; readonly words: readonly string[] }
  /** A word that goes on behind the equals sign. */
  | { readonly kind: "names"; readonly words: readonly string[] }
  | { readonly kind: "directory" }
  | { readonly kind: "file" }
  | { readonly kind: "topic" }
  /** Something that nobody can foretell. */
  | { readonly kind: "free" };

export interface KnownFlag {
  /** Without the dashes. */
  readonly flag: string;
  readonly why: string;
  /** null: it takes no value. */
  readonly value: Place | null;
}

export interface KnownCommand {
  /** "start", "topics list" */
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly KnownFlag[];
  /** The first argument without a flag; null: there is none. */
  readonly argument: Place | null;
}

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;
type Shell = keyof typeof scripts;
const shells = Object.keys(scripts);

export async function completion({ positionals, terminal }: Call): Promise<number> {
  const [shell] = positionals;
  if (!isShell(shell)) {
    const nearest = nearestName(shell, shells);
    const hint = nearest === null ? "" : `. Did you mean ${nearest}?`;
    throw new Failure(`There is completion for ${shells.join(", ")}, not for "${shell}"${hint}`);
  }
  await terminal.out(scripts[shell](knownCommands()));
  return 0;
}

function isShell(name: string): name is Shell {
  return shells.includes(name);
}

/** Every command with its flags and argument, in the order of the table. */
export function knownCommands(): readonly KnownCommand[] {
  return commands.map((command) => ({
    name: command.name,
    summary: command.summary,
    flags: [...command.options.map(knownFlag), { flag: "help", why: "Tell more", value: null }],
    argument: argumentOf(command),
  }));
}

/** The first words of commands that have a second one. */
export function families(known: readonly KnownCommand[]): readonly string[] {
  const first = known
    .filter(({ name }) => name.includes(" "))
    .map(({ name }) => name.split(" ")[0]);
  return [...new Set(first)];
}

/** What may stand first: commands of one word, and families, each with a sentence. */
export function firstWords(
  known: readonly KnownCommand[],
): readonly (readonly [word: string, summary: string])[] {
  const rows = new Map<string, string>();
  for (const { name, summary } of known) {
    const [first, second] = name.split(" ");
    if (second === undefined) rows.set(first, summary);
    else rows.set(first, [rows.get(first) ?? "", second].filter(Boolean).join(", "));
  }
  return [...rows];
}

/** The second words of a family, each with its sentence. */
export function secondWords(
  known: readonly KnownCommand[],
  family: string,
): readonly (readonly [word: string, summary: string])[] {
  return known
    .filter(({ name }) => name.startsWith(`${family} `))
    .map(({ name, summary }) => [name.slice(family.length + 1), summary]);
}

function knownFlag(name: OptionName): KnownFlag {
  const option: Option = optionTable[name];
  return { flag: option.flag, why: option.why, value: valueOf(name, option) };
}

function valueOf(name: OptionName, option: Option): Place | null {
  if (option.kind === "flag") return null;
  if (option.choices !== undefined) return { kind: "words", words: option.choices };
  if (name in namesOf) return { kind: "names", words: namesOf[name] ?? [] };
  if (name === "reset") return { kind: "words", words: topicConfigNames };
  return placeOfUnit[option.unit] ?? { kind: "free" };
}

const topicConfigNames = topicConfigs
  .filter(({ effect }) => effect.kind === "works")
  .map(({ name }) => name);

/** Options of NAME=VALUE, and which names there are. */
const namesOf: { readonly [name in OptionName]?: readonly string[] } = {
  config: brokerSettingNames,
  set: topicConfigNames,
};

const placeOfUnit: Readonly<Record<string, Place>> = {
  DIR: { kind: "directory" },
  FILE: { kind: "file" },
  TOPIC: { kind: "topic" },
  SHELL: { kind: "words", words: shells },
};

/** A topic that is to be created cannot be foretold. */
function argumentOf({ name, positionals }: Command): Place | null {
  if (positionals.length === 0) return null;
  if (name === "topics create") return { kind: "free" };
  return placeOfUnit[positionals[0].replaceAll(/[[\]]/g, "")] ?? { kind: "free" };
}
