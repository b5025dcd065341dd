// Clients of the simulated node: closed loops that append, retry, fence, delete and read, and remember what they heard.
//
// Promise: every value is written by one client and never by two, so that the checker knows whose it is; a client
// retries only what is safe to retry (a key, a sequence). Left to others: what must hold (checker.ts).

import type { AppendOutcome, AppendRequest, Conditions } from "../../src/partition/append.ts";
import type { Partition } from "../../src/partition/partition.ts";
import { batchOf } from "../partition/batches.ts";
import type { VirtualWorld } from "../consensus/virtual-world.ts";
import type { Ledger } from "./ledger.ts";

export interface ClientParts {
  readonly world: VirtualWorld;
  readonly ledger: Ledger;
  /** The partition while the node runs; null while it is down. */
  readonly partition: (group: number) => Partition | null;
  /** Settles with null when the node that was asked crashes first. */
  readonly alive: <T>(answer: T | Promise<T>) => Promise<T | null>;
  readonly groups: number;
  readonly trace: (line: string) => void;
}

type Op = (client: Client) => Promise<void>;

const weights: readonly (readonly [number, Op])[] = [
  [40, (client) => client.plain()],
  [20, (client) => client.sequenced()],
  [20, (client) => client.keyed()],
  [10, (client) => client.expected()],
  [3, (client) => client.fenced()],
  [4, (client) => client.read()],
  [2, (client) => client.deleteRecords()],
  [1, (client) => client.retention()],
];
const weightSum = weights.reduce((sum, [weight]) => sum + weight, 0);

const pauseMsMax = 20;

export class Client {
  readonly #parts: ClientParts;
  readonly #id: number;
  #next = 0;
  /** Per partition: the sequence of the oldest batch that is not known to be written, and those batches. */
  readonly #sequences: number[];
  readonly #unsettled: string[][][];
  readonly #ends: number[];
  #stopped = false;
  /** When the operation under way began, virtual ms; null between two. */
  waitingSince: number | null = null;

  constructor(parts: ClientParts, id: number) {
    this.#parts = parts;
    this.#id = id;
    this.#sequences = Array.from({ length: parts.groups }, () => 0);
    this.#unsettled = Array.from({ length: parts.groups }, () => []);
    this.#ends = Array.from({ length: parts.groups }, () => 0);
  }

  /** Runs until stop(). */
  async run(): Promise<void> {
    const { world } = this.#parts;
    while (!this.#stopped) {
      await new Promise<void>((resolve) => void world.setTimer(world.below(pauseMsMax), resolve));
      if (this.#stopped) return;
      this.waitingSince = world.monotonic();
      await this.#pick()(this);
      this.waitingSince = null;
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  async plain(): Promise<void> {
    const group = this.#group();
    const values = this.#values();
    const acks = (["all", "all", "leader"] as const)[this.#parts.world.below(3)];
    await this.#append(group, values, { acks });
  }

  /** A producer with up to three batches in flight, some of them sent twice: the same sequences again until it is
   *  known what became of them. */
  async sequenced(): Promise<void> {
    const { world } = this.#parts;
    const group = this.#group();
    const unsettled = this.#unsettled[group];
    // Never more than a client may have in flight: of older ones the partition forgets the offsets.
    const wanted = 1 + world.below(3);
    while (unsettled.length < wanted) unsettled.push(this.#values());
    let baseSequence = this.#sequences[group];
    const sent = unsettled.map((values) => {
      const producer = { id: this.#id, epoch: 0, baseSequence };
      baseSequence += values.length;
      const once = this.#append(group, values, {}, producer);
      const twice = world.below(4) === 0 ? this.#append(group, values, {}, producer) : once;
      return Promise.all([once, twice]);
    });
    for (const outcomes of await Promise.all(sent)) {
      const settled = outcomes.find((outcome) => outcome?.ok === true);
      if (settled === undefined) return this.#checkFirst(outcomes[0]);
      this.#sequences[group] += unsettled.shift()!.length;
    }
  }

  /** The first batch that fails is never out of order: everything before it was acknowledged. */
  #checkFirst(outcome: AppendOutcome | null): void {
    if (outcome !== null && !outcome.ok && outcome.code.includes("sequence")) {
      throw new Error(`Producer ${this.#id}: ${outcome.detail}`);
    }
  }

  /** The same key and body until it is known what became of it. */
  async keyed(): Promise<void> {
    const group = this.#group();
    const values = this.#values();
    const bodyHash = new Uint8Array(16).fill(this.#next & 0xff);
    const key = `key-${this.#id}-${this.#next}`;
    const idempotency = { principal: "sim", key, bodyHash, partitionCount: 0 };
    for (let tries = 0; tries < 5 && !this.#stopped; tries += 1) {
      const first = this.#append(group, values, { idempotency });
      if (this.#parts.world.below(4) === 0) await this.#append(group, values, { idempotency });
      const outcome = await first;
      if (outcome !== null && (outcome.ok || !isRetry(outcome))) return;
      await new Promise<void>((resolve) => void this.#parts.world.setTimer(50, resolve));
    }
  }

  async expected(): Promise<void> {
    const group = this.#group();
    const conditions: Conditions = { expectedOffset: this.#ends[group] };
    const outcome = await this.#append(group, this.#values(), { conditions });
    if (outcome?.ok === true && outcome.baseOffset !== conditions.expectedOffset) {
      throw new Error(`Expected offset ${conditions.expectedOffset}, got ${outcome.baseOffset}`);
    }
    if (outcome === null || outcome.ok) return;
    const current = outcome.members?.["currentOffset"];
    if (typeof current === "number") this.#ends[group] = current;
  }

  async fenced(): Promise<void> {
    const group = this.#group();
    const partition = this.#parts.partition(group);
    if (partition === null) return;
    const token = this.#parts.world.below(2) === 0 ? null : `fence-${this.#id}-${this.#next++}`;
    const set = await this.#parts.alive(partition.setFence(token));
    if (set === null) return;
    this.#parts.trace(`c${this.#id} fence ${group} ${String(token)} ${set.ok}`);
    if (set.ok && token !== null) {
      await this.#append(group, this.#values(), { conditions: { fence: token } });
    }
  }

  async read(): Promise<void> {
    const group = this.#group();
    const partition = this.#parts.partition(group);
    if (partition === null) return;
    const { logStartOffset, highWatermark } = partition.bounds();
    const offset = logStartOffset + this.#parts.world.below(highWatermark - logStartOffset + 1);
    const found = await this.#parts.alive(partition.fetch({ offset, maxBytes: 4_096 }));
    if (found === null || !found.ok) return;
    this.#parts.ledger.read(group, { offset, batches: found.batches, highWatermark });
    found.release();
  }

  async deleteRecords(): Promise<void> {
    const group = this.#group();
    const partition = this.#parts.partition(group);
    if (partition === null) return;
    const { logStartOffset, highWatermark } = partition.bounds();
    const before =
      logStartOffset + this.#parts.world.below((highWatermark - logStartOffset) / 2 + 1);
    this.#parts.ledger.deleting(group, before);
    const done = await this.#parts.alive(partition.deleteRecords(before));
    if (done === null) return;
    this.#parts.trace(`c${this.#id} delete ${group} ${before} ${done.ok}`);
    if (done.ok) this.#parts.ledger.deleted(group, before);
  }

  async retention(): Promise<void> {
    const group = this.#group();
    const partition = this.#parts.partition(group);
    if (partition === null) return;
    const keep = { timestampMin: null, bytesMax: 200_000 };
    this.#parts.ledger.deleting(group, Infinity);
    const done = await this.#parts.alive(partition.applyRetention(keep));
    if (done === null) return;
    this.#parts.trace(`c${this.#id} retention ${group} ${done.ok}`);
  }

  async #append(
    group: number,
    values: readonly string[],
    request: Partial<AppendRequest>,
    producer?: { readonly id: number; readonly epoch: number; readonly baseSequence: number },
  ): Promise<AppendOutcome | null> {
    const { world, ledger, trace } = this.#parts;
    const partition = this.#parts.partition(group);
    if (partition === null) return null;
    ledger.sent(group, values);
    const batch = batchOf({ values, timestamp: world.now(), ...(producer && { producer }) });
    const outcome = await this.#parts.alive(
      partition.append({ batch, acks: "all", logAppendTime: -1, ...request }),
    );
    batch.release();
    if (outcome === null) return null;
    ledger.heard(group, values, outcome);
    if (outcome.ok) this.#ends[group] = outcome.baseOffset + outcome.recordCount;
    trace(
      `c${this.#id} append ${group} ${values[0]} ${outcome.ok ? outcome.baseOffset : outcome.code}`,
    );
    return outcome;
  }

  #group(): number {
    return this.#parts.world.below(this.#parts.groups);
  }

  #values(): string[] {
    const { world } = this.#parts;
    const padding = world.below(20) === 0 ? "x".repeat(world.below(20_000)) : "";
    return Array.from(
      { length: 1 + world.below(3) },
      () => `v${this.#id}.${this.#next++}${padding}`,
    );
  }

  #pick(): Op {
    let at = this.#parts.world.below(weightSum);
    for (const [weight, op] of weights) {
      at -= weight;
      if (at < 0) return op;
    }
    throw new Error("The weights do not add up");
  }
}

function isRetry(outcome: AppendOutcome): boolean {
  return !outcome.ok && outcome.code !== "idempotency_key_reused";
}
