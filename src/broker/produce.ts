// Produce: checks a batch against its topic, hands it to the partition's log, waits as `acks` asks.
//
// Promise: each append is judged by itself, in request order; what is refused here left nothing behind; what timed out
// says sideEffects unknown, because it may still commit. Never rejects.
// Left to others: conditions, idempotency, sequences, offsets, append time (the log), building batches (the doors).

import type { Slice } from "../bytes/slab.ts";
import { refuse, refusalOf, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import { maxTimestampAt, stampMaxTimestamp } from "../records/batch-layout.ts";
import { validateBatch, type BatchRules } from "../records/batch-validator.ts";
import type { World } from "../world.ts";
import type { Appended, PartitionAppend, ProduceRequest } from "./broker.ts";
import type { LogAppended, PartitionLog } from "./partition-log.ts";
import { unknownPartition, unknownTopic } from "./partition-slot.ts";
import { Timeouts, type Expiring } from "./timeouts.ts";
import type { Topic, Topics } from "./topics.ts";

export type Produced = Appended | (Refusal & { readonly partition: number });

export interface ProduceCounters {
  requests: number;
  batches: number;
  bytes: number;
  refused: number;
}

export class Producing {
  readonly #world: World;
  readonly #topics: Topics;
  readonly #timeouts: Timeouts;
  #underWay = 0;
  #idle: (() => void)[] = [];
  readonly counters: ProduceCounters = { requests: 0, batches: 0, bytes: 0, refused: 0 };

  constructor(world: World, topics: Topics) {
    this.#world = world;
    this.#topics = topics;
    this.#timeouts = new Timeouts(world);
  }

  produce(request: ProduceRequest): Promise<readonly Produced[]> {
    this.counters.requests += 1;
    return new Promise((answer) => {
      const topic = this.#topics.byName(request.topic);
      const round = new Round(request, (ended) => {
        this.#timeouts.end(request.timeoutMs, ended);
        this.#underWay -= 1;
        answer(this.#produced(ended));
        if (this.#underWay === 0) for (const wake of this.#idle.splice(0)) wake();
      });
      request.appends.forEach((append, at) => {
        round.follow(
          at,
          topic === null ? unknownTopic(request.topic) : this.#appendOne(topic, request, append),
        );
      });
      if (round.left === 0) return answer(this.#produced(round));
      this.#underWay += 1;
      this.#timeouts.begin(request.timeoutMs, round);
    });
  }

  /** Resolves when nothing is under way. */
  idle(): Promise<void> {
    if (this.#underWay === 0) return Promise.resolve();
    return new Promise((resolve) => void this.#idle.push(resolve));
  }

  /** Up to the partition's append() without an await when the partition is open: what was checked still holds. */
  #appendOne(
    topic: Topic,
    request: ProduceRequest,
    append: PartitionAppend,
  ): Refusal | Promise<LogAppended | Refusal> {
    const slot = topic.slot(append.partition);
    if (slot === null) return unknownPartition(topic.name, append.partition);
    const log = slot.log();
    if (log instanceof Promise)
      return log.then((opened) =>
        "ok" in opened ? opened : this.#appendTo(opened, topic, request, append),
      );
    return "ok" in log ? log : this.#appendTo(log, topic, request, append);
  }

  #appendTo(
    log: PartitionLog,
    topic: Topic,
    request: ProduceRequest,
    append: PartitionAppend,
  ): Refusal | Promise<LogAppended | Refusal> {
    const refusal = this.#checkBatch(topic, append.batch, request.trusted);
    if (refusal !== null) return refusal;
    const { batch, conditions } = append;
    const { acks, idempotency, timeoutMs } = request;
    const { timestampType, minInsyncReplicas } = topic.settings;
    const stampTime = timestampType === "LogAppendTime";
    return log.append({
      batch,
      acks,
      conditions,
      idempotency,
      stampTime,
      minInsyncReplicas,
      timeoutMs,
    });
  }

  /** Corrects a wrong max timestamp in place, as Kafka does. A trusted batch is walked only when a bound is in doubt. */
  #checkBatch(topic: Topic, batch: Slice, trusted: boolean): Refusal | null {
    const now = this.#world.now();
    if (trusted && withinRules(batch.bytes, topic, now)) return null;
    const valid = validateBatch(batch.bytes, rulesOf(topic, now));
    if (!valid.ok) return valid;
    if (valid.maxTimestamp !== valid.header.maxTimestamp)
      stampMaxTimestamp(batch.bytes, 0, valid.maxTimestamp);
    return null;
  }

  #produced(round: Round): Produced[] {
    const { appends, timeoutMs } = round.request;
    return appends.map((append, at) =>
      this.#count(append, round.outcomes[at] ?? timedOut(timeoutMs)),
    );
  }

  /** Named one by one: a spread of the outcome costs four times as much. */
  #count({ partition, batch }: PartitionAppend, outcome: LogAppended | Refusal): Produced {
    if (!outcome.ok) {
      this.counters.refused += 1;
      return { ...outcome, partition };
    }
    this.counters.batches += 1;
    this.counters.bytes += batch.bytes.length;
    return {
      ok: true,
      partition,
      baseOffset: outcome.baseOffset,
      recordCount: outcome.recordCount,
      logAppendTime: outcome.logAppendTime,
      maxTimestamp: outcome.maxTimestamp,
      leaderEpoch: outcome.leaderEpoch,
      logStartOffset: outcome.logStartOffset,
      duplicate: outcome.duplicate,
      idempotencyExpires: outcome.idempotencyExpires,
    };
  }
}

/** The appends of one request until all have settled or its time is over. */
class Round implements Expiring {
  readonly request: ProduceRequest;
  /** Each in its place; null: not settled. */
  readonly outcomes: (LogAppended | Refusal | null)[] = [];
  /** Appends that have not settled. */
  left: number;
  readonly #onEnd: (round: Round) => void;
  #ended = false;

  /** `onEnd` is called once, never within follow(). */
  constructor(request: ProduceRequest, onEnd: (round: Round) => void) {
    this.request = request;
    this.left = request.appends.length;
    this.#onEnd = onEnd;
  }

  follow(at: number, under: Refusal | Promise<LogAppended | Refusal>): void {
    if (under instanceof Promise) {
      this.outcomes.push(null);
      under.then(
        (outcome) => this.#settle(at, outcome),
        (thrown: unknown) => this.#settle(at, refusalOf(thrown)),
      );
      return;
    }
    this.outcomes.push(under);
    this.left -= 1;
  }

  expire(): void {
    this.#ended = true;
    this.#onEnd(this);
  }

  #settle(at: number, outcome: LogAppended | Refusal): void {
    if (this.#ended) return;
    this.outcomes[at] = outcome;
    this.left -= 1;
    if (this.left === 0) this.expire();
  }
}

function rulesOf({ settings }: Topic, now: number): BatchRules {
  return {
    maxMessageBytes: settings.maxMessageBytes,
    decodedBytesMax: limits.decodedBytesMax,
    timestampType: settings.timestampType,
    now,
    timestampBeforeMaxMs: settings.timestampBeforeMaxMs,
    timestampAfterMaxMs: settings.timestampAfterMaxMs,
    compacted: false,
  };
}

/** Whether a batch of our own builder needs no walk: it fits, and no record can be too old or too young. */
function withinRules(bytes: Uint8Array, { settings: rules }: Topic, now: number): boolean {
  if (bytes.length > rules.maxMessageBytes) return false;
  if (rules.timestampType === "LogAppendTime") return true;
  const tooYoung = maxTimestampAt(bytes, 0) > now + rules.timestampAfterMaxMs;
  return !tooYoung && rules.timestampBeforeMaxMs >= now;
}

function timedOut(timeoutMs: number): Refusal {
  const detail = `The append was not acknowledged within ${timeoutMs} ms; it may still be written`;
  return refuse("request_timed_out", detail, { sideEffects: "unknown" });
}
