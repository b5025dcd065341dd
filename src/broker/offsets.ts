// Offsets: where a log begins and ends, which record is the first of a time, and moving the log start.
//
// Promise: one refusal a partition, none for another's sake; a look-up by time answers the exact record, the first in
// offset order whose timestamp is not below the one asked for. Left to others: finding it (the partition).

import { refuse, refusalOf, type Refusal } from "../errors.ts";
import type { FoundOffset, OffsetSpec, PartitionBounds } from "./broker.ts";
import type { PartitionLog } from "./partition-log.ts";
import { unknownPartition, unknownTopic } from "./partition-slot.ts";
import type { Topic, Topics } from "./topics.ts";

export interface WantedOffset {
  readonly partition: number;
  readonly at: OffsetSpec;
}

export type Found = FoundOffset | (Refusal & { readonly partition: number });

export class Offsets {
  readonly #topics: Topics;

  constructor(topics: Topics) {
    this.#topics = topics;
  }

  async list(name: string, wanted: readonly WantedOffset[]): Promise<readonly Found[] | Refusal> {
    const topic = this.#topics.byName(name);
    if (topic === null) return unknownTopic(name);
    return await Promise.all(wanted.map((one) => find(topic, one)));
  }

  bounds(name: string, partitions: readonly number[] = []): readonly PartitionBounds[] | Refusal {
    const topic = this.#topics.byName(name);
    if (topic === null) return unknownTopic(name);
    const count = topic.state.assignments.length;
    const wanted =
      partitions.length === 0
        ? Array.from({ length: count }, (_, partition) => partition)
        : partitions.filter((one) => one < count).sort((a, b) => a - b);
    return wanted.map((partition) => {
      const { logStartOffset, highWatermark, logEndOffset, lastStableOffset } =
        topic.bounds(partition);
      return { partition, logStartOffset, highWatermark, logEndOffset, lastStableOffset };
    });
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

async function find(topic: Topic, { partition, at }: WantedOffset): Promise<Found> {
  const slot = topic.slot(partition);
  if (slot === null) return { ...unknownPartition(topic.name, partition), partition };
  if (typeof at === "object") {
    const log = await slot.log();
    if ("ok" in log) return { ...log, partition };
    return await findTimestamp(log, partition, at.timestamp);
  }
  const { logStartOffset, lastStableOffset, leaderEpoch } = slot.bounds();
  const offset = at === "earliest" ? logStartOffset : lastStableOffset;
  return { ok: true, partition, offset, timestamp: -1, leaderEpoch };
}

async function findTimestamp(
  log: PartitionLog,
  partition: number,
  timestamp: number,
): Promise<Found> {
  try {
    const found = await log.offsetForTimestamp(timestamp);
    if (found !== null && "ok" in found) return { ...found, partition };
    const { leaderEpoch } = log.bounds();
    const { offset, timestamp: at } = found ?? { offset: -1, timestamp: -1 };
    return { ok: true, partition, offset, timestamp: at, leaderEpoch };
  } catch (thrown) {
    return { ...refusalOf(thrown), partition };
  }
}
