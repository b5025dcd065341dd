// One run of a replica's Raft core: from the journal's state until a write fails or the replica ends.
//
// Promise: every batch that a peer sent is held once, from its decoding until the window takes it over or its entry turns
// out not to be wanted; messages made of stored entries are handed on before those are let go. Left to others: doing
// what the core asks for (durable-log.ts, hosted-replica.ts).

import { RawNode } from "../../raft/index.ts";
import type { Entry, Message, OwnEntry } from "../../raft/types.ts";
import { EntryWindow } from "./entry-window.ts";
import type { Payload } from "./payload.ts";
import type { CatchUpReads } from "./catch-up.ts";
import type { RecoveredEntries } from "./recovered-entries.ts";
import { ReplicaStorage, type ReplicaStorageParts } from "./replica-storage.ts";

/** Appends under way to one follower: more than a few only wait in a queue. */
const inflightMessagesMax = 128;
const inflightBytesMax = 8 * 1024 * 1024;

export interface CoreRunParts extends Omit<ReplicaStorageParts, "window"> {
  readonly raftId: number;
  readonly seed: number;
  /** Last index that was applied. */
  readonly applied: number;
  readonly ownData: (entry: OwnEntry) => Payload;
  /** The node's count of what leaders sent and is not durable. */
  readonly received: { bytes: number };
}

export class CoreRun {
  readonly node: RawNode<Payload>;
  readonly storage: ReplicaStorage;
  readonly recovered: RecoveredEntries;
  /** Proposed or received, not applied: its holds are the run's. */
  readonly window = new EntryWindow();
  readonly #reads: CatchUpReads;
  /** Entries of peers that the core may or may not have taken into its log. */
  readonly #received = new Set<Entry<Payload>>();
  readonly #count: { bytes: number };
  /** Of the count: stepped, not handed to the journal yet. */
  #steppedBytes = 0;

  constructor(parts: CoreRunParts) {
    const { raftId, seed, applied, ownData, recovered, reads } = parts;
    this.#count = parts.received;
    this.recovered = recovered;
    this.#reads = reads;
    this.storage = new ReplicaStorage({ ...parts, window: this.window });
    const limits = {
      maxInflightMessages: inflightMessagesMax,
      maxInflightBytes: inflightBytesMax,
    };
    this.node = new RawNode({ id: raftId, seed, applied, ownData, ...limits }, this.storage);
  }

  /** A peer's message; its entries' holds pass to the run. Throws RaftBug. */
  step(message: Message<Payload>): void {
    for (const entry of message.entries) {
      this.#received.add(entry);
      this.#steppedBytes += entry.bytes;
      this.#count.bytes += entry.bytes;
    }
    this.node.step(message);
  }

  /** True once for each entry that came from a peer: its hold passes to the caller. */
  takeReceived(entry: Entry<Payload>): boolean {
    return this.#received.delete(entry);
  }

  /** After everything that the core took was taken: the rest is not wanted. */
  releaseReceived(): void {
    this.#count.bytes -= this.#steppedBytes;
    this.#steppedBytes = 0;
    if (this.#received.size === 0) return;
    releaseBatches(this.#received);
    this.#received.clear();
  }

  /** The number of a read request; null: nobody can be asked now. */
  askRead(): number | null {
    const asked = this.node.readIndex();
    return asked.ok ? asked.request : null;
  }

  /** No leader is to be waited for: no effect on one that leads. */
  takeOver(): void {
    this.node.forgetLeader();
    this.node.campaign();
  }

  end(): void {
    this.releaseReceived();
    for (const page of this.storage.takeHeld()) page.release();
    this.#reads.end();
    this.window.dropFrom(0);
  }
}

export function releaseBatches(entries: Iterable<Entry<Payload>>): void {
  for (const { data } of entries) data?.batch?.release();
}
