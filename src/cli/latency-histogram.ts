// Latencies of a long run in little memory: counts by size, a slot every 2 %.
//
//   0.001 ms |.|.|.|.| ... |.|.| 10 min      each slot is 2 % wider than the one before; 1,022 of them, 8 KB
//
// Promise: memory does not grow with the number of values; a quantile is at most 2 % above the true one, the largest
// value is exact. Not synchronised: one thread.

/** Each slot's upper bound by the one before. */
const growth = 1.02;
const msMin = 0.001;
const msMax = 600_000;
const slotCount = Math.ceil(Math.log(msMax / msMin) / Math.log(growth)) + 1;

export class LatencyHistogram {
  readonly #counts = new Float64Array(slotCount);
  #count = 0;
  #max = 0;

  /** How many values were added. */
  get count(): number {
    return this.#count;
  }

  /** The largest value, ms; 0 of none. */
  get max(): number {
    return this.#max;
  }

  /** Adds a value, ms. Below 1 us counts as 1 us, above 10 minutes as 10 minutes. */
  add(ms: number): void {
    this.#counts[slotOf(ms)]++;
    this.#count++;
    this.#max = Math.max(this.#max, ms);
  }

  /** The value at `part` (0 to 1) by nearest rank, ms; null of none. */
  quantile(part: number): number | null {
    if (this.#count === 0) return null;
    const rank = Math.max(1, Math.ceil(part * this.#count));
    let seen = 0;
    for (let slot = 0; slot < slotCount; slot++) {
      seen += this.#counts[slot];
      if (seen >= rank) return Math.min(msMin * growth ** slot, this.#max);
    }
    return this.#max;
  }
}

/** The first slot whose upper bound is not below the value. */
function slotOf(ms: number): number {
  const slot = Math.ceil(Math.log(ms / msMin) / Math.log(growth));
  return Math.min(Math.max(slot, 0), slotCount - 1);
}
