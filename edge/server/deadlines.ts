// Deadlines of many requests behind one timer: what a slow body or a silent tail costs must not be a timer a request.
//
// Promise: a deadline is called once, at most `granularityMs` late, unless it was removed before. While nothing is
// pending no timer runs.

import type { Timer, World } from "../../src/world.ts";

const granularityMs = 1_000;

export interface Deadline {
  /** world.monotonic() at which expire() is due. May be moved while pending. */
  dueAt: number;
  expire(): void;
}

export class Deadlines {
  readonly #world: World;
  readonly #pending = new Set<Deadline>();
  #timer: Timer | null = null;

  constructor(world: World) {
    this.#world = world;
  }

  add(deadline: Deadline): void {
    this.#pending.add(deadline);
    this.#timer ??= this.#world.setTimer(granularityMs, this.#sweep);
  }

  remove(deadline: Deadline): void {
    this.#pending.delete(deadline);
  }

  close(): void {
    this.#pending.clear();
    this.#timer?.cancel();
    this.#timer = null;
  }

  readonly #sweep = (): void => {
    const now = this.#world.monotonic();
    this.#timer = null;
    for (const deadline of this.#pending) {
      if (deadline.dueAt > now) continue;
      this.#pending.delete(deadline);
      deadline.expire();
    }
    if (this.#pending.size > 0) this.#timer ??= this.#world.setTimer(granularityMs, this.#sweep);
  };
}
