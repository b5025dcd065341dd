// How long this very process did not run: a timer of 5 ms notes by how much it was late.
//
//   due  |-5-|-5-|-5-|------- 38 -------|-5-|      a gap of 33 ms: this thread was busy, or no core was free
//
// Why: a client that stands still measures its own pause as the node's latency. Beside its gaps a tail can be read
// without blaming the node for the client, or excusing the node without proof. Costs 200 short wake-ups a second.

import type { World } from "../world.ts";

const tickMs = 5;
/** A timer this late counts as a gap, ms; below it is the scheduler's ordinary grain. */
export const gapMsMin = 5;

export interface Gaps {
  readonly count: number;
  readonly totalMs: number;
  readonly maxMs: number;
}

/** Starts to measure; stop() gives the gaps since then, one that still lasts included. */
export function startGapMeter(world: World): { stop(): Gaps } {
  let [count, totalMs, maxMs] = [0, 0, 0];
  let due = world.monotonic() + tickMs;
  const note = (): void => {
    const lateMs = world.monotonic() - due;
    if (lateMs < gapMsMin) return;
    count++;
    totalMs += lateMs;
    maxMs = Math.max(maxMs, lateMs);
  };
  const tick = (): void => {
    note();
    due = world.monotonic() + tickMs;
    timer = world.setTimer(tickMs, tick);
  };
  let timer = world.setTimer(tickMs, tick);
  return {
    stop() {
      timer.cancel();
      note();
      return { count, totalMs, maxMs };
    },
  };
}
