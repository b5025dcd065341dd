// Where long polls wait: how many there may be at once, and one waiter's signal.
//
// Promise: the room never holds more than its limit; a wake between two waits is not lost; leaving frees everything
// that a wait held (timer, abort listener, subscriptions). Left to others: what is waited for (fetch.ts).

import type { World } from "../world.ts";

export class WaitRoom {
  readonly #waitersMax: number;
  readonly #waiters = new Set<Waiter>();

  constructor(waitersMax: number) {
    this.#waitersMax = waitersMax;
  }

  get count(): number {
    return this.#waiters.size;
  }

  /** null when the room is full. The caller calls leave() exactly once. */
  enter(
    world: World,
    wait: { readonly ms: number; readonly signal: AbortSignal | undefined },
  ): Waiter | null {
    if (this.#waiters.size >= this.#waitersMax) return null;
    const waiter = new Waiter(world, { ...wait, left: () => this.#waiters.delete(waiter) });
    this.#waiters.add(waiter);
    return waiter;
  }

  /** Ends every wait: the node stops. */
  close(): void {
    for (const waiter of this.#waiters) waiter.end();
  }
}

export class Waiter {
  #woken = false;
  #over = false;
  #resolve: (() => void) | null = null;
  readonly #cleanups: (() => void)[] = [];

  constructor(
    world: World,
    wait: {
      readonly ms: number;
      readonly signal: AbortSignal | undefined;
      readonly left: () => void;
    },
  ) {
    const end = (): void => this.end();
    const timer = world.setTimer(wait.ms, end);
    const { signal } = wait;
    signal?.addEventListener("abort", end);
    if (signal?.aborted === true) this.#over = true;
    this.#cleanups.push(
      () => timer.cancel(),
      () => signal?.removeEventListener("abort", end),
      wait.left,
    );
  }

  /** True once time is up, the caller has gone or the node stops. */
  get over(): boolean {
    return this.#over;
  }

  /** Something may have changed: the next or current pause() ends. Cheap. */
  readonly wake = (): void => {
    this.#woken = true;
    this.#resolve?.();
  };

  /** Ends this wait for good. */
  end(): void {
    this.#over = true;
    this.#resolve?.();
  }

  /** What leave() calls as well. */
  onLeave(cleanup: () => void): void {
    this.#cleanups.push(cleanup);
  }

  /** Settles at the next wake or at the end; at once after a wake since the last pause. */
  async pause(): Promise<void> {
    if (!this.#woken && !this.#over)
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
      });
    this.#resolve = null;
    this.#woken = false;
  }

  leave(): void {
    for (const cleanup of this.#cleanups) cleanup();
  }
}
