// One simulated node: a disk that stays, and one process after the other that runs on it: the real journal, host and
// partitions, over the network in memory.
//
//   down --start()--> [journal opens, host, partitions] --up--> ... --crash()--> down
//
// Promise: what a process knew dies with it; its packets, timers and writes never act again. While paused it hears and
// does nothing. Groups are created and removed as the placement says, as the controller's commands would. Left to
// others: what happens to it (nemesis.ts), what must hold (the watchers).

import { createReplicaHost, type Host } from "../../../src/consensus/host.ts";
import type {
  Birth,
  MembersTarget,
  Replica,
  ReplicaHost,
  StateMachine,
} from "../../../src/consensus/replica.ts";
import { nextStep } from "../../../src/cluster/members-step.ts";
import type { HostedReplica } from "../../../src/consensus/hosted-replica.ts";
import { raftIdOf, type ReplicaIdentity } from "../../../src/consensus/identity.ts";
import { Fault } from "../../../src/errors.ts";
import type { Journal } from "../../../src/journal/journal.ts";
import {
  createPartition,
  openPartition,
  type Partition,
} from "../../../src/partition/partition.ts";
import type { MemoryNetwork } from "../../../src/transport/memory-network.ts";
import type { MemoryTransport } from "../../../src/transport/memory-transport.ts";
import type { InPacket } from "../../../src/transport/transport.ts";
import { DurableLog } from "./durable-log.ts";
import type { GroupInvariants } from "./group-invariants.ts";
import { NodeDisk } from "./node-disk.ts";
import type { Placement } from "./placement.ts";
import { ProcessWorld, type Clock, type VirtualTime } from "./virtual-time.ts";
import { Violation } from "./violation.ts";
import { watchCore } from "./watch-core.ts";
import { watchJournal } from "./watch-journal.ts";
import { watchMachine, type WatchedMachine } from "./watch-machine.ts";
import type { Stream } from "./random.ts";

export interface Group {
  readonly placement: Placement;
  readonly invariants: GroupInvariants;
}

export interface NodeParts {
  readonly time: VirtualTime;
  readonly network: MemoryNetwork;
  readonly random: Stream;
  readonly clock: Clock;
  readonly disk: NodeDisk;
  readonly groups: ReadonlyMap<string, Group>;
  /** Ids of all nodes that take part now. */
  readonly nodeIds: () => readonly number[];
  readonly trace: (line: string) => void;
  /** Something that must never happen, found where nobody could catch it. */
  readonly fail: (error: unknown) => void;
}

interface Hosted {
  readonly partition: Partition;
  readonly replica: Replica;
  readonly machine: WatchedMachine;
  highWatermark: number;
}

/** One process. */
interface Life {
  readonly world: ProcessWorld;
  readonly transport: MemoryTransport;
  /** Null until the journal is open. */
  journal: Journal | null;
  host: Host | null;
  readonly hosted: Map<string, Hosted>;
  /** Its host takes nothing more. */
  stopping: boolean;
  /** Settles with null when the process dies. */
  readonly dead: Promise<null>;
  readonly die: () => void;
}

export class SimulatedNode {
  readonly id: number;
  readonly #parts: NodeParts;
  #life: Life | null = null;
  /** Groups that are being opened, created or removed. */
  readonly #busy = new Set<string>();
  starts = 0;

  constructor(id: number, parts: NodeParts) {
    this.id = id;
    this.#parts = parts;
  }

  get up(): boolean {
    return this.#life !== null;
  }

  get paused(): boolean {
    return this.#life?.world.paused === true;
  }

  get disk(): NodeDisk {
    return this.#parts.disk;
  }

  get clock(): Clock {
    return this.#parts.clock;
  }

  /** Null while the node is down, or not a member, or still opening it. */
  partition(groupId: string): Partition | null {
    return this.#life?.hosted.get(groupId)?.partition ?? null;
  }

  replica(groupId: string): Replica | null {
    return this.#life?.hosted.get(groupId)?.replica ?? null;
  }

  machine(groupId: string): WatchedMachine | null {
    return this.#life?.hosted.get(groupId)?.machine ?? null;
  }

  /** Settles with null when the process dies first. */
  alive<T>(answer: T | Promise<T>): Promise<T | null> {
    return Promise.race([answer, this.#life?.dead ?? null]);
  }

  start(): void {
    if (this.#life !== null) return;
    this.starts += 1;
    const { time, random, clock, network } = this.#parts;
    const world = new ProcessWorld(time, random, clock);
    const { promise: dead, resolve } = Promise.withResolvers<null>();
    const transport = network.transport(this.id);
    const life: Life = {
      world,
      transport,
      journal: null,
      host: null,
      hosted: new Map(),
      stopping: false,
      dead,
      die: () => resolve(null),
    };
    this.#life = life;
    this.#busy.clear();
    this.#boot(life).catch((error: unknown) => this.#failed(life, error));
  }

  crash(kind: "process" | "power"): void {
    const life = this.#life;
    if (life === null) return;
    this.#life = null;
    life.world.kill();
    this.#parts.network.kill(this.id);
    this.disk.crash(kind);
    life.die();
  }

  /** A clean stop: drains, saves, writes its mark; killed when it takes too long. */
  async stop(): Promise<void> {
    const life = this.#life;
    if (life?.host == null || life.journal === null) return this.crash("process");
    const { host, journal } = life;
    life.stopping = true;
    const closed = host.close().then(() => journal.close());
    const { time } = this.#parts;
    await Promise.race([closed.catch(() => undefined), time.sleep(10_000), life.dead]);
    if (this.#life === life) this.crash("process");
  }

  pause(): void {
    this.#life?.world.pause();
  }

  resume(): void {
    this.#life?.world.resume();
  }

  /** The cluster's members changed. */
  peersChanged(): void {
    this.#life?.transport.setPeers(this.#peers());
  }

  /** Creates and removes replicas as the placement says; works toward the target where this node leads. */
  reconcile(): void {
    const life = this.#life;
    if (life?.host == null || life.stopping || life.world.paused) return;
    for (const [groupId, group] of this.#parts.groups) {
      if (!this.#busy.has(groupId)) this.#reconcileGroup(life, groupId, group);
    }
    for (const { replica } of life.hosted.values()) checkFoldIsKept(life.journal!, replica);
  }

  /** What must hold of everything that this process shows. */
  check(): void {
    for (const [groupId, hosted] of this.#life?.hosted ?? []) {
      const { replica } = hosted;
      const { highWatermark, commitIndex } = replica;
      if (highWatermark < hosted.highWatermark) {
        const detail = `${groupId} on node ${this.id}: ${hosted.highWatermark} to ${highWatermark}`;
        throw new Violation("high watermark", detail);
      }
      if (highWatermark === hosted.highWatermark) continue;
      hosted.highWatermark = highWatermark;
      const { log } = this.#parts.groups.get(groupId)!.invariants;
      // A log that begins behind a snapshot begins where records were deleted, perhaps in the midst of an entry.
      const begins = highWatermark === replica.logStart.offset;
      const known = log.nextOffsetAt(begins ? log.applied : commitIndex);
      if (commitIndex > log.last || (known !== undefined && known < highWatermark)) {
        const detail = `${groupId} on node ${this.id} shows ${highWatermark}, committed at ${commitIndex} is ${known}`;
        throw new Violation("high watermark", detail);
      }
    }
  }

  async #boot(life: Life): Promise<void> {
    const { time, groups, disk } = this.#parts;
    const journal = await disk.open(life.world);
    if (!life.world.alive) return;
    const watched = watchJournal(journal, (replica) => {
      const { groupId, incarnation } = journal.state(replica);
      return this.#durable(groupId, incarnation);
    });
    for (const state of journal.replicas()) {
      this.#durable(state.groupId, state.incarnation)?.recovered(state, (index) =>
        journal.term(state.replica, index as typeof state.lastIndex),
      );
    }
    life.journal = watched;
    const host = createReplicaHost({
      world: life.world,
      journal: watched,
      nodeId: this.id,
      transport: life.transport,
      slabs: disk.slabs,
      onWanted: () => void time.after(0, () => this.reconcile(), life.world),
      onCore: (groupId, _incarnation, core) => watchCore(core, groups.get(groupId)!.invariants),
    });
    life.host = host;
    await life.transport.open(this.#heldWhilePaused(life, host));
    life.transport.setPeers(this.#peers());
    this.reconcile();
  }

  /** A process that is stopped finds its packets in the socket when it goes on. */
  #heldWhilePaused(life: Life, host: Host) {
    const { world } = life;
    return {
      onPacket: (packet: InPacket) => {
        if (!world.paused) return host.onPacket(packet);
        const copy = { ...packet, head: packet.head.slice(), body: packet.body.slice() };
        world.act(() => host.onPacket(copy));
      },
      onUp: (nodeId: number) => world.act(() => host.onUp(nodeId)),
      onBroken: (nodeId: number, lane: InPacket["lane"]) =>
        world.act(() => host.onBroken(nodeId, lane)),
      onDown: (nodeId: number) => world.act(() => host.onDown(nodeId)),
    };
  }

  #peers() {
    const { nodeIds } = this.#parts;
    return nodeIds().map((nodeId) => ({ nodeId, host: "memory", port: nodeId }));
  }

  #durable(groupId: string, incarnation: number): DurableLog | null {
    const group = this.#parts.groups.get(groupId);
    const raftId = raftIdOf({ nodeId: this.id, incarnation });
    return group?.invariants.disk(raftId, this.disk.lineage) ?? null;
  }

  #reconcileGroup(life: Life, groupId: string, { placement }: Group): void {
    const incarnation = placement.incarnationOn(this.id);
    const hosted = life.hosted.get(groupId);
    if (hosted !== undefined) {
      if (hosted.replica.identity.incarnation !== incarnation) this.#remove(life, groupId);
      else if (isDamaged(hosted.replica)) this.#renew(groupId, incarnation);
      else this.#approach(hosted.replica, placement);
    } else if (life.host!.groupIds().includes(groupId)) {
      this.#open(life, groupId, incarnation);
    } else if (incarnation !== undefined) this.#create(life, groupId);
  }

  #create(life: Life, groupId: string): void {
    const options = this.#options(life, groupId);
    this.#parts.trace(`n${this.id} creates ${groupId}`);
    life.hosted.set(groupId, options.hosted(createPartition(options)));
  }

  #open(life: Life, groupId: string, incarnation: number | undefined): void {
    const state = [...life.journal!.replicas()].find((one) => one.groupId === groupId)!;
    if (state.incarnation !== incarnation) return this.#remove(life, groupId);
    this.#busy.add(groupId);
    void this.#opened(life, groupId);
  }

  async #opened(life: Life, groupId: string): Promise<void> {
    const options = this.#options(life, groupId);
    try {
      const partition = await openPartition(options);
      if (this.#life === life) life.hosted.set(groupId, options.hosted(partition));
    } catch (error) {
      if (this.#life === life) this.#cannotOpen(groupId, error);
    }
    if (this.#life === life) this.#busy.delete(groupId);
  }

  /** What was damaged is lost: another replica takes its place here. */
  #renew(groupId: string, incarnation: number): void {
    this.#parts.trace(`n${this.id} is damaged in ${groupId}`);
    this.#parts.groups.get(groupId)!.placement.renew({ nodeId: this.id, incarnation });
  }

  #cannotOpen(groupId: string, error: unknown): void {
    this.#parts.trace(`n${this.id} cannot open ${groupId}: ${String(error)}`);
    if (!(error instanceof Fault)) return this.#parts.fail(error);
    if (error.code !== "storage_damaged") return;
    const { placement } = this.#parts.groups.get(groupId)!;
    this.#renew(groupId, placement.incarnationOn(this.id)!);
  }

  #remove(life: Life, groupId: string): void {
    this.#busy.add(groupId);
    life.hosted.delete(groupId);
    this.#parts.trace(`n${this.id} removes ${groupId}`);
    void this.#removed(life, groupId);
  }

  async #removed(life: Life, groupId: string): Promise<void> {
    try {
      await life.host!.remove(groupId);
    } catch (error) {
      this.#parts.trace(`n${this.id} cannot remove ${groupId}: ${String(error)}`);
    }
    if (this.#life === life) this.#busy.delete(groupId);
  }

  /** What the real reconciler does for the groups that its node leads. */
  #approach(replica: Replica, placement: Placement): void {
    const { groupId, members, identity: self, commitIndex: floor } = replica;
    if (!replica.ready || members.joint) return;
    placement.settled(members, this.#parts.nodeIds());
    const progress = replica.progress();
    const { target } = placement;
    const step = nextStep({ self, members, progress, target, floor, oneANode: true });
    if (step.kind === "handOver") void replica.transferLeadership(step.toNode);
    if (step.kind !== "change") return;
    this.#busy.add(groupId);
    const wanted = `${key(step.target.voters)}+${key(step.target.learners)}`;
    this.#parts.trace(`n${this.id} changes ${groupId} to ${wanted}`);
    void this.#changed(replica, step.target);
  }

  async #changed(replica: Replica, target: MembersTarget): Promise<void> {
    const life = this.#life;
    const { groupId } = replica;
    try {
      const done = await replica.changeMembers(target);
      this.#parts.trace(`n${this.id} changed ${groupId}: ${done.ok ? "ok" : done.code}`);
    } catch (error) {
      this.#parts.fail(error);
    }
    if (this.#life === life) this.#busy.delete(groupId);
  }

  /** For createPartition() and openPartition(): the host, which gives the replica its birth and watches its machine. */
  #options(life: Life, groupId: string) {
    const { placement, invariants } = this.#parts.groups.get(groupId)!;
    const host = life.host!;
    const incarnation = placement.incarnationOn(this.id) ?? 0;
    const born = placement.isBorn({ nodeId: this.id, incarnation });
    const birth: Birth = { incarnation, voters: born ? placement.born : [] };
    let noted: { machine: WatchedMachine; replica: Replica } | null = null;
    const watch = (machine: StateMachine): WatchedMachine =>
      watchMachine(
        `${groupId} #${raftIdOf({ nodeId: this.id, incarnation })}`,
        machine,
        invariants.log,
      );
    const watching = {
      create: (_groupId: string, inner: StateMachine) => {
        const machine = watch(inner);
        const replica = host.create(groupId, machine, birth);
        noted = { machine, replica };
        return replica;
      },
      open: async (_groupId: string, inner: StateMachine) => {
        const machine = watch(inner);
        const replica = await host.open(groupId, machine);
        noted = { machine, replica };
        return replica;
      },
    };
    const hosted = (partition: Partition): Hosted => ({ partition, ...noted!, highWatermark: 0 });
    const options = { host: watching as unknown as ReplicaHost, journal: life.journal! };
    return { ...options, slabs: this.disk.slabs, groupId, hosted };
  }

  #failed(life: Life, error: unknown): void {
    if (this.#life !== life) return;
    // A disk that refuses the barrier: the process ends, and is started again.
    this.#parts.trace(`n${this.id} cannot start: ${String(error)}`);
    if (!(error instanceof Fault)) return this.#parts.fail(error);
    this.crash("process");
  }
}

/** What stood below the log start is in a snapshot that is durable. */
function checkFoldIsKept(journal: Journal, { groupId, number }: Replica): void {
  const { logStart, snapshotIndex } = journal.state(number);
  if (snapshotIndex >= logStart.index - 1) return;
  const detail = `log of ${groupId} starts at ${logStart.index}, its fold is saved at ${snapshotIndex}`;
  throw new Violation("fold", detail);
}

function isDamaged(replica: Replica): boolean {
  return (replica as HostedReplica).damaged;
}

function key(ids: readonly ReplicaIdentity[]): string {
  return ids
    .map(raftIdOf)
    .sort((a, b) => a - b)
    .join();
}
