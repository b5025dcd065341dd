// Where one replica's log starts, and how that moves.
//
//   log-start entry committed --> machine's state durable at or beyond it --> journal.trim() --> durable --> told
//
// Promise: the log is cut only below a durable snapshot of the fold; who asked hears of it when a restart cannot bring
// the records back. Left to others: where it should start (partition), which files that frees (journal).

import { refusalOf, type Refusal } from "../errors.ts";
import type { Journal, LogStart } from "../journal/journal.ts";
import { logIndex, offset, type LogIndex, type Offset, type ReplicaNumber } from "../quantities.ts";
import { logStartDraft } from "./payload.ts";
import type { EntryDraft } from "./replica.ts";

type Outcome = Refusal | { readonly ok: true };

interface Waiter {
  readonly index: LogIndex;
  readonly resolve: (outcome: Outcome) => void;
}

export class LogStarts {
  readonly #journal: Journal;
  readonly #replica: ReplicaNumber;
  /** Makes the machine's state and the commit index durable, at its applied index. */
  readonly #save: () => Promise<LogIndex>;
  readonly #committed: () => LogIndex;
  #current: LogStart;
  /** Index of the newest log-start entry that was applied. */
  #appliedAt = logIndex(0);
  #cutting = false;
  #waiters: Waiter[] = [];

  constructor(
    journal: Journal,
    replica: ReplicaNumber,
    of: { readonly save: () => Promise<LogIndex>; readonly committed: () => LogIndex },
  ) {
    this.#journal = journal;
    this.#replica = replica;
    this.#save = of.save;
    this.#committed = of.committed;
    this.#current = journal.state(replica).logStart;
  }

  static draft(start: LogStart, baseOffset: Offset): EntryDraft {
    return logStartDraft(start, baseOffset);
  }

  /** The newest applied log start. Neither its index nor its offset ever falls. */
  get current(): LogStart {
    return this.#current;
  }

  /** The journal's log begins there. */
  found(start: LogStart): void {
    if (start.index > this.#current.index) this.#current = start;
  }

  /** A log-start entry was applied at `index`, or a snapshot of that index held it. */
  applied(start: LogStart, index: LogIndex): void {
    const { current } = this;
    const further = start.index > current.index ? start : current;
    this.#current = { ...further, offset: offset(Math.max(start.offset, current.offset)) };
    this.#appliedAt = index;
  }

  /** Settles when the entry at `index` was applied and the journal's own start is durable. */
  waitFor(index: LogIndex): Promise<Outcome> {
    return new Promise((resolve) => void this.#waiters.push({ index, resolve }));
  }

  /** Settles when the newest applied start is durable: what was applied may still wait for the disk, and a second request
   *  for the same start must not hear of it before the first (simulator, seed 283). */
  async settled(): Promise<Outcome> {
    if (this.#cutting || this.#behind()) {
      const told = this.waitFor(this.#appliedAt);
      this.cut();
      return told;
    }
    try {
      await this.#journal.trim(this.#replica, this.#current);
      return { ok: true };
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  /** Brings the journal up to the newest applied start. Called after each apply; cost when there is nothing: O(1). */
  cut(): void {
    if (this.#cutting || !this.#behind()) {
      if (!this.#cutting) this.#answer({ ok: true });
      return;
    }
    this.#cutting = true;
    this.#cutOnce()
      .then(
        () => this.#answer({ ok: true }),
        (error: unknown) => this.#answer(refusalOf(error)),
      )
      .finally(() => (this.#cutting = false));
  }

  /** The replica lost its tail or ended: the outcome of pending requests is not known. */
  lost(refusal: Refusal): void {
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(refusal);
  }

  /** A start that a leader's snapshot told may lie beyond what is committed here so far: it waits for the entries. */
  #behind(): boolean {
    const { logStart } = this.#journal.state(this.#replica);
    if (this.#current.index > this.#committed() + 1) return false;
    return logStart.index < this.#current.index || logStart.offset < this.#current.offset;
  }

  async #cutOnce(): Promise<void> {
    while (this.#behind()) {
      const start = this.#current;
      await this.#save();
      await this.#journal.trim(this.#replica, start);
    }
  }

  #answer(outcome: Outcome): void {
    const waiting = this.#waiters;
    this.#waiters = waiting.filter((waiter) => waiter.index > this.#appliedAt);
    for (const waiter of waiting) {
      if (waiter.index <= this.#appliedAt) waiter.resolve(outcome);
    }
  }
}
