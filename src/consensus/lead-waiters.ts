// Who waits for a replica to lead: for it to be ready, or only for its recovered tail to be committed.

import type { Term } from "../quantities.ts";

interface ReadyWaiter {
  readonly resolve: (term: Term) => void;
  readonly reject: (reason: unknown) => void;
}

export class LeadWaiters {
  #ready: ReadyWaiter[] = [];
  #tail: (() => void)[] = [];

  /** Somebody waits for readiness. */
  get any(): boolean {
    return this.#ready.length > 0;
  }

  untilReady(): Promise<Term> {
    return new Promise((resolve, reject) => void this.#ready.push({ resolve, reject }));
  }

  /** Resolves also when the replica fails: the caller looks at what it reached. */
  untilTail(): Promise<void> {
    return new Promise((resolve) => void this.#tail.push(resolve));
  }

  confirmed(): void {
    for (const resolve of this.#tail.splice(0)) resolve();
  }

  ready(term: Term): void {
    for (const { resolve } of this.#ready.splice(0)) resolve(term);
  }

  failed(reason: unknown): void {
    this.confirmed();
    for (const { reject } of this.#ready.splice(0)) reject(reason);
  }
}
