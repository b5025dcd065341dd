// A client of the cluster: appends, retries, reads and deletes at whichever node it believes in, and keeps the history.
//
// Promise: every value is written by one client; it is sent again only where that is safe (a sequence, a key). A client
// waits for each answer at most answerMsMax, as a door would: then nobody knows. Left to others: what must hold
// (history.ts), when the clients rest (cluster.ts).

import type { AppendOutcome, AppendRequest } from "../../../src/partition/append.ts";
import { batchOf } from "../../partition/batches.ts";
import type { History, Read } from "./history.ts";
import type { SimulatedNode } from "./node.ts";
import type { Stream } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

export interface ClientParts {
  readonly time: VirtualTime;
  readonly random: Stream;
  readonly nodes: ReadonlyMap<number, SimulatedNode>;
  readonly histories: readonly History[];
  /** From one operation to the next, ms, at most. */
  readonly restMsMax: number;
  readonly trace: (line: string) => void;
}

type Op = (client: Client) => Promise<void>;

const weights: readonly (readonly [number, Op])[] = [
  [40, (client) => client.plain()],
  [15, (client) => client.sequenced()],
  [12, (client) => client.keyed()],
  [8, (client) => client.expected()],
  [8, (client) => client.readLinearizable()],
  [8, (client) => client.readAnywhere()],
  [8, (client) => client.readLeader()],
  [1, (client) => client.deleteRecords()],
];
const weightSum = weights.reduce((sum, [weight]) => sum + weight, 0);

const answerMsMax = 8_000;
const late = Symbol("late");

interface Producer {
  readonly id: number;
  readonly epoch: number;
  readonly baseSequence: number;
}

/** A batch that is sent until it is known to be written. */
interface Unsettled {
  readonly values: readonly string[];
  readonly baseSequence: number;
}

export class Client {
  readonly #parts: ClientParts;
  readonly #id: number;
  #next = 0;
  /** Per group: the node that is asked first. */
  readonly #leaders: number[];
  readonly #sequences: number[];
  readonly #unsettled: (Unsettled | null)[];
  readonly #ends: number[];
  #stopped = false;
  idle = true;

  constructor(parts: ClientParts, id: number) {
    this.#parts = parts;
    this.#id = id;
    const zeros = (): number[] => parts.histories.map(() => 0);
    this.#leaders = zeros();
    this.#sequences = zeros();
    this.#unsettled = parts.histories.map(() => null);
    this.#ends = zeros();
  }

  /** Runs until stop(). */
  async run(): Promise<void> {
    const { time, random, restMsMax } = this.#parts;
    this.idle = false;
    while (!this.#stopped) {
      await time.sleep(random.next() * restMsMax);
      if (this.#stopped) break;
      await this.#pick()(this);
    }
    this.idle = true;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One append that must be acknowledged within `msMax`, wherever it has to go. */
  async mustAppend(group: number, msMax: number): Promise<boolean> {
    const { time } = this.#parts;
    const end = time.now + msMax;
    while (time.now < end) {
      const outcome = await this.#append(group, this.#values(), { acks: "all" });
      if (outcome?.ok === true) return true;
      await time.sleep(100);
    }
    return false;
  }

  async plain(): Promise<void> {
    const acks = (["all", "all", "all", "leader"] as const)[this.#parts.random.below(4)];
    await this.#append(this.#group(), this.#values(), { acks });
  }

  /** The same sequence again and again, at whoever leads, until it is written: exactly once. */
  async sequenced(): Promise<void> {
    const group = this.#group();
    for (let tries = 0; tries < 6 && !this.#stopped; tries += 1) {
      const baseSequence = this.#sequences[group];
      const unsettled = (this.#unsettled[group] ??= { values: this.#values(), baseSequence });
      const producer = { id: this.#id + 1, epoch: 0, baseSequence };
      const outcome = await this.#append(group, unsettled.values, { acks: "all" }, producer);
      if (outcome?.ok === true) {
        this.#sequences[group] += unsettled.values.length;
        this.#unsettled[group] = null;
        return;
      }
      if (outcome?.code === "out_of_order_sequence_number") {
        throw new Error(`Producer ${this.#id}: ${outcome.detail}`);
      }
      await this.#parts.time.sleep(50);
    }
  }

  /** The same key and body until it is known what became of it. */
  async keyed(): Promise<void> {
    const group = this.#group();
    const values = this.#values();
    const bodyHash = new Uint8Array(16).fill(this.#next & 0xff);
    const key = `key-${this.#id}-${this.#next}`;
    const idempotency = { principal: "sim", key, bodyHash, partitionCount: 0 };
    for (let tries = 0; tries < 6 && !this.#stopped; tries += 1) {
      const outcome = await this.#append(group, values, { acks: "all", idempotency });
      if (outcome?.ok === true) return;
      await this.#parts.time.sleep(50);
    }
  }

  async expected(): Promise<void> {
    const group = this.#group();
    const expectedOffset = this.#ends[group];
    const values = this.#values();
    const outcome = await this.#append(group, values, {
      acks: "all",
      conditions: { expectedOffset },
    });
    if (outcome?.ok === true && outcome.baseOffset !== expectedOffset) {
      throw new Error(`Expected offset ${expectedOffset}, got ${outcome.baseOffset}`);
    }
    if (outcome === null || outcome.ok) return;
    const current = outcome.members?.["currentOffset"];
    if (typeof current === "number") this.#ends[group] = current;
  }

  async readLinearizable(): Promise<void> {
    const group = this.#group();
    const node = this.#anyNode();
    const replica = node?.replica(this.#history(group).groupId);
    if (node === null || replica == null) return;
    const floor = this.#history(group).seenEnd;
    const barrier = await this.#answer(node, replica.readBarrier(3_000));
    if (barrier === null || !barrier.ok) return;
    await this.#read({ mode: "linearizable", group, node, floor });
  }

  async readAnywhere(): Promise<void> {
    const node = this.#anyNode();
    if (node !== null) await this.#read({ mode: "local", group: this.#group(), node, floor: 0 });
  }

  async readLeader(): Promise<void> {
    const group = this.#group();
    const node = this.#believedLeader(group);
    if (node !== null) await this.#read({ mode: "leader", group, node, floor: 0 });
  }

  async deleteRecords(): Promise<void> {
    const group = this.#group();
    const history = this.#history(group);
    const node = this.#believedLeader(group);
    const partition = node?.partition(history.groupId);
    if (node === null || partition == null) return;
    const { logStartOffset, highWatermark } = partition.bounds();
    const half = (highWatermark - logStartOffset) / 2;
    const before = logStartOffset + this.#parts.random.below(Math.max(1, half));
    history.deleting(before);
    const done = await this.#answer(node, partition.deleteRecords(before));
    this.#trace(`deletes ${group} below ${before}: ${done?.ok === true}`);
    if (done?.ok === true) history.deleted(before);
  }

  async #read(of: {
    readonly mode: Read["mode"];
    readonly group: number;
    readonly node: SimulatedNode;
    readonly floor: number;
  }): Promise<void> {
    const { mode, node, floor } = of;
    const history = this.#history(of.group);
    const partition = node.partition(history.groupId);
    if (partition === null) return;
    const { logStartOffset, highWatermark } = partition.bounds();
    const back = this.#parts.random.below(Math.min(200, highWatermark - logStartOffset) + 1);
    const offset = highWatermark - back;
    const found = await this.#answer(node, partition.fetch({ offset, maxBytes: 4_096 }));
    if (found === null || !found.ok) return;
    history.read({ mode, offset, highWatermark, batches: found.batches, floor });
    found.release();
    this.#trace(`reads ${mode} ${of.group} ${offset} to ${highWatermark}`);
  }

  async #append(
    group: number,
    values: readonly string[],
    request: Partial<AppendRequest> & Pick<AppendRequest, "acks">,
    producer?: Producer,
  ): Promise<AppendOutcome | null> {
    const history = this.#history(group);
    const node = this.#believedLeader(group);
    const partition = node?.partition(history.groupId);
    if (node === null || partition == null) {
      this.#leaders[group] += 1;
      return null;
    }
    history.sent(values);
    const timestamp = Math.floor(this.#parts.time.now);
    const batch = batchOf({ values, timestamp, ...(producer && { producer }) });
    const outcome = await this.#answer(
      node,
      partition.append({ batch, logAppendTime: -1, ...request }),
    );
    if (outcome === null) {
      this.#leaders[group] += 1;
      this.#trace(`appends ${values[0]} to ${group}: no answer`);
      return null;
    }
    batch.release();
    history.heard(values, outcome, request.acks === "all");
    this.#learn(group, outcome);
    this.#trace(
      `appends ${values[0]} to ${group}: ${outcome.ok ? outcome.baseOffset : outcome.code}`,
    );
    return outcome;
  }

  #learn(group: number, outcome: AppendOutcome): void {
    if (outcome.ok) {
      this.#ends[group] = outcome.baseOffset + outcome.recordCount;
      return;
    }
    const leader = outcome.members?.["leader"];
    if (typeof leader === "number" && leader > 0) this.#leaders[group] = leader;
    else this.#leaders[group] += 1;
  }

  /** Null when the node dies or takes too long. */
  async #answer<T>(node: SimulatedNode, answer: T | Promise<T>): Promise<T | null> {
    const { time } = this.#parts;
    const { promise, resolve } = Promise.withResolvers<typeof late>();
    const timer = time.after(answerMsMax, () => resolve(late));
    const outcome = await Promise.race([node.alive(answer), promise]);
    timer.cancel();
    return outcome === late ? null : outcome;
  }

  #believedLeader(group: number): SimulatedNode | null {
    const ids = [...this.#parts.nodes.keys()];
    const wanted = this.#leaders[group];
    return this.#parts.nodes.get(wanted) ?? this.#parts.nodes.get(ids[wanted % ids.length]) ?? null;
  }

  #anyNode(): SimulatedNode | null {
    const ids = [...this.#parts.nodes.keys()];
    return this.#parts.nodes.get(this.#parts.random.pick(ids)) ?? null;
  }

  #history(group: number): History {
    return this.#parts.histories[group];
  }

  #group(): number {
    return this.#parts.random.below(this.#parts.histories.length);
  }

  #values(): string[] {
    const { random } = this.#parts;
    const padding = random.below(25) === 0 ? "x".repeat(random.below(20_000)) : "";
    return Array.from(
      { length: 1 + random.below(3) },
      () => `v${this.#id}.${this.#next++}${padding}`,
    );
  }

  #pick(): Op {
    let at = this.#parts.random.below(weightSum);
    for (const [weight, op] of weights) {
      at -= weight;
      if (at < 0) return op;
    }
    throw new Error("The weights do not add up");
  }

  #trace(line: string): void {
    this.#parts.trace(`c${this.#id} ${line}`);
  }
}
