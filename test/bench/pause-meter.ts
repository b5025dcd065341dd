// How often the machine itself stood still: a thread that sleeps 1 ms at a time and notes by how much it overslept.
//
//   slept  |-1-|-1-|-1-|------- 163 -------|-1-|     a pause of 162 ms: nobody's code ran, or no core was free
//
// Why: a virtual machine stops for 150-450 ms several times in a run; beside these figures a tail can be read without
// blaming the code for the machine, or excusing it without proof. Costs about 1 % of a core.

import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";

/** A gap this much above the wanted sleep counts as a pause, ms. Below it is the scheduler's ordinary grain. */
export const pauseMsMin = 5;

/** Pauses kept in full; later ones are still counted and summed. */
export const pausesKept = 8_192;

/** Slots of the thread's counters, then its pauses. */
export const slots = { count: 0, totalMs: 1, maxMs: 2, first: 3 } as const;

export interface Pauses {
  readonly wallMs: number;
  readonly count: number;
  readonly totalMs: number;
  readonly maxMs: number;
  readonly p99Ms: number;
  /** Time that the host of a virtual machine took from all cores, ms; null where the system does not say. */
  readonly stealMs: number | null;
}

export interface PauseMeter {
  /** Pauses since the start or the last call. */
  lap(): Pauses;
  stop(): Promise<void>;
}

/** Starts the thread and resolves when it measures. */
export async function startPauseMeter(): Promise<PauseMeter> {
  const shared = new Float64Array(
    new SharedArrayBuffer((slots.first + pausesKept) * Float64Array.BYTES_PER_ELEMENT),
  );
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL("./pause-thread.ts", import.meta.url), {
    workerData: { shared, stop },
  });
  await new Promise<void>((resolve, reject) => {
    worker.once("online", resolve);
    worker.once("error", reject);
  });
  let since = reading(shared);
  return {
    lap() {
      const from = since;
      since = reading(shared);
      return between(shared, from, since);
    },
    async stop() {
      Atomics.store(stop, 0, 1);
      await worker.terminate();
    },
  };
}

interface Reading {
  readonly at: number;
  readonly count: number;
  readonly totalMs: number;
  readonly stealMs: number | null;
}

function reading(shared: Float64Array): Reading {
  return {
    at: performance.now(),
    count: shared[slots.count],
    totalMs: shared[slots.totalMs],
    stealMs: stealMs(),
  };
}

function between(shared: Float64Array, from: Reading, to: Reading): Pauses {
  const end = Math.min(to.count, pausesKept);
  const lengths = shared.slice(slots.first + from.count, slots.first + end).sort();
  const steal = to.stealMs === null || from.stealMs === null ? null : to.stealMs - from.stealMs;
  return {
    wallMs: to.at - from.at,
    count: to.count - from.count,
    totalMs: to.totalMs - from.totalMs,
    maxMs: lengths.at(-1) ?? 0,
    p99Ms: lengths[Math.floor(lengths.length * 0.99)] ?? 0,
    stealMs: steal,
  };
}

/** The eighth number of the cpu line, in hundredths of a second. */
function stealMs(): number | null {
  try {
    const line = readFileSync("/proc/stat", "utf8").split("\n", 1)[0];
    return Number(line.trim().split(/\s+/)[8]) * 10;
  } catch {
    return null;
  }
}

/** One sentence for a person. */
export function describePauses(pauses: Pauses): string {
  const { wallMs, count, totalMs, maxMs, stealMs: steal } = pauses;
  const stolen = steal === null ? "" : `; ${Math.round(steal)} ms of core time stolen by the host`;
  return (
    `pause meter: ${count} pauses over ${pauseMsMin} ms in ${(wallMs / 1_000).toFixed(1)} s, ` +
    `longest ${maxMs.toFixed(0)} ms, together ${totalMs.toFixed(0)} ms${stolen}`
  );
}
