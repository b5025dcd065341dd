// Batches for the broker's tests, and records out of what a fetch answered.

import { privateSlice } from "../../src/bytes/slab-pool.ts";
import type { Slice } from "../../src/bytes/slab.ts";
import type { FetchResponse } from "../../src/broker/broker.ts";
import type { Refusal } from "../../src/errors.ts";
import { batchBytes, buildBatch, type NewRecord } from "../../src/records/batch-builder.ts";
import { openRecords } from "../../src/records/record-iterator.ts";

const utf8 = new TextEncoder();
const text = new TextDecoder();

export interface Sample {
  readonly value: string;
  readonly timestamp?: number;
}

/** One batch of these values. */
export function batchOf(...samples: readonly (string | Sample)[]): Slice {
  const records = samples.map((sample): NewRecord => {
    const { value, timestamp = 1_700_000_000_000 } =
      typeof sample === "string" ? { value: sample } : sample;
    return { key: null, value: utf8.encode(value), headers: [], timestamp };
  });
  const bytes = new Uint8Array(batchBytes(records));
  buildBatch(bytes, records);
  return privateSlice(bytes);
}

/** Values from `offset` on in one batch. */
export function valuesIn(batch: Uint8Array, fromOffset = 0): readonly string[] {
  const cursor = openRecords(batch, 0, { decodedBytesMax: 1 << 26, fromOffset });
  if (!cursor.ok) throw new Error(cursor.detail);
  const values: string[] = [];
  while (cursor.next()) values.push(text.decode(cursor.value ?? new Uint8Array(0)));
  return values;
}

/** All values of a response by partition, in the order asked for; a refusal shows as its code. Releases it. */
export function valuesOf(
  response: FetchResponse | Refusal,
): readonly (readonly string[] | string)[] {
  if ("ok" in response) throw new Error(`${response.code}: ${response.detail}`);
  const values = response.partitions.map((partition) =>
    partition.ok ? partition.batches.flatMap((batch) => valuesIn(batch)) : partition.code,
  );
  response.release();
  return values;
}
