// The tail cache: entries of recent flushes stay in their slabs, so that live consumers and followers never wait.
//
// Each replica has a ring of its newest durable entries, without holes up to its last index; the cache evicts whole
// flushes, oldest first, while slabs and entry objects exceed the budget.
//
// Promise: a read from the cache is synchronous and copies nothing; the result's slices are held until release().
// Left to others: cold reads, which do not fill the cache (one scan of history must not push out the tail).

import type { SlabPool } from "../bytes/slab.ts";
import { entryKinds, type LogEntry, type ReadRequest, type ReadResult } from "./journal.ts";
import type { ReplicaLog } from "./replica-log.ts";

/** Heap that one cached entry costs beside its bytes: object, slice and its share of a slab. */
const entryOverheadBytes = 400;
/** Dead slots at the front of a ring before it is compacted. */
const deadSlotsMax = 64;

/** The newest entries of one replica, contiguous. Owns one hold of each batch. */
export class TailRing {
  #entries: LogEntry[] = [];
  /** Position of the oldest entry in #entries; what lies before is evicted. */
  #head = 0;

  get count(): number {
    return this.#entries.length - this.#head;
  }

  /** Index of the oldest cached entry; Infinity when there is none. */
  get firstIndex(): number {
    return this.#entries[this.#head]?.index ?? Infinity;
  }

  get firstOffset(): number {
    return this.#entries[this.#head]?.baseOffset ?? Infinity;
  }

  /** Takes over the caller's hold of the batch. */
  push(entry: LogEntry): void {
    if (this.count > 0 && this.#entries.at(-1)!.index + 1 !== entry.index) this.clear();
    this.#entries.push(entry);
  }

  at(index: number): LogEntry | undefined {
    return this.#entries[this.#head + index - this.firstIndex];
  }

  /** First entry whose records end after the offset; the ring's end when none does. */
  indexOfOffset(offset: number): number {
    let low = this.#head;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.#entries[middle];
      if (entry.baseOffset + entry.offsetCount > offset) high = middle;
      else low = middle + 1;
    }
    return this.firstIndex + low - this.#head;
  }

  /** Releases everything below index; returns how many entries went. */
  trimBelow(index: number): number {
    const before = this.#head;
    while (this.#head < this.#entries.length && this.#entries[this.#head].index < index)
      this.#entries[this.#head++].batch?.release();
    const gone = this.#head - before;
    if (this.#head === this.#entries.length) this.#compact();
    else if (this.#head > deadSlotsMax && this.#head * 2 > this.#entries.length) this.#compact();
    return gone;
  }

  /** Releases index and above. */
  cutFrom(index: number): void {
    while (this.count > 0 && this.#entries.at(-1)!.index >= index)
      this.#entries.pop()!.batch?.release();
    if (this.count === 0) this.#compact();
  }

  clear(): void {
    this.trimBelow(Infinity);
  }

  #compact(): void {
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }
}

/** What one flush added: for each replica its last index. */
interface Generation {
  readonly logs: ReplicaLog[];
  readonly lastIndexes: number[];
  readonly entries: number;
}

export class TailCache {
  readonly #slabs: SlabPool;
  readonly #bytesMax: number;
  /** Oldest first. */
  #generations: Generation[] = [];
  #head = 0;
  /** Entries that generations account for; those cut meanwhile count until their generation goes. */
  #entries = 0;
  hits = 0;
  misses = 0;

  constructor(slabs: SlabPool, bytesMax: number) {
    this.#slabs = slabs;
    this.#bytesMax = bytesMax;
  }

  get entries(): number {
    return this.#entries;
  }

  /** A flush became durable: its entries were pushed to the rings of these logs. Evicts as needed. */
  added(logs: ReplicaLog[], entries: number): void {
    if (logs.length === 0) return;
    const lastIndexes = logs.map((log) => log.lastIndex);
    this.#generations.push({ logs, lastIndexes, entries });
    this.#entries += entries;
    this.evict();
  }

  /** Evicts oldest first until slabs and entry objects are within the budget, or nothing is left. */
  evict(): void {
    while (this.#overBudget() && this.#head < this.#generations.length) {
      const oldest = this.#generations[this.#head++];
      oldest.logs.forEach((log, i) => log.tail.trimBelow(oldest.lastIndexes[i] + 1));
      this.#entries -= oldest.entries;
    }
    if (this.#head > deadSlotsMax && this.#head * 2 > this.#generations.length) {
      this.#generations = this.#generations.slice(this.#head);
      this.#head = 0;
    }
  }

  #overBudget(): boolean {
    return this.#slabs.bytesInUse + this.#entries * entryOverheadBytes > this.#bytesMax;
  }

  /** The wanted entries when the first of them is cached; null: ask the disk. */
  read(log: ReplicaLog, request: ReadRequest): ReadResult | null {
    const first = firstCached(log, request);
    if (first === null) {
      this.misses++;
      return null;
    }
    this.hits++;
    const end = Math.min(request.endIndex, log.lastIndex + 1);
    const entries: LogEntry[] = [];
    let bytes = 0;
    for (let index = first; index < end; index++) {
      const entry = log.tail.at(index)!;
      if (request.dataOnly && !takesOffsets(entry)) continue;
      bytes += entry.batch?.bytes.length ?? 0;
      if (entries.length > 0 && bytes > request.maxBytes) break;
      entry.batch?.retain();
      entries.push(entry);
    }
    return heldResult(entries);
  }

  clear(logs: Iterable<ReplicaLog>): void {
    for (const log of logs) log.tail.clear();
    this.#generations = [];
    this.#head = 0;
    this.#entries = 0;
  }
}

/** A result over entries whose batches are held for the caller. */
export function heldResult(entries: readonly LogEntry[]): ReadResult {
  return {
    entries,
    release() {
      for (const entry of entries) entry.batch?.release();
    },
  };
}

const takesOffsets = (entry: LogEntry): boolean =>
  entry.kind === entryKinds.data || entry.kind === entryKinds.gap;

function firstCached(log: ReplicaLog, { from }: ReadRequest): number | null {
  const { tail } = log;
  if (tail.count === 0) return null;
  if ("index" in from) return from.index >= tail.firstIndex ? from.index : null;
  return from.offset >= tail.firstOffset ? tail.indexOfOffset(from.offset) : null;
}
