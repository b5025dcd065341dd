// A World in virtual time from one seed, and the loop that runs it: turns first, then the next timer.
//
// Promise: the same seed gives the same run. Promises settle between turns, as they do in a runtime.

import type { Timer, World } from "../../src/world.ts";

interface Scheduled {
  readonly at: number;
  readonly order: number;
  readonly fn: () => void;
  cancelled: boolean;
}

export class VirtualWorld implements World {
  readonly seed: number;
  /** Shifts the wall clock; a test may let it jump. */
  wallOffset = 1_700_000_000_000;
  #state: number;
  #time = 0;
  #order = 0;
  #deferred: (() => void)[] = [];
  #timers: Scheduled[] = [];

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  now(): number {
    return Math.floor(this.wallOffset + this.#time);
  }

  monotonic(): number {
    return this.#time;
  }

  /** mulberry32 */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  randomBytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  /** An integer in [0, end). */
  below(end: number): number {
    return Math.floor(this.random() * end);
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    const timer = {
      at: this.#time + Math.max(0, delayMs),
      order: this.#order++,
      fn,
      cancelled: false,
    };
    this.#timers.push(timer);
    return { cancel: () => void (timer.cancelled = true) };
  }

  defer(fn: () => void): void {
    this.#deferred.push(fn);
  }

  /** Runs turns, then timers up to `ms` from now. */
  async run(ms: number): Promise<void> {
    const until = this.#time + ms;
    for (;;) {
      await this.#runTurns();
      const next = this.#nextTimer(until);
      if (next === null) break;
      this.#time = Math.max(this.#time, next.at);
      next.fn();
    }
    this.#time = until;
  }

  /** Runs until the promise settles; fails when virtual time reaches the limit before. */
  async until<T>(promise: Promise<T>, msMax = 60_000): Promise<T> {
    let done = false;
    const watched = promise.finally(() => (done = true));
    watched.catch(() => {});
    const end = this.#time + msMax;
    for (;;) {
      await this.#runTurns();
      if (done) return watched;
      const next = this.#nextTimer(end);
      if (next === null)
        throw new Error(`Nothing settled the promise in ${msMax} virtual ms (seed ${this.seed})`);
      this.#time = Math.max(this.#time, next.at);
      next.fn();
    }
  }

  /** Turns and microtasks until neither is left. */
  async #runTurns(): Promise<void> {
    for (;;) {
      await settleMicrotasks();
      if (this.#deferred.length === 0) return;
      const turn = this.#deferred;
      this.#deferred = [];
      for (const fn of turn) fn();
    }
  }

  #nextTimer(until: number): Scheduled | null {
    this.#timers = this.#timers.filter((timer) => !timer.cancelled);
    let next: Scheduled | null = null;
    for (const timer of this.#timers) {
      const earlier =
        next === null || timer.at < next.at || (timer.at === next.at && timer.order < next.order);
      if (timer.at <= until && earlier) next = timer;
    }
    if (next !== null) this.#timers.splice(this.#timers.indexOf(next), 1);
    return next;
  }
}

/** Long enough for any chain of awaits that nothing outside holds up. */
async function settleMicrotasks(): Promise<void> {
  for (let i = 0; i < 40; i += 1) await Promise.resolve();
}
