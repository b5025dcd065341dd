// Writers and readers on every node, while nodes are killed, cut off and made to hand over; judged at the end.
//
//   writers   a record at a time, through any living node, each value once in the world: plain (sent once), with a key
//             or a producer's sequence (sent until it is acknowledged)
//   readers   follow the log at one node, by its own replica; linearizable reads of what was just acknowledged
//   nemesis   one fault at a time, a majority stays
//
// Promise: one seed, one course of events; faults() names every broken promise. What is judged: nothing acknowledged is
// lost; nothing is there twice; what was refused without effects is not there; every reader saw the log's beginning; the
// three copies are the same.

import { privateSlice } from "../../src/bytes/slab-pool.ts";
import { codes } from "../../src/errors.ts";
import { batchBytes, buildBatch, type BatchProducer } from "../../src/records/batch-builder.ts";
import { nextOffsetAt } from "../../src/records/batch-layout.ts";
import { batchOf, valuesIn } from "./batches.ts";
import { BrokerCluster, type BrokerNode } from "./broker-cluster.ts";
import { must } from "./harness.ts";

const topic = "t";
const partitions = 2;

/** plain: sent once. keyed, sequenced: sent until acknowledged, with an idempotency key or a producer's sequence. */
const writerKinds = ["plain", "keyed", "sequenced"] as const;

function sequencedBatch(value: string, producer: BatchProducer) {
  const bytes = new TextEncoder().encode(value);
  const records = [{ key: null, value: bytes, headers: [], timestamp: 1_700_000_000_000 }];
  const batch = new Uint8Array(batchBytes(records));
  buildBatch(batch, records, { producer });
  return privateSlice(batch);
}

interface Reader {
  readonly nodeId: number;
  readonly partition: number;
  readonly seen: string[];
}

export class Nemesis {
  readonly cluster: BrokerCluster;
  readonly acked = new Map<string, number>();
  /** Refused, and nothing came of it. */
  readonly refused: string[] = [];
  readonly unknown: string[] = [];
  readonly readers: Reader[] = [];
  readonly log: string[] = [];
  readonly #faults: string[] = [];
  linearizableReads = 0;
  #isOver = false;

  readonly #nodeIds: readonly number[];

  private constructor(cluster: BrokerCluster) {
    this.cluster = cluster;
    this.#nodeIds = [...cluster.nodes.keys()];
  }

  /** With more than three nodes, some have no replica of a partition. */
  static async run(
    seed: number,
    { rounds, nodes = 3 }: { readonly rounds: number; readonly nodes?: number },
  ): Promise<Nemesis> {
    const cluster = await BrokerCluster.of(nodes, { seed });
    must(await cluster.until(cluster.broker(1).createTopic({ name: topic, partitions })));
    const nemesis = new Nemesis(cluster);
    await cluster.until(nemesis.#run(rounds), 600_000);
    return nemesis;
  }

  get faults(): readonly string[] {
    return this.#faults;
  }

  async #run(rounds: number): Promise<void> {
    const workers: Promise<void>[] = [];
    for (const nodeId of this.#nodeIds) {
      workers.push(...writerKinds.map((kind) => this.#write(nodeId, kind)));
      const reader = { nodeId, partition: nodeId % partitions, seen: [] };
      this.readers.push(reader);
      workers.push(this.#follow(reader));
    }
    for (let round = 0; round < rounds; round += 1) await this.#round();
    await this.#sleep(1_000);
    this.#isOver = true;
    await Promise.all(workers);
    await this.#judge();
  }

  /** One fault and its end. */
  async #round(): Promise<void> {
    const { world, network } = this.cluster;
    const count = this.#nodeIds.length;
    const victim = this.cluster.node(1 + world.below(count));
    const other = this.cluster.node(1 + ((victim.nodeId + world.below(count - 1)) % count));
    const kinds = ["kill", "isolate", "oneWay", "transfer", "clog", "rest"] as const;
    const kind = kinds[world.below(kinds.length)];
    this.log.push(`${Math.round(world.monotonic())} ${kind} ${victim.nodeId} ${other.nodeId}`);
    await this.#sleep(world.below(500));
    switch (kind) {
      case "kill":
        victim.kill();
        await this.#sleep(world.below(4_000));
        return await victim.start();
      case "isolate":
        network.isolate(victim.nodeId);
        await this.#sleep(world.below(8_000));
        return network.heal();
      case "oneWay":
        network.cutOneWay(victim.nodeId, other.nodeId);
        await this.#sleep(world.below(8_000));
        return network.heal();
      case "clog":
        network.clog(victim.nodeId, other.nodeId);
        await this.#sleep(world.below(3_000));
        return network.unclog(victim.nodeId, other.nodeId);
      case "transfer":
        await victim.broker.transferLeadership(
          { topic, partition: world.below(partitions) },
          other.nodeId,
        );
        return;
      case "rest":
        return await this.#sleep(2_000);
    }
  }

  async #write(id: number, kind: (typeof writerKinds)[number]): Promise<void> {
    const { world } = this.cluster;
    const producer = kind === "sequenced" ? await this.#producerId(id) : -1;
    for (let n = 0; !this.#isOver; n += 1) {
      const value = `${id}${kind}/${n}`;
      // Sequences are counted for each partition: this writer keeps to one.
      const partition = kind === "sequenced" ? id % partitions : world.below(partitions);
      const offset =
        kind === "plain"
          ? await this.#append(id, value, partition)
          : await this.#appendUntilDone(id, value, {
              partition,
              producer: { id: producer, epoch: 0, baseSequence: n },
            });
      if (offset !== null && world.below(4) === 0) await this.#readBack(value, partition, offset);
      await this.#sleep(world.below(200));
    }
  }

  async #append(id: number, value: string, partition: number): Promise<number | null> {
    const node = this.#living(id);
    const timeoutMs = 500 + this.cluster.world.below(10_000);
    const outcome = await this.#whileAlive(
      node,
      this.cluster.append(node.nodeId, topic, [value], { partition, timeoutMs }),
    );
    if (outcome !== null && outcome.ok) {
      this.acked.set(value, outcome.baseOffset);
      return outcome.baseOffset;
    }
    if (outcome?.sideEffects === "none") this.refused.push(value);
    else this.unknown.push(value);
    return null;
  }

  async #producerId(id: number): Promise<number> {
    for (let turn = 0; ; turn += 1) {
      const node = this.#living(id + turn);
      const given = await this.#whileAlive(node, node.broker.initProducerId());
      if (given !== null && given.ok) return given.producerId;
      await this.#sleep(50);
    }
  }

  /** Until it is acknowledged; every try is told from a new append by its key, or by its producer's sequence. */
  async #appendUntilDone(
    id: number,
    value: string,
    { partition, producer }: { readonly partition: number; readonly producer: BatchProducer },
  ): Promise<number | null> {
    const bodyHash = new Uint8Array(16).fill(value.length);
    const key = { principal: "", key: value, bodyHash, partitionCount: partitions };
    for (let turn = 0; ; turn += 1) {
      const node = this.#living(id + turn);
      const batch = producer.id < 0 ? batchOf(value) : sequencedBatch(value, producer);
      const request = {
        topic,
        acks: "all",
        timeoutMs: 5_000,
        appends: [{ partition, batch }],
        trusted: false,
        ...(producer.id < 0 ? { idempotency: key } : {}),
      } as const;
      const [outcome] = (await this.#whileAlive(node, node.broker.produce(request))) ?? [];
      if (outcome !== undefined && outcome.ok) {
        this.acked.set(value, outcome.baseOffset);
        return outcome.baseOffset;
      }
      if (outcome !== undefined && !codes[outcome.code].retryable) {
        this.#faults.push(`${value} was refused: ${outcome.code}: ${outcome.detail}`);
        return null;
      }
      if (this.#isOver) {
        this.unknown.push(value);
        return null;
      }
      await this.#sleep(50);
    }
  }

  /** What was acknowledged before the read began is there, whichever node is asked. */
  async #readBack(value: string, partition: number, offset: number): Promise<void> {
    const node = this.#living(this.cluster.world.below(this.#nodeIds.length));
    const reading = node.broker.fetch({
      topic,
      positions: [{ partition, offset, maxBytes: 1 }],
      maxBytes: 1,
      minBytes: 0,
      maxWaitMs: 0,
      consistency: "linearizable",
    });
    const fetched = await this.#whileAlive(node, reading);
    if (fetched === null || "ok" in fetched) return;
    const [part] = fetched.partitions;
    if (!part.ok) return;
    this.linearizableReads += 1;
    const [batch] = part.batches;
    const found = batch === undefined ? [] : valuesIn(batch, offset);
    if (found[0] !== value)
      this.#faults.push(`${value} at ${partition}/${offset} was read back as ${found[0]}`);
    fetched.release();
  }

  async #follow(reader: Reader): Promise<void> {
    let offset = 0;
    while (!this.#isOver) {
      const node = this.cluster.node(reader.nodeId);
      if (!node.alive) {
        await this.#sleep(50);
        continue;
      }
      const reading = node.broker.fetch({
        topic,
        positions: [{ partition: reader.partition, offset, maxBytes: 1 << 16 }],
        maxBytes: 1 << 16,
        minBytes: 1,
        maxWaitMs: 500,
        consistency: "local",
      });
      const fetched = await this.#whileAlive(node, reading);
      if (fetched === null || "ok" in fetched) continue;
      const [part] = fetched.partitions;
      if (part.ok)
        for (const batch of part.batches) {
          reader.seen.push(...valuesIn(batch, offset));
          offset = nextOffsetAt(batch, 0);
        }
      else if (part.code === "offset_out_of_range")
        this.#faults.push(`reader at ${reader.nodeId}: ${offset} is out of range: ${part.detail}`);
      fetched.release();
      await this.#sleep(5);
    }
  }

  async #judge(): Promise<void> {
    const { cluster } = this;
    cluster.network.heal();
    for (const node of cluster.nodes.values()) if (!node.alive) await node.start();
    const logs: (readonly string[])[] = [];
    for (let partition = 0; partition < partitions; partition += 1) {
      const read = await cluster.read(1, topic, { partition, consistency: "linearizable" });
      if (typeof read === "string") this.#faults.push(`partition ${partition}: ${read}`);
      logs[partition] = typeof read === "string" ? [] : read;
      await this.#copies(partition, logs[partition].length);
      for (const nodeId of this.#nodeIds) {
        const copy = await cluster.read(nodeId, topic, { partition, consistency: "local" });
        if (String(copy) !== String(read))
          this.#faults.push(`node ${nodeId} holds another partition ${partition}`);
      }
    }
    this.#judgeLogs(logs);
  }

  /** Until every copy is as long as the log. */
  async #copies(partition: number, length: number): Promise<void> {
    const { cluster } = this;
    const groupId = `${cluster.broker(1).topic(topic)!.topicId}/${partition}`;
    const holders = cluster.living.filter(({ host }) => host.groupIds().includes(groupId));
    for (let n = 0; n < 1_000; n += 1) {
      const marks = holders.map(({ host }) => host.replica(groupId)?.highWatermark ?? 0);
      if (marks.every((mark) => mark >= length)) return;
      await this.#sleep(20);
    }
    this.#faults.push(`the copies of partition ${partition} do not become the same`);
  }

  #judgeLogs(logs: readonly (readonly string[])[]): void {
    const places = new Map<string, number>();
    for (const log of logs)
      for (const [offset, value] of log.entries()) {
        if (places.has(value)) this.#faults.push(`${value} is there twice`);
        places.set(value, offset);
      }
    for (const [value, offset] of this.acked)
      if (places.get(value) !== offset)
        this.#faults.push(`${value} was acknowledged at ${offset}, it is at ${places.get(value)}`);
    for (const value of this.refused)
      if (places.has(value))
        this.#faults.push(`${value} was refused without effects, and is there`);
    for (const { nodeId, partition, seen } of this.readers)
      if (seen.some((value, offset) => logs[partition][offset] !== value))
        this.#faults.push(`the reader at node ${nodeId} saw what is not there`);
  }

  /** What the node answers; null: it died meanwhile. */
  async #whileAlive<T>(node: BrokerNode, work: Promise<T>): Promise<T | null> {
    const { broker } = node;
    const vigil = { isOver: false };
    const death = (async () => {
      while (!vigil.isOver && node.alive && node.broker === broker) await this.#sleep(20);
      return null;
    })();
    try {
      return await Promise.race([work.catch(() => null), death]);
    } finally {
      vigil.isOver = true;
    }
  }

  #living(n: number): BrokerNode {
    const { living } = this.cluster;
    return living[n % living.length];
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.cluster.world.setTimer(ms, resolve));
  }
}
