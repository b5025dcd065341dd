// What the broker needs of a partition's log, and of the place where those logs live.
//
// Promise of an implementation: append() is atomic a batch and settles as `acks` asks; fetch() sees nothing beyond the
// high watermark; remove() ends the log, whether it was open or not. Implemented over Raft and the journal
// (partition/partition-logs.ts). Left to others: topics, limits, waiting.

import type { Slice } from "../bytes/slab.ts";
import type { Refusal } from "../errors.ts";
import type { Acks, AppendConditions, Appended, IdempotencyKey } from "./broker.ts";

export interface LogBounds {
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  /** In-flight appends included. */
  readonly logEndOffset: number;
  readonly leaderEpoch: number;
}

export interface LogAppend {
  /** One validated RecordBatch v2, borrowed until the promise settles; stamped in place. */
  readonly batch: Slice;
  readonly acks: Acks;
  readonly conditions?: AppendConditions;
  readonly idempotency?: IdempotencyKey;
  /** Append time that was stamped into the batch, or -1. */
  readonly logAppendTime: number;
}

export type LogAppended = Omit<Appended, "partition">;

export interface LogRead {
  readonly ok: true;
  /** Whole batches, views; the first may begin before the wanted offset. Valid until release(). */
  readonly batches: readonly Uint8Array[];
  release(): void;
}

export interface PartitionLog {
  /** Cost: no allocation beyond the answer. */
  bounds(): LogBounds;
  /** The time for an append that is stamped now, ms: never before that of an earlier one, though the clock runs back. */
  appendTime(): number;
  /** Never rejects. */
  append(append: LogAppend): Promise<LogAppended | Refusal>;
  /** Batches from the one that holds `offset` on, up to the high watermark; at least one when there is one, more
   *  within maxBytes. Below the log start or above the log end: offset_out_of_range. */
  fetch(from: {
    readonly offset: number;
    readonly maxBytes: number;
  }): LogRead | Refusal | Promise<LogRead | Refusal>;
  /** Calls wake after each advance of the high watermark or of the log start, until the answer is called. */
  onAdvance(wake: () => void): () => void;
  /** First record, in offset order, whose timestamp is at least `timestamp`. */
  offsetForTimestamp(
    timestamp: number,
  ): Promise<{ readonly offset: number; readonly timestamp: number } | null | Refusal>;
  /** Moves the log start to `before` (-1: the high watermark), never back; above it: offset_out_of_range. */
  deleteRecords(
    before: number,
  ): Promise<{ readonly ok: true; readonly logStartOffset: number } | Refusal>;
  /** The partition count by which the append of this key, committed or under way, was placed; -1: there is none. */
  countOfKey(of: { readonly principal: string; readonly key: string }): Promise<number | Refusal>;
  fence(): Promise<{ readonly ok: true; readonly token: string | null } | Refusal>;
  /** In order with appends. `expected`: the token that must be set now; undefined asks nothing. */
  setFence(
    token: string | null,
    expected?: string | null,
  ): Promise<{ readonly ok: true } | Refusal>;
  /** Drops whole entries from the front by age and size. */
  applyRetention(keep: Keep): Promise<Refusal | { readonly ok: true }>;
}

/** What retention keeps: records at least this young, and about this many bytes from the end. null: no bound. */
export interface Keep {
  readonly timestampMin: number | null;
  readonly bytesMax: number | null;
}

export interface PartitionLogs {
  /** The log of a partition; creates an empty one when the journal has none. Called once until close or remove. */
  open(groupId: string): PartitionLog | Promise<PartitionLog>;
  /** What the journal knows of a log without opening it; null when it holds none. Cost: two map look-ups. */
  peek(groupId: string): { readonly bounds: LogBounds; readonly bytes: number } | null;
  /** Whether retention would drop anything, without opening the log. */
  retentionDue(groupId: string, keep: Keep): Promise<boolean>;
  /** Ends the log: its bytes are dead once this settles. Does nothing for an unknown one. */
  remove(groupId: string): Promise<void>;
}
