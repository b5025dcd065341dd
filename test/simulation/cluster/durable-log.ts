// What the disk of one replica holds for certain, as its journal told: the terms of its entries, its term, its vote.
//
// It outlives the process. Promise: a term never falls and a vote of a term never changes (Raft's own memory); what was
// told to be durable is there after a crash, unless a write that was under way may have replaced it. Left to others:
// watching the journal (watch-journal.ts), comparing logs with each other (committed-log.ts).

import type {
  HardState,
  LogEntry,
  ReplicaState,
  ReplicaWrite,
} from "../../../src/journal/journal.ts";
import { hashOf } from "./committed-log.ts";
import { Violation } from "./violation.ts";

/** An entry is known by (index, term): wherever that pair lies, it has this content and this term before it. */
export class EntryIdentities {
  readonly #known = new Map<string, string>();

  check(who: string, entry: LogEntry, previousTerm: number | undefined): void {
    if (previousTerm === undefined) return;
    const key = `${entry.index}/${entry.term}`;
    const value = `${previousTerm}/${hashOf(entry)}`;
    const known = this.#known.get(key);
    if (known === undefined) this.#known.set(key, value);
    else if (known !== value) {
      const detail = `${who} holds another entry ${entry.index} of term ${entry.term} (${value} for ${known})`;
      throw new Violation("log matching", detail);
    }
  }
}

interface Doubt {
  readonly number: number;
  readonly write: ReplicaWrite;
  failed: boolean;
}

export class DurableLog {
  readonly who: string;
  /** Which disk: a replica's identity never moves to another one. */
  readonly lineage: number;
  readonly #identities: EntryIdentities;
  readonly #terms = new Map<number, number>();
  #last = 0;
  #hard: HardState | null = null;
  /** Writes whose outcome is not known: under way, or failed and perhaps there all the same. */
  readonly #doubts: Doubt[] = [];
  #writes = 0;

  constructor(who: string, lineage: number, identities: EntryIdentities) {
    this.who = who;
    this.lineage = lineage;
    this.#identities = identities;
  }

  get lastIndex(): number {
    return this.#last;
  }

  get term(): number {
    return this.#hard?.term ?? 0;
  }

  /** Voted for in `term`; 0 for nobody. */
  get vote(): number {
    return this.#hard?.vote ?? 0;
  }

  /** Undefined when it is not on the disk (or compacted away). */
  termAt(index: number): number | undefined {
    return this.#terms.get(index);
  }

  /** The journal was asked; returns a number for done() or failed(). */
  begin(write: ReplicaWrite): number {
    this.#writes += 1;
    this.#doubts.push({ number: this.#writes, write, failed: false });
    return this.#writes;
  }

  done(number: number): void {
    const at = this.#doubts.findIndex((doubt) => doubt.number === number);
    if (at < 0) return;
    const { write } = this.#doubts[at];
    // A failed commit is overwritten by the next one that succeeds.
    const left = this.#doubts.filter((doubt) => doubt.number > number || !doubt.failed);
    this.#doubts.splice(0, this.#doubts.length, ...left.filter((doubt) => doubt.number !== number));
    if (write.reset !== undefined) this.#reset(write.reset.index - 1, write.reset.prevTerm);
    for (const entry of write.entries ?? []) this.#append(entry);
    if (write.hardState !== undefined) this.#remember(write.hardState);
  }

  failed(number: number): void {
    const doubt = this.#doubts.find((one) => one.number === number);
    if (doubt !== undefined) doubt.failed = true;
  }

  /** A new process found this; damaged rows excuse everything but the vote. */
  recovered(state: ReplicaState, termOf: (index: number) => number | null): void {
    if (state.damage.length === 0) this.#checkRecovered(state, termOf);
    this.#doubts.splice(0);
    this.#terms.clear();
    for (let index = state.logStart.index - 1; index <= state.lastIndex; index += 1) {
      const term = termOf(index);
      if (term !== null) this.#terms.set(index, term);
    }
    this.#last = state.lastIndex;
    this.#hard = state.hardState;
  }

  #checkRecovered(state: ReplicaState, termOf: (index: number) => number | null): void {
    const { term, vote } = state.hardState;
    if (term < this.term || (term === this.term && this.vote !== 0 && vote !== this.vote)) {
      const detail = `${this.who} voted for ${this.vote} in term ${this.term}, after a restart for ${vote} in ${term}`;
      throw new Violation("durable votes", detail);
    }
    const sure = Math.min(this.#last, this.#firstInDoubt() - 1);
    const wanted = this.#terms.get(sure);
    if (sure <= state.logStart.index - 1 || wanted === undefined) return;
    const found = sure > state.lastIndex ? null : termOf(sure);
    if (found !== wanted) {
      const detail = `${this.who} had entry ${sure} of term ${wanted}, after a restart it is ${found ?? "gone"}`;
      throw new Violation("durable entries", detail);
    }
  }

  #firstInDoubt(): number {
    let first = Infinity;
    for (const { write } of this.#doubts) {
      if (write.reset !== undefined) return 0;
      first = Math.min(first, write.entries?.[0]?.index ?? Infinity);
    }
    return first;
  }

  #reset(index: number, term: number): void {
    this.#terms.clear();
    this.#terms.set(index, term);
    this.#last = index;
  }

  #append(entry: LogEntry): void {
    for (let index: number = entry.index; index <= this.#last; index += 1)
      this.#terms.delete(index);
    const previous = entry.index === 1 ? 0 : this.#terms.get(entry.index - 1);
    this.#identities.check(this.who, entry, previous);
    this.#terms.set(entry.index, entry.term);
    this.#last = entry.index;
  }

  #remember(hard: HardState): void {
    if (hard.term < this.term) {
      const detail = `${this.who} wrote term ${hard.term} after term ${this.term}`;
      throw new Violation("durable terms", detail);
    }
    if (hard.term === this.term && this.vote !== 0 && hard.vote !== this.vote) {
      const detail = `${this.who} voted for ${this.vote} and then for ${hard.vote} in term ${hard.term}`;
      throw new Violation("vote uniqueness", detail);
    }
    this.#hard = hard;
  }
}
