// The read side of one partition: whole batches below the high watermark, offsets by time, positions for retention.
//
//   log start ........................ high watermark ........ log end
//      | batches as they lie, from the journal  |  empty        |  beyond: offset_out_of_range
//
// Promise: nothing uncommitted is seen; from the cache a fetch is synchronous and copies nothing; damage is a refusal
// that names the row, and what is whole before it is served. Left to others: waiting (broker), the journal's cache.

import { Fault, refusalOf, refuse, type Refusal } from "../errors.ts";
import type { Replica } from "../consensus/replica.ts";
import type { Journal, LogEntry, LogStart, ReadFrom, ReadResult } from "../journal/journal.ts";
import { limits } from "../limits.ts";
import { logIndex, offset, term } from "../quantities.ts";
import { batchBytesAt, maxTimestampAt, nextOffsetAt } from "../records/batch-layout.ts";
import { openRecords } from "../records/record-iterator.ts";

const scanBytesMax = 1024 * 1024;

export interface FetchedBatches {
  readonly ok: true;
  /** Whole batches, views; the first may begin before the wanted offset. Valid until release(). */
  readonly batches: readonly Uint8Array[];
  /** The caller is done with the bytes; called exactly once. */
  release(): void;
}

export interface TimestampOffset {
  readonly offset: number;
  readonly timestamp: number;
}

export interface ReaderParts {
  readonly replica: Replica;
  readonly journal: Journal;
  /** Log end, in-flight appends included. */
  readonly logEnd: () => number;
}

export class Reader {
  readonly #parts: ReaderParts;

  constructor(parts: ReaderParts) {
    this.#parts = parts;
  }

  /** Batches from the one that holds `offset` on; at least one when there is one, more within maxBytes. */
  fetch(from: {
    readonly offset: number;
    readonly maxBytes: number;
  }): FetchedBatches | Refusal | Promise<FetchedBatches | Refusal> {
    const { replica } = this.#parts;
    const refusal = this.#refuseOffset(from.offset);
    if (refusal !== null) return refusal;
    if (from.offset >= replica.highWatermark) return nothing;
    try {
      const found = this.#read({ offset: offset(from.offset) }, from.maxBytes);
      return found instanceof Promise
        ? found.then((read) => this.#batchesOf(read, from), refusalOf)
        : this.#batchesOf(found, from);
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  /** First record at or behind the log start, in offset order, whose timestamp is at least `timestamp`. */
  async offsetForTimestamp(timestamp: number): Promise<TimestampOffset | null | Refusal> {
    const { replica, journal } = this.#parts;
    try {
      const endIndex = logIndex(replica.commitIndex + 1);
      const found = await journal.findTimestamp(replica.number, timestamp, endIndex);
      return found === null ? null : await this.#scan(found.index, timestamp);
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  /** The log start that makes `before` (at most the high watermark) the first readable offset. */
  async startAt(before: number): Promise<LogStart> {
    const { replica, journal } = this.#parts;
    const at = { offset: offset(before) };
    if (before >= replica.highWatermark) {
      const index = logIndex(replica.commitIndex + 1);
      return { ...at, index, prevTerm: replica.confirmedTerm };
    }
    const read = await this.#read(at, 1);
    const index = read.entries[0].index;
    read.release();
    const prevTerm = journal.term(replica.number, logIndex(index - 1)) ?? term(0);
    return { ...at, index, prevTerm };
  }

  #read(from: ReadFrom, maxBytes: number): ReadResult | Promise<ReadResult> {
    const { replica, journal } = this.#parts;
    const endIndex = logIndex(replica.commitIndex + 1);
    return journal.read({ replica: replica.number, from, endIndex, maxBytes, dataOnly: true });
  }

  #refuseOffset(wanted: number): Refusal | null {
    const { replica, logEnd } = this.#parts;
    const logStartOffset = replica.logStart.offset;
    if (wanted >= logStartOffset && wanted <= logEnd()) return null;
    const { highWatermark } = replica;
    const detail = `Cannot read offset ${wanted}: the log holds ${logStartOffset} to ${highWatermark}`;
    return refuse("offset_out_of_range", detail, { members: { logStartOffset, highWatermark } });
  }

  /** Entries were read whole; the page is cut at batches. */
  #batchesOf(
    read: ReadResult,
    from: { readonly offset: number; readonly maxBytes: number },
  ): FetchedBatches {
    const batches: Uint8Array[] = [];
    const release = (): void => read.release();
    let left = from.maxBytes;
    for (const entry of read.entries) {
      const bytes = entry.batch?.bytes ?? noBytes;
      for (let at = 0, end = 0; at < bytes.length; at = end) {
        end = at + batchBytesAt(bytes, at);
        // Passed over without a view of it: an entry written under load holds dozens of batches.
        if (nextOffsetAt(bytes, at) <= from.offset) continue;
        left -= end - at;
        if (left < 0 && batches.length > 0) return { ok: true, batches, release };
        batches.push(bytes.subarray(at, end));
      }
    }
    return { ok: true, batches, release };
  }

  async #scan(index: number, timestamp: number): Promise<TimestampOffset | null> {
    const { replica } = this.#parts;
    for (let next = index; next <= replica.commitIndex;) {
      const read = await this.#read({ index: logIndex(next) }, scanBytesMax);
      try {
        const found = this.#scanEntries(read.entries, timestamp);
        if (found !== null || read.entries.length === 0) return found;
        next = read.entries.at(-1)!.index + 1;
      } finally {
        read.release();
      }
    }
    return null;
  }

  #scanEntries(entries: readonly LogEntry[], timestamp: number): TimestampOffset | null {
    for (const entry of entries) {
      if (entry.maxTimestamp < timestamp) continue;
      for (const batch of batchesIn(entry)) {
        const found =
          maxTimestampAt(batch, 0) < timestamp ? null : this.#scanBatch(batch, timestamp);
        if (found !== null) return found;
      }
    }
    return null;
  }

  #scanBatch(batch: Uint8Array, timestamp: number): TimestampOffset | null {
    const fromOffset = this.#parts.replica.logStart.offset;
    const { decodedBytesMax } = limits;
    const cursor = openRecords(batch, 0, { decodedBytesMax, fromOffset });
    if (!cursor.ok) throw new Fault("storage_damaged", cursor.detail);
    while (cursor.next()) {
      if (cursor.timestamp >= timestamp) {
        return { offset: cursor.offset, timestamp: cursor.timestamp };
      }
    }
    return null;
  }
}

const noBytes = new Uint8Array(0);
const nothing: FetchedBatches = { ok: true, batches: [], release: () => {} };

/** The batches of an entry, back to back, as views. */
function* batchesIn(entry: LogEntry): Generator<Uint8Array, void, undefined> {
  const bytes = entry.batch?.bytes;
  if (bytes === undefined) return;
  for (let at = 0; at < bytes.length;) {
    const end = at + batchBytesAt(bytes, at);
    yield bytes.subarray(at, end);
    at = end;
  }
}
