// Storage in an array: for tests, the simulator and benchmarks. What is written here is "durable" at once.
//
// Promise: the same answers as any Storage, every payload available. The write side is what a host's append thread
// does: hard state, then snapshot or entries. Left to others: losing writes in a crash (the simulator copies it).

import { bug } from "./bug.ts";
import { fitting } from "./entry.ts";
import type { Entries } from "./log.ts";
import type { ConfState, Entry, HardState, Snapshot, Storage } from "./types.ts";

/** The configuration of a node that was not told one yet. */
export const noMembers: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

const nothing: Snapshot = { index: 0, term: 0, confState: noMembers, data: null };

/** A Storage in an array, founded on a snapshot (default: nothing at all). Entries and snapshots are held, not copied. */
export class MemoryStorage<P> implements Storage<P> {
  hardState: HardState | null = null;
  #snapshot: Snapshot;
  /** Index and term of the entry before entries[0]. */
  #previous: { readonly index: number; readonly term: number };
  #entries: Entry<P>[] = [];

  constructor(snapshot: Snapshot = nothing) {
    this.#snapshot = snapshot;
    this.#previous = { index: snapshot.index, term: snapshot.term };
  }

  initialState(): { hardState: HardState | null; confState: ConfState } {
    return { hardState: this.hardState, confState: this.#snapshot.confState };
  }

  firstIndex(): number {
    return this.#previous.index + 1;
  }

  lastIndex(): number {
    return this.#previous.index + this.#entries.length;
  }

  term(index: number): number | null {
    if (index === this.#previous.index) return this.#previous.term;
    return this.#entries[index - this.firstIndex()]?.term ?? null;
  }

  entries(lo: number, end: number, maxBytes: number): Entries<P> {
    const first = this.firstIndex();
    if (lo < first) return "compacted";
    if (end > this.lastIndex() + 1)
      bug(`Cannot read up to ${end}: last index is ${this.lastIndex()}`);
    const range = { start: lo - first, end: end - first };
    return this.#entries.slice(range.start, range.start + fitting(this.#entries, range, maxBytes));
  }

  snapshot(): Snapshot | "unavailable" {
    return this.#snapshot;
  }

  /** Replaces everything at and above entries[0].index. */
  append(entries: readonly Entry<P>[]): void {
    if (entries.length === 0) return;
    const at = entries[0].index - this.firstIndex();
    if (at < 0 || at > this.#entries.length) {
      bug(
        `Cannot append at ${entries[0].index}: log is [${this.firstIndex()}, ${this.lastIndex()}]`,
      );
    }
    this.#entries.length = at;
    for (const entry of entries) this.#entries.push(entry);
  }

  /** The log begins anew after the snapshot. */
  install(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    this.#previous = { index: snapshot.index, term: snapshot.term };
    this.#entries = [];
  }

  /** Remembers a newer snapshot without cutting the log. */
  remember(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
  }

  /** Forgets entries up to `index`; its term stays known. */
  compact(index: number): void {
    const term = this.term(index) ?? bug(`Cannot compact to ${index}: last is ${this.lastIndex()}`);
    this.#entries = this.#entries.slice(index + 1 - this.firstIndex());
    this.#previous = { index, term };
  }
}
