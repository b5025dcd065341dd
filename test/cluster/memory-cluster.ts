// Whole nodes as far as metadata goes, over a network in memory and in virtual time: journal, host, calls, controller,
// planner, reconciler, and partition groups whose machine is a list of words.
//
// Promise: one seed, one course of events. A node's crash() keeps what was durable; it comes back with start().

import { birthOf } from "../../src/cluster/birth.ts";
import { encodeState } from "../../src/cluster/cluster-snapshot.ts";
import type { Command } from "../../src/cluster/commands.ts";
import { Controller, type ControllerSeat } from "../../src/cluster/controller.ts";
import { introduceNode } from "../../src/cluster/introduce.ts";
import { MemberService, peersOf } from "../../src/cluster/member-service.ts";
import type { JoinAnswer } from "../../src/cluster/membership.ts";
import { place } from "../../src/cluster/placement.ts";
import { PeerList } from "../../src/cluster/peer-list.ts";
import { Planner } from "../../src/cluster/planner.ts";
import { Reconciler, type OwnedGroups } from "../../src/cluster/reconciler.ts";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import type { Birth, Replica } from "../../src/consensus/replica.ts";
import { entryKinds, type Journal } from "../../src/journal/journal.ts";
import { storedRows } from "../../src/journal/memory-disk.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../../src/journal/simulated-disk.ts";
import { createCalls, type CallLane } from "../../src/transport/call-lane.ts";
import { MemoryNetwork } from "../../src/transport/memory-network.ts";
import type { MemoryTransport } from "../../src/transport/memory-transport.ts";
import type { InPacket, Lane, Peer, TransportEvents } from "../../src/transport/transport.ts";
import { command as said, Words } from "../consensus/cluster.ts";
import { VirtualWorld } from "../consensus/virtual-world.ts";
import { id } from "./states.ts";

/** One process of a node. */
interface Life {
  readonly journal: Journal;
  readonly host: Host;
  readonly transport: MemoryTransport;
  readonly calls: CallLane;
  readonly controller: Controller;
  readonly planner: Planner;
  readonly reconciler: Reconciler;
  readonly peers: PeerList;
  readonly members: MemberService;
}

export class MemoryNode implements OwnedGroups, TransportEvents {
  readonly nodeId: number;
  readonly region: string | null;
  readonly machines = new Map<string, Words>();
  readonly #cluster: MemoryCluster;
  readonly #birth: Birth | null;
  #disk: SimulatedDisk;
  /** The other nodes, as it knew them when its last process ended. */
  #known: readonly Peer[];
  #journal: Journal | null = null;
  #host: Host | null = null;
  #calls: CallLane | null = null;
  #life: Life | null = null;
  #opening = new Map<string, Promise<Replica | null>>();
  #removing = new Map<string, Promise<void>>();

  constructor(
    cluster: MemoryCluster,
    of: {
      nodeId: number;
      birth: Birth | null;
      region: string | null;
      peers: readonly Peer[];
    },
  ) {
    const { world } = cluster;
    this.#cluster = cluster;
    this.nodeId = of.nodeId;
    this.region = of.region;
    this.#birth = of.birth;
    this.#known = of.peers;
    this.#disk = createSimulatedDisk({
      random: () => world.random(),
      delay: () => new Promise((resolve) => void world.setTimer(world.random() * 3, resolve)),
    });
  }

  get alive(): boolean {
    return this.#life !== null;
  }
  get life(): Life {
    if (this.#life === null) throw new Error(`Node ${this.nodeId} is down`);
    return this.#life;
  }
  get controller(): Controller {
    return this.life.controller;
  }
  /** It knows that it was removed, or would, were it asked. */
  get removed(): boolean {
    return this.#cluster.living.some(({ state }) => state.removedNodes.has(this.nodeId));
  }
  get stateBytes(): string {
    return Buffer.from(encodeState(this.state)).toString("hex");
  }
  get state() {
    return this.life.controller.state;
  }

  async start(): Promise<void> {
    const { world, network } = this.#cluster;
    const { nodeId } = this;
    const slabs = createSlabPool();
    const journal = await openJournal({
      world,
      disk: this.#disk,
      slabs,
      fileBytesMax: 200_000,
      fileRowsMax: 1_000,
      cacheBytesMax: 4_000_000,
      freeBytesMin: 0,
      snapshotChunkBytes: 1_024,
    });
    this.#journal = journal;
    const transport = network.transport(nodeId);
    const calls = createCalls({ world, transport, nodeId });
    this.#calls = calls;
    const host = createReplicaHost({
      world,
      journal,
      nodeId,
      transport,
      slabs,
      onWanted: (groupId, incarnation) => void this.#wanted(groupId, incarnation),
    });
    this.#host = host;
    await transport.open(this);
    transport.setPeers(this.#known);
    const reachable = (other: number): boolean =>
      transport.links().some((link) => link.nodeId === other && link.connected);
    const fresh = host.groupIds().includes("controller") ? null : this.#birth;
    const connect = (others: readonly Peer[]): void => transport.setPeers(others);
    const seat: ControllerSeat = { world, nodeId, calls, reachable, connect };
    const seated = fresh === null ? seat : { ...seat, birth: fresh };
    const controller = await Controller.open(host, () => undefined, seated);
    const told = { version: "0.1.0", peer: { host: "memory", port: nodeId }, region: this.region };
    await introduceNode({ controller, world, nodeId, told });
    const peers = new PeerList({
      world,
      state: () => controller.state,
      onChange: (listener) => void controller.onChange(listener),
      nodeId,
      calls,
      leaderKnown: () => controller.reachesLeader,
      connected: () => transport.links().flatMap((link) => (link.connected ? [link.nodeId] : [])),
      known: [],
      set: (list) => {
        this.#known = list;
        transport.setPeers(list);
      },
    });
    // As the broker does it.
    controller.onChange((change) => {
      if (change.kind !== "topicDeleted") return;
      for (const groupId of this.groupIds())
        if (groupId.startsWith(`${change.topic.topicId}/`)) void this.remove(groupId);
    });
    const planner = new Planner({ world, controller });
    const damaged = [...journal.replicas()]
      .filter((replica) => replica.damage.length > 0)
      .map(({ groupId }) => groupId);
    const groups = { groups: this, damaged: damaged.filter((one) => one !== "controller") };
    const reconciler = new Reconciler({ world, controller, host, nodeId, ...groups });
    const members = new MemberService({ world, controller, nodeId, reachable });
    const movers = { planner, reconciler, peers };
    this.#life = { journal, host, transport, calls, controller, members, ...movers };
  }

  /** The process ends at once; what was durable stays. */
  crash(): void {
    const { planner, reconciler, peers } = this.life;
    for (const mover of [planner, reconciler, peers]) mover.close();
    this.end();
  }

  /** As crash(), of a process that may not have come up. */
  end(): void {
    this.#life = null;
    this.#host = null;
    this.#calls = null;
    this.#journal = null;
    this.#opening.clear();
    this.machines.clear();
    this.#cluster.network.kill(this.nodeId);
    this.#disk = this.#disk.crash({ kind: "power" });
  }

  /** The process ends, and a bit flips in an entry of the group that it had stored; false: it had stored none. */
  crashAndDamage(groupId: string): boolean {
    const held = [...this.#journal!.replicas()].find((one) => one.groupId === groupId);
    this.crash();
    for (const [file, stored] of this.#disk.platter)
      for (const { lsn, replica, kind } of storedRows(stored))
        if (replica === held?.replica && kind === entryKinds.command && this.#disk.flip(file, lsn))
          return true;
    return false;
  }

  /** The process ends, and with it the newest `rows` commands of the group and whatever was written after them, as if they
   *  had never been: nothing on the disk tells of it. */
  crashAndLose(groupId: string, rows: number): void {
    const held = [...this.#journal!.replicas()].find((one) => one.groupId === groupId);
    this.crash();
    const lost = [...this.#disk.platter.values()]
      .flatMap((stored) => [...storedRows(stored)])
      .filter(({ replica, kind }) => replica === held?.replica && kind === entryKinds.command)
      .at(-rows);
    if (lost !== undefined) this.#disk.cut(lost.lsn);
  }

  onPacket(packet: InPacket): void {
    if (packet.lane === "call") this.#calls?.onPacket(packet);
    else this.#host?.onPacket(packet);
  }
  onUp(nodeId: number): void {
    this.#host?.onUp(nodeId);
    this.#calls?.onUp(nodeId);
  }
  onBroken(nodeId: number, lane: Lane): void {
    this.#host?.onBroken(nodeId, lane);
    this.#calls?.onBroken(nodeId, lane);
  }
  onDown(nodeId: number): void {
    this.#host?.onDown(nodeId);
    this.#calls?.onDown(nodeId);
  }

  incarnationOf(groupId: string): number | null {
    const state = [...(this.#journal?.replicas() ?? [])].find((one) => one.groupId === groupId);
    return state?.incarnation ?? null;
  }
  *groupIds(): Iterable<string> {
    for (const { groupId } of this.#journal?.replicas() ?? [])
      if (groupId !== "controller") yield groupId;
  }
  wake(groupId: string): Promise<Replica | null> {
    const known = this.#host?.replica(groupId);
    if (known !== null && known !== undefined) return Promise.resolve(known);
    const opening =
      this.#opening.get(groupId) ??
      this.#open(groupId).finally(() => this.#opening.delete(groupId));
    this.#opening.set(groupId, opening);
    return opening;
  }
  async remove(groupId: string): Promise<void> {
    this.machines.delete(groupId);
    const removing = this.#host?.remove(groupId) ?? Promise.resolve();
    this.#removing.set(groupId, removing);
    await removing.finally(() => this.#removing.delete(groupId));
  }

  async #open(groupId: string): Promise<Replica | null> {
    await this.#removing.get(groupId);
    const host = this.#host;
    if (host === null || this.#life === null) return null;
    const machine = new Words();
    const held = this.incarnationOf(groupId) !== null;
    const birth = birthOf(this.state, groupId, this.nodeId);
    if (!held && birth === null) return null;
    const replica = held
      ? await host.open(groupId, machine)
      : host.create(groupId, machine, birth!);
    this.machines.set(groupId, machine);
    return replica;
  }

  /** As the owner of the groups does it: only what the metadata gives to this node. */
  async #wanted(groupId: string, incarnation: number): Promise<void> {
    if (this.#life === null || groupId === "controller") return;
    const held = this.incarnationOf(groupId);
    const mine = held ?? birthOf(this.state, groupId, this.nodeId)?.incarnation;
    if (mine === incarnation) await this.wake(groupId);
  }
}

export class MemoryCluster {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly nodes = new Map<number, MemoryNode>();
  #requests = 0;

  constructor(seed = 7) {
    this.world = new VirtualWorld(seed);
    this.network = new MemoryNetwork(this.world, { delay: { minMs: 0.1, maxMs: 2 } });
  }

  /** The first node forms the cluster, the others join through it, one after the other. */
  static async of(count: number, seed?: number): Promise<MemoryCluster> {
    const cluster = new MemoryCluster(seed);
    const first = new MemoryNode(cluster, { nodeId: 1, birth: null, region: null, peers: [] });
    cluster.nodes.set(1, first);
    await cluster.world.until(first.start());
    while (cluster.nodes.size < count) await cluster.join();
    return cluster;
  }

  node(nodeId: number): MemoryNode {
    const node = this.nodes.get(nodeId);
    if (node === undefined) throw new Error(`There is no node ${nodeId}`);
    return node;
  }

  /** Any living node. */
  get any(): MemoryNode {
    return [...this.nodes.values()].find((node) => node.alive)!;
  }

  async join(through: MemoryNode = this.any, region: string | null = null): Promise<MemoryNode> {
    const answer = await this.ask(through, region);
    if (!answer.ok) throw new Error(answer.detail);
    const { nodeId, incarnation, peers } = answer;
    const birth = { incarnation, voters: [] };
    const node = new MemoryNode(this, { nodeId, birth, region, peers });
    this.nodes.set(nodeId, node);
    await this.world.until(node.start(), 90_000);
    return node;
  }

  /** Whether a node has joined. One whose start failed is there, and down. */
  async tryJoining(through: MemoryNode): Promise<string> {
    const answer = await this.ask(through);
    if (!answer.ok) return answer.detail;
    const { nodeId, incarnation, peers } = answer;
    const birth = { incarnation, voters: [] };
    const node = new MemoryNode(this, { nodeId, birth, region: null, peers });
    this.nodes.set(nodeId, node);
    try {
      await this.world.until(node.start(), 90_000);
    } catch (error) {
      node.end();
      return String(error);
    }
    return `node ${nodeId}`;
  }

  /** Nodes that asked to join and did not hear that they had ask again, as they do in life. */
  finishJoining(): void {
    for (const { nodeId, controllerIncarnation: incarnation } of this.any.state.nodes.values()) {
      if (this.nodes.has(nodeId)) continue;
      const birth = { incarnation, voters: [] };
      const peers = peersOf(this.any.state);
      this.nodes.set(nodeId, new MemoryNode(this, { nodeId, birth, region: null, peers }));
    }
  }

  ask(through: MemoryNode, region: string | null = null): Promise<JoinAnswer> {
    const request = {
      requestId: `request-${(this.#requests += 1)}`,
      version: "0.1.0",
      peer: { host: "memory", port: through.state.nodes.size + 1 },
      region,
      clusterId: null,
    };
    return this.world.until(through.life.members.join(request));
  }

  /** A topic placed by what the node knows. */
  async topic(name: string, of: { partitions?: number; factor?: number } = {}, on = this.any) {
    const { partitions = 1, factor } = of;
    const n = on.state.names.length + on.state.deleted.size + 1;
    const assignments = place(on.state, { partitions, factor: factor ?? 3 });
    await this.submit(on, {
      kind: "createTopic",
      name,
      topicId: id(n),
      assignments,
      configs: {},
      explicitFactor: factor !== undefined,
    });
    return id(n);
  }

  /** Submits a command that must be taken. */
  async submit(node: MemoryNode, command: Command): Promise<void> {
    const applied = await this.world.until(node.controller.submit(command));
    if (!applied.ok) throw new Error(`${command.kind}: ${applied.detail}`);
  }

  /** Proposes a word to the group, at whichever of its nodes leads, until it is committed there: what a leader took
   *  that hands over may be lost, and then it is said again. */
  async say(groupId: string, word: string): Promise<MemoryNode> {
    for (let tries = 0; tries < 5; tries += 1) {
      this.#wakeAll(groupId);
      const leader = await this.eventually(`a leader of ${groupId} that takes ${word}`, () => {
        const one = this.leaderOf(groupId);
        const replica = one?.life.host.replica(groupId);
        const taken = replica?.propose(said(replica, word), replica.role.term).ok === true;
        return taken ? one : null;
      });
      const heard = () => this.heard(leader, groupId).includes(word);
      const committed = await this.eventually(word, heard, 5_000).catch(() => false);
      if (committed) return leader;
    }
    throw new Error(`${word} is not committed in ${groupId} (seed ${this.world.seed})`);
  }

  #wakeAll(groupId: string): void {
    for (const node of this.living)
      void node.wake(groupId).then(
        (replica) => replica?.leader(20_000).catch(() => undefined),
        () => undefined,
      );
  }

  /** Whether the word was committed within a few seconds; false: it may be yet. */
  async trySaying(groupId: string, word: string): Promise<boolean> {
    this.#wakeAll(groupId);
    const leads = () => this.leaderOf(groupId);
    const leader = await this.eventually("a leader", leads, 2_500).catch(() => null);
    const replica = leader?.life.host.replica(groupId) ?? null;
    if (leader === null || replica === null) return false;
    if (!replica.propose(said(replica, word), replica.role.term).ok) return false;
    const committed = () => leader.alive && this.heard(leader, groupId).includes(word);
    return await this.eventually("its commit", committed, 3_000).then(
      () => true,
      () => false,
    );
  }

  /** Runs until the group has these members ("1 2 3 | 4"), as its leader sees it. */
  async members(wanted: string, groupId = "controller"): Promise<void> {
    const found = () => {
      const leader = this.leaderOf(groupId);
      return leader === null ? "no leader" : membersOf(leader, groupId);
    };
    try {
      await this.eventually("members", () => found() === wanted);
    } catch {
      const seed = this.world.seed;
      throw new Error(`Members of ${groupId} must be ${wanted}, found ${found()} (seed ${seed})`);
    }
  }

  /** Runs until every living member's state is the same. */
  async agreed(): Promise<void> {
    await this.eventually("one state everywhere", () => {
      const members = this.living.filter(({ nodeId, state }) => state.nodes.has(nodeId));
      return new Set(members.map(({ stateBytes }) => stateBytes)).size === 1;
    });
  }

  heard(node: MemoryNode, groupId: string): readonly string[] {
    return node.machines.get(groupId)?.said ?? [];
  }

  get living(): readonly MemoryNode[] {
    return [...this.nodes.values()].filter((node) => node.alive);
  }

  leaderOf(groupId: string): MemoryNode | null {
    return this.living.find((node) => node.life.host.replica(groupId)?.ready === true) ?? null;
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
}

function ids(replicas: readonly { readonly nodeId: number }[]): string {
  const sorted = replicas.map(({ nodeId }) => nodeId).toSorted((a, b) => a - b);
  return sorted.join(" ");
}

/** Node ids of a group's applied members: "1 2 3 | 4". */
export function membersOf(node: MemoryNode, groupId: string): string {
  const members = node.life.host.replica(groupId)?.members;
  if (members === undefined) return "none";
  const { voters, learners, joint } = members;
  return `${ids(voters)}${learners.length > 0 ? ` | ${ids(learners)}` : ""}${joint ? " joint" : ""}`;
}
