// A partition's log whose replica lies on this node: what the leader decides beyond the partition's own conditions
// (append time, min.insync.replicas), and what a follower may be asked.
//
//   leader    append, fetch up to the high watermark, everything else
//   follower  fetch with "local" up to its own high watermark; what lies beyond is not there yet, never out of range
//
// Promise: what needs the leader is refused with not_leader_or_follower (members {leader}) elsewhere. Left to others:
// finding the leader (routed-log.ts), offsets, sequences, keys (partition).

import type { Replica } from "../consensus/replica.ts";
import { refuse, refusalOf, type Refusal } from "../errors.ts";
import type { Partition } from "../partition/partition.ts";
import { stampLogAppendTime } from "../records/batch-layout.ts";
import type { ReadConsistency } from "./broker.ts";
import { isInSync } from "./group-members.ts";
import type {
  Keep,
  LogAppend,
  LogAppended,
  LogBounds,
  LogFetch,
  LogRead,
  PartitionLog,
} from "./partition-log.ts";

export interface HostedLogOptions {
  /** replica.lag.time.max.ms. */
  readonly lagMsMax: number;
  /** How long a linearizable read waits for a majority, ms. */
  readonly readWaitMs: number;
}

export class HostedLog implements PartitionLog {
  readonly partition: Partition;
  readonly #replica: Replica;
  readonly #options: HostedLogOptions;

  constructor(partition: Partition, options: HostedLogOptions) {
    this.partition = partition;
    this.#replica = partition.replica;
    this.#options = options;
  }

  get replica(): Replica {
    return this.#replica;
  }

  /** This node leads, or is the only one that can. */
  get leads(): boolean {
    const { role, identity } = this.#replica;
    return role.leaderId === identity.nodeId;
  }

  /** It leads and has everything that was committed before; or it is the only voter, whose reads need no term. */
  get answers(): boolean {
    const { ready, members } = this.#replica;
    return ready || (members.voters.length === 1 && this.leads);
  }

  bounds(): LogBounds {
    return this.partition.bounds();
  }

  currentBounds(): LogBounds {
    return this.partition.bounds();
  }

  /** With "linearizable" behind a majority's word that this node leads. */
  leaderBounds(consistency?: ReadConsistency): LogBounds | Promise<LogBounds | Refusal> {
    return consistency === "linearizable" ? this.#boundsBehindBarrier() : this.bounds();
  }

  /** Up to the partition's append() without an await, when nothing has to be waited for. */
  append(append: LogAppend): Promise<LogAppended | Refusal> {
    if (append.minInsyncReplicas > 1 && append.acks === "all") return this.#appendInSync(append);
    return this.#append(append);
  }

  fetch(from: LogFetch): LogRead | Refusal | Promise<LogRead | Refusal> {
    return from.consistency === "linearizable" ? this.#fetchBehindBarrier(from) : this.#fetch(from);
  }

  onAdvance(wake: () => void): () => void {
    return this.partition.onAdvance(wake);
  }

  watch(): () => void {
    return nothingToStop;
  }

  offsetForTimestamp(timestamp: number): ReturnType<PartitionLog["offsetForTimestamp"]> {
    return this.partition.offsetForTimestamp(timestamp);
  }

  deleteRecords(before: number): ReturnType<PartitionLog["deleteRecords"]> {
    return this.partition.deleteRecords(before);
  }

  countOfKey(of: { readonly principal: string; readonly key: string }): Promise<number | Refusal> {
    return this.partition.countOfKey(of);
  }

  fence(): ReturnType<PartitionLog["fence"]> {
    return this.partition.fence();
  }

  setFence(token: string | null, expected?: string | null): ReturnType<PartitionLog["setFence"]> {
    return this.partition.setFence(token, expected);
  }

  async transfer(toNode: number): Promise<{ readonly ok: true } | Refusal> {
    if (toNode === this.#replica.identity.nodeId && this.answers) return { ok: true };
    return await this.#replica.transferLeadership(toNode);
  }

  applyRetention(keep: Keep): ReturnType<PartitionLog["applyRetention"]> {
    return this.partition.applyRetention(keep);
  }

  #append({
    batch,
    acks,
    conditions,
    idempotency,
    stampTime,
  }: LogAppend): Promise<LogAppended | Refusal> {
    const logAppendTime = stampTime ? this.partition.appendTime() : -1;
    if (stampTime) stampLogAppendTime(batch.bytes, 0, logAppendTime);
    return this.partition.append({ batch, acks, logAppendTime, conditions, idempotency });
  }

  /** Only the leader knows who is in sync, so it must lead first. */
  async #appendInSync(append: LogAppend): Promise<LogAppended | Refusal> {
    try {
      if (!this.#replica.ready) await this.#replica.lead();
    } catch (thrown) {
      return refusalOf(thrown);
    }
    const { lagMsMax } = this.#options;
    const members = this.#replica.progress();
    const found = members.filter((member) => isInSync(member, lagMsMax)).length;
    const wanted = append.minInsyncReplicas;
    if (found >= wanted) return await this.#append(append);
    const detail = `Cannot append with acks=all: min.insync.replicas wants ${wanted} replicas, ${found} in sync`;
    return refuse("not_enough_replicas", detail);
  }

  /** Beyond the log end of a follower lies what it has not got yet. */
  #fetch(from: LogFetch): LogRead | Refusal | Promise<LogRead | Refusal> {
    const isFollower = from.consistency === "local" && !this.leads;
    if (isFollower && from.offset >= this.#replica.highWatermark) return nothing;
    // A leader that was deposed and does not know it may not say that an offset of its successor's is wrong.
    const { highWatermark } = this.#replica;
    const isBeyond =
      from.offset > highWatermark && from.offset > this.partition.bounds().logEndOffset;
    if (isBeyond && this.#replica.members.voters.length > 1) return this.#fetchBehindBarrier(from);
    return this.partition.fetch(from);
  }

  async #boundsBehindBarrier(): Promise<LogBounds | Refusal> {
    const barrier = await this.#replica.readBarrier(this.#options.readWaitMs);
    return barrier.ok ? this.bounds() : barrier;
  }

  async #fetchBehindBarrier(from: LogFetch): Promise<LogRead | Refusal> {
    const barrier = await this.#replica.readBarrier(this.#options.readWaitMs);
    return barrier.ok ? await this.partition.fetch(from) : barrier;
  }
}

const nothing: LogRead = { ok: true, batches: [], release: () => undefined };
const nothingToStop = (): void => undefined;
