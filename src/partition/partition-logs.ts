// The partitions of a node by group id: opened on first use, looked at without opening, ended.
//
// Promise: what peek() tells of a partition that nobody opened is what opening it would show, from the journal's state
// alone. Left to others: which partitions there should be (broker).

import type { Birth, ReplicaHost } from "../consensus/replica.ts";
import type { SlabPool } from "../bytes/slab.ts";
import type { Journal, ReplicaState } from "../journal/journal.ts";
import { logIndex } from "../quantities.ts";
import {
  createPartition,
  openPartition,
  type Keep,
  type Partition,
  type PartitionBounds,
} from "./partition.ts";

/** The controller's group is a replica, but no partition. */
const controllerGroupId = "controller";

export interface PartitionLogsOptions {
  readonly host: ReplicaHost;
  readonly journal: Journal;
  readonly slabs: SlabPool;
}

export class PartitionLogs {
  readonly #options: PartitionLogsOptions;
  /** States of the partitions that the journal holds; the journal keeps each current. */
  readonly #numbers = new Map<string, ReplicaState["replica"]>();
  readonly #open = new Map<string, Partition>();

  constructor(options: PartitionLogsOptions) {
    this.#options = options;
    for (const { groupId, replica } of options.journal.replicas()) {
      if (groupId !== controllerGroupId) this.#numbers.set(groupId, replica);
    }
  }

  /** The partition; an empty one is created when the journal has none (without `birth`, this node is its only voter).
   *  Called once until remove(). Rejects with storage_damaged when acknowledged entries are gone. */
  async open(groupId: string, birth?: Birth): Promise<Partition> {
    const options = { ...this.#options, groupId };
    const known = this.#numbers.has(groupId);
    const partition = known ? await openPartition(options) : createPartition(options, birth);
    this.#numbers.set(groupId, partition.number);
    this.#open.set(groupId, partition);
    return partition;
  }

  /** Null when the journal holds no such partition. Cost: a few map look-ups. */
  peek(groupId: string): { readonly bounds: PartitionBounds; readonly bytes: number } | null {
    const number = this.#numbers.get(groupId);
    if (number === undefined) return null;
    const { journal } = this.#options;
    const bounds = this.#open.get(groupId)?.bounds() ?? boundsOf(journal.state(number));
    return { bounds, bytes: journal.liveBytes(number) };
  }

  /** Whether retention would drop anything. */
  async retentionDue(groupId: string, keep: Keep): Promise<boolean> {
    const number = this.#numbers.get(groupId);
    if (number === undefined) return false;
    const { journal } = this.#options;
    const endIndex = logIndex(journal.state(number).lastIndex + 1);
    return (await journal.retentionPoint(number, keep, endIndex)) !== null;
  }

  /** Of the partitions that the journal holds. */
  groupIds(): Iterable<string> {
    return this.#numbers.keys();
  }

  /** Which incarnation the journal holds; null for none. */
  incarnationOf(groupId: string): number | null {
    const number = this.#numbers.get(groupId);
    return number === undefined ? null : this.#options.journal.state(number).incarnation;
  }

  /** Ends the partition, open or not: its bytes are dead once this settles. */
  async remove(groupId: string): Promise<void> {
    this.#open.delete(groupId);
    if (!this.#numbers.delete(groupId)) return;
    await this.#options.host.remove(groupId);
  }
}

/** A sole voter commits all that its log holds as soon as it leads, so the log's end is where a reader will get. */
function boundsOf(state: ReplicaState): PartitionBounds {
  const { logStart, nextOffset, lastTerm } = state;
  return {
    logStartOffset: logStart.offset,
    highWatermark: nextOffset,
    lastStableOffset: nextOffset,
    logEndOffset: nextOffset,
    leaderEpoch: lastTerm,
  };
}
