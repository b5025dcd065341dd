// Where a leader takes the snapshot from that a follower needs whose entries are gone (partition-snapshot.ts).
//
// Promise: synchronous; "unavailable" while the fold is not loaded or the first entry's offset is being read, which the
// core asks for again at the follower's next sign of life. Left to others: sending it, reporting how that went.

import type { Snapshot } from "../../raft/types.ts";
import type { Journal } from "../journal/journal.ts";
import { logIndex, type ReplicaNumber } from "../quantities.ts";
import type { DurableLog } from "./durable-log.ts";
import { encodePartitionSnapshot } from "./partition-snapshot.ts";

export class SnapshotSource {
  readonly #journal: Journal;
  readonly #replica: ReplicaNumber;
  readonly #log: DurableLog;
  /** Base offset of the entry at this index, once it was read. */
  #first: { readonly index: number; readonly baseOffset: number } | null = null;
  #reading = false;

  constructor(journal: Journal, replica: ReplicaNumber, log: DurableLog) {
    this.#journal = journal;
    this.#replica = replica;
    this.#log = log;
  }

  take(): Snapshot | "unavailable" {
    const { feed, configurations, starts, positions } = this.#log;
    const { logStart } = this.#journal.state(this.#replica);
    if (!feed.loaded) {
      feed.load(() => positions.commitIndex).catch(() => undefined);
      return "unavailable";
    }
    const baseOffset = this.#baseOffset(logStart.index);
    if (baseOffset === null) return "unavailable";
    const data = encodePartitionSnapshot({
      foldIndex: feed.applied,
      configurationIndex: configurations.index,
      baseOffset,
      envelope: feed.snapshot(starts.current),
    });
    const { state: confState } = configurations;
    return { index: logStart.index - 1, term: logStart.prevTerm, confState, data };
  }

  #baseOffset(index: number): number | null {
    const { lastIndex, nextOffset } = this.#journal.state(this.#replica);
    if (index > lastIndex) return nextOffset;
    if (this.#first?.index === index) return this.#first.baseOffset;
    if (!this.#reading) void this.#read(index);
    return null;
  }

  async #read(index: number): Promise<void> {
    this.#reading = true;
    try {
      const page = await this.#journal.read({
        replica: this.#replica,
        from: { index: logIndex(index) },
        endIndex: logIndex(index + 1),
        maxBytes: 1,
        dataOnly: false,
      });
      const [entry] = page.entries;
      if (entry !== undefined) this.#first = { index, baseOffset: entry.baseOffset };
      page.release();
    } catch {
      // Trimmed or damaged meanwhile: asked again with the follower's next sign of life.
    } finally {
      this.#reading = false;
    }
  }
}
