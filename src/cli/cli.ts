// The command line: parses, runs one command, and turns what happened into an exit code.
//
//   0 done, also when the reader of a pipe has gone     1 failed     2 the command line was wrong
//
// Promise: data on standard output, words on standard error; nothing is loaded that the command does not need.

import { unreachable } from "../assert.ts";
import { Fault } from "../errors.ts";
import { version } from "../version.ts";
import { parseCommandLine, type Parsed } from "./arguments.ts";
import type { Command } from "./commands.ts";
import { ClosedPipe, Failure, WrongUsage } from "./failure.ts";
import { family, manual, overview } from "./help.ts";
import type { Terminal } from "./terminal.ts";

/** Runs a command line (without the program's name) to its end. Never throws for the sake of a person's input. */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await run(await parse(args, terminal.env), terminal);
  } catch (thrown) {
    if (thrown instanceof ClosedPipe) return 0;
    // A bug keeps its stack; a failure or a disk's fault is told in one sentence.
    const known = thrown instanceof Failure || thrown instanceof Fault;
    terminal.say(known ? `rivulet: ${thrown.message}` : String((thrown as Error)?.stack ?? thrown));
    return thrown instanceof WrongUsage ? 2 : 1;
  }
}

/** The command line, and once more above the config file that it names. */
async function parse(args: readonly string[], env: Terminal["env"]): Promise<Parsed> {
  const parsed = parseCommandLine(args, env);
  if (parsed.kind !== "run" || parsed.options.configFile === null) return parsed;
  const { readConfigFile } = await import("./config-file.ts");
  const file = readConfigFile(parsed.options.configFile);
  if (!file.ok) return { kind: "wrong", message: file.message, help: parsed.command.name };
  return parseCommandLine(args, env, file.layer);
}

async function run(parsed: Parsed, terminal: Terminal): Promise<number> {
  switch (parsed.kind) {
    case "version":
      await terminal.out(`${version}\n`);
      return 0;
    case "help":
      await terminal.out(`${helpText(parsed.about)}\n`);
      return 0;
    case "wrong":
      terminal.say(`rivulet: ${parsed.message}`);
      terminal.say(`Try: rivulet ${parsed.help === null ? "" : `${parsed.help} `}--help`);
      return 2;
    case "run": {
      const command = await parsed.command.load();
      const { options, origins, positionals } = parsed;
      return command({ options, origins, positionals, terminal });
    }
    default:
      return unreachable(parsed);
  }
}

function helpText(about: Command | string | null): string {
  if (about === null) return overview(version);
  return typeof about === "string" ? family(about) : manual(about);
}
