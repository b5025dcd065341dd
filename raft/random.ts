// Deterministic random numbers for election timeouts: xorshift32 (Marsaglia 2003, triple 13/17/5) over a mixed seed.
//
// Promise: one seed gives one sequence on every runtime; 32-bit integer arithmetic only. Nearby seeds give unrelated
// sequences. Not for secrets.

export class Random {
  #state: number;

  constructor(seed: number) {
    let mixed = Math.imul(Math.trunc(seed) ^ 0x9e3779b9, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    this.#state = (mixed ^ (mixed >>> 16)) | 0 || 0x9e3779b9;
  }

  /** An integer in [0, bound); bound in [1, 2^31]. */
  below(bound: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % bound;
  }
}
