// What a command sees of the terminal: two outputs, an input, the environment. Tests give it one in memory.
//
// Promise: data goes to standard output and words to standard error; out() waits until the reader has taken what was
// written (a slow pipe slows the command, nothing piles up); a closed pipe is told from every other fault.

import process from "node:process";
import { ClosedPipe } from "./failure.ts";

export interface Terminal {
  /** Writes data. Resolves when it was taken; throws ClosedPipe when the reader is gone. */
  out(data: string | Uint8Array): Promise<void>;
  /** Writes a line of words. */
  say(line: string): void;
  /** Replaces the last line of progress on a terminal; does nothing elsewhere. "" wipes it. */
  progress(line: string): void;
  /** Standard input; read at most once. */
  input(): AsyncIterable<Uint8Array>;
  /** Waits; keeps the process alive meanwhile. */
  pause(ms: number): Promise<void>;
  /** Size of the terminal that a person reads standard output on; null: it goes elsewhere. */
  screen(): { readonly columns: number; readonly rows: number } | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A person types the input. */
  readonly typed: boolean;
  /** A person reads standard error. */
  readonly watched: boolean;
}

/** The terminal of this process. */
export function systemTerminal(): Terminal {
  const { stdout, stderr, stdin } = process;
  // A closed pipe arrives twice: at the write's callback, and as an event that would end the process if unheard.
  stdout.on("error", () => {});
  stderr.on("error", () => {});
  return {
    out: (data) =>
      new Promise((resolve, reject) => {
        stdout.write(data, (fault) => (fault ? reject(faultOf(fault)) : resolve()));
      }),
    say: (line) => void stderr.write(`${line}\n`),
    progress: (line) => void (stderr.isTTY && stderr.write(`\r\x1b[K${line}`)),
    input: () => stdin,
    pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    screen: () =>
      stdout.isTTY ? { columns: stdout.columns || 80, rows: stdout.rows || 24 } : null,
    env: process.env,
    typed: stdin.isTTY,
    watched: stderr.isTTY,
  };
}

function faultOf(fault: Error): Error {
  const code = "code" in fault ? fault.code : undefined;
  return code === "EPIPE" || code === "ERR_STREAM_DESTROYED" ? new ClosedPipe() : fault;
}
