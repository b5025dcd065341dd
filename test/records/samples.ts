// What the tests of records share: arbitrary records, rules that allow all, and a batch in shared memory as a door
// would build it.

import * as fc from "fast-check";
import {
  batchBytes,
  buildBatch,
  compressBatch,
  type BatchOptions,
  type NewRecord,
} from "../../src/records/batch-builder.ts";
import type { Codec } from "../../src/records/batch-layout.ts";
import type { BatchRules } from "../../src/records/batch-validator.ts";
import { openRecords, type ReadRecord } from "../../src/records/record-iterator.ts";

export const ascii = (text: string) => new TextEncoder().encode(text);
export const codecs: readonly Codec[] = ["none", "gzip", "zstd"];
export const decodedBytesMax = 1 << 20;

/** Rules that refuse nothing but what no rule can allow. */
export const anyRules: BatchRules = {
  maxMessageBytes: 1 << 20,
  decodedBytesMax,
  timestampType: "CreateTime",
  now: 1_700_000_000_000,
  timestampBeforeMaxMs: Infinity,
  timestampAfterMaxMs: Infinity,
  compacted: false,
};

export function record(more: Partial<NewRecord> = {}): NewRecord {
  return { key: null, value: ascii("value"), headers: [], timestamp: anyRules.now, ...more };
}

/** The batch of these records, in a view over shared memory with bytes of others around it. */
export function batchOf(
  records: readonly NewRecord[],
  options: BatchOptions & { readonly codec?: Codec } = {},
): Uint8Array {
  const { codec = "none", ...rest } = options;
  if (codec === "none") {
    const target = sharedView(batchBytes(records));
    buildBatch(target, records, rest);
    return target;
  }
  const compressed = compressBatch(records, codec, rest);
  const target = sharedView(compressed.bytes);
  compressed.writeTo(target);
  return target;
}

function sharedView(length: number): Uint8Array {
  const slab = new Uint8Array(new SharedArrayBuffer(length + 14)).fill(0xa5);
  return slab.subarray(7, 7 + length);
}

/** All records of one batch; throws when it cannot be opened. */
export function readAll(bytes: Uint8Array, at = 0, fromOffset = 0): ReadRecord[] {
  const cursor = openRecords(bytes, at, { decodedBytesMax, fromOffset });
  if (!cursor.ok) throw new Error(cursor.detail);
  const records: ReadRecord[] = [];
  while (cursor.next()) records.push(cursor.record());
  return records;
}

const list = (bytes: Uint8Array | null) => (bytes === null ? null : [...bytes]);

/** Bytes of either kind as plain arrays, so that null, empty and content compare as they should. */
export function plain(records: readonly (NewRecord | ReadRecord)[]): unknown[] {
  return records.map(({ timestamp, key, value, headers }) => ({
    timestamp,
    key: list(key),
    value: list(value),
    headers: headers.map(([name, bytes]) => [name, list(bytes)]),
  }));
}

const anyBytes = fc.option(fc.uint8Array({ maxLength: 300 }), { nil: null });

/** Any record at all: null and empty parts, unicode names, timestamps on both sides of the first one. */
export const anyRecord: fc.Arbitrary<NewRecord> = fc.record({
  key: anyBytes,
  value: anyBytes,
  headers: fc.array(fc.tuple(fc.string({ unit: "binary", maxLength: 80 }), anyBytes), {
    maxLength: 4,
  }),
  timestamp: fc.oneof(
    fc.integer({ min: -1, max: 2 ** 31 - 1 }),
    fc.integer({ min: -(2 ** 52), max: 2 ** 52 }),
  ),
});

export const anyRecords = fc.array(anyRecord, { minLength: 1, maxLength: 80 });
