// Several hosts over a network in memory, in virtual time, each over the real journal on a disk that can crash.
//
// Promise: one seed, one course of events. A node's crash() keeps what was durable; nodes come back with restart().

import type { SlabPool } from "../../src/bytes/slab.ts";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import type { ReplicaIdentity } from "../../src/consensus/identity.ts";
import type {
  Birth,
  EntryDraft,
  Replica,
  Role,
  StateMachine,
} from "../../src/consensus/replica.ts";
import type { Refusal } from "../../src/errors.ts";
import { entryKinds, type Journal, type LogEntry } from "../../src/journal/journal.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../../src/journal/simulated-disk.ts";
import type { LogIndex, Term } from "../../src/quantities.ts";
import { MemoryNetwork } from "../../src/transport/memory-network.ts";
import type { MemoryTransport } from "../../src/transport/memory-transport.ts";
import { VirtualWorld } from "./virtual-world.ts";

/** A machine whose state is the list of texts that its entries carry, in order, with the index of each. */
export class Words implements StateMachine {
  said: string[] = [];
  restores = 0;
  roles: Role[] = [];
  lost: { index: number; refusal: Refusal }[] = [];

  restore(_index: LogIndex, snapshot: Uint8Array): void {
    this.restores += 1;
    this.said = JSON.parse(new TextDecoder().decode(snapshot)) as string[];
  }

  apply(entries: readonly LogEntry[]): void {
    for (const { kind, meta, batch } of entries) {
      if (kind === entryKinds.command) this.said.push(new TextDecoder().decode(meta!));
      if (kind === entryKinds.data) this.said.push(new TextDecoder().decode(batch!.bytes.slice()));
    }
  }

  snapshot(): Uint8Array {
    return new TextEncoder().encode(JSON.stringify(this.said));
  }

  onRole(role: Role): void {
    this.roles.push(role);
  }

  onReady(_term: Term): void {}

  onFlushed(_index: LogIndex, _term: Term): void {}

  onLost(index: LogIndex, refusal: Refusal): void {
    this.lost.push({ index, refusal });
  }
}

export interface Hosted {
  readonly replica: Replica;
  readonly machine: Words;
}

export class TestNode {
  readonly nodeId: number;
  readonly wanted: { groupId: string; incarnation: number }[] = [];
  readonly hosted = new Map<string, Hosted>();
  slabs: SlabPool = createSlabPool();
  disk: SimulatedDisk;
  journal!: Journal;
  host!: Host;
  transport!: MemoryTransport;
  alive = false;
  /** What a flush takes, ms, beside a little. */
  flushMs = 0;
  readonly #cluster: TestCluster;

  constructor(cluster: TestCluster, nodeId: number) {
    this.#cluster = cluster;
    this.nodeId = nodeId;
    this.disk = this.#emptyDisk();
  }

  /** `sole`: this replica in its first incarnation. */
  get id(): ReplicaIdentity {
    return { nodeId: this.nodeId, incarnation: 1 };
  }

  async start(): Promise<void> {
    const { world, network, peers } = this.#cluster;
    this.slabs = createSlabPool();
    this.journal = await world.until(
      openJournal({
        world,
        disk: this.disk,
        slabs: this.slabs,
        ...this.#cluster.sizes,
        cacheBytesMax: this.#cluster.cacheBytesMax,
        freeBytesMin: 0,
      }),
    );
    this.transport = network.transport(this.nodeId);
    this.host = createReplicaHost({
      world,
      journal: this.journal,
      nodeId: this.nodeId,
      transport: this.transport,
      slabs: this.slabs,
      onWanted: (groupId, incarnation) => void this.wanted.push({ groupId, incarnation }),
    });
    await this.transport.open(this.host);
    this.transport.setPeers(peers);
    this.alive = true;
    for (const groupId of this.host.groupIds()) await this.open(groupId);
  }

  create(groupId: string, birth: Birth): Replica {
    const machine = new Words();
    const replica = this.host.create(groupId, machine, birth);
    this.hosted.set(groupId, { replica, machine });
    return replica;
  }

  async open(groupId: string): Promise<Replica> {
    const machine = new Words();
    const replica = await this.#cluster.world.until(this.host.open(groupId, machine));
    this.hosted.set(groupId, { replica, machine });
    return replica;
  }

  /** The disk is lost with all that was on it. Only while the node is down. */
  loseDisk(): void {
    this.disk = this.#emptyDisk();
  }

  #emptyDisk(): SimulatedDisk {
    const { world } = this.#cluster;
    return createSimulatedDisk({
      random: () => world.random(),
      delay: (verb) => {
        const ms = world.random() * 4 + (verb === "commit" ? this.flushMs : 0);
        return new Promise((resolve) => void world.setTimer(ms, resolve));
      },
    });
  }

  /** The process ends at once; what was durable stays. */
  crash(): void {
    this.alive = false;
    this.hosted.clear();
    this.#cluster.network.kill(this.nodeId);
    this.disk = this.disk.crash({ kind: "power" });
  }
}

export class TestCluster {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly nodes: TestNode[] = [];
  cacheBytesMax = 4_000_000;
  /** Small, so that little data makes many files. */
  sizes = { fileBytesMax: 100_000, fileRowsMax: 500, snapshotChunkBytes: 1_024 };
  readonly peers: { nodeId: number; host: string; port: number }[] = [];

  constructor(seed = 7) {
    this.world = new VirtualWorld(seed);
    this.network = new MemoryNetwork(this.world, { delay: { minMs: 0.1, maxMs: 2 } });
  }

  static async of(count: number, seed?: number): Promise<TestCluster> {
    const cluster = new TestCluster(seed);
    await cluster.add(count);
    return cluster;
  }

  async add(count = 1): Promise<void> {
    const added: TestNode[] = [];
    for (let i = 0; i < count; i += 1) {
      const nodeId = this.nodes.length + 1;
      this.peers.push({ nodeId, host: "memory", port: nodeId });
      const node = new TestNode(this, nodeId);
      this.nodes.push(node);
      added.push(node);
    }
    for (const node of added) await node.start();
    for (const node of this.nodes) if (node.alive) node.transport.setPeers(this.peers);
    await this.world.run(50);
  }

  node(nodeId: number): TestNode {
    return this.nodes[nodeId - 1];
  }

  /** A group on all of the nodes, voters in their first incarnation. */
  group(groupId: string, on: readonly TestNode[] = this.nodes): void {
    const voters = on.map(({ id }) => id);
    for (const node of on) node.create(groupId, { incarnation: 1, voters });
  }

  on(nodeId: number, groupId = "g"): Hosted {
    const hosted = this.node(nodeId).hosted.get(groupId);
    if (hosted === undefined) throw new Error(`Node ${nodeId} hosts no ${groupId}`);
    return hosted;
  }

  /** Runs until some living node leads and is ready; its node. */
  async leader(groupId = "g", msMax = 20_000): Promise<TestNode> {
    return this.eventually(`a leader of ${groupId}`, () => this.leaderNow(groupId), msMax);
  }

  /** The newest term's. */
  leaderNow(groupId = "g"): TestNode | null {
    const leading = this.nodes.filter(
      (node) => node.alive && node.hosted.get(groupId)?.replica.ready,
    );
    const termOf = (node: TestNode) => node.hosted.get(groupId)!.replica.role.term;
    return leading.toSorted((a, b) => termOf(b) - termOf(a))[0] ?? null;
  }

  /** Runs until the question has an answer. */
  async eventually<T>(
    what: string,
    ask: () => T | null | undefined | false,
    msMax = 20_000,
  ): Promise<T> {
    const end = this.world.monotonic() + msMax;
    for (;;) {
      const answer = ask();
      if (answer !== null && answer !== undefined && answer !== false) return answer;
      if (this.world.monotonic() >= end) throw new Error(`Waited ${msMax} ms for ${what}`);
      await this.world.run(10);
    }
  }

  /** Wakes the group on every node that has it. */
  wake(groupId = "g"): void {
    for (const node of this.nodes) {
      const hosted = node.alive ? node.hosted.get(groupId) : undefined;
      hosted?.replica.leader(30_000).catch(() => undefined);
    }
  }

  /** Proposes the words at the leader and runs until they are committed there. */
  async say(node: TestNode, words: readonly string[], groupId = "g"): Promise<void> {
    const { replica, machine } = this.on(node.nodeId, groupId);
    for (const word of words) {
      const proposed = replica.propose(command(replica, word), replica.role.term);
      if (!proposed.ok) throw new Error(`Cannot say ${word}: ${proposed.detail}`);
    }
    const last = words.at(-1)!;
    await this.eventually(`${last} at node ${node.nodeId}`, () => machine.said.includes(last));
  }

  /** Runs until every given node has heard all of the words in order. */
  async heard(
    words: readonly string[],
    on: readonly TestNode[] = this.nodes,
    groupId = "g",
  ): Promise<void> {
    const wanted = JSON.stringify(words);
    for (const node of on) {
      const heard = () => JSON.stringify(this.on(node.nodeId, groupId).machine.said);
      try {
        await this.eventually("the words", () => heard() === wanted);
      } catch {
        throw new Error(`Node ${node.nodeId} must hear ${wanted}, heard ${heard()}`);
      }
    }
  }
}

export function command(replica: Replica, word: string): EntryDraft {
  return {
    kind: entryKinds.command,
    baseOffset: replica.nextOffset,
    offsetCount: 0,
    maxTimestamp: -1,
    meta: new TextEncoder().encode(word),
    batch: null,
  };
}

/** One record whose batch is the word's bytes (the host does not look into batches). */
export function record(node: TestNode, replica: Replica, word: string): EntryDraft {
  const bytes = new TextEncoder().encode(word);
  const batch = node.slabs.allocate(bytes.length);
  batch.bytes.set(bytes);
  return {
    kind: entryKinds.data,
    baseOffset: replica.nextOffset,
    offsetCount: 1,
    maxTimestamp: 1,
    meta: null,
    batch,
  };
}
