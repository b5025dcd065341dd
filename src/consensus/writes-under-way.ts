// The writes of one replica that the journal has not settled yet, oldest first.
//
//   enqueue:  [entries 5-7][snapshot at 4][entries 8-9]        the journal settles them in this order
//
// Promise: what rests on a write (the core's responses) is handed back when it is durable, never before, and in order;
// a write that the journal refuses at once fails like one that failed later. Left to others: what follows from either.

import type { Message } from "../../raft/types.ts";
import type { HardState, Journal, ReplicaWrite } from "../journal/journal.ts";
import type { LogIndex, ReplicaNumber, Term } from "../quantities.ts";
import type { CoreRun } from "./core-run.ts";
import type { Installation } from "./partition-snapshot.ts";
import type { Payload } from "./payload.ts";

export interface WriteUnderWay {
  /** To be stepped or sent when the write is durable. */
  readonly responses: Message<Payload>[];
  /** Index of the first entry; null: a term, a vote or a snapshot alone. */
  readonly first: LogIndex | null;
  readonly last: { readonly index: LogIndex; readonly term: Term } | null;
  /** A leader's snapshot. */
  readonly installs: Installation | null;
  /** Whose work it is: when its outcome comes, another may be running. */
  readonly run: CoreRun;
  /** Bytes of its batches, where another node sent them. */
  readonly receivedBytes: number;
}

export interface WriteEvents {
  readonly onDurable: (write: WriteUnderWay) => void;
  readonly onFailed: (write: WriteUnderWay, reason: unknown) => void;
  /** No write is under way any more; what the last ones came to is told right behind this. */
  readonly onIdle: () => void;
}

export class WritesUnderWay {
  readonly #journal: Journal;
  readonly #events: WriteEvents;
  /** Writes on which responses rest, oldest first. */
  readonly #awaited: WriteUnderWay[] = [];
  #count = 0;
  #idle: (() => void)[] = [];

  constructor(journal: Journal, events: WriteEvents) {
    this.#journal = journal;
    this.#events = events;
  }

  get count(): number {
    return this.#count;
  }

  /** Queues entries, a term, a vote, a leader's snapshot; exactly one event follows, never within this call. */
  enqueue(
    write: ReplicaWrite,
    rests: Pick<WriteUnderWay, "installs" | "run" | "receivedBytes"> & {
      readonly responses: readonly Message<Payload>[];
    },
  ): void {
    const { entries = [] } = write;
    const last = entries.at(-1);
    const underWay: WriteUnderWay = {
      responses: [...rests.responses],
      first: last === undefined ? null : entries[0].index,
      last: last === undefined ? null : { index: last.index, term: last.term },
      installs: rests.installs,
      run: rests.run,
      receivedBytes: rests.receivedBytes,
    };
    this.#awaited.push(underWay);
    void this.#follow(this.write(write), underWay);
  }

  /** A commit index for the journal to remember with its next row; nothing waits for that. */
  noteCommit(write: { readonly replica: ReplicaNumber; readonly hardState: HardState }): void {
    this.#enqueueOrReject(write).catch(() => {
      // A commit index is a hint: a restart finds it again. A disk that fails is noticed by the next entries.
    });
  }

  /** Responses that speak of earlier writes join the newest of those. False: all of those are durable. */
  join(responses: readonly Message<Payload>[]): boolean {
    const newest = this.#awaited.at(-1);
    newest?.responses.push(...responses);
    return newest !== undefined;
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
      this.#awaited.shift();
      this.#events.onFailed(underWay, reason);
      return;
    }
    this.#awaited.shift();
    this.#events.onDurable(underWay);
  }

  async #enqueueOrReject(write: ReplicaWrite): Promise<void> {
    await this.#journal.enqueue(write);
  }

  #settle(): void {
    this.#count -= 1;
    if (this.#count > 0) return;
    this.#events.onIdle();
    for (const wake of this.#idle.splice(0)) wake();
  }
}
