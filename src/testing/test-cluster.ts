// rivulet/test: a cluster inside a test: whole nodes in one process, on a network in memory that fails when told to.
//
//   await using cluster = await startCluster();        // three nodes, in memory, on free ports
//   await cluster.createTopic("orders");
//   await cluster.kill(await cluster.leaderOf("orders", 0));
//   await cluster.send("orders", { value: "still here" });
//
// Promise: the same nodes as `rivulet start --peer` runs, each with its own HTTP door; only the sockets between them are
// replaced. Elections take the time that they take: about a second for a node that falls silent, less for one that dies.
// Left to others: one node (test-node.ts), the network's behaviour (transport/memory-network.ts).

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { votersWanted } from "../cluster/voters.ts";
import { MemoryMeeting } from "../node/memory-peers.ts";
import { MemoryNetwork, type Delay } from "../transport/memory-network.ts";
import { systemWorld } from "../world.ts";
import { TestClient } from "./test-client.ts";
import { TestNode } from "./test-node.ts";

export interface TestClusterOptions {
  /** 1 to 9; 3 when left out. */
  readonly nodes?: number;
  /** "memory" (default); "disk": folders of its own, removed at the end; or a folder for the nodes' folders, which stays. */
  readonly storage?: "memory" | "disk" | { readonly dir: string };
  /** Broker settings of every node under Kafka's names, e.g. {"num.partitions": "3"}. */
  readonly settings?: Readonly<Record<string, string>>;
}

const nodesMax = 9;
/** How long leaderOf() and the start wait. */
const waitMsMax = 20_000;
const lookMs = 2;

/** Starts nodes that form a cluster; resolves when each votes as it is to and any one may be lost. Rejects with Fault for
 *  wrong settings. Three in memory take about 0.1 s. */
export async function startCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const { nodes = 3, storage = "memory", settings = {} } = options;
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > nodesMax)
    throw new RangeError(`A cluster in a test has 1 to ${nodesMax} nodes, wanted ${nodes}`);
  const scratch = storage === "disk" ? mkdtempSync(join(tmpdir(), "rivulet-test-")) : null;
  const folder = typeof storage === "object" ? storage.dir : scratch;
  const network = new MemoryNetwork(systemWorld);
  const meeting = new MemoryMeeting(network);
  const made = Array.from(
    { length: nodes },
    (_, i) => new TestNode({ meeting, place: i + 1, folder, settings }),
  );
  const cluster = new TestCluster(network, made, scratch);
  try {
    for (const [i, node] of made.entries()) await node.start(i === 0 ? undefined : made[0].url);
    await cluster.formed();
    return cluster;
  } catch (fault) {
    await cluster[Symbol.asyncDispose]();
    throw fault;
  }
}

/** Nodes are named by their ids, from 1; what is asked of the cluster itself goes to the first node that runs. */
export class TestCluster extends TestClient implements AsyncDisposable {
  readonly nodes: readonly TestNode[];
  readonly #network: MemoryNetwork;
  readonly #scratch: string | null;

  constructor(network: MemoryNetwork, nodes: readonly TestNode[], scratch: string | null) {
    super();
    this.#network = network;
    this.nodes = nodes;
    this.#scratch = scratch;
  }

  /** Of the first node that runs. */
  override get url(): string {
    const node = this.nodes.find(({ isRunning }) => isRunning);
    if (node === undefined) throw new Error("No node of the cluster runs");
    return node.url;
  }

  /** Of every node, whether it runs or not, in the order of their ids. */
  get urls(): readonly string[] {
    return this.nodes.map(({ url }) => url);
  }

  node(id: number): TestNode {
    const node = this.nodes.find((one) => one.id === id);
    if (node !== undefined) return node;
    const ids = this.nodes.map((one) => one.id).join(", ");
    throw new RangeError(`The cluster has nodes ${ids}, wanted ${id}`);
  }

  /** As kill -9: what was acknowledged is on its disk, its connections end, nobody is told. */
  async kill(id: number): Promise<void> {
    const node = this.node(id);
    this.#network.kill(id);
    await node.kill();
  }

  /** The node once more, on its disk and at its port: after kill(), or, when it runs, after a stop in order. Resolves when
   *  it answers. */
  async restart(id: number): Promise<void> {
    const node = this.node(id);
    if (node.isPaused) this.resume(id);
    await node.stop(graceMs);
    const others = this.nodes.filter((one) => one !== node);
    await node.start(
      undefined,
      others.map((one) => ({ nodeId: one.id, host: "memory", port: one.id })),
    );
  }

  /** As SIGSTOP: it answers nobody and hears nobody, its connections stay. */
  pause(id: number): void {
    const node = this.node(id);
    for (const other of this.nodes) if (other !== node) this.#network.clog(other.id, id);
    node.pause();
  }

  resume(id: number): void {
    const node = this.node(id);
    if (!node.isPaused) return;
    node.resume();
    for (const other of this.nodes) if (other !== node) this.#network.unclog(other.id, id);
  }

  /** Nothing passes between the two. Clients reach both. */
  cut(a: number, b: number): void {
    this.#network.cut(this.node(a).id, this.node(b).id);
  }

  /** Nothing passes from the one to the other; the way back is open. */
  cutOneWay(from: number, to: number): void {
    this.#network.cutOneWay(this.node(from).id, this.node(to).id);
  }

  /** Nothing passes between the node and any other. */
  isolate(id: number): void {
    for (const other of this.nodes) if (other.id !== id) this.cut(id, other.id);
  }

  /** Every packet between nodes takes so long from now on, one way, ms; of a range, a random time each. */
  delay(ms: number | Delay): void {
    const delay = typeof ms === "number" ? { minMs: ms, maxMs: ms } : ms;
    for (const from of this.nodes)
      for (const to of this.nodes) if (from !== to) this.#network.delay(from.id, to.id, delay);
  }

  /** Ends cuts and delays. Nodes that are dead or paused stay so. */
  heal(): void {
    this.#network.heal();
    for (const node of this.nodes) if (node.isPaused) this.pause(node.id);
  }

  /** Id of the node that leads the partition, waited for while there is none; it runs and says so itself. Rejects after
   *  20 s. */
  async leaderOf(topic: string, partition: number): Promise<number> {
    return await soon(`a leader of ${topic}-${partition}`, () => {
      for (const { id, isRunning, running } of this.nodes)
        if (isRunning && running?.broker.leaderOf(topic, partition)?.nodeId === id) return id;
      return null;
    });
  }

  /** Resolves when every node has its vote in the cluster's metadata. */
  async formed(): Promise<void> {
    await soon("the cluster to form", async () => {
      const status = await this.nodes[0].running?.broker.clusterStatus();
      if (status === undefined || !("controller" in status)) return null;
      const { members, joint } = status.controller;
      const voters = members.filter(({ voter }) => voter).length;
      return !joint && voters === votersWanted(this.nodes.length) ? true : null;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id } of this.nodes) if (id !== 0) this.#network.kill(id);
    await Promise.all(this.nodes.map((node) => node.kill()));
    if (this.#scratch !== null) rmSync(this.#scratch, { recursive: true, force: true });
  }
}

/** What is under way when a node stops in order may take so long, ms. */
const graceMs = 1_000;

async function soon<T>(what: string, look: () => T | null | Promise<T | null>): Promise<T> {
  const until = systemWorld.monotonic() + waitMsMax;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (systemWorld.monotonic() > until)
      throw new Error(`Waited ${waitMsMax} ms in vain for ${what}`);
    await new Promise<void>((resolve) => void systemWorld.setTimer(lookMs, resolve));
  }
}
