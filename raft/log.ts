// The log as the core sees it: stable storage below, the unstable tail above, and how far it is committed and applied.
//
//      1 .. firstIndex-1 | firstIndex ........ unstable.offset ........ lastIndex
//          compacted     |      storage              unstable
//                 applied <= applying <= committed <= lastIndex
//
// Promise: indexes answer at any time; nothing at or below committed is ever replaced; entries to apply are handed out
// once, in order, within a byte budget. Payloads may be away ("unavailable"): then nothing is returned and the one who
// asked waits. Left to others: what is sent to whom.

import { bug } from "./bug.ts";
import { entriesBytes, fitting } from "./entry.ts";
import { noEntries } from "./message.ts";
import type { Entry, Snapshot, Storage } from "./types.ts";
import { Unstable } from "./unstable.ts";

/** Position of an entry: two logs that hold the same id are equal up to it. */
export interface EntryId {
  readonly index: number;
  readonly term: number;
}

export type Entries<P> = readonly Entry<P>[] | "compacted" | "unavailable";

export class Log<P> {
  readonly storage: Storage<P>;
  readonly unstable: Unstable<P>;
  committed: number;
  /** Handed out to be applied. */
  applying: number;
  applied: number;
  readonly #maxApplyingBytes: number;
  /** Committed entries may be applied before they are durable here: only where the caller writes them first anyway. */
  readonly #applyUnstable: boolean;
  #applyingBytes = 0;
  /** The budget is used up: no more until something is applied. */
  #applyingPaused = false;
  /** The storage is reading entries for the state machine. */
  #awaitingEntries = false;

  constructor(
    storage: Storage<P>,
    limits: { readonly maxApplyingBytes: number; readonly applyUnstable: boolean },
  ) {
    this.storage = storage;
    this.unstable = new Unstable(storage.lastIndex() + 1);
    this.#maxApplyingBytes = Math.max(limits.maxApplyingBytes, 1);
    this.#applyUnstable = limits.applyUnstable;
    const compacted = storage.firstIndex() - 1;
    this.committed = compacted;
    this.applying = compacted;
    this.applied = compacted;
  }

  firstIndex(): number {
    const { snapshot } = this.unstable;
    return snapshot === null ? this.storage.firstIndex() : snapshot.index + 1;
  }

  lastIndex(): number {
    return this.unstable.lastIndex() || this.storage.lastIndex();
  }

  /** Term of an index in [firstIndex - 1, lastIndex], null outside. */
  term(index: number): number | null {
    const term = this.unstable.term(index);
    if (term !== null) return term;
    if (index + 1 < this.firstIndex() || index > this.lastIndex()) return null;
    return this.storage.term(index);
  }

  lastTerm(): number {
    const last = this.lastIndex();
    return this.term(last) ?? bug(`Cannot tell the term of the last index ${last}`);
  }

  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Raft's comparison of logs: the later last term wins, then the longer log (paper 5.4.1). */
  isUpToDate(their: EntryId): boolean {
    const term = this.lastTerm();
    return their.term > term || (their.term === term && their.index >= this.lastIndex());
  }

  /** Appends at a leader. Never below committed. */
  append(entries: readonly Entry<P>[]): void {
    const first = entries[0].index;
    if (first <= this.committed) bug(`Cannot replace entry ${first}: committed ${this.committed}`);
    this.unstable.truncateAndAppend(entries);
  }

  /** Appends at a follower: entries that are already there are skipped, the first real conflict truncates. Returns the
   *  last index that now equals the leader's, or null when the entry before them does not match. */
  maybeAppend(
    previous: EntryId,
    entries: readonly Entry<P>[],
    leaderCommit: number,
  ): number | null {
    if (!this.matches(previous.index, previous.term)) return null;
    const last = previous.index + entries.length;
    checkContiguous(previous.index, entries);
    const at = this.#firstMissing(entries);
    if (at < entries.length) this.append(at === 0 ? entries : entries.slice(at));
    // Beyond `last` this log may still hold a stale tail that the leader's commit does not speak of.
    this.commitTo(Math.min(leaderCommit, last));
    return last;
  }

  #firstMissing(entries: readonly Entry<P>[]): number {
    let at = 0;
    while (at < entries.length && this.matches(entries[at].index, entries[at].term)) at++;
    return at;
  }

  /** The last index at or below `index` where another log whose entry at `index` has `term` could still agree with
   *  this one: terms only grow along a log, so it is found by halving. Its term is 0 when it is not known (compacted, or
   *  not here). Cost: O(log n) terms; a walk would hold up the node for a log of millions of entries. */
  findConflictByTerm(index: number, term: number): EntryId {
    if (index > this.lastIndex()) return { index, term: 0 };
    let below = this.firstIndex() - 2; // the last index that is not known
    if (index <= below) return { index, term: 0 };
    let above = index + 1;
    while (above - below > 1) {
      const middle = Math.floor((below + above) / 2);
      const own = this.term(middle) ?? bug(`Cannot tell the term of ${middle}`);
      if (own <= term) below = middle;
      else above = middle;
    }
    return { index: Math.max(0, below), term: this.term(below) ?? 0 };
  }

  commitTo(index: number): void {
    if (index <= this.committed) return;
    const last = this.lastIndex();
    if (index > last) bug(`Cannot commit ${index}: last index is ${last}; was the log shortened?`);
    this.committed = index;
  }

  /** Commits by counting, which is safe for entries of the leader's own term only (paper 5.4.2). */
  maybeCommit(index: number, term: number): boolean {
    if (index <= this.committed || !this.matches(index, term)) return false;
    this.commitTo(index);
    return true;
  }

  /** The next committed entries to apply. */
  nextCommitted(): readonly Entry<P>[] {
    if (!this.hasNextCommitted()) return noEntries;
    const budget = this.#maxApplyingBytes - this.#applyingBytes;
    const entries = this.slice(this.applying + 1, this.#appliable() + 1, budget, 0);
    if (entries === "unavailable") {
      this.#awaitingEntries = true;
      return noEntries;
    }
    if (entries === "compacted") return bug(`Unapplied entry ${this.applying + 1} was compacted`);
    return entries;
  }

  hasNextCommitted(): boolean {
    // A snapshot goes first: what it covers must not be applied on top of the older state.
    if (this.#applyingPaused || this.#awaitingEntries || this.unstable.snapshot !== null) {
      return false;
    }
    return this.applying < this.#appliable();
  }

  #appliable(): number {
    return this.#applyUnstable
      ? this.committed
      : Math.min(this.committed, this.unstable.offset - 1);
  }

  entriesFetched(): void {
    this.#awaitingEntries = false;
  }

  /** A Ready handed out `entries` to be applied. */
  acceptApplying(entries: readonly Entry<P>[]): void {
    const last = entries[entries.length - 1].index;
    if (last > this.committed) bug(`Cannot apply ${last}: committed ${this.committed}`);
    this.applying = last;
    this.#applyingBytes += entriesBytes(entries);
    // A page that ended early ended because the next entry would not have fitted: wait for room.
    this.#applyingPaused =
      this.#applyingBytes >= this.#maxApplyingBytes || last < this.#appliable();
  }

  appliedTo(index: number, bytes: number): void {
    if (index > this.committed || index < this.applied) {
      bug(`Cannot be applied to ${index}: applied ${this.applied}, committed ${this.committed}`);
    }
    this.applied = index;
    this.applying = Math.max(this.applying, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes);
    this.#applyingPaused = this.#applyingBytes >= this.#maxApplyingBytes;
  }

  restore(snapshot: Snapshot): void {
    this.committed = snapshot.index;
    this.unstable.restore(snapshot);
  }

  /** Entries from `from` on, for peer `to`. */
  entriesFrom(from: number, maxBytes: number, to: number): Entries<P> {
    const last = this.lastIndex();
    return from > last ? noEntries : this.slice(from, last + 1, maxBytes, to);
  }

  /** Entries [lo, end) within maxBytes, at least one; stable ones first. */
  slice(lo: number, end: number, maxBytes: number, to: number): Entries<P> {
    if (lo > end || end > this.lastIndex() + 1) {
      bug(`Cannot slice [${lo}, ${end}): log is [${this.firstIndex()}, ${this.lastIndex()}]`);
    }
    if (lo < this.firstIndex()) return "compacted";
    if (lo === end) return noEntries;
    const { offset } = this.unstable;
    if (lo >= offset) return this.#unstableSlice(lo, end, maxBytes);
    const stableEnd = Math.min(end, offset);
    const stable = this.storage.entries(lo, stableEnd, maxBytes, to);
    if (typeof stable === "string" || end <= offset || stable.length < stableEnd - lo) {
      return stable;
    }
    return this.#joined(stable, end, maxBytes);
  }

  #unstableSlice(lo: number, end: number, maxBytes: number): Entry<P>[] {
    const { entries, offset } = this.unstable;
    const count = fitting(entries, { start: lo - offset, end: end - offset }, maxBytes);
    return this.unstable.slice(lo, lo + count);
  }

  /** Stable entries that reached the border, continued by unstable ones as long as the sum fits. */
  #joined(stable: readonly Entry<P>[], end: number, maxBytes: number): readonly Entry<P>[] {
    const left = maxBytes - entriesBytes(stable);
    if (left <= 0) return stable;
    const more = this.#unstableSlice(this.unstable.offset, end, left);
    if (more.length === 1 && entriesBytes(more) > left) return stable;
    return stable.concat(more);
  }
}

/** An append whose entries do not follow one another was mixed up on its way: nothing of it may enter the log. */
function checkContiguous(previous: number, entries: readonly Entry<unknown>[]): void {
  for (let at = 0; at < entries.length; at++) {
    const { index } = entries[at];
    if (index !== previous + 1 + at) bug(`Cannot append ${index}: wanted ${previous + 1 + at}`);
  }
}
