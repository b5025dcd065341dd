// Batches for tests of the partition: built by the real builder, named by what the test cares about.

import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import type { Slice, SlabPool } from "../../src/bytes/slab.ts";
import type { BatchProducer } from "../../src/records/batch-builder.ts";
import { batchBytes, buildBatch } from "../../src/records/batch-builder.ts";
import { openRecords } from "../../src/records/record-iterator.ts";

export const slabs: SlabPool = createSlabPool();

export interface BatchOf {
  readonly values: readonly string[];
  readonly timestamp?: number;
  readonly producer?: BatchProducer;
}

/** A slice held once by the caller. */
export function batchOf({ values, timestamp = 1_000, producer }: BatchOf, pool = slabs): Slice {
  const encoder = new TextEncoder();
  const records = values.map((value) => ({
    key: null,
    value: encoder.encode(value),
    headers: [],
    timestamp,
  }));
  const slice = pool.allocate(batchBytes(records));
  buildBatch(slice.bytes, records, producer === undefined ? {} : { producer });
  return slice;
}

/** "offset:value" of every record. */
export function recordsIn(batches: readonly Uint8Array[]): string[] {
  const found: string[] = [];
  for (const batch of batches) {
    const cursor = openRecords(batch, 0, { decodedBytesMax: 1 << 24 });
    if (!cursor.ok) throw new Error(cursor.detail);
    while (cursor.next()) {
      const { value } = cursor;
      found.push(
        `${cursor.offset}:${value === null ? "" : new TextDecoder().decode(value.slice())}`,
      );
    }
  }
  return found;
}
