// One partition of a topic on this node: a place for its log, which opens on first use.
//
//   closed --use--> opening --ok--> open --topic deleted--> removed
//                      \--fault--> closed (the next use tries again)
//
// Promise: a log is opened once however many ask at the same time; after removal every use is refused with
// unknown_topic_or_partition, and whoever waited is woken. A node with thousands of idle partitions holds none of them.

import { refuse, refusalOf, type Refusal } from "../errors.ts";
import type { ReadConsistency } from "./broker.ts";
import type { LogBounds, PartitionLog, PartitionLogs } from "./partition-log.ts";

/** Bounds of a log that nothing was ever written to. */
export const emptyBounds: LogBounds = {
  logStartOffset: 0,
  highWatermark: 0,
  lastStableOffset: 0,
  logEndOffset: 0,
  leaderEpoch: 0,
};

export class PartitionSlot {
  readonly topic: string;
  readonly partition: number;
  readonly groupId: string;
  readonly #logs: PartitionLogs;
  #log: PartitionLog | null = null;
  #opening: Promise<PartitionLog | Refusal> | null = null;
  #removed = false;
  readonly #wakes = new Set<() => void>();
  #watchers = 0;
  /** Invariant: not null while there are watchers and the log is open. */
  #unwatch: (() => void) | null = null;

  constructor(
    logs: PartitionLogs,
    of: { readonly topic: string; readonly partition: number; readonly groupId: string },
  ) {
    this.#logs = logs;
    this.topic = of.topic;
    this.partition = of.partition;
    this.groupId = of.groupId;
  }

  /** The log if it is open now, else null. */
  get open(): PartitionLog | null {
    return this.#removed ? null : this.#log;
  }

  get removed(): boolean {
    return this.#removed;
  }

  /** The log, opened when need be. Never rejects. Cost when open: nothing. */
  log(): PartitionLog | Refusal | Promise<PartitionLog | Refusal> {
    if (this.#removed) return this.#gone();
    if (this.#log !== null) return this.#log;
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Bounds without opening the log. */
  bounds(consistency?: ReadConsistency): LogBounds {
    return this.#log?.bounds(consistency) ?? this.#logs.peek(this.groupId)?.bounds ?? emptyBounds;
  }

  /** Bounds as the leader tells them; without opening the log when it has never been used and is led here. */
  currentBounds(consistency?: ReadConsistency): LogBounds | Refusal | Promise<LogBounds | Refusal> {
    if (this.#removed) return this.#gone();
    if (this.#log !== null) return this.#log.currentBounds(consistency);
    return this.#logs.peekIsCurrent ? this.bounds() : this.#openForBounds(consistency);
  }

  /** Calls wake when the log has moved or the partition is removed, until the answer is called. */
  onWake(wake: () => void): () => void {
    this.#wakes.add(wake);
    return () => void this.#wakes.delete(wake);
  }

  /** Somebody waits for what onWake() tells, until the answer is called (once). */
  watch(): () => void {
    this.#watchers += 1;
    this.#watchLog();
    return () => {
      this.#watchers -= 1;
      if (this.#watchers > 0) return;
      this.#unwatch?.();
      this.#unwatch = null;
    };
  }

  /** Ends the partition and its log; settles when its bytes are dead. */
  async remove(): Promise<void> {
    this.#removed = true;
    this.#wake();
    await this.#opening;
    this.#unwatch?.();
    this.#unwatch = null;
    await this.#logs.remove(this.groupId);
    this.#log = null;
  }

  async #openForBounds(consistency?: ReadConsistency): Promise<LogBounds | Refusal> {
    const log = await this.log();
    return "ok" in log ? log : await log.currentBounds(consistency);
  }

  async #open(): Promise<PartitionLog | Refusal> {
    try {
      const log = await this.#logs.open(this.groupId);
      if (this.#removed) return this.#gone();
      this.#log = log;
      log.onAdvance(() => this.#wake());
      this.#watchLog();
      return log;
    } catch (thrown) {
      return refusalOf(thrown);
    } finally {
      this.#opening = null;
    }
  }

  #watchLog(): void {
    if (this.#watchers > 0 && this.#log !== null) this.#unwatch ??= this.#log.watch();
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
  }

  #gone(): Refusal {
    return unknownPartition(this.topic, this.partition);
  }
}

/** The refusal for a topic that is not there; its detail names the command that makes it. */
export function unknownTopic(name: string): Refusal {
  const detail = `Unknown topic ${JSON.stringify(name.slice(0, 300))}; create it with: rivulet topics create NAME`;
  return refuse("unknown_topic_or_partition", detail);
}

/** The refusal for a partition that the cluster's metadata does not know, by its group. */
export function unknownGroup(groupId: string): Refusal {
  const detail = `There is no partition ${groupId}: its topic was deleted, or is not known here yet`;
  return refuse("unknown_topic_or_partition", detail);
}

export function unknownPartition(topic: string, partition: number): Refusal {
  return refuse("unknown_topic_or_partition", `Topic ${topic} has no partition ${partition}`);
}
