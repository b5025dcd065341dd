// Retention: drops the oldest entries of every partition by age and size, and tidies up after deleted topics.
//
// Promise: one round at a time; a partition that has nothing to drop is not even opened; a failed partition does not
// stop the round. Kafka's rule of age: an entry goes when its youngest record is older than retention.ms.
// Left to others: where to cut (the journal), freeing files (the janitor).

import type { BrokerSettings } from "../cluster/broker-settings.ts";
import type { Controller } from "../cluster/controller.ts";
import type { Journal } from "../journal/journal.ts";
import type { Timer, World } from "../world.ts";
import type { Keep, PartitionLogs } from "./partition-log.ts";
import type { Topic, Topics } from "./topics.ts";

export interface RetentionParts {
  readonly world: World;
  readonly settings: BrokerSettings;
  readonly controller: Controller;
  readonly topics: Topics;
  readonly logs: PartitionLogs;
  readonly journal: Journal;
  readonly nodeId: number;
}

export class Retention {
  readonly #parts: RetentionParts;
  #timer: Timer | null = null;
  #round: Promise<void> | null = null;
  #stopped = false;
  rounds = 0;
  /** Partitions that could not be looked at or cut. */
  failures = 0;

  constructor(parts: RetentionParts) {
    this.#parts = parts;
  }

  /** Begins the rounds; the first one comes after one interval, so that a start stays fast. */
  start(): void {
    if (this.#stopped) return;
    const { world, settings } = this.#parts;
    this.#timer = world.setTimer(settings.retentionCheckMs, () => {
      void this.run().then(() => this.start());
    });
  }

  /** One round, or the one that is under way. Never rejects. */
  run(): Promise<void> {
    this.#round ??= this.#runOnce().finally(() => {
      this.#round = null;
    });
    return this.#round;
  }

  /** Ends the rounds; settles when none is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#round;
  }

  async #runOnce(): Promise<void> {
    const { topics } = this.#parts;
    for (const name of topics.names()) {
      const topic = topics.byName(name);
      if (this.#stopped) return;
      if (topic !== null) await this.#cutTopic(topic);
    }
    await forgetDropped(this.#parts);
    this.rounds += 1;
  }

  async #cutTopic(topic: Topic): Promise<void> {
    for (let partition = 0; partition < topic.partitions; partition += 1) {
      // The settings may change between two partitions: each takes the newest.
      const keep = keepOf(topic, this.#parts.world.now());
      if (keep === null || topic.deleted || this.#stopped) return;
      if (topic.bytes(partition) > 0 && !(await this.#cut(topic, partition, keep)))
        this.failures += 1;
    }
  }

  /** False when the partition could not be cut. */
  async #cut(topic: Topic, partition: number, keep: Keep): Promise<boolean> {
    try {
      if (!(await this.#parts.logs.retentionDue(topic.groupId(partition), keep))) return true;
      const log = await topic.slot(partition)?.log();
      if (log === undefined || "ok" in log) return topic.deleted;
      const cut = await log.applyRetention(keep);
      return cut.ok || topic.deleted;
    } catch {
      // The disk's fault shows in the journal's health; the next round tries again.
      return topic.deleted;
    }
  }
}

function keepOf(topic: Topic, now: number): Keep | null {
  const { deletes, retentionMs, retentionBytes } = topic.settings;
  if (!deletes || (retentionMs === null && retentionBytes === null)) return null;
  return {
    timestampMin: retentionMs === null ? null : now - retentionMs,
    bytesMax: retentionBytes,
  };
}

/** Lets the controller forget deleted topics of which this node's journal holds nothing any more; the last node that held
 *  some ends the record. */
async function forgetDropped({ controller, journal, nodeId }: RetentionParts): Promise<void> {
  const { deleted } = controller.state;
  if (deleted.size === 0) return;
  const held = new Set<string>();
  for (const { groupId } of journal.replicas()) held.add(topicIdOf(groupId));
  const topicIds = [...deleted.values()]
    .filter(({ holders }) => holders.includes(nodeId) || holders.length === 0)
    .map(({ topicId }) => topicId)
    .filter((topicId) => !held.has(topicId));
  if (topicIds.length > 0) await controller.submit({ kind: "forgetTopics", topicIds, nodeId });
}

/** "<topicId>/<partition>" -> topicId. */
function topicIdOf(groupId: string): string {
  return groupId.slice(0, Math.max(0, groupId.lastIndexOf("/")));
}
