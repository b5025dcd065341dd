// One replica as the journal knows it: the durable state that callers see, its segments, and what is queued behind it.
//
//   logStart ........ lastIndex | queued.lastIndex
//   [sealed][sealed][full][active]  not yet durable
//
// Promise: state changes only when a commit has settled (or at trim, which is the caller's word); "nothing is inferred
// from order": an entry that is not last + 1 is a bug here, on write and on load. Left to others: the rows themselves.

import { assert } from "../assert.ts";
import { logIndex, offset, term } from "../quantities.ts";
import type { LogIndex, Offset, ReplicaNumber, Term } from "../quantities.ts";
import type { ReplicaImage, SnapshotImage } from "./image.ts";
import type { Damage, EpochStart, HardState, LogEntry, LogStart, ReplicaState } from "./journal.ts";
import { rowOverheadBytes, type JournalFile } from "./journal-files.ts";
import { RowTable, Segment, type IndexedRow } from "./segment.ts";
import { TailRing } from "./tail-cache.ts";

/** One durable chunk of a fold's snapshot. */
export interface SnapshotChunk {
  readonly lsn: number;
  file: JournalFile;
  readonly bytes: number;
}

export interface Snapshot {
  readonly index: number;
  readonly chunks: readonly SnapshotChunk[];
}

/** Where the log will stand when everything queued is durable. */
export interface QueuedEnd {
  lastIndex: number;
  lastTerm: number;
  nextOffset: number;
  term: number;
  vote: number;
}

export class ReplicaLog implements ReplicaState {
  readonly replica: ReplicaNumber;
  readonly groupId: string;
  readonly incarnation: number;
  hardState: HardState;
  logStart: LogStart;
  lastIndex: LogIndex;
  lastTerm: Term;
  nextOffset: Offset;
  lastTime: number;
  epochs: EpochStart[];
  configuration: Uint8Array | null;
  /** The newest durable snapshot of the replica's fold. */
  snapshot: Snapshot | null = null;
  /** Durable chunks of a snapshot that is not complete yet. */
  partial: { readonly index: number; readonly chunks: SnapshotChunk[] } | null = null;
  readonly damage: Damage[] = [];

  /** In index order, without holes unless damage says so. */
  readonly segments: Segment[] = [];
  readonly tail = new TailRing();
  queued: QueuedEnd;
  /** A replica fact is durable, or in an image. */
  declared: boolean;
  /** The commit index moved since the last state row. */
  stateDirty = false;
  /** Log start that is durable: what the janitor may rely on after a crash. */
  durableStart: LogStart;
  /** Counts cuts and resets: a read that spans one begins anew. */
  generation = 0;
  dropped = false;

  constructor(image: ReplicaImage, declared: boolean) {
    this.replica = image.replica as ReplicaNumber;
    this.groupId = image.groupId;
    this.incarnation = image.incarnation;
    this.hardState = image.hardState;
    this.logStart = image.logStart;
    this.lastIndex = logIndex(image.lastIndex);
    this.lastTerm = term(image.lastTerm);
    this.nextOffset = offset(image.nextOffset);
    this.lastTime = image.lastTime;
    this.epochs = [...image.epochs];
    this.configuration = image.configuration;
    this.durableStart = image.logStart;
    this.declared = declared;
    this.queued = this.durableEnd();
  }

  get snapshotIndex(): LogIndex {
    return logIndex(this.snapshot?.index ?? 0);
  }

  durableEnd(): QueuedEnd {
    const { lastIndex, lastTerm, nextOffset, hardState } = this;
    return { lastIndex, lastTerm, nextOffset, term: hardState.term, vote: hardState.vote };
  }

  image(): ReplicaImage {
    const { replica, groupId, incarnation, hardState, logStart, configuration, epochs } = this;
    const { lastIndex, lastTerm, nextOffset, lastTime } = this;
    return {
      replica,
      groupId,
      incarnation,
      hardState,
      logStart,
      configuration,
      epochs,
      lastIndex,
      lastTerm,
      nextOffset,
      lastTime,
      snapshot: imageOf(this.snapshot),
      partial: imageOf(this.partial),
    };
  }

  /** The entry became durable as row `lsn` of the file. */
  append(
    entry: Omit<LogEntry, "meta" | "batch">,
    place: { file: JournalFile; lsn: number; batchBytes: number },
  ): void {
    assert(
      entry.index === this.lastIndex + 1,
      () =>
        `Cannot append to ${this.groupId}: index must be ${this.lastIndex + 1}, got ${entry.index}`,
    );
    assert(
      entry.baseOffset === this.nextOffset,
      () =>
        `Cannot append to ${this.groupId}: base offset must be ${this.nextOffset}, got ${entry.baseOffset}`,
    );
    this.#index(entry.index, place.file, {
      lsn: place.lsn,
      batchBytes: place.batchBytes,
      kind: entry.kind,
      baseOffset: entry.baseOffset,
      offsetCount: entry.offsetCount,
      maxTimestamp: entry.maxTimestamp,
    });
    if (entry.term !== this.lastTerm || this.epochs.length === 0)
      this.epochs.push({ term: entry.term, index: entry.index, offset: entry.baseOffset });
    this.lastIndex = entry.index;
    this.lastTerm = entry.term;
    this.nextOffset = offset(entry.baseOffset + entry.offsetCount);
    this.lastTime = entry.time;
  }

  #index(index: LogIndex, file: JournalFile, row: IndexedRow): void {
    file.totalBytes += row.batchBytes + rowOverheadBytes;
    const last = this.segments.at(-1);
    if (last?.file === file && last.rows !== null && last.lastIndex + 1 === index) {
      last.append(index, row);
      return;
    }
    const at = { firstIndex: index, lastIndex: index - 1, bytes: 0, maxTimestamp: -1 };
    const { baseOffset } = row;
    const bounds = { ...at, firstOffset: baseOffset, nextOffset: baseOffset };
    const segment = new Segment(file, bounds, new RowTable(index));
    this.segments.push(segment);
    segment.append(index, row);
  }

  /** index and above are gone; `baseOffset` is the offset that index had. */
  cut(index: LogIndex, baseOffset: Offset): void {
    if (index > this.lastIndex) return;
    cutSegments(this.segments, index, baseOffset);
    while (this.epochs.length > 0 && this.epochs.at(-1)!.index >= index) this.epochs.pop();
    this.tail.cutFrom(index);
    this.lastIndex = logIndex(index - 1);
    this.lastTerm = this.termAt(this.lastIndex) ?? this.logStart.prevTerm;
    this.nextOffset = baseOffset;
    this.generation++;
  }

  /** The log begins anew. */
  reset(start: LogStart): void {
    for (const segment of this.segments.splice(0)) segment.end();
    this.tail.clear();
    this.epochs = [];
    this.logStart = start;
    this.durableStart = start;
    this.lastIndex = logIndex(start.index - 1);
    this.lastTerm = start.prevTerm;
    this.nextOffset = start.offset;
    this.generation++;
  }

  /** Moves the log start forward. */
  trim(start: LogStart): void {
    this.logStart = start;
    this.tail.trimBelow(start.index);
    trimSegments(this.segments, start);
    while (this.epochs.length > 1 && this.epochs[1].index <= start.index) this.epochs.shift();
  }

  /** Becomes what the image says (recovery): segments outside of [log start, last] are dead. */
  follow(image: ReplicaImage): void {
    this.hardState = image.hardState;
    this.logStart = image.logStart;
    this.lastIndex = logIndex(image.lastIndex);
    this.lastTerm = term(image.lastTerm);
    this.nextOffset = offset(image.nextOffset);
    this.lastTime = image.lastTime;
    this.epochs = [...image.epochs];
    this.configuration = image.configuration;
    this.durableStart = image.logStart;
    cutSegments(this.segments, this.lastIndex + 1, this.nextOffset);
    trimSegments(this.segments, this.logStart);
  }

  /** Chunks that must not be lost. */
  *chunks(): IterableIterator<SnapshotChunk> {
    yield* this.snapshot?.chunks ?? [];
    yield* this.partial?.chunks ?? [];
  }

  /** One more chunk is durable; the last one makes the snapshot the newest. Chunk 0 begins anew. */
  addChunk(
    chunk: SnapshotChunk,
    place: { readonly index: number; readonly chunk: number; readonly chunks: number },
  ): void {
    if (place.chunk === 0) this.abandonPartial();
    this.partial ??= { index: place.index, chunks: [] };
    const { partial } = this;
    assert(
      partial.index === place.index && partial.chunks.length === place.chunk,
      () =>
        `Snapshot of ${this.groupId} at ${partial.index} must go on with chunk ${partial.chunks.length}, ` +
        `got ${place.chunk} of ${place.index}`,
    );
    partial.chunks.push(chunk);
    chunk.file.liveBytes += chunk.bytes + rowOverheadBytes;
    if (partial.chunks.length < place.chunks) return;
    dropChunks(this.snapshot?.chunks ?? []);
    this.snapshot = partial;
    this.partial = null;
  }

  forgetSnapshot(): void {
    dropChunks(this.snapshot?.chunks ?? []);
    this.snapshot = null;
  }

  /** Chunks of a snapshot that will not be completed are dead. */
  abandonPartial(): void {
    dropChunks(this.partial?.chunks ?? []);
    this.partial = null;
  }

  /** The replica ended: nothing of it is live. */
  end(): void {
    for (const segment of this.segments.splice(0)) segment.end();
    this.forgetSnapshot();
    this.abandonPartial();
    this.tail.clear();
    this.dropped = true;
    this.generation++;
  }

  /** Term of an index in [logStart.index - 1, lastIndex]; null outside. */
  termAt(index: number): Term | null {
    if (index === this.logStart.index - 1) return this.logStart.prevTerm;
    if (index < this.logStart.index || index > this.lastIndex) return null;
    return this.epochs.findLast((epoch) => epoch.index <= index)?.term ?? null;
  }

  /** The segment that holds the index, or the first one after it. */
  segmentAt(index: number): Segment | null {
    return this.segments[firstWhere(this.segments, (s) => s.lastIndex >= index)] ?? null;
  }

  /** The segment that holds the offset, or the first one after it. */
  segmentWith(at: number): Segment | null {
    return this.segments[firstWhere(this.segments, (s) => s.nextOffset > at)] ?? null;
  }

  /** Batch bytes of live entries. Cost: one addition a segment. */
  liveBytes(): number {
    return this.segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }
}

const imageOf = (snapshot: Snapshot | null): SnapshotImage | null =>
  snapshot === null
    ? null
    : { index: snapshot.index, lsns: snapshot.chunks.map((chunk) => chunk.lsn) };

function dropChunks(chunks: readonly SnapshotChunk[]): void {
  for (const chunk of chunks) chunk.file.liveBytes -= chunk.bytes + rowOverheadBytes;
}

/** Lets index and above go. */
export function cutSegments(segments: Segment[], index: number, baseOffset: number): void {
  for (let last = segments.at(-1); last !== undefined; last = segments.at(-1)) {
    last.cutFrom(index, baseOffset);
    if (last.count > 0) return;
    last.end();
    segments.pop();
  }
}

/** Whether `a` cuts more than `b`; the offset counts too: a log may start inside an entry. */
export function startsLater(a: LogStart, b: LogStart): boolean {
  return a.index > b.index || (a.index === b.index && a.offset > b.offset);
}

function trimSegments(segments: Segment[], start: LogStart): void {
  for (let first = segments[0]; first !== undefined; first = segments[0]) {
    first.trimBelow(start.index, start.offset);
    if (first.count > 0) return;
    first.end();
    segments.shift();
  }
}

/** Binary search: the first item for which `holds` is true, given that it stays true from there on. */
function firstWhere<T>(items: readonly T[], holds: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(items[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}
