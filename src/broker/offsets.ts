// Offsets: where a log begins and ends, which record is the first of a time, and moving the log start.
//
// Promise: one refusal a partition, none for another's sake; a look-up by time answers the exact record, the first in
// offset order whose timestamp is not below the one asked for. Left to others: finding it (the partition).

import { refuse, refusalOf, type Refusal } from "../errors.ts";
import type { FoundOffset, OffsetSpec, PartitionBounds, ReadConsistency } from "./broker.ts";
import type { GroupReports, LogBounds, PartitionLog, PartitionLogs } from "./partition-log.ts";
import { unknownPartition, unknownTopic } from "./partition-slot.ts";
import type { Topic, Topics } from "./topics.ts";

export interface WantedOffset {
  readonly partition: number;
  readonly at: OffsetSpec;
}

export type Found = FoundOffset | (Refusal & { readonly partition: number });

export class Offsets {
  readonly #topics: Topics;
  readonly #logs: PartitionLogs;

  constructor(topics: Topics, logs: PartitionLogs) {
    this.#topics = topics;
    this.#logs = logs;
  }

  async list(
    name: string,
    wanted: readonly WantedOffset[],
    consistency: ReadConsistency = "leader",
  ): Promise<readonly Found[] | Refusal> {
    const topic = this.#topics.byName(name);
    if (topic === null) return unknownTopic(name);
    return await Promise.all(wanted.map((one) => find(topic, one, consistency)));
  }

  bounds(name: string, partitions: readonly number[] = []): readonly PartitionBounds[] | Refusal {
    const topic = this.#topics.byName(name);
    if (topic === null) return unknownTopic(name);
    return wantedOf(topic, partitions).map((one) => boundsOf(one, topic.bounds(one)));
  }

  /** As the leaders tell them; the value itself when this node leads all of them. */
  currentBounds(
    name: string,
    partitions: readonly number[] = [],
  ): readonly PartitionBounds[] | Refusal | Promise<readonly PartitionBounds[] | Refusal> {
    const topic = this.#topics.byName(name);
    if (topic === null) return unknownTopic(name);
    if (this.#logs.peekIsCurrent) return this.bounds(name, partitions);
    const wanted = wantedOf(topic, partitions);
    const told = this.#logs.reports(wanted.map((one) => topic.groupId(one)));
    if (told instanceof Promise || told.size < wanted.length)
      return askLeaders(topic, wanted, told);
    return wanted.map((one) => boundsOf(one, told.get(topic.groupId(one))!.bounds));
  }

  async deleteRecords(
    name: string,
    partition: number,
    before: number,
  ): Promise<{ readonly ok: true; readonly logStartOffset: number } | Refusal> {
    const topic = this.#topics.byName(name);
    if (topic === null) return unknownTopic(name);
    if (!Number.isSafeInteger(before) || before < -1)
      return refuse(
        "offset_out_of_range",
        `Cannot delete records: an offset or -1 is wanted, got ${before}`,
      );
    const log = await (topic.slot(partition)?.log() ?? unknownPartition(name, partition));
    if ("ok" in log) return log;
    try {
      return await log.deleteRecords(before);
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }
}

/** In order of partition; none named: all. */
function wantedOf(topic: Topic, partitions: readonly number[]): readonly number[] {
  const count = topic.partitions;
  if (partitions.length === 0) return Array.from({ length: count }, (_, partition) => partition);
  return partitions.filter((one) => one < count).sort((a, b) => a - b);
}

function boundsOf(partition: number, bounds: LogBounds): PartitionBounds {
  const { logStartOffset, highWatermark, logEndOffset, lastStableOffset } = bounds;
  return { partition, logStartOffset, highWatermark, logEndOffset, lastStableOffset };
}

/** All bounds, or the first refusal. A leader that could not be asked in passing is looked for by the partition's log. */
async function askLeaders(
  topic: Topic,
  wanted: readonly number[],
  telling: GroupReports | Promise<GroupReports>,
): Promise<readonly PartitionBounds[] | Refusal> {
  const told = await telling;
  const found = await Promise.all(
    wanted.map(async (one) => told.get(topic.groupId(one))?.bounds ?? (await askLog(topic, one))),
  );
  const bounds: PartitionBounds[] = [];
  for (const [i, one] of found.entries()) {
    if ("ok" in one) return one;
    bounds.push(boundsOf(wanted[i], one));
  }
  return bounds;
}

async function askLog(topic: Topic, partition: number): Promise<LogBounds | Refusal> {
  const slot = topic.slot(partition);
  return slot === null ? unknownPartition(topic.name, partition) : await slot.currentBounds();
}

async function find(
  topic: Topic,
  { partition, at }: WantedOffset,
  consistency: ReadConsistency,
): Promise<Found> {
  const slot = topic.slot(partition);
  if (slot === null) return { ...unknownPartition(topic.name, partition), partition };
  if (typeof at === "object") {
    const log = await slot.log();
    if ("ok" in log) return { ...log, partition };
    return await findTimestamp(log, partition, { timestamp: at.timestamp, consistency });
  }
  const bounds = await slot.currentBounds(consistency);
  if ("ok" in bounds) return { ...bounds, partition };
  const { logStartOffset, lastStableOffset, leaderEpoch } = bounds;
  const offset = at === "earliest" ? logStartOffset : lastStableOffset;
  return { ok: true, partition, offset, timestamp: -1, leaderEpoch };
}

async function findTimestamp(
  log: PartitionLog,
  partition: number,
  wanted: { readonly timestamp: number; readonly consistency: ReadConsistency },
): Promise<Found> {
  try {
    const found = await log.offsetForTimestamp(wanted.timestamp, wanted.consistency);
    if (found !== null && "ok" in found) return { ...found, partition };
    const { leaderEpoch } = log.bounds(wanted.consistency);
    const { offset, timestamp: at } = found ?? { offset: -1, timestamp: -1 };
    return { ok: true, partition, offset, timestamp: at, leaderEpoch };
  } catch (thrown) {
    return { ...refusalOf(thrown), partition };
  }
}
