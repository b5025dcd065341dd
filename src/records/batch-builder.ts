// Builds a RecordBatch v2 straight into memory that the caller brings (a slice of a slab): its exact size first, then
// the bytes.
//
// Promise: nothing is allocated per record; what is built passes batch-validator and is what a Kafka client reads.
// Left to others: base offset and leader epoch (the leader stamps them: 0 and -1 until then), limits of size.
//
//   record   | length | attributes 0 | time delta | offset delta | key | value | n | n headers |
//              varint   i8             varlong      varint         varint length + bytes, null = -1
//   header   | name: varint length + UTF-8 | value: varint length + bytes, null = -1 |

import { assert } from "../assert.ts";
import { putInt16, putInt32, putInt64 } from "../bytes/big-endian.ts";
import { encodeUtf8Into, utf8Length } from "../bytes/unicode.ts";
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from "../bytes/varint.ts";
import {
  attribute,
  batchHeaderBytes,
  bytesBeforeLength,
  codecNumbers,
  field,
  magic,
  stampCrc,
  type Codec,
} from "./batch-layout.ts";
import { compress } from "./compression.ts";

/** Name (well-formed text) and value; a name may come more than once. */
export type RecordHeader = readonly [name: string, value: Uint8Array | null];

/** A record to be written. Its bytes are borrowed until the batch is built. */
export interface NewRecord {
  /** null (no key) and empty are different. */
  readonly key: Uint8Array | null;
  /** null is a tombstone. */
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
  /** Integer ms since the epoch; -1: none. It and its distance from the first record's are within 2^53, else a Bug. */
  readonly timestamp: number;
}

/** Who wrote it, for idempotence. */
export interface BatchProducer {
  readonly id: number;
  readonly epoch: number;
  /** -1 for what is not sequenced: markers. */
  readonly baseSequence: number;
}

export interface BatchOptions {
  readonly producer?: BatchProducer;
  readonly transactional?: boolean;
}

/** Exact length of the uncompressed batch of these records. Cost: a walk over lengths, names included. */
export function batchBytes(records: readonly NewRecord[]): number {
  return batchHeaderBytes + recordsBytes(records);
}

/** Builds an uncompressed batch that fills target exactly; its length is batchBytes(records). At least one record. */
export function buildBatch(
  target: Uint8Array,
  records: readonly NewRecord[],
  options: BatchOptions = {},
): void {
  writeBatch(target, records, { ...options, attributes: 0 });
}

/** buildBatch with attribute bits of the caller's: for control batches. */
export function writeBatch(
  target: Uint8Array,
  records: readonly NewRecord[],
  options: BatchOptions & { readonly attributes: number },
): void {
  const end = writeRecords(target, batchHeaderBytes, records);
  assert(
    end === target.length,
    () => `Cannot build batch: ${end} bytes are wanted, the target has ${target.length}`,
  );
  writeHeader(target, records, options);
}

/** A batch whose records are compressed already, waiting for memory of its size. */
export interface CompressedBatch {
  readonly bytes: number;
  /** Fills target, whose length is `bytes`. */
  writeTo(target: Uint8Array): void;
}

/** Compresses the records into memory of its own. The result may be larger than uncompressed when they are few: Kafka's
 *  clients send it all the same. */
export function compressBatch(
  records: readonly NewRecord[],
  codec: Codec,
  options: BatchOptions = {},
): CompressedBatch {
  const plain = new Uint8Array(recordsBytes(records));
  writeRecords(plain, 0, records);
  const packed = compress(codec, plain);
  const bytes = batchHeaderBytes + packed.length;
  return {
    bytes,
    writeTo(target) {
      assert(
        target.length === bytes,
        () => `Cannot build batch: ${bytes} bytes are wanted, the target has ${target.length}`,
      );
      target.set(packed, batchHeaderBytes);
      writeHeader(target, records, { ...options, attributes: codecNumbers[codec] });
    },
  };
}

const noProducer: BatchProducer = { id: -1, epoch: -1, baseSequence: -1 };

/** Writes the 61 bytes before the records, which are in place: the CRC comes last. */
function writeHeader(
  target: Uint8Array,
  records: readonly NewRecord[],
  options: BatchOptions & { readonly attributes: number },
): void {
  const producer = options.producer ?? noProducer;
  const transactional = options.transactional === true ? attribute.transactional : 0;
  putInt64(target, field.baseOffset, 0);
  putInt32(target, field.length, target.length - bytesBeforeLength);
  putInt32(target, field.leaderEpoch, -1);
  target[field.magic] = magic;
  putInt16(target, field.attributes, options.attributes | transactional);
  putInt32(target, field.lastOffsetDelta, records.length - 1);
  putInt64(target, field.baseTimestamp, records[0].timestamp);
  putInt64(target, field.maxTimestamp, maxTimestamp(records));
  putInt64(target, field.producerId, producer.id);
  putInt16(target, field.producerEpoch, producer.epoch);
  putInt32(target, field.baseSequence, producer.baseSequence);
  putInt32(target, field.recordCount, records.length);
  stampCrc(target, 0);
}

function maxTimestamp(records: readonly NewRecord[]): number {
  let max = records[0].timestamp;
  for (const { timestamp } of records) {
    // A fraction would be cut from the delta in silence.
    assert(Number.isSafeInteger(timestamp), "Cannot build batch: a safe integer is wanted as time");
    if (timestamp > max) max = timestamp;
  }
  return max;
}

function recordsBytes(records: readonly NewRecord[]): number {
  assert(records.length > 0, "Cannot build batch: at least one record is wanted, got none");
  const baseTimestamp = records[0].timestamp;
  let bytes = 0;
  for (let delta = 0; delta < records.length; delta++) {
    const record = records[delta];
    const body = bodyBytes(record, delta, record.timestamp - baseTimestamp);
    bytes += sizeOfVarint(body) + body;
  }
  return bytes;
}

function bodyBytes(record: NewRecord, offsetDelta: number, timeDelta: number): number {
  let bytes = 1 + sizeOfVarlong(timeDelta) + sizeOfVarint(offsetDelta);
  bytes += sizeOfBytes(record.key) + sizeOfBytes(record.value);
  bytes += sizeOfVarint(record.headers.length);
  for (const [name, value] of record.headers) {
    const nameBytes = utf8Length(name);
    bytes += sizeOfVarint(nameBytes) + nameBytes + sizeOfBytes(value);
  }
  return bytes;
}

/** Returns the position behind the last record. */
function writeRecords(target: Uint8Array, start: number, records: readonly NewRecord[]): number {
  const baseTimestamp = records[0].timestamp;
  let at = start;
  for (let delta = 0; delta < records.length; delta++) {
    const record = records[delta];
    const timeDelta = record.timestamp - baseTimestamp;
    at = writeVarint(target, at, bodyBytes(record, delta, timeDelta));
    target[at] = 0;
    at = writeVarlong(target, at + 1, timeDelta);
    at = writeVarint(target, at, delta);
    at = writeBytes(target, at, record.key);
    at = writeBytes(target, at, record.value);
    at = writeHeaders(target, at, record.headers);
  }
  return at;
}

function writeHeaders(target: Uint8Array, start: number, headers: readonly RecordHeader[]): number {
  let at = writeVarint(target, start, headers.length);
  for (const [name, value] of headers) {
    at = writeVarint(target, at, utf8Length(name));
    at = encodeUtf8Into(name, target, at);
    at = writeBytes(target, at, value);
  }
  return at;
}

function sizeOfBytes(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : sizeOfVarint(bytes.length) + bytes.length;
}

function writeBytes(target: Uint8Array, start: number, bytes: Uint8Array | null): number {
  if (bytes === null) return writeVarint(target, start, -1);
  const at = writeVarint(target, start, bytes.length);
  target.set(bytes, at);
  return at + bytes.length;
}
