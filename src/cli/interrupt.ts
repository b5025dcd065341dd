// Ctrl-C, SIGTERM and SIGHUP for commands that have something to finish first.
//
// Promise: the first one is told and ends nothing by itself; a later one ends the process at once with 128 + its
// number. Two within a second are one wish (a terminal sends it to the group, a supervisor to the process).
// Left to others: commands that may simply die do not ask, and the system ends them.

import process from "node:process";
import type { World } from "../world.ts";

const sameWishMs = 1_000;
const numbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

export interface Interrupt {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** 128 + the first signal's number; null when there was none. */
  exitCode(): number | null;
  /** Signals end the process again. */
  release(): void;
}

/** Listens from now on, until release(). */
export function listenForInterrupt(world: World): Interrupt {
  const controller = new AbortController();
  let first: { readonly at: number; readonly code: number } | null = null;
  const wish = (code: number): void => {
    const at = world.monotonic();
    if (first === null) {
      first = { at, code };
      controller.abort();
    } else if (at - first.at >= sameWishMs) process.exit(code);
  };
  const listeners = Object.entries(numbers).map(([name, number]) => {
    const listener = (): void => wish(128 + number);
    process.on(name, listener);
    return () => void process.off(name, listener);
  });
  return {
    signal: controller.signal,
    exitCode: () => first?.code ?? null,
    release() {
      for (const off of listeners) off();
    },
  };
}
