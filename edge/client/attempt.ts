// One attempt at a request: its signal, its time, and what its failure means.
//
// Promise: nothing stays behind: neither a timer nor a listener on a signal that lives longer (AbortSignal.any would
// keep one for each request on a signal that never aborts).

import type { Environment } from "./environment.ts";
import { RivuletError } from "./errors.ts";

/** Several signals in one, which can be let go. */
export class Link {
  readonly #controller = new AbortController();
  readonly #signals: readonly AbortSignal[];

  constructor(signals: readonly (AbortSignal | undefined)[]) {
    this.#signals = signals.filter((one) => one !== undefined);
    for (const one of this.#signals) {
      if (one.aborted) this.abort(one.reason);
      else one.addEventListener("abort", this.#aborted, { once: true });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  release(): void {
    for (const one of this.#signals) one.removeEventListener("abort", this.#aborted);
  }

  readonly #aborted = (event: Event): void => this.abort((event.target as AbortSignal).reason);
}

export class Attempt {
  readonly #link: Link;
  readonly #msMax: number;
  readonly #cancel: () => void;
  #late = false;

  constructor(environment: Environment, link: Link, msMax: number) {
    this.#link = link;
    this.#msMax = msMax;
    this.#cancel = environment.setTimer(msMax, () => {
      this.#late = true;
      link.abort();
    });
  }

  get signal(): AbortSignal {
    return this.#link.signal;
  }

  /** It has all the time from here on. */
  disarm(): void {
    this.#cancel();
  }

  /** It is over. */
  end(): void {
    this.#cancel();
    this.#link.release();
  }

  /** It is over, and so is what it still reads. */
  close(): void {
    this.end();
    this.#link.abort();
  }

  /** What to reject with: RivuletError, or the reason of the abort that ended it. Called before end(). */
  failure(
    thrown: unknown,
    { ask, url }: { readonly ask: { method: string; path: string }; readonly url: string },
  ): unknown {
    if (thrown instanceof RivuletError) return thrown;
    const action = `${ask.method} ${url}${ask.path}`;
    const facts = { retryable: true, sideEffects: "unknown", cause: thrown } as const;
    if (this.#late) {
      const message = `${action}: no answer within ${this.#msMax} ms`;
      return new RivuletError(message, { ...facts, code: "attempt_timed_out" });
    }
    if (this.signal.aborted) return this.signal.reason;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return new RivuletError(`${action}: ${why}`, { ...facts, code: "connection_failed" });
  }
}
