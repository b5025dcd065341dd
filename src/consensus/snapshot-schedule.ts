// When the folds of a node are saved, so that a restart replays little.
//
//   node's log   ....|r7......|r2...|r7..|r2.........|now
//                     ^ r7's replay begins here: saved when it reaches back further than the bound
//
// Promise: a replica is due when its own replay exceeds 8 MiB (or four times its last snapshot, so that large folds are
// not written more than their log), or when its first unsaved entry lies further back in the node's log than the bound
// (DESIGN section 4: replay never reaches beyond two files). Left to others: saving.

import type { LogEntry } from "../journal/journal.ts";
import { limits } from "../limits.ts";
import type { ReplicaNumber } from "../quantities.ts";

/** Cost of an entry beside its batch, in bytes of equal replay time. */
const entryCostBytes = 512;
const replayBytesMax = 8 * 1024 * 1024;
/** Half a file less than two files: saving takes a while itself. */
const nodeReplayBytesMax = 1.5 * limits.fileBytesMax;
const snapshotRatio = 4;

interface Unsaved {
  /** The node's position when its first unsaved entry was written. */
  readonly since: number;
  bytes: number;
}

export class SnapshotSchedule {
  /** In order of `since`. */
  readonly #unsaved = new Map<ReplicaNumber, Unsaved>();
  readonly #snapshotBytes = new Map<ReplicaNumber, number>();
  readonly #large = new Set<ReplicaNumber>();
  #position = 0;

  /** Found at start with entries behind its snapshot. */
  recovered(replica: ReplicaNumber): void {
    this.#unsaved.set(replica, { since: 0, bytes: 0 });
  }

  wrote(replica: ReplicaNumber, entries: readonly LogEntry[]): void {
    let bytes = 0;
    for (const entry of entries) bytes += entryCostBytes + (entry.batch?.bytes.length ?? 0);
    let unsaved = this.#unsaved.get(replica);
    if (unsaved === undefined) {
      unsaved = { since: this.#position, bytes: 0 };
      this.#unsaved.set(replica, unsaved);
    }
    unsaved.bytes += bytes;
    this.#position += bytes;
    const ownMax = Math.max(
      replayBytesMax,
      snapshotRatio * (this.#snapshotBytes.get(replica) ?? 0),
    );
    if (unsaved.bytes > ownMax) this.#large.add(replica);
  }

  /** A snapshot of this size is being written; what comes from now on is unsaved again. */
  saving(replica: ReplicaNumber, bytes: number): void {
    this.#unsaved.delete(replica);
    this.#large.delete(replica);
    this.#snapshotBytes.set(replica, bytes);
  }

  forget(replica: ReplicaNumber): void {
    this.#unsaved.delete(replica);
    this.#large.delete(replica);
    this.#snapshotBytes.delete(replica);
  }

  /** One replica to be saved now, or null. Cost: O(1). */
  due(): ReplicaNumber | null {
    const large = this.#large.values().next();
    if (large.done !== true) return large.value;
    const oldest = this.#unsaved.entries().next();
    if (oldest.done === true) return null;
    const [replica, { since }] = oldest.value;
    return this.#position - since > nodeReplayBytesMax ? replica : null;
  }
}
