// What the Raft core may ask of stable storage: terms and positions from the journal's state, entries from the window,
// older ones from the journal.
//
//   firstIndex ..................... | window.first ............. lastIndex
//   in the journal                   | with their payload, until they are applied
//   for a peer: read, or "unavailable" and told when it is here
//   for the own fold: without payload (fold-feed.ts reads the journal itself)
//
// Promise: synchronous and O(1) an entry; what a page for a peer holds is held until the messages made of it have been
// handed on (takeHeld). Left to others: how much is read at a time on this node (catch-up.ts), making a snapshot.

import { entryBytes, type RawNode } from "../../raft/index.ts";
import type { ConfState, Entry, HardState, NodeId, Snapshot, Storage } from "../../raft/types.ts";
import { assert } from "../assert.ts";
import { entryKinds, type Journal, type LogEntry, type ReadResult } from "../journal/journal.ts";
import { logIndex, type ReplicaNumber } from "../quantities.ts";
import type { CatchUpReads } from "./catch-up.ts";
import type { EntryWindow } from "./entry-window.ts";
import { decodeChange } from "./membership-change.ts";
import { draftBytes, type Payload } from "./payload.ts";
import type { RecoveredEntries } from "./recovered-entries.ts";

export interface ReplicaStorageParts {
  readonly journal: Journal;
  readonly replica: ReplicaNumber;
  readonly window: EntryWindow;
  readonly recovered: RecoveredEntries;
  readonly hardState: HardState;
  readonly confState: ConfState;
  readonly reads: CatchUpReads;
  /** A leader's snapshot for a follower; "unavailable" while it is being made. */
  readonly snapshot: () => Snapshot | "unavailable";
}

export class ReplicaStorage implements Storage<Payload> {
  readonly #parts: ReplicaStorageParts;
  #held: ReadResult[] = [];
  /** Followers that were sent entries from the disk, and the end of the log at that time. */
  readonly #behind = new Map<NodeId, number>();

  constructor(parts: ReplicaStorageParts) {
    this.#parts = parts;
  }

  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    return { hardState: this.#parts.hardState, confState: this.#parts.confState };
  }

  firstIndex(): number {
    return this.#parts.journal.state(this.#parts.replica).logStart.index;
  }

  lastIndex(): number {
    return this.#parts.journal.state(this.#parts.replica).lastIndex;
  }

  term(index: number): number | null {
    return this.#parts.journal.term(this.#parts.replica, logIndex(index));
  }

  entries(
    lo: number,
    end: number,
    maxBytes: number,
    to: NodeId,
  ): readonly Entry<Payload>[] | "compacted" | "unavailable" {
    if (lo < this.firstIndex()) return "compacted";
    if (to === 0) return this.#forFold(lo, end, maxBytes);
    if (this.#parts.window.at(lo) !== undefined) return this.#fromWindow(lo, end, maxBytes);
    return this.#forPeer(lo, end, maxBytes, to);
  }

  snapshot(): Snapshot | "unavailable" {
    return this.#parts.snapshot();
  }

  /** What messages made until now rest on; the caller releases it when they have been handed on. */
  takeHeld(): readonly ReadResult[] {
    if (this.#held.length === 0) return nothingHeld;
    const held = this.#held;
    this.#held = [];
    return held;
  }

  /** The follower is being caught up from the disk: it has not reached what was the log's end when it was last read for. */
  isBehind(to: NodeId, node: RawNode<Payload>): boolean {
    const until = this.#behind.get(to);
    if (until === undefined) return false;
    if ((node.core.tracker.progress(to)?.match ?? 0) < until) return true;
    this.#behind.delete(to);
    return false;
  }

  #forFold(lo: number, end: number, maxBytes: number): readonly Entry<Payload>[] {
    const page: Entry<Payload>[] = [];
    let bytes = 0;
    for (let index = lo; index < end; index += 1) {
      const entry = this.#parts.window.at(index) ?? this.#recovered(index);
      bytes += entryBytes(entry);
      if (page.length > 0 && bytes > maxBytes) break;
      page.push(entry);
    }
    return page;
  }

  #fromWindow(lo: number, end: number, maxBytes: number): readonly Entry<Payload>[] {
    const page: Entry<Payload>[] = [];
    let bytes = 0;
    for (let index = lo; index < end; index += 1) {
      const entry = this.#parts.window.at(index);
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (page.length > 0 && bytes > maxBytes) break;
      page.push(entry);
    }
    return page;
  }

  #forPeer(
    lo: number,
    end: number,
    maxBytes: number,
    to: NodeId,
  ): readonly Entry<Payload>[] | "unavailable" {
    const { reads, replica } = this.#parts;
    const page = reads.entries({ replica, lo, end, maxBytes, to });
    if (page === "unavailable") {
      this.#behind.set(to, this.lastIndex());
      return "unavailable";
    }
    this.#held.push(page);
    return page.entries.map(entryOf);
  }

  #recovered(index: number): Entry<Payload> {
    const term = this.term(index);
    assert(term !== null, () => `Recovered entry ${index} has no term`);
    const change = this.#parts.recovered.get(index)?.change ?? null;
    const type = change === null ? "normal" : "confChange";
    return { index, term, type, data: null, change, bytes: 0 };
  }
}

const nothingHeld: readonly ReadResult[] = [];

function entryOf(entry: LogEntry): Entry<Payload> {
  const { index, term, kind, meta } = entry;
  const change = kind === entryKinds.config ? decodeChange(meta) : null;
  const type = change === null ? "normal" : "confChange";
  return { index, term, type, data: entry, change, bytes: draftBytes(entry) };
}
