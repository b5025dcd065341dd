// Produce: checks a batch against its topic, stamps the append time, hands it to the partition, waits as `acks` asks.
//
// Promise: each append is judged by itself, in request order; what is refused here left nothing behind; what timed out
// says sideEffects unknown, because it may still commit. Never rejects.
// Left to others: conditions, idempotency, sequences, offsets (the partition), building batches (the doors).

import type { Slice } from "../bytes/slab.ts";
import { refuse, refusalOf, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import { maxTimestampAt, stampLogAppendTime, stampMaxTimestamp } from "../records/batch-layout.ts";
import { validateBatch, type BatchRules } from "../records/batch-validator.ts";
import type { World } from "../world.ts";
import type { Appended, PartitionAppend, ProduceRequest } from "./broker.ts";
import type { LogAppended, PartitionLog } from "./partition-log.ts";
import { unknownPartition, unknownTopic } from "./partition-slot.ts";
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
  readonly counters: ProduceCounters = { requests: 0, batches: 0, bytes: 0, refused: 0 };

  constructor(world: World, topics: Topics) {
    this.#world = world;
    this.#topics = topics;
  }

  async produce(request: ProduceRequest): Promise<readonly Produced[]> {
    this.counters.requests += 1;
    const topic = this.#topics.byName(request.topic);
    const under =
      topic === null
        ? request.appends.map(() => unknownTopic(request.topic))
        : request.appends.map((append) => this.#appendOne(topic, request, append));
    const outcomes = await settleWithin(this.#world, request.timeoutMs, under);
    return outcomes.map((outcome, i) => this.#count(request.appends[i], outcome));
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
    const refusal =
      tooFewReplicas(topic, request) ?? this.#checkBatch(topic, append.batch, request.trusted);
    if (refusal !== null) return refusal;
    const { batch, conditions } = append;
    const { acks, idempotency } = request;
    const logAppendTime = this.#stampTime(topic, batch.bytes);
    return log.append({
      batch,
      acks,
      logAppendTime,
      ...(conditions === undefined ? {} : { conditions }),
      ...(idempotency === undefined ? {} : { idempotency }),
    });
  }

  /** Corrects a wrong max timestamp in place, as Kafka does. A trusted batch is walked only when a bound is in doubt. */
  #checkBatch(topic: Topic, batch: Slice, trusted: boolean): Refusal | null {
    const rules = rulesOf(topic, this.#world.now());
    if (trusted && withinRules(batch.bytes, rules)) return null;
    const valid = validateBatch(batch.bytes, rules);
    if (!valid.ok) return valid;
    if (valid.maxTimestamp !== valid.header.maxTimestamp)
      stampMaxTimestamp(batch.bytes, 0, valid.maxTimestamp);
    return null;
  }

  #stampTime(topic: Topic, bytes: Uint8Array): number {
    if (topic.settings.timestampType !== "LogAppendTime") return -1;
    const now = this.#world.now();
    stampLogAppendTime(bytes, 0, now);
    return now;
  }

  #count(append: PartitionAppend, outcome: LogAppended | Refusal): Produced {
    const { partition, batch } = append;
    if (!outcome.ok) {
      this.counters.refused += 1;
      return { ...outcome, partition };
    }
    this.counters.batches += 1;
    this.counters.bytes += batch.bytes.length;
    return { ...outcome, partition };
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
function withinRules(bytes: Uint8Array, rules: BatchRules): boolean {
  if (bytes.length > rules.maxMessageBytes) return false;
  if (rules.timestampType === "LogAppendTime") return true;
  const tooYoung = maxTimestampAt(bytes, 0) > rules.now + rules.timestampAfterMaxMs;
  return !tooYoung && rules.timestampBeforeMaxMs >= rules.now;
}

/** acks=all wants min.insync.replicas voters; this node has itself. */
function tooFewReplicas(topic: Topic, request: ProduceRequest): Refusal | null {
  const wanted = topic.settings.minInsyncReplicas;
  if (request.acks !== "all" || wanted <= 1) return null;
  const detail = `Cannot append to ${topic.name} with acks=all: min.insync.replicas wants ${wanted} replicas, 1 is in sync`;
  return refuse("not_enough_replicas", detail);
}

/** Each outcome in its place; request_timed_out for what has not settled in time. Cost: one timer. */
function settleWithin(
  world: World,
  timeoutMs: number,
  under: readonly (Refusal | Promise<LogAppended | Refusal>)[],
): Promise<readonly (LogAppended | Refusal)[]> {
  return new Promise((resolve) => {
    const outcomes: (LogAppended | Refusal | null)[] = under.map(() => null);
    let left = under.length;
    const finish = (): void => {
      timer.cancel();
      resolve(outcomes.map((outcome) => outcome ?? timedOut(timeoutMs)));
    };
    const timer = world.setTimer(timeoutMs, finish);
    const settle = (i: number, outcome: LogAppended | Refusal): void => {
      outcomes[i] = outcome;
      left -= 1;
      if (left === 0) finish();
    };
    under.forEach((one, i) => {
      if (one instanceof Promise)
        one.then(
          (outcome) => settle(i, outcome),
          (thrown: unknown) => settle(i, refusalOf(thrown)),
        );
      else settle(i, one);
    });
    if (under.length === 0) finish();
  });
}

function timedOut(timeoutMs: number): Refusal {
  const detail = `The append was not acknowledged within ${timeoutMs} ms; it may still be written`;
  return refuse("request_timed_out", detail, { sideEffects: "unknown" });
}
