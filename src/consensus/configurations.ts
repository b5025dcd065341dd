// What one replica knows of its group's configuration: the applied one, and the changes that its log holds beyond it.
//
//   applied at `index` | change at 17 (in the log, not applied) | change at 21 ...
//
// Changes take effect when they are applied (raft/membership.ts), so a tail that is cut takes no configuration back; but
// a restart must find the changes that it has to apply, and those that a joining replica must not apply again. Both are
// written with the entries that they speak of, in one transaction. Left to others: applying (raft/), writing.

import type { ConfState, Entry } from "../../raft/types.ts";
import {
  decodeConfiguration,
  encodeConfiguration,
  membersOf,
  participants,
  type KnownConfiguration,
} from "./configuration.ts";
import type { Members } from "./replica.ts";

export class Configurations {
  #known: KnownConfiguration;
  #members: Members;
  /** Differs from what the journal was told last. */
  #dirty: boolean;

  /** `stored`: as the journal has it; null: nothing yet, `born` is what the replica begins with. */
  constructor(stored: Uint8Array | null, born: ConfState) {
    this.#dirty = stored === null;
    this.#known =
      stored === null ? { state: born, index: 0, changes: [] } : decodeConfiguration(stored);
    this.#members = membersOf(this.#known.state);
  }

  get state(): ConfState {
    return this.#known.state;
  }

  /** The change at this index made the state. */
  get index(): number {
    return this.#known.index;
  }

  /** Configuration entries behind it, ascending. */
  get changes(): readonly number[] {
    return this.#known.changes;
  }

  get members(): Members {
    return this.#members;
  }

  /** Nobody has told this replica who takes part. */
  get unknown(): boolean {
    return this.#known.state.voters.length === 0;
  }

  /** This replica is the only participant. */
  isAlone(raftId: number): boolean {
    const { voters, votersOutgoing, learners } = this.#known.state;
    const one = voters.length === 1 && voters[0] === raftId;
    return one && votersOutgoing.length === 0 && learners.length === 0;
  }

  peersOf(raftId: number): number[] {
    return participants(this.#known.state).filter((id) => id !== raftId);
  }

  /** A committed change was applied. */
  applied(index: number, state: ConfState): void {
    this.#become({ state, index, changes: this.changes.filter((at) => at > index) });
  }

  /** The leader told the outcome of every change up to `index`. */
  told(index: number, state: ConfState): void {
    this.applied(index, state);
  }

  /** Entries entered the log; what stood at and above the first of them is gone. Cost without changes: O(entries). */
  appended(entries: readonly Entry<unknown>[]): void {
    const { changes } = this;
    const cuts = changes.length > 0 && changes.at(-1)! >= entries[0].index;
    if (!cuts && !entries.some(isChange)) return;
    const kept = changes.filter((at) => at < entries[0].index);
    const added = entries.filter((entry) => isChange(entry) && entry.index > this.index);
    this.#become({ ...this.#known, changes: [...kept, ...added.map(({ index }) => index)] });
  }

  /** The log ends at `lastIndex` again, as the journal says: changes that it may hold are looked at anew. What is applied
   *  stays applied: it was committed. */
  fellBack(stored: Uint8Array | null, lastIndex: number): void {
    const known = stored === null ? null : decodeConfiguration(stored);
    const both = [...new Set([...this.changes, ...(known?.changes ?? [])])];
    const changes = both.filter((at) => at > this.index && at <= lastIndex);
    this.#become({ ...this.#known, changes: changes.toSorted((a, b) => a - b) });
    this.#dirty = known === null || !equal(known, this.#known);
  }

  /** To go into the next write, null when the journal has been told. */
  toWrite(): Uint8Array | null {
    if (!this.#dirty) return null;
    this.#dirty = false;
    return encodeConfiguration(this.#known);
  }

  /** The write failed. */
  unwritten(): void {
    this.#dirty = true;
  }

  #become(known: KnownConfiguration): void {
    this.#known = known;
    this.#members = membersOf(known.state);
    this.#dirty = true;
  }
}

function isChange({ type }: Entry<unknown>): boolean {
  return type === "confChange";
}

function equal(a: KnownConfiguration, b: KnownConfiguration): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
