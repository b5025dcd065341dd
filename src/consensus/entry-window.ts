// Entries of one replica that are on their way: proposed, being flushed, or durable and not yet applied.
//
//   ... applied | durable, to be applied | being flushed | ...
//               first                                    end
//
// Promise: contiguous; holds each batch's slice once, from push() to dropBelow() or dropFrom(). Left to others: older
// entries (the journal), who may append.

import type { Entry } from "../../raft/types.ts";
import { assert } from "../assert.ts";
import type { Payload } from "./payload.ts";

/** Dead places at the front before the array is compacted. */
const deadMax = 256;

export class EntryWindow {
  #entries: Entry<Payload>[] = [];
  #head = 0;

  get size(): number {
    return this.#entries.length - this.#head;
  }

  /** Index of the first entry; Infinity when empty. */
  get first(): number {
    return this.#entries[this.#head]?.index ?? Infinity;
  }

  /** Takes over the proposer's hold. */
  push(entry: Entry<Payload>): void {
    const last = this.#entries.at(-1);
    assert(
      this.size === 0 || last!.index + 1 === entry.index,
      () => `Window must go on at ${last!.index + 1}, got ${entry.index}`,
    );
    this.#entries.push(entry);
  }

  at(index: number): Entry<Payload> | undefined {
    const first = this.first;
    return index < first ? undefined : this.#entries[this.#head + index - first];
  }

  /** Applied: releases everything below index. */
  dropBelow(index: number): void {
    while (this.#head < this.#entries.length && this.#entries[this.#head].index < index) {
      this.#entries[this.#head].data?.batch?.release();
      this.#head += 1;
    }
    if (this.#head === this.#entries.length || this.#head > deadMax) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** Lost: releases index and everything above. */
  dropFrom(index: number): void {
    while (this.size > 0 && this.#entries.at(-1)!.index >= index) {
      this.#entries.pop()!.data?.batch?.release();
    }
  }
}
