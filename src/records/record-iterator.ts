// Reads the records of a batch one by one: a cursor that is moved, not an object a record.
//
// Promise: never reads outside the batch, never allocates by what a length or count claims; null and empty are kept
// apart; every record of a whole batch is seen or a fault is thrown, so that nothing is shortened in silence. Views are
// borrowed from the batch (or from the decompressed copy that the cursor owns). Left to others: whether a client may
// send such a batch (batch-validator), the CRC (checkBatch).

import { decodeUtf8Lenient } from "../bytes/unicode.ts";
import { VarintReader } from "../bytes/varint.ts";
import { Fault, refuse, type Refusal } from "../errors.ts";
import type { RecordHeader } from "./batch-builder.ts";
import { batchHeaderBytes, inspectBatch, type BatchHeader } from "./batch-layout.ts";
import { decompress } from "./compression.ts";

/** length, attributes, time delta, offset delta, key length, value length, header count: a byte each. */
const recordBytesMin = 7;

export interface ReadOptions {
  /** Limit of the records section after decompression. */
  readonly decodedBytesMax: number;
  /** Records below this offset are passed over. */
  readonly fromOffset?: number;
}

/** A record taken out of the cursor. */
export interface ReadRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly RecordHeader[];
}

/** Opens the records of the batch at bytes[at...]: decompresses once. Refuses what inspectBatch and decompress refuse,
 *  and a count of records for which there is no room. The bytes are borrowed while the cursor is used. */
export function openRecords(
  bytes: Uint8Array,
  at: number,
  options: ReadOptions,
): RecordCursor | Refusal {
  const header = inspectBatch(bytes, at);
  return header.ok ? openInspected(bytes, header, options) : header;
}

/** openRecords for a batch whose header was inspected just now. */
export function openInspected(
  bytes: Uint8Array,
  header: BatchHeader,
  options: ReadOptions,
): RecordCursor | Refusal {
  if (header.codec === null) {
    const detail = `Cannot read records: codec 0 to 4 is wanted, got ${header.attributes & 7}`;
    return refuse("unsupported_compression_type", detail);
  }
  const stored = bytes.subarray(header.at + batchHeaderBytes, header.at + header.totalBytes);
  const plain = decompress(header.codec, stored, options.decodedBytesMax);
  if (!(plain instanceof Uint8Array)) return plain;
  if (header.recordCount * recordBytesMin > plain.length) {
    const detail = `Cannot read records: ${plain.length} bytes cannot hold ${header.recordCount} of them`;
    return refuse("invalid_record", detail);
  }
  return new RecordCursor(header, plain, options.fromOffset ?? 0);
}

/** Stands before the first record until next() is called. */
export class RecordCursor {
  readonly ok = true;
  readonly batch: BatchHeader;
  /** The record's absolute offset. */
  offset = -1;
  offsetDelta = -1;
  /** ms since the epoch; the batch's append time for all records of a LogAppendTime batch. */
  timestamp = -1;
  headerCount = 0;
  /** Length in bytes, -1 for null. */
  keyLength = -1;
  valueLength = -1;
  /** Why advance() stopped before the end, or null. */
  problem: string | null = null;

  readonly #reader: VarintReader;
  readonly #fromOffset: number;
  #left: number;
  #keyAt = 0;
  #valueAt = 0;
  #headersAt = 0;

  /** Use openRecords. `plain` is the records section, decompressed. */
  constructor(batch: BatchHeader, plain: Uint8Array, fromOffset: number) {
    this.batch = batch;
    this.#reader = new VarintReader(plain);
    this.#fromOffset = fromOffset;
    this.#left = batch.recordCount;
  }

  /** Moves to the next record; false behind the last one. Throws Fault `storage_damaged` when the records are not what
   *  the header says: for batches that were validated before they were stored. */
  next(): boolean {
    if (this.advance()) return true;
    if (this.problem === null) return false;
    const { baseOffset } = this.batch;
    throw new Fault(
      "storage_damaged",
      `Cannot read batch of offset ${baseOffset}: ${this.problem}`,
      {
        members: { offset: baseOffset },
      },
    );
  }

  /** next() for batches that nobody has validated: false also when `problem` is set. */
  advance(): boolean {
    while (this.#left > 0 && this.problem === null) {
      this.#left--;
      this.problem = this.#readRecord();
      if (this.problem === null && this.offset >= this.#fromOffset) return true;
    }
    if (this.problem === null && this.#reader.at !== this.#reader.end) {
      this.problem = `${this.#reader.end - this.#reader.at} bytes are left behind the last record`;
    }
    return false;
  }

  /** A view, or null; made at each call. */
  get key(): Uint8Array | null {
    return this.#view(this.#keyAt, this.keyLength);
  }

  /** A view, or null; made at each call. */
  get value(): Uint8Array | null {
    return this.#view(this.#valueAt, this.valueLength);
  }

  /** A control batch's records are markers: readers skip them. */
  get control(): boolean {
    return this.batch.control;
  }

  /** The headers in order; names that are no valid UTF-8 come with U+FFFD. Made at each call. */
  headers(): RecordHeader[] {
    const headers: RecordHeader[] = [];
    const { bytes } = this.#reader;
    const reader = new VarintReader(bytes, this.#headersAt, this.#reader.at);
    for (let i = 0; i < this.headerCount; i++) {
      const nameLength = reader.varint();
      const nameAt = reader.skip(nameLength);
      const valueLength = reader.varint();
      const valueAt = valueLength < 0 ? 0 : reader.skip(valueLength);
      const name = decodeUtf8Lenient(bytes.subarray(nameAt, nameAt + nameLength));
      headers.push([name, this.#view(valueAt, valueLength)]);
    }
    return headers;
  }

  /** The record the cursor stands on, as an object whose bytes are views. */
  record(): ReadRecord {
    const { offset, timestamp, key, value } = this;
    return { offset, timestamp, key, value, headers: this.headers() };
  }

  #view(at: number, length: number): Uint8Array | null {
    return length < 0 ? null : this.#reader.bytes.subarray(at, at + length);
  }

  /** What is wrong with the record, or null. Reads it whole: its parts must fill its length exactly. */
  #readRecord(): string | null {
    const reader = this.#reader;
    const length = reader.varint();
    const start = reader.at;
    if (reader.failed || length < 0 || length > reader.end - start) return this.#cutOff("length");
    // Attributes are unused: Kafka reads over them.
    reader.skip(1);
    this.#place(reader.varlong(), reader.varint());
    this.keyLength = reader.varint();
    this.#keyAt = this.#skipBytes(this.keyLength);
    this.valueLength = reader.varint();
    this.#valueAt = this.#skipBytes(this.valueLength);
    this.headerCount = reader.varint();
    this.#headersAt = reader.at;
    // Before the loop: a header takes at least two bytes, so a lying count ends here.
    if (this.headerCount < 0 || this.headerCount * 2 > start + length - reader.at) {
      return this.#cutOff("number of headers");
    }
    this.#skipHeaders();
    if (reader.failed || reader.at !== start + length) return this.#cutOff("structure");
    return this.#placeProblem();
  }

  #place(timeDelta: number, offsetDelta: number): void {
    const { batch } = this;
    this.offsetDelta = offsetDelta;
    this.offset = batch.baseOffset + offsetDelta;
    this.timestamp =
      batch.timestampType === "LogAppendTime"
        ? batch.maxTimestamp
        : batch.baseTimestamp + timeDelta;
  }

  #placeProblem(): string | null {
    const { offsetDelta, batch } = this;
    if (offsetDelta < 0 || offsetDelta > batch.lastOffsetDelta) {
      return `offset delta 0 to ${batch.lastOffsetDelta} is wanted, got ${offsetDelta}`;
    }
    if (Number.isSafeInteger(this.timestamp)) return null;
    return `record ${this.#index()} has a timestamp beyond 2^53`;
  }

  #skipHeaders(): void {
    for (let i = 0; i < this.headerCount && !this.#reader.failed; i++) {
      // A header's name is never null: skip() refuses -1.
      this.#reader.skip(this.#reader.varint());
      this.#skipBytes(this.#reader.varint());
    }
  }

  /** Nullable bytes: -1 is null; anything below fails (Kafka reads it as null, which its own clients never send). */
  #skipBytes(length: number): number {
    return length === -1 ? 0 : this.#reader.skip(length);
  }

  #cutOff(what: string): string {
    return `record ${this.#index()} has a wrong ${what}`;
  }

  #index(): number {
    return this.batch.recordCount - this.#left - 1;
  }
}
