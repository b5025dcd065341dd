// What the broker needs of a partition's log, and of the place where those logs live.
//
// Promise of an implementation: append() is atomic a batch and settles as `acks` asks; fetch() sees nothing beyond the
// high watermark; remove() ends the log, whether it was open or not. Implemented by hosted-log.ts (the replica on this
// node) and routed-log.ts (that one, or another node's). Left to others: topics, limits, waiting.

import type { Slice } from "../bytes/slab.ts";
import type { Refusal } from "../errors.ts";
import type {
  Acks,
  AppendConditions,
  Appended,
  GroupMember,
  IdempotencyKey,
  ReadConsistency,
} from "./broker.ts";

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
  /** message.timestamp.type is LogAppendTime: the leader stamps its time into the batch. */
  readonly stampTime: boolean;
  /** acks=all is refused with not_enough_replicas while fewer voters are in sync. */
  readonly minInsyncReplicas: number;
  /** How long a leader may be waited for, ms. */
  readonly timeoutMs: number;
}

export type LogAppended = Omit<Appended, "partition">;

export interface LogRead {
  readonly ok: true;
  /** Whole batches, views; the first may begin before the wanted offset. Valid until release(). */
  readonly batches: readonly Uint8Array[];
  release(): void;
}

export interface LogFetch {
  readonly offset: number;
  readonly maxBytes: number;
  /** "leader" when left out. */
  readonly consistency?: ReadConsistency;
}

export interface PartitionLog {
  /** As this node knows them; with "local" its own replica's. No wait. Cost: no allocation beyond the answer. */
  bounds(consistency?: ReadConsistency): LogBounds;
  /** As the leader tells them (with "local": as bounds()); the value itself when that is known here. */
  currentBounds(consistency?: ReadConsistency): LogBounds | Refusal | Promise<LogBounds | Refusal>;
  /** In the order of the calls. Never rejects. */
  append(append: LogAppend): Promise<LogAppended | Refusal>;
  /** Batches from the one that holds `offset` on, up to the high watermark; at least one when there is one, more
   *  within maxBytes. Below the log start or above the log end: offset_out_of_range. */
  fetch(from: LogFetch): LogRead | Refusal | Promise<LogRead | Refusal>;
  /** Calls wake after each advance of the high watermark or of the log start, until the answer is called. */
  onAdvance(wake: () => void): () => void;
  /** Somebody waits for advances until the answer is called: without, those of a log elsewhere may not be told. */
  watch(): () => void;
  /** First record, in offset order, whose timestamp is at least `timestamp`. */
  offsetForTimestamp(
    timestamp: number,
    consistency?: ReadConsistency,
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
  /** Hands the leadership to the voter on that node; settles once it leads. */
  transfer(toNode: number): Promise<{ readonly ok: true } | Refusal>;
  /** Drops whole entries from the front by age and size. */
  applyRetention(keep: Keep): Promise<Refusal | { readonly ok: true }>;
}

/** What retention keeps: records at least this young, and about this many bytes from the end. null: no bound. */
export interface Keep {
  readonly timestampMin: number | null;
  readonly bytesMax: number | null;
}

/** What a group's leader tells of it. */
export interface GroupReport {
  /** Node id. */
  readonly leader: number;
  readonly term: number;
  readonly joint: boolean;
  /** By node id. */
  readonly members: readonly GroupMember[];
  readonly bounds: LogBounds;
  /** Live batch bytes. */
  readonly bytes: number;
}

/** By group id; groups whose leader did not tell are left out. */
export type GroupReports = ReadonlyMap<string, GroupReport>;

export interface PartitionLogs {
  /** Every log is led here, so that peek() tells what the leader would. */
  readonly peekIsCurrent: boolean;
  /** Node id of a partition's leader as far as this node knows, else null. Cost: a few map look-ups. */
  leaderOf(groupId: string): number | null;
  /** What the leaders tell now, within seconds; the value itself when this node leads all of them. Wakes no idle group. */
  reports(groupIds: readonly string[]): GroupReports | Promise<GroupReports>;
  /** Of those that are led here; no wait. */
  reportsHere(groupIds: readonly string[]): GroupReports;
  /** The log of a partition; creates an empty one when the journal has none. Called once until close or remove. */
  open(groupId: string): PartitionLog | Promise<PartitionLog>;
  /** Waits until each of the logs can be written, or the time is over. Never rejects. */
  untilLed(groupIds: readonly string[], timeoutMs: number): Promise<void>;
  /** What is known of a log without opening it; null when it holds none. Cost: two map look-ups. */
  peek(groupId: string): { readonly bounds: LogBounds; readonly bytes: number } | null;
  /** Whether retention would drop anything, without opening the log. */
  retentionDue(groupId: string, keep: Keep): Promise<boolean>;
  /** Ends the log: its bytes are dead once this settles. Does nothing for an unknown one. */
  remove(groupId: string): Promise<void>;
}
