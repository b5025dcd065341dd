// The window of appends under way to one follower: a ring of (last index, bytes).
//
// Promise: full() once `size` messages or `maxBytes` payload bytes are under way; the byte limit is soft, the message
// that crosses it is let through, so that an entry larger than the limit still travels. The ring grows by doubling
// up to `size`: thousands of idle replicas pay nothing. Invariant: indexes in the ring ascend.

import { bug } from "./bug.ts";

/** The ring of every window that was never used: never written to, since a window grows before it takes anything. */
const unused: number[] = [];

export class Inflights {
  readonly #size: number;
  readonly #maxBytes: number;
  #start = 0;
  #count = 0;
  #bytes = 0;
  #indexes: number[] = unused;
  #sizes: number[] = unused;

  constructor(size: number, maxBytes: number) {
    this.#size = size;
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  full(): boolean {
    return this.#count === this.#size || this.#bytes >= this.#maxBytes;
  }

  /** Notes a message whose last entry is `index`. Ask full() first. */
  add(index: number, bytes: number): void {
    if (this.full()) bug(`Cannot add to a full window: ${this.#count} messages, ${this.#bytes} B`);
    if (this.#start + this.#count >= this.#indexes.length) this.#makeRoom();
    const at = (this.#start + this.#count) % this.#indexes.length;
    this.#indexes[at] = index;
    this.#sizes[at] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Frees every message whose last entry is at or below `index`: any acknowledgement acknowledges what came before. */
  freeTo(index: number): void {
    const capacity = this.#indexes.length;
    while (this.#count > 0 && this.#indexes[this.#start] <= index) {
      this.#bytes -= this.#sizes[this.#start];
      this.#start = this.#start + 1 === capacity ? 0 : this.#start + 1;
      this.#count--;
    }
    if (this.#count === 0) this.#start = 0;
  }

  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  /** Either the ring wraps (it has room at its front) or it is unrolled into one twice as large. */
  #makeRoom(): void {
    const capacity = this.#indexes.length;
    if (this.#count < capacity) return;
    const indexes: number[] = [];
    const sizes: number[] = [];
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#start + i) % capacity;
      indexes.push(this.#indexes[at]);
      sizes.push(this.#sizes[at]);
    }
    const grown = Math.max(1, Math.min(this.#size, capacity * 2));
    for (let i = this.#count; i < grown; i++) {
      indexes.push(0);
      sizes.push(0);
    }
    this.#indexes = indexes;
    this.#sizes = sizes;
    this.#start = 0;
  }
}
