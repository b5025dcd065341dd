// The journal: one log of rows that all replicas of a node share, in arrival order (DESIGN.md section 4).
//
// This file is the contract between the consensus host (its only caller) and the journal. It runs on the main
// thread, holds no database connection and never waits for the disk; the Disk (disk.ts) does, in Workers.
//
// Promise: writes of one replica become durable in the order of enqueue(), each wholly or not at all; a replica's
// commit never reaches the disk before the entries that it covers; what a completed enqueue() wrote survives power
// loss; a damaged row is named and never served. Left to others: what an entry means, who may append it.

import type { Slice } from "../bytes/slab.ts";
import type { LogIndex, Offset, ReplicaNumber, Term } from "../quantities.ts";

/** Entry kinds as stored in the `kind` column. An unknown kind halts. Numbers are part of the format. */
export const entryKinds = {
  data: 0, // record batches; takes offsets
  noop: 1, // a new leader's first entry
  config: 2, // Raft configuration change; meta holds it
  logStart: 3, // meta: offset, index, term of index - 1
  command: 4, // replicated command of a fold (controller, fence, ...); takes no offset
  gap: 5, // a committed run emptied by compaction; meta: last index and last term
} as const;
export type EntryKind = (typeof entryKinds)[keyof typeof entryKinds];

/** One Raft log entry as the journal stores it. `index` counts entries, `baseOffset` counts records. */
export interface LogEntry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: EntryKind;
  /** Offset of the first record; for an entry without records, the offset that the next record will get. */
  readonly baseOffset: Offset;
  /** Records in the entry; 0 for every kind but data and gap. */
  readonly offsetCount: number;
  /** Leader's stamp, ms: max(own clock, previous entry's time). Folds know no other clock. */
  readonly time: number;
  /** Largest record timestamp, ms; -1 where there is none. */
  readonly maxTimestamp: number;
  /** Packed (msgpackr) facts about the entry, or null. */
  readonly meta: Uint8Array | null;
  /** One or more RecordBatch v2, back to back, or null. Held by whoever holds the entry (see ReadResult). */
  readonly batch: Slice | null;
}

/** Where a log begins or a snapshot stands: the entry before `index` had term `prevTerm`. */
export interface LogStart {
  /** First index that is still there (or would be next). */
  readonly index: LogIndex;
  /** Term of index - 1; 0 when index is 1. */
  readonly prevTerm: Term;
  /** First offset that is still readable. */
  readonly offset: Offset;
}

export interface HardState {
  readonly term: Term;
  /** Node id of the candidate voted for in `term`, 0 for none. */
  readonly vote: number;
  readonly commit: LogIndex;
}

/** One line of the epoch table: `term` began at this index and offset. */
export interface EpochStart {
  readonly term: Term;
  readonly index: LogIndex;
  readonly offset: Offset;
}

/** Damage found in stored data: named, never shortened in silence. */
export interface Damage {
  readonly file: string;
  /** Row in the file; null when the file's own structure or WAL is damaged. */
  readonly lsn: number | null;
  readonly replica: ReplicaNumber | null;
  readonly groupId: string | null;
  readonly index: LogIndex | null;
  readonly baseOffset: Offset | null;
  readonly offsetCount: number;
  /** What was wrong, for a person. */
  readonly detail: string;
}

/** What the journal knows of a replica without reading an entry; kept current by every completed write. */
export interface ReplicaState {
  readonly replica: ReplicaNumber;
  /** "controller" or "<topicId>/<partition>". */
  readonly groupId: string;
  readonly incarnation: number;
  readonly hardState: HardState;
  readonly logStart: LogStart;
  /** Last durable entry; index = logStart.index - 1 when the log is empty. */
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Offset that the next record will get. */
  readonly nextOffset: Offset;
  /** `time` of the last entry, 0 when there is none. */
  readonly lastTime: number;
  readonly epochs: readonly EpochStart[];
  /** Packed Raft configuration, as the host gave it last; null before the first. */
  readonly configuration: Uint8Array | null;
  /** Index of the newest durable fold snapshot, 0 for none. */
  readonly snapshotIndex: LogIndex;
  /** Not empty: the replica never votes nor leads where it has peers; alone, it serves what is whole. */
  readonly damage: readonly Damage[];
}

/** Everything one replica wants durable in one step, in this order: reset, entries, hard state, snapshot. */
export interface ReplicaWrite {
  readonly replica: ReplicaNumber;
  /** The log begins anew here (a snapshot from the leader was installed); entries follow from its index. */
  readonly reset?: LogStart;
  /** Contiguous. entries[0].index <= last index replaces the tail: the cut is written in the same transaction. */
  readonly entries?: readonly LogEntry[];
  /** A changed term or vote makes the transaction FULL under any durability; a commit alone causes no row. */
  readonly hardState?: HardState;
  /** Raft configuration to remember in images. */
  readonly configuration?: Uint8Array;
  /** State of the replica's fold at an applied index <= commit. Chunked by the journal. */
  readonly snapshot?: { readonly index: LogIndex; readonly bytes: Uint8Array };
}

/** A completion carries (term, last index, last term) of the write, so that a stale one is told from a fresh one. */
export interface WriteCompletion {
  readonly term: Term;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}

/** Where to begin reading: at a Raft index, or at the entry that holds a Kafka offset. */
export type ReadFrom = { readonly index: LogIndex } | { readonly offset: Offset };

export interface ReadRequest {
  readonly replica: ReplicaNumber;
  readonly from: ReadFrom;
  /** Exclusive upper bound by index. */
  readonly endIndex: LogIndex;
  /** Bound over batch bytes; the first entry always comes whole, however large. */
  readonly maxBytes: number;
  /** Only kinds that take offsets (data, gap); false for a fold's replay. */
  readonly dataOnly: boolean;
}

/** Entries in order. The caller holds their slices until release(), which it calls exactly once. */
export interface ReadResult {
  readonly entries: readonly LogEntry[];
  release(): void;
}

export interface FoundTimestamp {
  readonly index: LogIndex;
  readonly baseOffset: Offset;
}

/** Health of the storage, for /readyz, metrics and the door's admission. */
export interface JournalHealth {
  /** "full": appends are refused, housekeeping goes on. "failed": nothing is written until restart. */
  readonly state: "ok" | "low_space" | "full" | "failed";
  readonly detail: string;
  /** Bytes waiting for the writer. */
  readonly queuedBytes: number;
  /** Age of the oldest flush that is under way, ms. */
  readonly oldestFlushMs: number;
}

export interface Journal {
  /** The replicas found at open, and those created since, dropped ones excluded. */
  replicas(): IterableIterator<ReplicaState>;
  /** State of one replica; throws Bug for an unknown one. Cost: a map look-up. */
  state(replica: ReplicaNumber): ReplicaState;
  /** Gives the identity a number (the controller: 0, the first). Durable with the replica's first write. */
  createReplica(identity: { groupId: string; incarnation: number }): ReplicaNumber;

  /** Queues the write; settles when it is durable. Slices are retained until then (and then by the cache).
   *  Throws Fault synchronously: overloaded (queue full), storage_full, storage_failed. Rejects with a Fault whose
   *  sideEffects is "unknown" when its transaction failed. */
  enqueue(write: ReplicaWrite): Promise<WriteCompletion>;
  /** Ends the replica: its rows are dead once durable. */
  drop(replica: ReplicaNumber): Promise<void>;
  /** Moves the log start forward (a committed log-start entry was applied). Never beyond the newest durable snapshot
   *  of a fold (the caller snapshots first). The janitor frees what lies below. Counts at once; settles when it is
   *  durable, so that a deletion is told only when a restart cannot undo it. */
  trim(replica: ReplicaNumber, start: LogStart): Promise<void>;

  /** From the cache at once, else from a reader. Rejects with storage_damaged when a wanted row is damaged and
   *  nothing whole comes before it. Rows below the log start are refused as offset_out_of_range (Fault). */
  read(request: ReadRequest): ReadResult | Promise<ReadResult>;
  /** From the cache alone: null where the first wanted entry is not in it. */
  readCached(request: ReadRequest): ReadResult | null;
  /** Term of an index in [logStart.index - 1, lastIndex], by the epoch table; null outside. */
  term(replica: ReplicaNumber, index: LogIndex): Term | null;
  /** First data entry below endIndex whose maxTimestamp >= timestamp; null when there is none. */
  findTimestamp(
    replica: ReplicaNumber,
    timestamp: number,
    endIndex: LogIndex,
  ): Promise<FoundTimestamp | null>;
  /** Where the log should start so that entries wholly older than `timestamp`, or beyond `bytesMax` counted from the
   *  end, fall away; null when nothing would. Never beyond endIndex. */
  retentionPoint(
    replica: ReplicaNumber,
    keep: { readonly timestampMin: number | null; readonly bytesMax: number | null },
    endIndex: LogIndex,
  ): Promise<LogStart | null>;
  /** The newest durable snapshot of the replica's fold, joined from its chunks. */
  readSnapshot(
    replica: ReplicaNumber,
  ): Promise<{ readonly index: LogIndex; readonly bytes: Uint8Array } | null>;
  /** Batch bytes of live entries, for retention, metrics and quotas. */
  liveBytes(replica: ReplicaNumber): number;

  /** health().state alone, for every append to ask. Cost: O(1), no allocation. */
  readonly healthState: JournalHealth["state"];
  health(): JournalHealth;
  /** Counters and gauges by name, for /metrics. Cost: O(1). */
  metrics(): Readonly<Record<string, number>>;
  /** Drains the queue, writes the clean-stop mark and closes. Idempotent. */
  close(): Promise<void>;
}
