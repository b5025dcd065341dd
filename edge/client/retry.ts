// When a request is sent again: a pure table of what failed, how often, and what the request allows.
//
//   retryable   side effects   repeatable       sent again
//   no          any            any              never
//   yes         none           any              yes
//   yes         unknown        yes              yes: a read, or a write whose key or sequence makes it harmless
//   yes         unknown        no               never: it might happen twice
//
// Waits double from baseMs to maxMs, each drawn from its upper half (so that many callers do not come back at once), and
// never end before the moment that the node named.

import type { RivuletError } from "./errors.ts";

export const backOff = { baseMs: 100, maxMs: 5_000 } as const;

export interface Failure {
  readonly error: RivuletError;
  /** Sending twice does no harm. */
  readonly repeatable: boolean;
  /** Attempts that failed before this one. */
  readonly before: number;
  /** Nodes to try: a lost connection goes to each of them at once, before the first wait. */
  readonly urls: number;
  /** In [0, 1). */
  readonly random: number;
}

/** How long to wait before the next attempt, ms; null: there is none. */
export function retryDelay({ error, repeatable, before, urls, random }: Failure): number | null {
  if (!error.retryable) return null;
  if (error.sideEffects === "unknown" && !repeatable) return null;
  if (error.status === 0 && before + 1 < urls) return 0;
  const rounds = Math.max(0, before + 1 - urls);
  const ceiling = Math.min(backOff.maxMs, backOff.baseMs * 2 ** Math.min(rounds, 16));
  return Math.max(error.retryAfterMs ?? 0, ceiling * (0.5 + random / 2));
}
