// One partition: the state machine over one replica, and what the broker calls.
//
//   append() --> Appender --> Replica.propose() ... journal ... --> apply() --> fold, answers, wake-ups
//   fetch()  --> Reader   --> journal (cache or disk), below the replica's high watermark
//
// Promise: appends are atomic a batch, conditional ones are decided against everything before them; reads need no
// leadership and no fold, so they work on a partition that was only opened; nothing here rejects, refusals are returned.
// Left to others: topics, limits, waiting (broker), Raft (consensus).

import type { SlabPool } from "../bytes/slab.ts";
import type { Birth, Replica, ReplicaHost, Role, StateMachine } from "../consensus/replica.ts";
import { refusalOf, refuse, type Refusal } from "../errors.ts";
import type { Journal, LogEntry } from "../journal/journal.ts";
import { limits } from "../limits.ts";
import { logIndex, type LogIndex, type ReplicaNumber, type Term } from "../quantities.ts";
import type { AppendOutcome, AppendRequest } from "./append.ts";
import { Appender } from "./appender.ts";
import { PartitionFold } from "./fold.ts";
import { keyHashOf } from "./idempotency.ts";
import { Reader, type FetchedBatches, type TimestampOffset } from "./reader.ts";

export interface PartitionOptions {
  readonly host: ReplicaHost;
  readonly journal: Journal;
  readonly slabs: SlabPool;
  /** "<topicId>/<partition>" */
  readonly groupId: string;
}

export interface PartitionBounds {
  readonly logStartOffset: number;
  readonly highWatermark: number;
  /** Equal to the high watermark: there are no open transactions. */
  readonly lastStableOffset: number;
  /** In-flight appends included. */
  readonly logEndOffset: number;
  readonly leaderEpoch: number;
}

/** What retention keeps: records at least this young, about this many bytes from the end. null: no bound. */
export interface Keep {
  readonly timestampMin: number | null;
  readonly bytesMax: number | null;
}

type Done = Refusal | { readonly ok: true };

/** A new partition, empty. Nothing is written before its first append. Without `birth` this node is its only voter. */
export function createPartition(options: PartitionOptions, birth?: Birth): Partition {
  const machine = new PartitionMachine();
  const replica = options.host.create(options.groupId, machine, birth);
  return new Partition(options, machine, replica);
}

/** A partition that the journal holds. Cost: O(1) unless its tail was left uncommitted. Rejects with a Fault
 *  storage_damaged when acknowledged entries are gone. */
export async function openPartition(options: PartitionOptions): Promise<Partition> {
  const machine = new PartitionMachine();
  const replica = await options.host.open(options.groupId, machine);
  return new Partition(options, machine, replica);
}

export class Partition {
  readonly groupId: string;
  readonly #journal: Journal;
  readonly #machine: PartitionMachine;
  readonly #replica: Replica;
  readonly #appender: Appender;
  readonly #reader: Reader;
  /** The last that appendTime() gave: its append may wait in a queue, so that no entry carries it yet. */
  #appendTime = 0;

  /** Use createPartition() or openPartition(). */
  constructor(options: PartitionOptions, machine: PartitionMachine, replica: Replica) {
    const { journal, slabs, groupId } = options;
    this.groupId = groupId;
    this.#journal = journal;
    this.#machine = machine;
    this.#replica = replica;
    const topicId = groupId.slice(0, groupId.lastIndexOf("/"));
    this.#appender = new Appender({ replica, slabs, fold: machine.fold, topicId });
    this.#reader = new Reader({ replica, journal, logEnd: () => this.#logEnd() });
    machine.attach(this.#appender, replica);
  }

  /** Who leads, who takes part, how far they are; proposals go through the partition alone. */
  get replica(): Replica {
    return this.#replica;
  }

  /** The replica's number in the journal. */
  get number(): ReplicaNumber {
    return this.#replica.number;
  }

  /** Cost: one object. */
  bounds(): PartitionBounds {
    const { highWatermark, logStart, confirmedTerm } = this.#replica;
    return {
      logStartOffset: logStart.offset,
      highWatermark,
      lastStableOffset: highWatermark,
      logEndOffset: this.#logEnd(),
      leaderEpoch: confirmedTerm,
    };
  }

  /** The time for an append that is stamped now (LogAppendTime), ms: at least that of every entry and of every append
   *  stamped before, so that append times never run back though the clock does. */
  appendTime(): number {
    this.#appendTime = Math.max(this.#replica.clock(), this.#appendTime);
    return this.#appendTime;
  }

  /** Appends one batch. Never rejects. The first append after a start elects this replica. Refusals: conditions
   *  (append.ts), not_leader_or_follower, overloaded, storage_full, storage_failed, shutting_down; sideEffects is
   *  "unknown" when the batch was proposed and its fate is not known. */
  append(request: AppendRequest): Promise<AppendOutcome> {
    return new Promise((answer) => {
      if (this.#replica.ready) {
        this.#appender.submit(request, answer);
        return;
      }
      // An election would wait for room on a full disk; who wants to append hears of it now.
      const refusal = this.#replica.admit(0);
      if (refusal !== null) answer(refusal);
      else void this.#appendWhenReady(request, answer);
    });
  }

  /** Batches from the one that holds `offset` on, up to the high watermark: at least one when there is one, more within
   *  maxBytes; a value at once when the cache has them. Below the log start or above the log end:
   *  offset_out_of_range. */
  fetch(from: {
    readonly offset: number;
    readonly maxBytes: number;
  }): FetchedBatches | Refusal | Promise<FetchedBatches | Refusal> {
    return this.#reader.fetch(from);
  }

  /** Calls wake after each advance of the high watermark or of the log start, until the answer is called. */
  onAdvance(wake: () => void): () => void {
    return this.#machine.onAdvance(wake);
  }

  /** First record, in offset order, whose timestamp is at least `timestamp`; null when there is none. */
  offsetForTimestamp(timestamp: number): Promise<TimestampOffset | null | Refusal> {
    return this.#reader.offsetForTimestamp(timestamp);
  }

  /** Makes `before` the first readable offset; -1 is the high watermark. Durable when it resolves. */
  async deleteRecords(
    before: number,
  ): Promise<{ readonly ok: true; readonly logStartOffset: number } | Refusal> {
    const { highWatermark, logStart } = this.#replica;
    const wanted = before === -1 ? highWatermark : before;
    if (wanted < 0 || wanted > highWatermark) {
      const detail = `Cannot delete records before ${before}: the high watermark is ${highWatermark}`;
      const members = { logStartOffset: logStart.offset, highWatermark };
      return refuse("offset_out_of_range", detail, { members });
    }
    const past = wanted <= logStart.offset;
    const done = await (past ? this.#replica.advanceLogStart(logStart) : this.#startAt(wanted));
    return done.ok ? { ok: true, logStartOffset: this.#replica.logStart.offset } : done;
  }

  /** Drops whole entries from the front by age and size, where that frees something. */
  async applyRetention(keep: Keep): Promise<Done> {
    try {
      const endIndex = logIndex(this.#replica.commitIndex + 1);
      const start = await this.#journal.retentionPoint(this.#replica.number, keep, endIndex);
      if (start === null) return { ok: true };
      await this.#replica.lead();
      return await this.#replica.advanceLogStart(start);
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  /** The fence token that is set, or null. Leads first, for the fold answers. */
  async fence(): Promise<{ readonly ok: true; readonly token: string | null } | Refusal> {
    try {
      await this.#replica.lead();
      return { ok: true, token: this.#machine.fold.fence };
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  /** Sets (null: clears) the fence token, if the one set now is `expected` (undefined asks nothing). In order with
   *  appends. Refuses invalid_request beyond 64 bytes, fence_mismatch. */
  setFence(token: string | null, expected?: string | null): Promise<Done> {
    if (token !== null && new TextEncoder().encode(token).length > limits.fenceBytesMax) {
      const detail = `Cannot set fence: at most ${limits.fenceBytesMax} bytes are allowed`;
      return Promise.resolve(refuse("invalid_request", detail));
    }
    return new Promise((answer) => {
      const submit = (): void => this.#appender.submitFence({ token, answer, ...given(expected) });
      if (this.#replica.ready) submit();
      else void this.#whenReady(submit, answer);
    });
  }

  /** The partition count by which the append of a key, committed or under way, was placed; -1 when there is none. Leads
   *  first, for the fold answers. */
  async countOfKey(of: {
    readonly principal: string;
    readonly key: string;
  }): Promise<number | Refusal> {
    try {
      await this.#replica.lead();
      const topic = this.groupId.slice(0, this.groupId.lastIndexOf("/"));
      return this.#appender.countOfKey(keyHashOf({ ...of, topic }));
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  /** Becomes leader and restores the fold ahead of the first append. */
  warm(): Promise<Done> {
    return this.#replica.lead().then(() => ({ ok: true }) as const, refusalOf);
  }

  async #startAt(before: number): Promise<Done> {
    try {
      await this.#replica.lead();
      return await this.#replica.advanceLogStart(await this.#reader.startAt(before));
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  /** Checks are made in the turn in which they are used: after the wait the replica may have lost its term again. */
  async #whenReady(submit: () => void, refused: (refusal: Refusal) => void): Promise<void> {
    try {
      await this.#replica.lead();
    } catch (thrown) {
      refused(refusalOf(thrown));
      return;
    }
    if (this.#replica.ready) submit();
    else refused(refuse("not_leader_or_follower", "Cannot append: the term ended meanwhile"));
  }

  /** The batch is held while it waits: the caller may give up before. */
  async #appendWhenReady(
    request: AppendRequest,
    answer: (outcome: AppendOutcome) => void,
  ): Promise<void> {
    request.batch.retain();
    await this.#whenReady(() => this.#appender.submit(request, answer), answer);
    request.batch.release();
  }

  #logEnd(): number {
    return this.#replica.ready ? this.#appender.logEnd : this.#replica.nextOffset;
  }
}

/** The half that the host sees. */
export class PartitionMachine implements StateMachine {
  readonly fold = new PartitionFold();
  readonly #wakes = new Set<() => void>();
  #appender: Appender | null = null;
  #replica: Replica | null = null;
  #seenHighWatermark = 0;
  #seenLogStart = 0;

  /** A replay may have begun before: open() resolves a few steps before its caller goes on (cluster simulator, seed 24 of
   *  3 s). Nobody waits for an advance until then. */
  attach(appender: Appender, replica: Replica): void {
    this.#appender = appender;
    this.#replica = replica;
    this.#seenHighWatermark = replica.highWatermark;
    this.#seenLogStart = replica.logStart.offset;
  }

  onAdvance(wake: () => void): () => void {
    this.#wakes.add(wake);
    return () => void this.#wakes.delete(wake);
  }

  restore(_index: LogIndex, snapshot: Uint8Array): void {
    this.fold.restore(snapshot);
  }

  apply(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      this.fold.apply(entry);
      this.#appender?.applied(entry);
    }
    this.#noticeAdvance();
  }

  snapshot(): Uint8Array {
    return this.fold.snapshot();
  }

  /** The appender asks the replica, and a lost term is told by onLost(); who waits for advances may have to ask elsewhere. */
  onRole(role: Role): void {
    if (!role.leader) this.#wake();
  }

  onReady(_term: Term): void {
    this.#appender?.begin();
    if (this.#replica !== null && this.#replica.members.voters.length > 1) this.#wake();
  }

  onTurn(): void {
    if (this.#replica?.ready === true) this.#appender?.propose();
  }

  onFlushed(index: LogIndex): void {
    this.#appender?.flushed(index);
  }

  onLost(index: LogIndex, refusal: Refusal): void {
    this.#appender?.lost(index, refusal);
    if (refusal.code === "unknown_topic_or_partition") this.#wake();
  }

  #noticeAdvance(): void {
    if (this.#replica === null) return;
    const { highWatermark, logStart } = this.#replica;
    const moved = highWatermark > this.#seenHighWatermark || logStart.offset > this.#seenLogStart;
    this.#seenHighWatermark = highWatermark;
    this.#seenLogStart = logStart.offset;
    if (moved) this.#wake();
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
  }
}

/** {expected}, or nothing when it was not given. */
function given(expected: string | null | undefined): { expected?: string | null } {
  return expected === undefined ? {} : { expected };
}
