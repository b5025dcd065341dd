// The writes of one replica that the journal has not settled yet, oldest first.
//
//   enqueue:  [entries 5-7][snapshot at 4][entries 8-9]        the journal settles them in this order
//
// Promise: what rests on a write (the core's responses) is handed back when it is durable, never before, and in order;
// a write that the journal refuses at once fails like one that failed later. Left to others: what follows from either.

import type { Message } from "../../raft/types.ts";
import type { HardState, Journal, ReplicaWrite } from "../journal/journal.ts";
import type { LogIndex, ReplicaNumber, Term } from "../quantities.ts";
import type { Payload } from "./payload.ts";

export interface WriteUnderWay {
  /** To be stepped when the write is durable. */
  readonly responses: Message<Payload>[];
  /** Index of the first entry. */
  readonly first: LogIndex;
  readonly last: { readonly index: LogIndex; readonly term: Term };
}

export interface WriteEvents {
  readonly onDurable: (write: WriteUnderWay) => void;
  readonly onFailed: (write: WriteUnderWay, reason: unknown) => void;
}

export class WritesUnderWay {
  readonly #journal: Journal;
  readonly #events: WriteEvents;
  /** Writes of entries, oldest first. */
  readonly #entries: WriteUnderWay[] = [];
  #count = 0;
  #idle: (() => void)[] = [];

  constructor(journal: Journal, events: WriteEvents) {
    this.#journal = journal;
    this.#events = events;
  }

  get count(): number {
    return this.#count;
  }

  /** Queues entries; exactly one event follows, never within this call. */
  enqueue(
    write: ReplicaWrite & { readonly entries: NonNullable<ReplicaWrite["entries"]> },
    responses: readonly Message<Payload>[],
  ): void {
    const { entries } = write;
    const last = entries.at(-1)!;
    const underWay: WriteUnderWay = {
      responses: [...responses],
      first: entries[0].index,
      last: { index: last.index, term: last.term },
    };
    this.#entries.push(underWay);
    void this.#follow(this.write(write), underWay);
  }

  /** A commit index for the journal to remember with its next row; nothing waits for that. Responses that came with it
   *  speak of entries that are still under way, so they join the newest of those. */
  noteCommit(
    write: { readonly replica: ReplicaNumber; readonly hardState?: HardState },
    responses: readonly Message<Payload>[],
  ): void {
    this.#entries.at(-1)?.responses.push(...responses);
    if (write.hardState === undefined) return;
    this.#enqueueOrReject(write).catch(() => {
      // A commit index is a hint: a restart finds it again. A disk that fails is noticed by the next entries.
    });
  }

  /** Queues anything else and settles with it. */
  write(write: ReplicaWrite): Promise<void> {
    this.#count += 1;
    return this.#enqueueOrReject(write).finally(() => this.#settle());
  }

  /** Resolves when nothing is under way. */
  settled(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => void this.#idle.push(resolve));
  }

  async #follow(written: Promise<void>, underWay: WriteUnderWay): Promise<void> {
    try {
      await written;
    } catch (reason) {
      this.#entries.shift();
      this.#events.onFailed(underWay, reason);
      return;
    }
    this.#entries.shift();
    this.#events.onDurable(underWay);
  }

  async #enqueueOrReject(write: ReplicaWrite): Promise<void> {
    await this.#journal.enqueue(write);
  }

  #settle(): void {
    this.#count -= 1;
    if (this.#count > 0) return;
    for (const wake of this.#idle.splice(0)) wake();
  }
}
