// Fetch: whole batches from several positions of one topic, at once or after a wait for enough of them.
//
//   read every position in order --enough, or a refusal--> answer
//        ^                          \--not enough--> wait --wake--> read on from where each position stands
//        \____________________________________________/   \--time up, caller gone, node stops--> answer
//
// Promise: positions are filled in the order asked for; the first non-empty one returns at least one whole batch,
// however large, later batches only while they fit; nothing is read twice and nothing polls; a wait holds no
// descriptor and no open read. Left to others: finding batches (the partition), records inside them (the doors).

import { refuse, refusalOf, type Refusal } from "../errors.ts";
import { nextOffsetAt } from "../records/batch-layout.ts";
import type { World } from "../world.ts";
import type {
  FetchedPartition,
  FetchPosition,
  FetchRequest,
  FetchResponse,
  ReadConsistency,
} from "./broker.ts";
import type { LogRead, PartitionLog } from "./partition-log.ts";
import { unknownPartition, unknownTopic, type PartitionSlot } from "./partition-slot.ts";
import type { Topic, Topics } from "./topics.ts";
import type { WaitRoom } from "./wait-room.ts";

export interface FetchCounters {
  requests: number;
  bytes: number;
  /** Requests that had to wait. */
  waits: number;
}

export class Fetching {
  readonly #world: World;
  readonly #topics: Topics;
  readonly #room: WaitRoom;
  readonly counters: FetchCounters = { requests: 0, bytes: 0, waits: 0 };

  constructor(world: World, topics: Topics, room: WaitRoom) {
    this.#world = world;
    this.#topics = topics;
    this.#room = room;
  }

  async fetch(request: FetchRequest): Promise<FetchResponse | Refusal> {
    this.counters.requests += 1;
    const topic = this.#topics.byName(request.topic);
    if (topic === null) return unknownTopic(request.topic);
    const gathering = new Gathering(topic, request);
    const opening = gathering.open();
    if (opening !== null) await opening;
    await gathering.fill();
    if (!gathering.enough && request.maxWaitMs > 0 && request.signal?.aborted !== true) {
      const refusal = await this.#wait(gathering, request);
      if (refusal !== null) return refusal;
    }
    this.counters.bytes += gathering.bytes;
    return gathering.response();
  }

  async #wait(gathering: Gathering, request: FetchRequest): Promise<Refusal | null> {
    const wait = { ms: request.maxWaitMs, signal: request.signal };
    const waiter = this.#room.enter(this.#world, wait);
    if (waiter === null) {
      gathering.release();
      return tooManyWaiters(this.#room.count);
    }
    this.counters.waits += 1;
    try {
      gathering.onWake(waiter.wake, (stop) => waiter.onLeave(stop));
      // A commit may have come between the last read and the subscription: look before each pause. What is believed to
      // be there and is not brought by a read (a leader elsewhere has just changed) waits for the next wake.
      for (let isStuck = false; !waiter.over && !gathering.enough;) {
        if (isStuck || !gathering.behind) await waiter.pause();
        if (waiter.over || !gathering.behind) continue;
        const before = gathering.bytes;
        await gathering.fill();
        isStuck = gathering.bytes === before;
      }
      return null;
    } finally {
      waiter.leave();
    }
  }
}

/** What one request has read so far. */
class Gathering {
  readonly #positions: readonly Position[];
  readonly #request: FetchRequest;
  bytes = 0;

  constructor(topic: Topic, request: FetchRequest) {
    this.#request = request;
    const { positions, consistency } = request;
    this.#positions = positions.map((asked) => new Position(topic, asked, consistency));
  }

  /** Nothing more is to be waited for. */
  get enough(): boolean {
    if (this.bytes >= this.#request.minBytes) return true;
    if (this.#positions.length === 0) return true;
    return this.#positions.some((position) => position.refusal !== null || position.full);
  }

  /** Some position has moved beyond what was read of it. */
  get behind(): boolean {
    return this.#positions.some((position) => position.behind);
  }

  /** Opens what is closed, all at once: after a crash each log commits its tail, and together they share a flush. */
  open(): Promise<unknown> | null {
    const closed = this.#positions.filter(({ slot }) => slot !== null && slot.open === null);
    if (closed.length < 2) return null;
    return Promise.all(closed.map(async ({ slot }) => await slot?.log()));
  }

  /** Reads on from each position in order until there is enough or nothing more. A read may end early (a file ends,
   *  the cache ends): each position goes on until one brings nothing. What the cache has is read without an await. */
  async fill(): Promise<void> {
    const { maxBytes } = this.#request;
    for (const position of this.#positions) {
      if (this.bytes >= maxBytes) return;
      let more = !position.asked || position.behind;
      for (let first = this.bytes === 0; more; first = false) {
        const reading = position.read(maxBytes - this.bytes, first);
        const read = reading instanceof Promise ? await reading : reading;
        this.bytes += read;
        more = read > 0 && this.bytes < maxBytes && position.behind;
      }
    }
  }

  onWake(wake: () => void, cleanup: (stop: () => void) => void): void {
    for (const { slot } of this.#positions) {
      if (slot === null) continue;
      cleanup(slot.onWake(wake));
      cleanup(slot.watch());
    }
  }

  release(): void {
    for (const position of this.#positions) position.release();
  }

  response(): FetchResponse {
    return {
      partitions: this.#positions.map((position) => position.result()),
      release: () => this.release(),
    };
  }
}

/** One partition of the request. */
class Position {
  readonly slot: PartitionSlot | null;
  refusal: Refusal | null = null;
  /** It was read once at least: an offset outside the log would have been refused. */
  asked = false;
  /** There is more to read, but no batch of it fits any more. */
  full = false;
  readonly #partition: number;
  readonly #consistency: ReadConsistency | undefined;
  #next: number;
  #room: number;
  readonly #batches: Uint8Array[] = [];
  readonly #reads: LogRead[] = [];

  constructor(topic: Topic, asked: FetchPosition, consistency: ReadConsistency | undefined) {
    this.#consistency = consistency;
    this.#partition = asked.partition;
    this.#next = asked.offset;
    this.#room = asked.maxBytes;
    this.slot = topic.slot(asked.partition);
    if (this.slot === null) this.refusal = unknownPartition(topic.name, asked.partition);
  }

  get behind(): boolean {
    const { slot } = this;
    if (slot === null || this.refusal !== null || this.full) return false;
    if (slot.removed) return true;
    const bounds = slot.bounds(this.#consistency);
    return bounds.highWatermark > this.#next || bounds.logStartOffset > this.#next;
  }

  /** Reads on; the bytes that were added, at once when the log is open and its cache has them. `first`: one whole
   *  batch comes even when it is larger than `budget`. */
  read(budget: number, first: boolean): number | Promise<number> {
    if (this.slot === null || this.refusal !== null || this.full) return 0;
    this.asked = true;
    const room = Math.min(budget, this.#room);
    const log = this.slot.log();
    const read =
      log instanceof Promise
        ? log.then((opened) => this.#readLog(opened, room))
        : this.#readLog(log, room);
    return read instanceof Promise
      ? read.then((late) => this.#took(late, { room, first }))
      : this.#took(read, { room, first });
  }

  result(): FetchedPartition | (Refusal & { readonly partition: number }) {
    const partition = this.#partition;
    const { slot } = this;
    if (this.refusal !== null) return { ...this.refusal, partition };
    if (slot === null || slot.removed)
      return { ...unknownPartition(slot?.topic ?? "", partition), partition };
    const { highWatermark, lastStableOffset, logStartOffset, leaderEpoch } = slot.bounds(
      this.#consistency,
    );
    const batches = this.#batches;
    return {
      ok: true,
      partition,
      batches,
      highWatermark,
      lastStableOffset,
      logStartOffset,
      leaderEpoch,
    };
  }

  release(): void {
    for (const read of this.#reads.splice(0)) read.release();
  }

  /** A fault of the disk is this partition's refusal alone. */
  #readLog(
    log: PartitionLog | Refusal,
    room: number,
  ): LogRead | Refusal | Promise<LogRead | Refusal> {
    if ("ok" in log) return log;
    try {
      const read = log.fetch({
        offset: this.#next,
        maxBytes: Math.max(room, 1),
        consistency: this.#consistency,
      });
      return read instanceof Promise ? read.catch(refusalOf) : read;
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  #took(read: LogRead | Refusal, of: { room: number; first: boolean }): number {
    return read.ok ? this.#take(read, of) : this.#refused(read);
  }

  #take(read: LogRead, { room, first }: { room: number; first: boolean }): number {
    let taken = 0;
    for (const batch of read.batches) {
      const forced = first && taken === 0;
      if (!forced && taken + batch.length > room) {
        this.full = true;
        break;
      }
      this.#batches.push(batch);
      this.#next = nextOffsetAt(batch, 0);
      taken += batch.length;
    }
    this.#room -= taken;
    if (taken > 0) this.#reads.push(read);
    else read.release();
    return taken;
  }

  /** What was read before the refusal is served first: the next request meets the refusal itself. */
  #refused(refusal: Refusal): number {
    if (this.#batches.length > 0 && !this.slot!.removed) this.full = true;
    else {
      this.refusal = refusal;
      this.release();
    }
    return 0;
  }
}

function tooManyWaiters(count: number): Refusal {
  const detail = `Cannot wait for records: ${count} requests wait already`;
  return refuse("overloaded", detail, { retryAfterMs: 1_000 });
}
