// Counts long polls and tails that wait at once, so that waiting callers cannot take the node's memory.

import { refuse, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";

export class Waiters {
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** null: the caller may wait and calls leave() exactly once. */
  enter(): Refusal | null {
    if (this.#count >= limits.waitersMax) {
      const detail = `Cannot wait for records: ${limits.waitersMax} callers wait already`;
      return refuse("overloaded", detail, { retryAfterMs: 1_000 });
    }
    this.#count++;
    return null;
  }

  leave(): void {
    this.#count--;
  }
}
