// Randomness of a simulation: one stream per concern, each from the seed and the concern's name.
//
// Promise: a draw for one concern (disks, network, clients, faults, a node) never shifts those of another, so that a
// change of one knob leaves the rest of a seed's course alone. Integer arithmetic only. Not for secrets.

export class Stream {
  #state: number;

  constructor(seed: number, concern: string) {
    let hash = 0x811c9dc5;
    for (const character of `${seed}/${concern}`) {
      hash = Math.imul(hash ^ character.codePointAt(0)!, 0x01000193);
    }
    // FNV leaves nearby texts near each other.
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    this.#state = (hash ^ (hash >>> 16)) >>> 0;
  }

  /** A number in [0, 1): mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer in [0, end). */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** An integer in [min, max]. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of them; there is at least one. */
  pick<T>(of: readonly T[]): T {
    return of[this.below(of.length)];
  }
}
