// The end of a part's life, told once to everything that waits in it.
//
// Promise: `over` settles when close() is called; what asks isOver afterwards hears true. Left to others: what to end.

export class Closing {
  readonly over: Promise<void>;
  #isOver = false;
  readonly #end: () => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#end = resolve;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Idempotent. */
  close(): void {
    this.#isOver = true;
    this.#end();
  }
}
