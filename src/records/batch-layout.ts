// Kafka's RecordBatch v2: where each field lies, how a header is read, and the stamps a broker sets in place.
//
// Promise: a header is read without decompressing or walking the records, and nothing is believed before it was
// compared with the bytes that are there. Left to others: the records (record-iterator), what a client may send
// (batch-validator), writing a batch (batch-builder).
//
//    0        8      12      16    17    21     23      27       35       43       51      53      57      61
//   +--------+------+-------+-----+-----+------+-------+--------+--------+--------+-------+-------+-------+---------
//   | base   | len  | leader|magic| crc | attr | last  | base   | max    | produ- | prod. | base  | count | records
//   | offset | i32  | epoch | = 2 | u32 | i16  | delta | time   | time   | cer id | epoch | seq.  | i32   | ...
//   | i64    |      | i32   | i8  |     |      | i32   | i64    | i64    | i64    | i16   | i32   |       |
//   +--------+------+-------+-----+-----+------+-------+--------+--------+--------+-------+-------+-------+---------
//             \______ counts the bytes after itself ...                                                          ... end
//                                        \______ CRC-32C covers the attributes ...                               ... end
//
//   attributes   | 15..7 unused | 6 delete horizon | 5 control | 4 transactional | 3 timestamp type | 2..0 codec |
//
// Base offset and leader epoch lie outside the CRC: the leader stamps them without a new sum.
// Source: Kafka 4.3, DefaultRecordBatch; KIP-98, KIP-32, KIP-534.

import { assert } from "../assert.ts";
import {
  int16At,
  int32At,
  int64At,
  putInt16,
  putInt32,
  putInt64,
  uint32At,
} from "../bytes/big-endian.ts";
import { crc32c } from "../bytes/crc32c.ts";
import { refuse, type Refusal } from "../errors.ts";

/** Byte positions of the header's fields, from the batch's first byte. */
export const field = {
  baseOffset: 0,
  length: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
  records: 61,
} as const;

/** Bytes before the records: the smallest batch. */
export const batchHeaderBytes = field.records;
/** Bytes that the length field does not count: base offset and itself. */
export const bytesBeforeLength = field.leaderEpoch;
export const magic = 2;

export const attribute = {
  codec: 0x07,
  logAppendTime: 0x08,
  transactional: 0x10,
  control: 0x20,
  deleteHorizon: 0x40,
} as const;

/** Kafka's numbers of the codecs; 5 to 7 are not given. */
export const codecNumbers = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;
export type Codec = keyof typeof codecNumbers;
const codecByNumber: readonly Codec[] = ["none", "gzip", "snappy", "lz4", "zstd"];

export type TimestampType = "CreateTime" | "LogAppendTime";

/** What a batch says of itself. Plain numbers: a 64-bit field outside +-(2^53 - 1) is refused before. */
export interface BatchHeader {
  readonly ok: true;
  /** Where the batch begins in the bytes that were inspected. */
  readonly at: number;
  /** Whole length, header included, as stored (compressed). */
  readonly totalBytes: number;
  readonly baseOffset: number;
  readonly leaderEpoch: number;
  readonly magic: number;
  /** As stored; checkBatch compares it. */
  readonly crc: number;
  /** Unsigned, 16 bits. */
  readonly attributes: number;
  /** null: a number that Kafka has not given. */
  readonly codec: Codec | null;
  readonly timestampType: TimestampType;
  readonly transactional: boolean;
  readonly control: boolean;
  readonly lastOffsetDelta: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  /** -1: no producer. */
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
}

/** Reads the header of the batch at bytes[at...]. Refuses `corrupt_message`: cut off, a length that is too small or
 *  passes the end, an unknown magic; `invalid_record`: the formats before v2, negative counts, offsets or a producer id
 *  beyond 2^53; `invalid_timestamp`: one beyond 2^53. Neither the CRC nor the records are looked at. Cost: one object. */
export function inspectBatch(bytes: Uint8Array, at = 0): BatchHeader | Refusal {
  return refuseFrame(bytes, at) ?? readHeader(bytes, at);
}

/** inspectBatch with the CRC: `corrupt_message` when it differs, before any field that it covers is judged. What a
 *  follower and a reader of the disk ask. */
export function checkBatch(bytes: Uint8Array, at = 0): BatchHeader | Refusal {
  const refusal = refuseFrame(bytes, at);
  if (refusal !== null) return refusal;
  const stored = uint32At(bytes, at + field.crc);
  const sum = batchCrc(bytes, at);
  return sum === stored
    ? readHeader(bytes, at)
    : corrupt(`CRC ${hex(sum)} is wanted, it says ${hex(stored)}`);
}

/** The batches that lie one behind the other in bytes, inspected one by one. A refusal is the last item: what follows
 *  a bad length has no known beginning. */
export function* eachBatch(bytes: Uint8Array): Generator<BatchHeader | Refusal, void, undefined> {
  for (let at = 0; at < bytes.length;) {
    const header = inspectBatch(bytes, at);
    yield header;
    if (!header.ok) return;
    at += header.totalBytes;
  }
}

/** The leader's place in the log, set in place. Outside the CRC. */
export function stampBatch(
  bytes: Uint8Array,
  at: number,
  place: { readonly baseOffset: number; readonly leaderEpoch: number },
): void {
  const { baseOffset, leaderEpoch } = place;
  assert(
    baseOffset >= 0 && leaderEpoch >= -1 && leaderEpoch <= 0x7fff_ffff,
    () => `Cannot stamp batch: base offset ${baseOffset}, leader epoch ${leaderEpoch}`,
  );
  putInt64(bytes, at + field.baseOffset, baseOffset);
  putInt32(bytes, at + field.leaderEpoch, leaderEpoch);
}

/** Turns the batch into LogAppendTime: every record's timestamp is `time`. A new CRC over the whole batch. */
export function stampLogAppendTime(bytes: Uint8Array, at: number, time: number): void {
  const attributes = int16At(bytes, at + field.attributes) | attribute.logAppendTime;
  putInt16(bytes, at + field.attributes, attributes);
  putInt64(bytes, at + field.maxTimestamp, time);
  stampCrc(bytes, at);
}

/** Sets the largest timestamp of a CreateTime batch to what the records say; a new CRC. Kafka corrects a client that
 *  sent another number, instead of refusing it: look-ups by time rely on this field. */
export function stampMaxTimestamp(bytes: Uint8Array, at: number, time: number): void {
  putInt64(bytes, at + field.maxTimestamp, time);
  stampCrc(bytes, at);
}

/** Sums the batch anew, after a change behind the CRC. */
export function stampCrc(bytes: Uint8Array, at: number): void {
  putInt32(bytes, at + field.crc, batchCrc(bytes, at));
}

// Single fields, for those who have validated the batch before and want one number without an object.

/** Whole length of the batch, header included. */
export function batchBytesAt(bytes: Uint8Array, at: number): number {
  return int32At(bytes, at + field.length) + bytesBeforeLength;
}

export function baseOffsetAt(bytes: Uint8Array, at: number): number {
  return int64At(bytes, at + field.baseOffset);
}

/** Offset behind the batch's last one: base offset + last offset delta + 1 (compaction keeps it). */
export function nextOffsetAt(bytes: Uint8Array, at: number): number {
  return baseOffsetAt(bytes, at) + int32At(bytes, at + field.lastOffsetDelta) + 1;
}

export function leaderEpochAt(bytes: Uint8Array, at: number): number {
  return int32At(bytes, at + field.leaderEpoch);
}

export function recordCountAt(bytes: Uint8Array, at: number): number {
  return int32At(bytes, at + field.recordCount);
}

export function maxTimestampAt(bytes: Uint8Array, at: number): number {
  return int64At(bytes, at + field.maxTimestamp);
}

/** What keeps the bytes at `at` from being one whole batch, or null. */
function refuseFrame(bytes: Uint8Array, at: number): Refusal | null {
  const left = bytes.length - at;
  if (at < 0 || left < batchHeaderBytes) {
    return corrupt(`a header of ${batchHeaderBytes} bytes is wanted at ${at}, found ${left}`);
  }
  const version = bytes[at + field.magic];
  if (version < magic) {
    return invalid(`magic ${magic} is wanted, got ${version}`);
  }
  if (version > magic) return corrupt(`magic ${magic} is wanted, got ${version}`);
  const total = batchBytesAt(bytes, at);
  if (total >= batchHeaderBytes && total <= left) return null;
  return corrupt(`a length of ${batchHeaderBytes} to ${left} bytes is wanted, it says ${total}`);
}

function readHeader(bytes: Uint8Array, at: number): BatchHeader | Refusal {
  const attributes = int16At(bytes, at + field.attributes) & 0xffff;
  const header: BatchHeader = {
    ok: true,
    at,
    totalBytes: batchBytesAt(bytes, at),
    baseOffset: baseOffsetAt(bytes, at),
    leaderEpoch: leaderEpochAt(bytes, at),
    magic,
    crc: uint32At(bytes, at + field.crc),
    attributes,
    codec: codecByNumber[attributes & attribute.codec] ?? null,
    timestampType: (attributes & attribute.logAppendTime) === 0 ? "CreateTime" : "LogAppendTime",
    transactional: (attributes & attribute.transactional) !== 0,
    control: (attributes & attribute.control) !== 0,
    lastOffsetDelta: int32At(bytes, at + field.lastOffsetDelta),
    baseTimestamp: int64At(bytes, at + field.baseTimestamp),
    maxTimestamp: maxTimestampAt(bytes, at),
    producerId: int64At(bytes, at + field.producerId),
    producerEpoch: int16At(bytes, at + field.producerEpoch),
    baseSequence: int32At(bytes, at + field.baseSequence),
    recordCount: recordCountAt(bytes, at),
  };
  return refuseNumbers(header) ?? header;
}

function refuseNumbers(header: BatchHeader): Refusal | null {
  const { baseOffset, lastOffsetDelta, recordCount, producerId } = header;
  const end = baseOffset + lastOffsetDelta + 1;
  if (!Number.isSafeInteger(end) || lastOffsetDelta < 0 || baseOffset < 0) {
    return invalid(`offsets ${baseOffset} + ${lastOffsetDelta} are out of range`);
  }
  if (recordCount < 0) return invalid(`a count of records is wanted, it says ${recordCount}`);
  if (Number.isNaN(producerId)) return invalid("the producer id is beyond 2^53");
  if (Number.isNaN(header.baseTimestamp) || Number.isNaN(header.maxTimestamp)) {
    return refuse("invalid_timestamp", "Cannot read batch: a timestamp is beyond 2^53");
  }
  return null;
}

function batchCrc(bytes: Uint8Array, at: number): number {
  return crc32c(bytes.subarray(at + field.attributes, at + batchBytesAt(bytes, at)));
}

function invalid(detail: string): Refusal {
  return refuse("invalid_record", `Cannot read batch: ${detail}`);
}

/** Not the bytes that were sent: Kafka's clients send them again, which they do not for an invalid record. */
function corrupt(detail: string): Refusal {
  return refuse("corrupt_message", `Cannot read batch: ${detail}`);
}

function hex(sum: number): string {
  return `0x${sum.toString(16).padStart(8, "0")}`;
}
