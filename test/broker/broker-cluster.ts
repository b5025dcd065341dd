// Whole brokers of one cluster in one process: real journals on simulated disks, hosts, partitions, calls and brokers,
// over a network in memory and in virtual time.
//
// Promise: one seed, one course of events. kill() ends a node's process as kill -9 does: what was durable stays, and the
// others hear that its connections ended; start() brings it back.

import type { Broker } from "../../src/broker/broker.ts";
import { createBroker } from "../../src/broker/create-broker.ts";
import type { LocalBroker } from "../../src/broker/local-broker.ts";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import type { ConfigValues } from "../../src/cluster/topic-settings.ts";
import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import type { Birth } from "../../src/consensus/replica.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../../src/journal/simulated-disk.ts";
import { createCalls, type CallLane } from "../../src/transport/call-lane.ts";
import { MemoryNetwork } from "../../src/transport/memory-network.ts";
import type { MemoryTransport } from "../../src/transport/memory-transport.ts";
import type { InPacket, Lane, Peer, TransportEvents } from "../../src/transport/transport.ts";
import { VirtualWorld } from "../consensus/virtual-world.ts";
import { batchOf, valuesIn } from "./batches.ts";

/** One process of a node. */
interface Life {
  readonly host: Host;
  readonly broker: LocalBroker;
  readonly transport: MemoryTransport;
}

export class BrokerNode implements TransportEvents {
  readonly nodeId: number;
  readonly #cluster: BrokerCluster;
  readonly #birth: Birth | null;
  #disk: SimulatedDisk;
  #host: Host | null = null;
  #calls: CallLane | null = null;
  #life: Life | null = null;

  constructor(cluster: BrokerCluster, nodeId: number, birth: Birth | null) {
    const { world } = cluster;
    this.#cluster = cluster;
    this.nodeId = nodeId;
    this.#birth = birth;
    this.#disk = createSimulatedDisk({
      random: () => world.random(),
      delay: () => new Promise((resolve) => void world.setTimer(world.random() * 3, resolve)),
    });
  }

  get alive(): boolean {
    return this.#life !== null;
  }
  get broker(): LocalBroker {
    if (this.#life === null) throw new Error(`Node ${this.nodeId} is down`);
    return this.#life.broker;
  }
  get host(): Host {
    if (this.#life === null) throw new Error(`Node ${this.nodeId} is down`);
    return this.#life.host;
  }

  async start(): Promise<void> {
    const { world, network, settings } = this.#cluster;
    const { nodeId } = this;
    const slabs = createSlabPool();
    const sizes = { fileBytesMax: 2_000_000, fileRowsMax: 5_000, freeBytesMin: 0 };
    const journal = await openJournal({ world, disk: this.#disk, slabs, ...sizes });
    const transport = network.transport(nodeId);
    const calls = createCalls({ world, transport, nodeId });
    this.#calls = calls;
    const host = createReplicaHost({
      world,
      journal,
      nodeId,
      transport,
      slabs,
      onWanted: (groupId, incarnation) => this.#life?.broker.wanted(groupId, incarnation),
      onReach: (other, reached) => calls.onReach(other, reached),
    });
    this.#host = host;
    await transport.open(this);
    transport.setPeers(this.#cluster.peers());
    const reachable = (other: number): boolean =>
      transport.links().some((link) => link.nodeId === other && link.connected);
    const isBorn = host.groupIds().includes("controller");
    const seat = { calls, reachable };
    const broker = await createBroker({
      world,
      journal,
      host,
      slabs,
      seat: isBorn || this.#birth === null ? seat : { ...seat, birth: this.#birth },
      options: {
        nodeId,
        version: "0.1.0",
        told: { http: `http://node-${nodeId}`, peer: { host: "memory", port: nodeId } },
        settings,
      },
    });
    this.#life = { host, broker, transport };
  }

  /** Another node has joined. */
  setPeers(peers: readonly Peer[]): void {
    this.#life?.transport.setPeers(peers);
  }

  /** The process ends at once; what was durable stays. */
  kill(): void {
    this.#life = null;
    this.#host = null;
    this.#calls = null;
    this.#cluster.network.kill(this.nodeId);
    this.#disk = this.#disk.crash({ kind: "power" });
  }

  onPacket(packet: InPacket): void {
    if (packet.lane === "call") this.#calls?.onPacket(packet);
    else this.#host?.onPacket(packet);
  }
  onUp(nodeId: number): void {
    this.#calls?.onUp(nodeId);
    this.#host?.onUp(nodeId);
  }
  onBroken(nodeId: number, lane: Lane): void {
    this.#calls?.onBroken(nodeId, lane);
    this.#host?.onBroken(nodeId, lane);
  }
  onDown(nodeId: number): void {
    this.#calls?.onDown(nodeId);
    this.#host?.onDown(nodeId);
  }
}

export class BrokerCluster {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly settings: ConfigValues;
  readonly nodes = new Map<number, BrokerNode>();

  private constructor(seed: number, settings: ConfigValues) {
    this.world = new VirtualWorld(seed);
    this.network = new MemoryNetwork(this.world, { delay: { minMs: 0.1, maxMs: 2 } });
    this.settings = settings;
  }

  /** The first node forms the cluster, the others join through it, one after the other. */
  static async of(
    count: number,
    { seed = 7, settings = {} }: { seed?: number; settings?: ConfigValues } = {},
  ): Promise<BrokerCluster> {
    const cluster = new BrokerCluster(seed, settings);
    const first = new BrokerNode(cluster, 1, null);
    cluster.nodes.set(1, first);
    await cluster.world.until(first.start());
    while (cluster.nodes.size < count) await cluster.join();
    const voters = count >= 5 ? 5 : count >= 3 ? 3 : 1;
    await cluster.eventually("the controller's voters", () =>
      cluster.living.every(
        ({ broker }) => broker.controller.replica.members.voters.length === voters,
      ),
    );
    return cluster;
  }

  node(nodeId: number): BrokerNode {
    const node = this.nodes.get(nodeId);
    if (node === undefined) throw new Error(`There is no node ${nodeId}`);
    return node;
  }

  broker(nodeId: number): Broker {
    return this.node(nodeId).broker;
  }

  get living(): readonly BrokerNode[] {
    return [...this.nodes.values()].filter((node) => node.alive);
  }

  peers(): readonly Peer[] {
    return [...this.nodes.keys()].map((nodeId) => ({ nodeId, host: "memory", port: nodeId }));
  }

  async join(): Promise<BrokerNode> {
    const port = this.nodes.size + 1;
    const answer = await this.until(
      this.living[0].broker.join({
        requestId: `request-${port}`,
        version: "0.1.0",
        peer: { host: "memory", port },
        clusterId: null,
      }),
    );
    if (!answer.ok) throw new Error(answer.detail);
    const { nodeId, incarnation } = answer;
    const node = new BrokerNode(this, nodeId, { incarnation, voters: [] });
    this.nodes.set(nodeId, node);
    for (const other of this.living) other.setPeers(this.peers());
    await this.until(node.start(), 90_000);
    return node;
  }

  until<T>(work: T, msMax?: number): Promise<Awaited<T>> {
    return this.world.until(Promise.resolve(work), msMax);
  }

  /** Runs until the question has an answer. */
  async eventually<T>(
    what: string,
    ask: () => T | null | undefined | false,
    msMax = 30_000,
  ): Promise<T> {
    const end = this.world.monotonic() + msMax;
    for (;;) {
      const answer = ask();
      if (answer !== null && answer !== undefined && answer !== false) return answer;
      if (this.world.monotonic() >= end)
        throw new Error(`Waited ${msMax} ms for ${what} (seed ${this.world.seed})`);
      await this.world.run(10);
    }
  }

  /** Appends one record a value, as one batch, through a node; the outcome. */
  async append(
    nodeId: number,
    topic: string,
    values: readonly string[],
    more: { readonly partition?: number; readonly timeoutMs?: number } = {},
  ) {
    const { partition = 0, timeoutMs = 30_000 } = more;
    const appends = [{ partition, batch: batchOf(...values) }];
    const request = { topic, acks: "all", timeoutMs, appends, trusted: false } as const;
    const [outcome] = await this.broker(nodeId).produce(request);
    return outcome;
  }

  /** Every value of a partition, read through a node. */
  async read(
    nodeId: number,
    topic: string,
    more: Partial<Parameters<Broker["fetch"]>[0]> & { readonly partition?: number } = {},
  ): Promise<readonly string[] | string> {
    const { partition = 0, ...request } = more;
    const values: string[] = [];
    for (let offset = 0; ;) {
      const fetched = await this.broker(nodeId).fetch({
        topic,
        positions: [{ partition, offset, maxBytes: 1 << 20 }],
        maxBytes: 1 << 20,
        minBytes: 1,
        maxWaitMs: 0,
        ...request,
      });
      if ("ok" in fetched) return fetched.code;
      const [part] = fetched.partitions;
      if (!part.ok) return part.code;
      const found = part.batches.flatMap((batch) => valuesIn(batch));
      fetched.release();
      if (found.length === 0) return values;
      values.push(...found);
      offset += found.length;
    }
  }

  /** The node that leads a partition, as it says itself. */
  leaderOf(topic: string, partition = 0): BrokerNode | null {
    for (const node of this.living) {
      const topicId = node.broker.topic(topic)?.topicId;
      if (topicId === undefined) continue;
      if (node.host.replica(`${topicId}/${partition}`)?.ready === true) return node;
    }
    return null;
  }
}
