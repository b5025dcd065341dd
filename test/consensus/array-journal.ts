// A Journal in arrays for tests of the host: durable when the test says so, failing when the test says so.
//
// Promise: the contract of journal.ts as far as the host can see it, on a world's turns. What survives crash() is what
// was flushed. Left to others: files, damage, the janitor (the real journal's own tests).

import { assert } from "../../src/assert.ts";
import { Fault } from "../../src/errors.ts";
import {
  entryKinds,
  type FoundTimestamp,
  type HardState,
  type Journal,
  type JournalHealth,
  type LogEntry,
  type LogStart,
  type ReadRequest,
  type ReadResult,
  type ReplicaState,
  type ReplicaWrite,
  type WriteCompletion,
} from "../../src/journal/journal.ts";
import {
  logIndex,
  offset,
  replicaNumber,
  term,
  type LogIndex,
  type Offset,
  type ReplicaNumber,
  type Term,
} from "../../src/quantities.ts";
import { privateSlice } from "../../src/bytes/slab-pool.ts";
import type { World } from "../../src/world.ts";

interface Log {
  readonly replica: ReplicaNumber;
  readonly groupId: string;
  hardState: HardState;
  logStart: LogStart;
  entries: LogEntry[];
  configuration: Uint8Array | null;
  snapshot: { readonly index: LogIndex; readonly bytes: Uint8Array } | null;
}

interface Queued {
  readonly write: ReplicaWrite;
  readonly resolve: (completion: WriteCompletion) => void;
  readonly reject: (reason: unknown) => void;
}

export class ArrayJournal implements Journal {
  /** ms that a flush takes. */
  flushMs = 1;
  /** What the next flush fails with. */
  failNext: Fault | null = null;
  healthState: JournalHealth["state"] = "ok";
  /** Reads come from the "disk": a promise, as for a cold log. */
  coldReads = false;
  readonly counters = { flushes: 0, reads: 0, snapshotReads: 0, writes: 0 };
  /** Slices held by readers; 0 when everyone released. */
  held = 0;
  /** Indexes whose reads are damaged. */
  readonly damaged = new Set<number>();
  readonly #world: World;
  #logs = new Map<ReplicaNumber, Log>();
  #queue: Queued[] = [];
  #flushing = false;
  #crashed = false;

  constructor(world: World) {
    this.#world = world;
  }

  /** What a restart finds: everything that was flushed. The old journal answers nobody any more. */
  crash(): ArrayJournal {
    this.#crashed = true;
    const next = new ArrayJournal(this.#world);
    for (const [number, log] of this.#logs)
      next.#logs.set(number, { ...log, entries: [...log.entries] });
    for (const index of this.damaged) next.damaged.add(index);
    return next;
  }

  /** The log as a model may check it. */
  entries(replica: ReplicaNumber): readonly LogEntry[] {
    return this.#log(replica).entries;
  }

  /** As if the newest commit indexes had not reached the disk. */
  forgetCommit(replica: ReplicaNumber): void {
    const log = this.#log(replica);
    log.hardState = { ...log.hardState, commit: logIndex(1) };
  }

  /** Loses entries that were durable. */
  dropTail(replica: ReplicaNumber, from: number): void {
    const log = this.#log(replica);
    log.entries = log.entries.filter((entry) => entry.index < from);
  }

  *replicas(): IterableIterator<ReplicaState> {
    for (const number of this.#logs.keys()) yield this.state(number);
  }

  state(replica: ReplicaNumber): ReplicaState {
    const log = this.#log(replica);
    const last = log.entries.at(-1);
    const { logStart } = log;
    return {
      replica,
      groupId: log.groupId,
      incarnation: 1,
      hardState: log.hardState,
      logStart,
      lastIndex: last?.index ?? logIndex(logStart.index - 1),
      lastTerm: last?.term ?? logStart.prevTerm,
      nextOffset: last === undefined ? logStart.offset : offset(last.baseOffset + last.offsetCount),
      lastTime: last?.time ?? 0,
      epochs: [],
      configuration: log.configuration,
      snapshotIndex: log.snapshot?.index ?? logIndex(0),
      damage: [],
    };
  }

  createReplica(identity: { groupId: string; incarnation: number }): ReplicaNumber {
    const replica = replicaNumber(this.#logs.size);
    this.#logs.set(replica, {
      replica,
      groupId: identity.groupId,
      hardState: { term: term(0), vote: 0, commit: logIndex(0) },
      logStart: { index: logIndex(1), prevTerm: term(0), offset: offset(0) },
      entries: [],
      configuration: null,
      snapshot: null,
    });
    return replica;
  }

  enqueue(write: ReplicaWrite): Promise<WriteCompletion> {
    if (this.healthState === "failed") throw new Fault("storage_failed", "failed");
    const commitOnly = write.entries === undefined && write.snapshot === undefined;
    if (commitOnly) {
      this.#log(write.replica).hardState = write.hardState!;
      return Promise.resolve(this.#completion(write.replica));
    }
    this.counters.writes += 1;
    for (const entry of write.entries ?? []) entry.batch?.retain();
    return new Promise((resolve, reject) => {
      this.#queue.push({ write, resolve, reject });
      this.#world.defer(() => this.#flush());
    });
  }

  async drop(replica: ReplicaNumber): Promise<void> {
    this.#logs.delete(replica);
  }

  async trim(replica: ReplicaNumber, start: LogStart): Promise<void> {
    const log = this.#log(replica);
    assert(
      (log.snapshot?.index ?? 0) >= start.index - 1,
      `Cannot trim to ${start.index}: no snapshot`,
    );
    log.logStart = start;
    log.entries = log.entries.filter((entry) => entry.index >= start.index);
  }

  read(request: ReadRequest): ReadResult | Promise<ReadResult> {
    this.counters.reads += 1;
    if (!this.coldReads) return this.#read(request);
    return new Promise((resolve, reject) => {
      this.#world.setTimer(1, () => {
        try {
          resolve(this.#read(request));
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  readCached(request: ReadRequest): ReadResult | null {
    return this.coldReads ? null : this.#read(request);
  }

  term(replica: ReplicaNumber, index: LogIndex): Term | null {
    const { entries, logStart } = this.#log(replica);
    if (index === logStart.index - 1) return logStart.prevTerm;
    return entries.find((entry) => entry.index === index)?.term ?? null;
  }

  async findTimestamp(
    replica: ReplicaNumber,
    timestamp: number,
    endIndex: LogIndex,
  ): Promise<FoundTimestamp | null> {
    const found = this.#log(replica).entries.find(
      (e) => e.kind === entryKinds.data && e.index < endIndex && e.maxTimestamp >= timestamp,
    );
    return found === undefined ? null : { index: found.index, baseOffset: found.baseOffset };
  }

  async retentionPoint(
    replica: ReplicaNumber,
    keep: { readonly timestampMin: number | null; readonly bytesMax: number | null },
    endIndex: LogIndex,
  ): Promise<LogStart | null> {
    const { entries, logStart } = this.#log(replica);
    let start = logStart;
    let bytes = this.liveBytes(replica);
    for (const entry of entries) {
      const old = keep.timestampMin !== null && entry.maxTimestamp < keep.timestampMin;
      const over =
        keep.bytesMax !== null && bytes - (entry.batch?.bytes.length ?? 0) >= keep.bytesMax;
      if (entry.index >= endIndex || !(old || over)) break;
      bytes -= entry.batch?.bytes.length ?? 0;
      start = {
        index: logIndex(entry.index + 1),
        prevTerm: entry.term,
        offset: offset(entry.baseOffset + entry.offsetCount),
      };
    }
    return start.offset > logStart.offset ? start : null;
  }

  async readSnapshot(
    replica: ReplicaNumber,
  ): Promise<{ readonly index: LogIndex; readonly bytes: Uint8Array } | null> {
    this.counters.snapshotReads += 1;
    return this.#log(replica).snapshot;
  }

  liveBytes(replica: ReplicaNumber): number {
    return this.#log(replica).entries.reduce((sum, e) => sum + (e.batch?.bytes.length ?? 0), 0);
  }

  health(): JournalHealth {
    return { state: this.healthState, detail: this.healthState, queuedBytes: 0, oldestFlushMs: 0 };
  }

  metrics(): Readonly<Record<string, number>> {
    return this.counters;
  }

  async close(): Promise<void> {}

  #flush(): void {
    if (this.#flushing || this.#queue.length === 0 || this.#crashed) return;
    this.#flushing = true;
    const batch = this.#queue;
    this.#queue = [];
    this.#world.setTimer(this.flushMs, () => {
      this.#flushing = false;
      if (this.#crashed) return;
      this.counters.flushes += 1;
      const fault = this.failNext;
      this.failNext = null;
      if (fault !== null) this.#failAll(batch.concat(this.#queue.splice(0)), fault);
      else for (const queued of batch) this.#commit(queued);
      this.#flush();
    });
  }

  #failAll(writes: readonly Queued[], fault: Fault): void {
    for (const { write, reject } of writes) {
      for (const entry of write.entries ?? []) entry.batch?.release();
      reject(fault);
    }
  }

  #commit({ write, resolve }: Queued): void {
    const log = this.#log(write.replica);
    for (const entry of write.entries ?? []) {
      const last = this.state(write.replica).lastIndex;
      assert(entry.index === last + 1, `Entry ${last + 1} must follow, got ${entry.index}`);
      const copy = entry.batch === null ? null : privateSlice(entry.batch.bytes.slice());
      log.entries.push({ ...entry, batch: copy });
      entry.batch?.release();
    }
    if (write.hardState !== undefined) log.hardState = write.hardState;
    if (write.configuration !== undefined) log.configuration = write.configuration;
    if (write.snapshot !== undefined) log.snapshot = write.snapshot;
    resolve(this.#completion(write.replica));
  }

  #completion(replica: ReplicaNumber): WriteCompletion {
    const { hardState, lastIndex, lastTerm } = this.state(replica);
    return { term: hardState.term, lastIndex, lastTerm };
  }

  #read(request: ReadRequest): ReadResult {
    const { from, endIndex, dataOnly, maxBytes } = request;
    const log = this.#log(request.replica);
    const entries: LogEntry[] = [];
    let bytes = 0;
    for (const entry of log.entries) {
      if (entry.index >= endIndex) break;
      if (dataOnly && entry.kind !== entryKinds.data) continue;
      const before = "index" in from ? entry.index < from.index : endOf(entry) <= from.offset;
      if (before) continue;
      if (this.damaged.has(entry.index)) {
        if (entries.length > 0) break;
        throw new Fault("storage_damaged", `Entry ${entry.index} is damaged`, {
          members: { index: entry.index },
        });
      }
      bytes += entry.batch?.bytes.length ?? 0;
      if (entries.length > 0 && bytes > maxBytes) break;
      entries.push(entry);
    }
    this.held += 1;
    return { entries, release: () => void (this.held -= 1) };
  }

  #log(replica: ReplicaNumber): Log {
    const log = this.#logs.get(replica);
    assert(log !== undefined, `Replica ${replica} is unknown`);
    return log;
  }
}

function endOf(entry: LogEntry): Offset {
  return offset(entry.baseOffset + entry.offsetCount);
}
