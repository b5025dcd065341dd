// Idempotency keys of one partition: the receipts of keyed requests, so that a retry gets its first answer.
//
// Promise: a fold of the log in bounded memory: at most 100,000 keys, each for at most 24 h of entry time, the oldest
// out first. Columns in typed arrays and one map, so that a snapshot is a copy and not a walk over objects.
// Left to others: hashing (keyHashOf is here, bodies are hashed by the door), keys in flight (overlay.ts).
//
//   ring   ... head |oldest|  ...  |newest| tail ...        one slot: key 16 bytes, body 16 bytes, five numbers

import { createHash } from "node:crypto";

import { limits } from "../limits.ts";

export const hashBytes = 16;
const numbersPerSlot = 5;

/** A keyed append as an entry's meta records it. */
export interface KeyReceipt {
  /** 16-byte hash of (principal, topic, key). */
  readonly keyHash: Uint8Array;
  /** 16-byte hash of the request. */
  readonly bodyHash: Uint8Array;
  readonly baseOffset: number;
  readonly recordCount: number;
  /** Largest record timestamp of the batch, ms. */
  readonly maxTimestamp: number;
  /** Partition count by which keyless records were placed; 0 when each named its partition. */
  readonly partitionCount: number;
}

/** A remembered receipt, with the time of its entry. */
export interface RememberedKey extends Omit<KeyReceipt, "keyHash"> {
  readonly time: number;
}

/** 16 bytes of SHA-256 over the three, each preceded by its length, so that no two triples run together. */
export function keyHashOf(of: {
  readonly principal: string;
  readonly topic: string;
  readonly key: string;
}): Uint8Array {
  const hash = createHash("sha256");
  for (const part of [of.principal, of.topic, of.key]) hash.update(`${part.length}:${part}`);
  return new Uint8Array(hash.digest().subarray(0, hashBytes));
}

/** A hash as a map key: its bytes as Latin-1. */
export function hashText(bytes: Uint8Array, at = 0): string {
  return String.fromCharCode(...bytes.subarray(at, at + hashBytes));
}

export function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

export class KeyTable {
  /** Key hash -> position counted since the table's birth; slot = position % capacity. */
  readonly #positions = new Map<string, number>();
  #head = 0;
  #tail = 0;
  #capacity = 0;
  #hashes = new Uint8Array(0);
  #numbers = new Float64Array(0);

  get size(): number {
    return this.#tail - this.#head;
  }

  /** Cost: a map look-up and, when found, one small object. */
  get(keyHash: Uint8Array): RememberedKey | null {
    const position = this.#positions.get(hashText(keyHash));
    if (position === undefined) return null;
    const slot = position % this.#capacity;
    const h = slot * 2 * hashBytes + hashBytes;
    const n = slot * numbersPerSlot;
    return {
      bodyHash: this.#hashes.slice(h, h + hashBytes),
      baseOffset: this.#numbers[n],
      recordCount: this.#numbers[n + 1],
      maxTimestamp: this.#numbers[n + 2],
      partitionCount: this.#numbers[n + 3],
      time: this.#numbers[n + 4],
    };
  }

  /** A committed receipt. The first of two with one key stands; the leader lets no second through. */
  apply(receipt: KeyReceipt, time: number): void {
    const text = hashText(receipt.keyHash);
    if (this.#positions.has(text)) return;
    if (this.size === limits.idempotencyKeysPerPartitionMax) this.#dropOldest();
    if (this.size === this.#capacity) this.#grow(Math.max(16, this.#capacity * 2));
    const slot = this.#tail % this.#capacity;
    this.#hashes.set(receipt.keyHash, slot * 2 * hashBytes);
    this.#hashes.set(receipt.bodyHash, slot * 2 * hashBytes + hashBytes);
    const { baseOffset, recordCount, maxTimestamp, partitionCount } = receipt;
    this.#numbers.set(
      [baseOffset, recordCount, maxTimestamp, partitionCount, time],
      slot * numbersPerSlot,
    );
    this.#positions.set(text, this.#tail);
    this.#tail += 1;
  }

  /** Forgets keys whose entries are 24 h old in entry time. Cost: O(forgotten). */
  expire(time: number): void {
    const timeMin = time - limits.idempotencyKeyAgeMsMax;
    while (this.size > 0 && this.#timeOfOldest() <= timeMin) this.#dropOldest();
  }

  /** Columns in order of age, owned by the caller. */
  columns(): { readonly hashes: Uint8Array; readonly numbers: Float64Array } {
    const hashes = new Uint8Array(this.size * 2 * hashBytes);
    const numbers = new Float64Array(this.size * numbersPerSlot);
    this.#copyTo(hashes, numbers, this.#capacity);
    return { hashes, numbers };
  }

  /** Rebuilds an empty table from columns(). */
  restore(columns: { readonly hashes: Uint8Array; readonly numbers: Float64Array }): void {
    const count = columns.numbers.length / numbersPerSlot;
    this.#positions.clear();
    this.#head = 0;
    this.#tail = 0;
    this.#grow(Math.max(16, count));
    this.#hashes.set(columns.hashes);
    this.#numbers.set(columns.numbers);
    this.#tail = count;
    for (let i = 0; i < count; i += 1) {
      this.#positions.set(hashText(columns.hashes, i * 2 * hashBytes), i);
    }
  }

  #timeOfOldest(): number {
    return this.#numbers[(this.#head % this.#capacity) * numbersPerSlot + 4];
  }

  #dropOldest(): void {
    const slot = this.#head % this.#capacity;
    this.#positions.delete(hashText(this.#hashes, slot * 2 * hashBytes));
    this.#head += 1;
  }

  #grow(capacity: number): void {
    const hashes = new Uint8Array(capacity * 2 * hashBytes);
    const numbers = new Float64Array(capacity * numbersPerSlot);
    this.#copyTo(hashes, numbers, this.#capacity);
    const size = this.size;
    if (this.#head > 0) {
      for (const [text, position] of this.#positions) {
        this.#positions.set(text, position - this.#head);
      }
    }
    this.#head = 0;
    this.#tail = size;
    this.#capacity = capacity;
    this.#hashes = hashes;
    this.#numbers = numbers;
  }

  /** Copies the ring, oldest first, to the front of the targets, in one or two runs. */
  #copyTo(hashes: Uint8Array, numbers: Float64Array, capacity: number): void {
    if (this.size === 0) return;
    const first = this.#head % capacity;
    const run = Math.min(this.size, capacity - first);
    const rest = this.size - run;
    const h = 2 * hashBytes;
    const n = numbersPerSlot;
    hashes.set(this.#hashes.subarray(first * h, (first + run) * h));
    hashes.set(this.#hashes.subarray(0, rest * h), run * h);
    numbers.set(this.#numbers.subarray(first * n, (first + run) * n));
    numbers.set(this.#numbers.subarray(0, rest * n), run * n);
  }
}
