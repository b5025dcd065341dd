// What the Raft core may ask of stable storage, answered from memory: the journal's state and the entry window.
//
//   firstIndex ........ recoveredLast | recoveredLast + 1 ...... lastIndex
//   on the disk only: terms by the epoch table, payloads null    in the window until applied
//
// Promise: synchronous and O(1) an entry. Entries that were recovered come without payload: the core needs only their
// index and term, and the state machine reads them from the journal (fold-feed.ts). Left to others: peers that lag (a
// sole voter has none).

import { entryBytes } from "../../raft/index.ts";
import type { ConfState, Entry, HardState, NodeId, Snapshot, Storage } from "../../raft/types.ts";
import { assert } from "../assert.ts";
import type { Journal } from "../journal/journal.ts";
import { logIndex, type ReplicaNumber } from "../quantities.ts";
import type { EntryWindow } from "./entry-window.ts";
import type { Payload } from "./payload.ts";

export interface ReplicaStorageParts {
  readonly journal: Journal;
  readonly replica: ReplicaNumber;
  readonly window: EntryWindow;
  readonly hardState: HardState;
  readonly confState: ConfState;
}

export class ReplicaStorage implements Storage<Payload> {
  readonly #parts: ReplicaStorageParts;
  readonly #recoveredLast: number;

  constructor(parts: ReplicaStorageParts) {
    this.#parts = parts;
    this.#recoveredLast = this.lastIndex();
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

  entries(lo: number, end: number, maxBytes: number, to: NodeId): readonly Entry<Payload>[] {
    assert(to === 0, () => `A sole voter sends no entries, wanted by node ${to}`);
    const page: Entry<Payload>[] = [];
    let bytes = 0;
    for (let index = lo; index < end; index += 1) {
      const entry = index <= this.#recoveredLast ? this.#recovered(index) : this.#inWindow(index);
      bytes += entryBytes(entry);
      if (page.length > 0 && bytes > maxBytes) break;
      page.push(entry);
    }
    return page;
  }

  snapshot(): Snapshot | "unavailable" {
    return "unavailable";
  }

  #recovered(index: number): Entry<Payload> {
    const term = this.term(index);
    assert(term !== null, () => `Recovered entry ${index} has no term`);
    return { index, term, type: "normal", data: null, change: null, bytes: 0 };
  }

  #inWindow(index: number): Entry<Payload> {
    const entry = this.#parts.window.at(index);
    assert(
      entry !== undefined,
      () => `Entry ${index} must be in the window, which begins at ${this.#parts.window.first}`,
    );
    return entry;
  }
}
