// A terminal in memory: what commands print, and an input that a test gives.

import { ClosedPipe } from "../../src/cli/failure.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { runCli } from "../../src/cli/cli.ts";

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array | AsyncIterable<Uint8Array>;
  readonly env?: Readonly<Record<string, string>>;
  /** The reader of standard output leaves after this many writes. */
  readonly writesMax?: number;
  /** Size of the terminal that standard output is; left out: it is none. */
  readonly screen?: { readonly columns: number; readonly rows: number };
  /** The reader of standard output has left. */
  readonly closed?: () => boolean;
  /** Called with everything on standard output after each write. */
  readonly onOut?: (out: string) => void;
  /** Instead of waiting between attempts. */
  readonly onPause?: () => Promise<void>;
}

/** Runs a command line, split at spaces, to its end. */
export async function runLine(line: string, options: RunOptions = {}): Promise<Ran> {
  return await runArgs(line.split(" "), options);
}

export async function runArgs(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const out: Buffer[] = [];
  const err: string[] = [];
  const terminal: Terminal = {
    async out(data) {
      if (out.length === options.writesMax || options.closed?.() === true) throw new ClosedPipe();
      out.push(Buffer.from(data));
      options.onOut?.(Buffer.concat(out).toString());
    },
    say: (words) => void err.push(words),
    progress: () => undefined,
    input: () => inputOf(options.input ?? ""),
    pause: () => options.onPause?.() ?? Promise.resolve(),
    screen: () => options.screen ?? null,
    env: options.env ?? {},
    typed: false,
    watched: false,
  };
  const code = await runCli(args, terminal);
  return { code, out: Buffer.concat(out).toString(), err: err.join("\n") };
}

async function* inputOf(
  input: string | Uint8Array | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (typeof input === "string" || input instanceof Uint8Array) yield Buffer.from(input);
  else yield* input;
}
