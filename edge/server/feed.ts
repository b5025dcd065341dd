// The records of one fetched partition, one after another over its batches.
//
// Promise: `next` is always where reading goes on: behind the last record taken, and behind batches that hold nothing
// for a reader (markers, records passed over). Left to others: releasing the bytes.

import type { FetchedPartition } from "../../src/broker/broker.ts";
import { Fault } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { nextOffsetAt } from "../../src/records/batch-layout.ts";
import { openRecords, type RecordCursor } from "../../src/records/record-iterator.ts";
import type { RecordFilter } from "./record-filter.ts";

export class Feed {
  readonly partition: number;
  readonly fetched: FetchedPartition;
  /** Next offset wanted. */
  next: number;
  #batch = 0;
  #cursor: RecordCursor | null = null;
  #standing = false;

  constructor(fetched: FetchedPartition, offset: number) {
    this.partition = fetched.partition;
    this.fetched = fetched;
    this.next = offset;
  }

  /** The cursor on the next record, or null at the end. The record counts as read when take() is called. */
  peek(): RecordCursor | null {
    if (this.#standing) return this.#cursor;
    for (;;) {
      const cursor = this.#cursor ?? this.#open();
      if (cursor === null) return null;
      if (!cursor.control && cursor.next()) {
        this.#standing = true;
        return cursor;
      }
      this.next = Math.max(this.next, nextOffsetAt(this.fetched.batches[this.#batch], 0));
      this.#batch++;
      this.#cursor = null;
    }
  }

  /** peek() behind the records that the filter does not want. */
  peekWanted(filter: RecordFilter | null): RecordCursor | null {
    for (;;) {
      const cursor = this.peek();
      if (cursor === null || filter === null || filter.matches(cursor)) return cursor;
      this.take();
    }
  }

  take(): void {
    this.next = this.#cursor!.offset + 1;
    this.#standing = false;
  }

  #open(): RecordCursor | null {
    const bytes = this.fetched.batches[this.#batch];
    if (bytes === undefined) return null;
    const { decodedBytesMax } = limits;
    const cursor = openRecords(bytes, 0, { decodedBytesMax, fromOffset: this.next });
    if (!(cursor.ok && "batch" in cursor)) {
      const { detail } = cursor;
      throw new Fault("storage_damaged", `Cannot read partition ${this.partition}: ${detail}`);
    }
    this.#cursor = cursor;
    return cursor;
  }
}
