// Partition logs in an array, for the edges that a test wants to hold still: a slow open, an append that never
// commits, a disk that faults. Everything else is tested over the real ones.

import { privateSlice } from "../../src/bytes/slab-pool.ts";
import { emptyBounds } from "../../src/broker/partition-slot.ts";
import type {
  GroupReports,
  Keep,
  LogAppend,
  LogAppended,
  LogBounds,
  LogRead,
  PartitionLog,
  PartitionLogs,
} from "../../src/broker/partition-log.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import { nextOffsetAt, recordCountAt, stampBatch } from "../../src/records/batch-layout.ts";

export class ScriptedLog implements PartitionLog {
  readonly batches: Uint8Array[] = [];
  readonly appends: LogAppend[] = [];
  readonly #wakes = new Set<() => void>();
  readonly #stuck: (() => void)[] = [];
  readonly #logs: ScriptedLogs;
  #end = 0;
  #highWatermark = 0;
  reads = 0;
  /** Reads that were not released. */
  held = 0;
  /** When set, a fetch waits for it. */
  gate: Promise<void> | null = null;

  constructor(logs: ScriptedLogs) {
    this.#logs = logs;
  }
  bounds(): LogBounds {
    return {
      logStartOffset: 0,
      highWatermark: this.#highWatermark,
      lastStableOffset: this.#highWatermark,
      logEndOffset: this.#end,
      leaderEpoch: 1,
    };
  }
  currentBounds(): LogBounds {
    return this.bounds();
  }
  watch(): () => void {
    return () => undefined;
  }
  append(append: LogAppend): Promise<LogAppended | Refusal> {
    const bytes = append.batch.bytes.slice();
    const baseOffset = this.#end;
    stampBatch(bytes, 0, { baseOffset, leaderEpoch: 1 });
    this.appends.push(append);
    this.#end = nextOffsetAt(bytes, 0);
    const appended: LogAppended = {
      ok: true,
      baseOffset,
      recordCount: recordCountAt(bytes, 0),
      logAppendTime: -1,
      leaderEpoch: 1,
      logStartOffset: 0,
      duplicate: false,
      idempotencyExpires: null,
    };
    const commit = (): LogAppended => {
      this.batches.push(bytes);
      this.#highWatermark = nextOffsetAt(bytes, 0);
      for (const wake of this.#wakes) wake();
      return appended;
    };
    if (!this.#logs.stuck) return Promise.resolve().then(commit);
    return new Promise((resolve) => this.#stuck.push(() => resolve(commit())));
  }
  unstick(): void {
    for (const go of this.#stuck.splice(0)) go();
  }
  async fetch(from: {
    readonly offset: number;
    readonly maxBytes: number;
  }): Promise<LogRead | Refusal> {
    this.reads += 1;
    await this.gate;
    if (this.#logs.fault !== null) throw this.#logs.fault;
    if (from.offset < 0 || from.offset > this.#end) return refuse("offset_out_of_range", "out");
    const batches: Uint8Array[] = [];
    let bytes = 0;
    for (const batch of this.batches) {
      if (nextOffsetAt(batch, 0) <= from.offset) continue;
      if (batches.length > 0 && bytes + batch.length > from.maxBytes) break;
      batches.push(batch);
      bytes += batch.length;
    }
    this.held += 1;
    return { ok: true, batches, release: () => void (this.held -= 1) };
  }
  onAdvance(wake: () => void): () => void {
    this.#wakes.add(wake);
    return () => void this.#wakes.delete(wake);
  }
  offsetForTimestamp(): Promise<null> {
    return Promise.resolve(null);
  }
  deleteRecords(before: number): Promise<{ readonly ok: true; readonly logStartOffset: number }> {
    return Promise.resolve({ ok: true, logStartOffset: before });
  }
  countOfKey(): Promise<number> {
    return Promise.resolve(-1);
  }
  fence(): Promise<{ readonly ok: true; readonly token: null }> {
    return Promise.resolve({ ok: true, token: null });
  }
  setFence(): Promise<{ readonly ok: true }> {
    return Promise.resolve({ ok: true });
  }
  transfer(toNode: number): Promise<{ readonly ok: true } | Refusal> {
    return Promise.resolve(toNode === 1 ? { ok: true } : refuse("invalid_request", "no voter"));
  }
  applyRetention(_keep: Keep): Promise<{ readonly ok: true }> {
    return Promise.resolve({ ok: true });
  }
}

export class ScriptedLogs implements PartitionLogs {
  readonly logs = new Map<string, ScriptedLog>();
  readonly removed: string[] = [];
  readonly peekIsCurrent = true;
  opens = 0;
  /** Appends stay uncommitted while true. */
  stuck = false;
  /** What a fetch throws. */
  fault: Error | null = null;
  /** When set, opening waits for it. */
  gate: Promise<void> | null = null;

  async open(groupId: string): Promise<PartitionLog> {
    this.opens += 1;
    await this.gate;
    const log = this.logs.get(groupId) ?? new ScriptedLog(this);
    this.logs.set(groupId, log);
    return log;
  }
  leaderOf(): number {
    return 1;
  }
  reports(groupIds: readonly string[]): GroupReports {
    return new Map(
      groupIds.map((groupId) => {
        const { bounds = emptyBounds, bytes = 0 } = this.peek(groupId) ?? {};
        return [groupId, { leader: 1, term: 1, joint: false, members: [], bounds, bytes }];
      }),
    );
  }
  reportsHere(groupIds: readonly string[]): GroupReports {
    return this.reports(groupIds);
  }
  untilLed(): Promise<void> {
    return Promise.resolve();
  }
  peek(groupId: string): { readonly bounds: LogBounds; readonly bytes: number } | null {
    const log = this.logs.get(groupId);
    return log === undefined ? null : { bounds: log.bounds(), bytes: log.batches.length };
  }
  retentionDue(): Promise<boolean> {
    return Promise.resolve(false);
  }
  remove(groupId: string): Promise<void> {
    this.removed.push(groupId);
    this.logs.delete(groupId);
    return Promise.resolve();
  }
}

/** A slice over a batch that nobody else sees. */
export const sliceOf = (bytes: Uint8Array) => privateSlice(bytes);
