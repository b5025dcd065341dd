// Entries for followers that are behind what the window holds: read from the journal, within a budget for the node.
//
//   the core asks --> cached? ---------------------------> page at once
//                 --> disk: "unavailable", a read begins --> entriesFetched() --> the core asks again --> page
//                           over the budget: waits its turn
//
// Promise: at most readsMax reads are under way on this node, of 1 MiB each (one entry, should it be larger); a page that
// nobody fetched, because the core changed its mind, is given back. A read that fails is told too: the core asks again
// with the next sign of life. Left to others: how fast pages leave (the core's window, the bulk lane).

import type { Journal, ReadResult } from "../journal/journal.ts";
import { logIndex, type ReplicaNumber } from "../quantities.ts";

/** Disk reads for followers at a time: two overlap reading with sending, more would only take memory. */
const readsMax = 4;

export interface EntriesWanted {
  readonly replica: ReplicaNumber;
  readonly lo: number;
  readonly end: number;
  readonly maxBytes: number;
  /** Raft id of the follower. */
  readonly to: number;
}

/** The node's budget. */
export class CatchUp {
  #reading = 0;
  readonly #waiting: (() => Promise<void>)[] = [];

  get waiting(): number {
    return this.#waiting.length;
  }

  get reading(): number {
    return this.#reading;
  }

  /** Runs the read when its turn has come. It must not reject. */
  run(read: () => Promise<void>): void {
    if (this.#reading < readsMax) void this.#run(read);
    else this.#waiting.push(read);
  }

  async #run(read: () => Promise<void>): Promise<void> {
    this.#reading += 1;
    await read();
    this.#reading -= 1;
    const next = this.#waiting.shift();
    if (next !== undefined) void this.#run(next);
  }
}

interface Fetched {
  readonly lo: number;
  readonly page: ReadResult;
}

/** The reads of one replica, for the time of one core. */
export class CatchUpReads {
  readonly #catchUp: CatchUp;
  readonly #journal: Journal;
  /** A page for this follower is here, or the attempt is over. Called outside of any call of the core. */
  readonly #onFetched: (to: number) => void;
  /** By follower. */
  readonly #fetched = new Map<number, Fetched>();
  #ended = false;

  constructor(catchUp: CatchUp, journal: Journal, onFetched: (to: number) => void) {
    this.#catchUp = catchUp;
    this.#journal = journal;
    this.#onFetched = onFetched;
  }

  /** The page's caller releases it. */
  entries(wanted: EntriesWanted): ReadResult | "unavailable" {
    const fetched = this.#fetched.get(wanted.to);
    if (fetched !== undefined) {
      this.#fetched.delete(wanted.to);
      const usable =
        fetched.lo === wanted.lo && fetched.page.entries.length <= wanted.end - wanted.lo;
      if (usable && fetched.page.entries.length > 0) return fetched.page;
      fetched.page.release();
    }
    const cached = this.#journal.readCached(requestOf(wanted));
    if (cached !== null) return cached;
    this.#catchUp.run(() => this.#fetch(wanted));
    return "unavailable";
  }

  /** The core is gone: what was read is given back. */
  end(): void {
    this.#ended = true;
    for (const { page } of this.#fetched.values()) page.release();
    this.#fetched.clear();
  }

  async #fetch(wanted: EntriesWanted): Promise<void> {
    if (this.#ended) return;
    let page: ReadResult | null = null;
    try {
      page = await this.#journal.read(requestOf(wanted));
    } catch {
      // Damaged, trimmed or dropped meanwhile: the core asks again and meets it there.
    }
    if (this.#ended) {
      page?.release();
      return;
    }
    if (page !== null) {
      this.#fetched.get(wanted.to)?.page.release();
      this.#fetched.set(wanted.to, { lo: wanted.lo, page });
    }
    this.#onFetched(wanted.to);
  }
}

function requestOf({ replica, lo, end, maxBytes }: EntriesWanted) {
  return {
    replica,
    from: { index: logIndex(lo) },
    endIndex: logIndex(end),
    maxBytes,
    dataOnly: false,
  };
}
