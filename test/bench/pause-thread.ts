// The thread of the pause meter (pause-meter.ts): sleeps, compares, notes. It shares its counters and is never asked.

import { workerData } from "node:worker_threads";
import { pauseMsMin, pausesKept, slots } from "./pause-meter.ts";

const { shared, stop } = workerData as {
  readonly shared: Float64Array;
  readonly stop: Int32Array;
};
const sleepMs = 1;

for (let before = performance.now(); Atomics.load(stop, 0) === 0;) {
  Atomics.wait(stop, 0, 0, sleepMs);
  const after = performance.now();
  const pause = after - before - sleepMs;
  before = after;
  if (pause >= pauseMsMin) note(pause);
}

function note(pause: number): void {
  const count = shared[slots.count];
  if (count < pausesKept) shared[slots.first + count] = pause;
  shared[slots.totalMs] += pause;
  shared[slots.maxMs] = Math.max(shared[slots.maxMs], pause);
  // Last: whoever reads this count finds the pauses below it written.
  shared[slots.count] = count + 1;
}
