// Entries for followers that are behind what the window holds: read from the journal, within a budget for the node.
//
//   the core asks --> cached? ---------------------------> page at once
//                 --> disk: "unavailable", a read begins --> entriesFetched() --> the core asks again --> page --> bulk lane
//                           over the budget: waits its turn <------------------------------------------- its bytes left
//
// Promise: at most readsMax reads are under way on this node, of 1 MiB each (one entry, should it be larger), and none for
// a node toward which bytesMax wait in the bulk lane; so catching up takes a bounded amount of memory and of the
// connection, however many replicas are behind. A page that nobody fetched, because the core changed its mind, is given
// back. A read that fails is told too, after a while: the core asks again then, and not at once for ever. Left to others: the
// bulk lane.

import type { Journal, ReadResult } from "../journal/journal.ts";
import { logIndex, type ReplicaNumber } from "../quantities.ts";
import type { World } from "../world.ts";
import { nodeOf } from "./identity.ts";
import type { ReplicaContext } from "./replica-context.ts";

/** Disk reads for followers at a time: a few overlap reading with sending, more would only take memory. */
const readsMax = 4;
const pageBytesMax = 1024 * 1024;
/** Toward one node, read or waiting in the lane: enough to fill a connection of 1 Gbit/s and 30 ms. */
const bytesMax = 4 * pageBytesMax;
/** A disk that does not give a page now is asked again after this time. */
const retryMs = 200;

export interface EntriesWanted {
  readonly replica: ReplicaNumber;
  readonly lo: number;
  readonly end: number;
  readonly maxBytes: number;
  /** Raft id of the follower. */
  readonly to: number;
}

interface Waiting {
  readonly node: number;
  /** Must not reject. */
  readonly read: () => Promise<void>;
}

/** The node's budget. */
export class CatchUp {
  #reading = 0;
  /** Toward each node: bytes in the lane, and a page for each read. */
  readonly #bytes = new Map<number, number>();
  #waiting: Waiting[] = [];

  get waiting(): number {
    return this.#waiting.length;
  }

  get reading(): number {
    return this.#reading;
  }

  /** Runs a read for a follower on the node when its turn has come. */
  run(node: number, read: () => Promise<void>): void {
    this.#waiting.push({ node, read });
    this.#next();
  }

  /** Bytes enter the lane toward the node; to be called once when they have left it. */
  sending(node: number, bytes: number): () => void {
    this.#add(node, bytes);
    return () => {
      this.#add(node, -bytes);
      this.#next();
    };
  }

  #next(): void {
    while (this.#reading < readsMax) {
      const at = this.#waiting.findIndex(({ node }) => (this.#bytes.get(node) ?? 0) < bytesMax);
      if (at === -1) return;
      const [next] = this.#waiting.splice(at, 1);
      void this.#read(next);
    }
  }

  async #read({ node, read }: Waiting): Promise<void> {
    this.#reading += 1;
    this.#add(node, pageBytesMax);
    await read();
    this.#reading -= 1;
    this.#add(node, -pageBytesMax);
    this.#next();
  }

  #add(node: number, bytes: number): void {
    const total = (this.#bytes.get(node) ?? 0) + bytes;
    if (total === 0) this.#bytes.delete(node);
    else this.#bytes.set(node, total);
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
  readonly #world: World;
  /** A page for this follower is here, or the attempt is over. Called outside of any call of the core. */
  readonly #onFetched: (to: number) => void;
  /** By follower. */
  readonly #fetched = new Map<number, Fetched>();
  #ended = false;

  constructor(
    { catchUp, journal, world }: Pick<ReplicaContext, "catchUp" | "journal" | "world">,
    onFetched: (to: number) => void,
  ) {
    this.#catchUp = catchUp;
    this.#journal = journal;
    this.#world = world;
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
    this.#catchUp.run(nodeOf(wanted.to), () => this.#fetch(wanted));
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
    if (page === null) {
      this.#world.setTimer(retryMs, () => {
        if (!this.#ended) this.#onFetched(wanted.to);
      });
      return;
    }
    this.#fetched.get(wanted.to)?.page.release();
    this.#fetched.set(wanted.to, { lo: wanted.lo, page });
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
