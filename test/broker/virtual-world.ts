// A World whose clock stands still until a test moves it; random numbers come from a seed.

import type { Timer, World } from "../../src/world.ts";

interface Pending {
  readonly at: number;
  readonly fn: () => void;
}

export class VirtualWorld implements World {
  #now = 1_700_000_000_000;
  #monotonic = 0;
  #state: number;
  readonly #timers = new Set<Pending>();

  constructor(seed = 1) {
    this.#state = seed;
  }
  now(): number {
    return this.#now;
  }
  monotonic(): number {
    return this.#monotonic;
  }
  random(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state / 2 ** 32;
  }
  randomBytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => Math.floor(this.random() * 256));
  }
  setTimer(delayMs: number, fn: () => void): Timer {
    const timer = { at: this.#monotonic + delayMs, fn };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }
  defer(fn: () => void): void {
    setImmediate(fn);
  }

  /** Sets the wall clock back, as an operator or NTP does. */
  setBack(ms: number): void {
    this.#now -= ms;
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Moves both clocks and runs what is due, in order of time. */
  advance(ms: number): void {
    const end = this.#monotonic + ms;
    for (;;) {
      const due = [...this.#timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#step(due.at);
      due.fn();
    }
    this.#step(end);
  }

  #step(to: number): void {
    const by = Math.max(0, to - this.#monotonic);
    this.#monotonic += by;
    this.#now += by;
  }
}

/** Lets everything that can run without the clock run: several turns of the event loop. */
export async function settle(turns = 10): Promise<void> {
  for (let i = 0; i < turns; i += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Waits for a condition that real Workers bring about; fails loudly when it never comes. */
export async function until(condition: () => boolean, what: string, msMax = 10_000): Promise<void> {
  const deadline = performance.now() + msMax;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`Waited in vain for: ${what}`);
    await new Promise<void>((resolve) => setTimeout(resolve, 1));
  }
}
