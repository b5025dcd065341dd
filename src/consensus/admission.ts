// The door in front of the journal: what may be queued on this node, and whether the disk takes appends at all.
//
// Promise: decided before an append has any effect. Bytes are counted from admit() until leave(), so that what waits
// in partitions and what waits in the journal is one sum under one limit (limits.journalQueueBytesMax); one request
// always fits into an empty queue. Left to others: log-start, configuration and state rows, which go on when the disk
// is nearly full so that retention can free it.

import { refuse, type Refusal } from "../errors.ts";
import type { Journal } from "../journal/journal.ts";
import { limits } from "../limits.ts";

const overloadedRetryMs = 100;
const storageRetryMs = 5_000;

export class Admission {
  readonly #journal: Journal;
  #bytes = 0;
  #closed = false;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** Bytes admitted and not yet answered. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Null: admitted, and counted until leave(bytes). Cost: O(1). */
  admit(bytes: number): Refusal | null {
    if (this.#closed) return refuse("shutting_down", "Cannot append: the node is stopping");
    const total = this.#bytes + bytes;
    if (this.#bytes > 0 && total > limits.journalQueueBytesMax) {
      const detail = `Cannot append ${bytes} bytes: ${this.#bytes} wait for the disk, at most ${limits.journalQueueBytesMax} may`;
      return refuse("overloaded", detail, { retryAfterMs: overloadedRetryMs });
    }
    const refusal = this.#storage();
    if (refusal === null) this.#bytes = total;
    return refusal;
  }

  leave(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Everything is refused from now on. */
  close(): void {
    this.#closed = true;
  }

  #storage(): Refusal | null {
    const state = this.#journal.healthState;
    if (state !== "full" && state !== "failed") return null;
    // Asked for its words only here: they cost 0.5 us, more than the rest of an admission.
    const { detail } = this.#journal.health();
    if (state === "full") return refuse("storage_full", detail, { retryAfterMs: storageRetryMs });
    return refuse("storage_failed", detail);
  }
}
