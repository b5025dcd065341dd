// Control batches: the markers by which a transaction ends, one record that takes one offset and that readers skip.
//
// Promise: the bytes that Kafka's coordinator writes; what cannot be read as a marker is null, never a guess.
//
//   key     | version i16 = 0 | type i16: 0 abort, 1 commit |
//   value   | version i16 = 0 | coordinator epoch i32 |
//
// Source: Kafka 4.3, ControlRecordType and EndTransactionMarker; KIP-98.

import { assert } from "../assert.ts";
import { int16At, int32At, putInt16, putInt32 } from "../bytes/big-endian.ts";
import { batchBytes, writeBatch, type NewRecord } from "./batch-builder.ts";
import { attribute } from "./batch-layout.ts";

export type MarkerType = "abort" | "commit";
const markerTypes: readonly MarkerType[] = ["abort", "commit"];

const keyBytes = 4;
const valueBytes = 6;

export interface Marker {
  readonly type: MarkerType;
  readonly coordinatorEpoch: number;
}

export interface NewMarker extends Marker {
  readonly producerId: number;
  readonly producerEpoch: number;
  /** ms since the epoch. */
  readonly timestamp: number;
}

/** Length of every control batch. */
export const controlBatchBytes = batchBytes([
  markerRecord({ type: "abort", coordinatorEpoch: 0, timestamp: 0 }),
]);

/** Builds a marker into target, whose length is controlBatchBytes. */
export function buildControlBatch(target: Uint8Array, marker: NewMarker): void {
  assert(
    marker.producerId >= 0 && marker.producerEpoch >= 0,
    () =>
      `Cannot build marker: a producer is wanted, got ${marker.producerId}:${marker.producerEpoch}`,
  );
  writeBatch(target, [markerRecord(marker)], {
    attributes: attribute.control | attribute.transactional,
    producer: { id: marker.producerId, epoch: marker.producerEpoch, baseSequence: -1 },
  });
}

/** The marker in a control record, or null when it is of another type or version. */
export function readMarker(record: {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
}): Marker | null {
  const { key, value } = record;
  if (key === null || value === null || key.length < keyBytes || value.length < valueBytes)
    return null;
  const type = markerTypes[int16At(key, 2)];
  // Later versions only ever add fields behind these.
  if (type === undefined || int16At(key, 0) < 0 || int16At(value, 0) < 0) return null;
  return { type, coordinatorEpoch: int32At(value, 2) };
}

function markerRecord(marker: Marker & { readonly timestamp: number }): NewRecord {
  const key = new Uint8Array(keyBytes);
  putInt16(key, 2, markerTypes.indexOf(marker.type));
  const value = new Uint8Array(valueBytes);
  putInt32(value, 2, marker.coordinatorEpoch);
  return { key, value, headers: [], timestamp: marker.timestamp };
}
