// The process: hands the command line to the CLI and leaves with its exit code.
//
// Started by the launcher (src/launcher/rivulet.js), or directly: `bun src/main.ts start`, `deno run -A src/main.ts start`.

import process from "node:process";
import { runCli } from "./cli/cli.ts";
import { systemTerminal } from "./cli/terminal.ts";

// Everything written was taken by then (Terminal.out waits); an input that still waits for a line must not hold us.
process.exit(await runCli(process.argv.slice(2), systemTerminal()));
