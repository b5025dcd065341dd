// The consensus host: drives the Raft cores of all replicas of this node with one journal.
//
//   changed replicas --(end of turn)--> each: proposals, Ready --> journal.enqueue()      one flush for all of them
//                                             committed entries --> state machine
//   journal: durable --> the core's acknowledgements --> changed replicas
//
//   packets of peers --> each replica's step() ------------------------------^    messages to peers --> outbox
//
// Promise: one step a replica a turn, in turn, so that a hot replica does not starve the others; a replica with nothing
// to do costs nothing. A packet for a replica that is not here creates none: the owner is told. Left to others: what
// entries mean (partition, cluster), who should be here (cluster), packets on their way (transport).

import type { RawNode } from "../../raft/index.ts";
import { assert } from "../assert.ts";
import type { SlabPool } from "../bytes/slab.ts";
import { Fault } from "../errors.ts";
import type { Journal, ReplicaState } from "../journal/journal.ts";
import type { ReplicaNumber } from "../quantities.ts";
import type { World } from "../world.ts";
import { Admission } from "./admission.ts";
import { CatchUp } from "./catch-up.ts";
import { releaseBatches } from "./core-run.ts";
import { asFault } from "./core-driver.ts";
import { HostedReplica } from "./hosted-replica.ts";
import { EarlyVotes } from "./early-votes.ts";
import { hostMetrics } from "./host-metrics.ts";
import { nodeOf, replicaOf } from "./identity.ts";
import { decodeMessage } from "./wire/message-codec.ts";
import type { Payload } from "./payload.ts";
import { unfitWords } from "./liveness/node-health.ts";
import { Outbox } from "./wire/outbox.ts";
import { packetKinds } from "./wire/packet-kinds.ts";
import { committedIn } from "./positions.ts";
import { lostTail } from "./replica-faults.ts";
import type { ReplicaContext } from "./replica-context.ts";
import type { InPacket, Lane, Transport } from "../transport/transport.ts";
import type { Birth, Replica, ReplicaHost, StateMachine } from "./replica.ts";
import { SnapshotParts } from "./wire/snapshot-parts.ts";
import { SnapshotSchedule } from "./snapshot-schedule.ts";
import { Vigil } from "./liveness/vigil.ts";
import { decodeWelcome, isWelcome } from "./wire/welcome.ts";

/** A stop does not wait longer for writes: a disk that is full may take them much later, or never. */
const closeMsMax = 5_000;
/** Replicas served in one turn of the event loop; the others wait for the next. */
const replicasPerTurn = 256;
/** Raft's tick: an election timeout is 10 to 20 of them, which outlives the pauses of a virtual machine. */
const tickMs = 100;
/** How often it is looked whether reads met damage. */
const damageMs = 500;
/** The owner hears of a group that is wanted here at most so often, and of so many at a time. */
const wantedPauseMs = 1_000;
const wantedMax = 10_000;

export interface HostOptions {
  readonly world: World;
  readonly journal: Journal;
  /** This node, > 0. */
  readonly nodeId: number;
  /** Incarnation of replicas created here; a replica's identity is (node id, incarnation). Default 1. */
  readonly incarnation?: number;
  /** How the other nodes are reached; left out: this node is alone. The owner opens it and passes its events on. */
  readonly transport?: Transport;
  /** Where batches that peers send are kept; wanted with a transport. */
  readonly slabs?: SlabPool;
  /** A peer speaks of a group that is not open here. The owner opens or creates it if the cluster's metadata gives that
   *  incarnation to this node; the message itself is dropped, Raft sends it again. Called at most once a second for the
   *  same (group, incarnation). */
  readonly onWanted?: (groupId: string, incarnation: number) => void;
  /** Another node hears this one and is heard (again), or one of both has not been so for a second, though it may be
   *  connected. */
  readonly onReach?: (nodeId: number, reached: boolean) => void;
  /** Every core that starts, for those who check invariants. */
  readonly onCore?: (groupId: string, incarnation: number, core: RawNode<Payload>) => void;
}

/** A host over an open journal. The caller closes the host first, then the journal. Cost: O(replicas), no I/O. */
export function createReplicaHost(options: HostOptions): Host {
  return new Host(options);
}

export class Host implements ReplicaHost {
  readonly #context: ReplicaContext;
  readonly #journal: Journal;
  readonly #incarnation: number;
  readonly #numbers = new Map<string, ReplicaNumber>();
  readonly #replicas = new Map<ReplicaNumber, HostedReplica>();
  #changed = new Set<HostedReplica>();
  #scheduled = false;
  /** A snapshot of some fold is being saved; one at a time. */
  #saving = false;
  #closing: Promise<void> | null = null;
  readonly #slabs: SlabPool | null;
  /** Snapshots of leaders that arrive in parts. */
  readonly #parts: SnapshotParts;
  readonly #onWanted: (groupId: string, incarnation: number) => void;
  readonly #early = new EarlyVotes();
  /** When the owner was last told of a group that is wanted here. */
  readonly #wanted = new Map<string, number>();
  /** Replicas for which time passes. */
  readonly #ticking = new Set<HostedReplica>();
  #ticks = false;
  /** Damaged rows that reads had met when it was looked last. */
  #damageMet = 0;
  #looks = false;
  readonly #counters = {
    turns: 0,
    snapshotsSaved: 0,
    snapshotsFailed: 0,
    packetsRefused: 0,
    strangers: 0,
  };

  constructor(options: HostOptions) {
    const { world, journal, nodeId, transport } = options;
    assert(
      Number.isSafeInteger(nodeId) && nodeId > 0,
      () => `Node id must be positive, got ${nodeId}`,
    );
    this.#journal = journal;
    this.#incarnation = options.incarnation ?? 1;
    const catchUp = new CatchUp();
    this.#context = {
      world,
      journal,
      admission: new Admission(journal),
      schedule: new SnapshotSchedule(),
      outbox: new Outbox(options.transport ?? null, catchUp),
      catchUp,
      nodeId,
      vigil: transport === undefined ? null : this.#keepVigil({ ...options, transport }),
      received: { bytes: 0 },
      counters: {
        elections: 0,
        leadershipsLost: 0,
        messagesIgnored: 0,
        snapshotsSent: 0,
        snapshotsUnderWay: 0,
        snapshotsInstalled: 0,
      },
      changed: (replica) => this.#onChanged(replica),
      onCore: options.onCore ?? (() => undefined),
      ticking: (replica) => this.#tickLater(replica),
    };
    assert(
      options.transport === undefined || options.slabs !== undefined,
      "A host with a transport needs slabs for what arrives",
    );
    this.#slabs = options.slabs ?? null;
    this.#parts = new SnapshotParts(nodeId);
    this.#onWanted = options.onWanted ?? (() => undefined);
    for (const state of journal.replicas()) {
      this.#numbers.set(state.groupId, state.replica);
      if (state.lastIndex > state.snapshotIndex) this.#context.schedule.recovered(state.replica);
    }
  }

  create(groupId: string, machine: StateMachine, birth?: Birth): Replica {
    this.#assertOpen();
    assert(!this.#numbers.has(groupId), () => `Group ${groupId} is there already`);
    const incarnation = birth?.incarnation ?? this.#incarnation;
    const number = this.#journal.createReplica({ groupId, incarnation });
    this.#numbers.set(groupId, number);
    return this.#opened(this.#host(this.#journal.state(number), machine, birth));
  }

  async open(groupId: string, machine: StateMachine): Promise<Replica> {
    this.#assertOpen();
    const number = this.#numbers.get(groupId);
    assert(number !== undefined, () => `Group ${groupId} is not in the journal`);
    assert(!this.#replicas.has(number), () => `Group ${groupId} is open already`);
    const state = this.#journal.state(number);
    const commit = committedIn(state);
    const replica = this.#host(state, machine);
    if (commit > state.lastIndex && !replica.damaged) {
      this.#replicas.delete(number);
      throw lostTail(state, commit);
    }
    try {
      await replica.recoverTail();
    } catch (error) {
      // The next open() begins anew; this one's core, should it still run, must not write beside it.
      replica.end(asFault(error));
      await replica.settled();
      if (this.#replicas.get(number) === replica) this.#replicas.delete(number);
      throw error;
    }
    return this.#opened(replica);
  }

  /** The node's beats were heard lately: it runs, and the path from it is open. Of this node itself: false. */
  lives(nodeId: number): boolean {
    return this.#context.vigil?.live(nodeId) ?? false;
  }

  groupIds(): readonly string[] {
    return [...this.#numbers.keys()];
  }

  replica(groupId: string): Replica | null {
    return this.#open(groupId);
  }

  *led(): IterableIterator<Replica> {
    for (const replica of this.#replicas.values()) if (replica.role.leader) yield replica;
  }

  get unfit(): string | null {
    const reason = this.#context.vigil?.unfit ?? null;
    return reason === null ? null : unfitWords[reason];
  }

  onPacket(packet: InPacket): void {
    if (this.#slabs === null || this.#closing !== null) return;
    if (this.#context.vigil?.onPacket(packet) === true) return;
    if (isWelcome(packet.head)) {
      this.#onWelcome(packet);
      return;
    }
    const { nodeId } = this.#context;
    if (packet.head[0] === packetKinds.snapshotPart) {
      if (this.#parts.take(packet) !== null) this.#counters.packetsRefused += 1;
      return;
    }
    const decoded = decodeMessage(packet, { nodeId, slabs: this.#slabs, parts: this.#parts });
    if (!decoded.ok) {
      this.#counters.packetsRefused += 1;
      return;
    }
    const { groupId, message } = decoded;
    const replica = this.#addressee(groupId, message.to);
    if (replica !== null) {
      replica.receive(message);
      return;
    }
    this.#early.keep(groupId, message, this.#context.world.monotonic());
    releaseBatches(message.entries);
  }

  onUp(nodeId: number): void {
    if (this.#closing !== null) return;
    this.#context.vigil?.onUp(nodeId);
    this.#lookForDamageLater();
  }

  onBroken(nodeId: number, lane: Lane): void {
    if (lane === "append" || lane === "bulk") this.#unreachable(nodeId);
    if (lane === "bulk") this.#parts.forget(nodeId);
  }

  onDown(nodeId: number): void {
    this.#unreachable(nodeId);
    this.#parts.forget(nodeId);
    this.#context.vigil?.onDown(nodeId);
  }

  async remove(groupId: string): Promise<void> {
    const number = this.#numbers.get(groupId);
    if (number === undefined) return;
    this.#numbers.delete(groupId);
    const replica = this.#replicas.get(number);
    const detail = `Partition ${groupId} was deleted`;
    replica?.end(new Fault("unknown_topic_or_partition", detail));
    await replica?.settled();
    this.#replicas.delete(number);
    this.#context.schedule.forget(number);
    await this.#journal.drop(number);
  }

  /** Takes no more appends, lets what is under way settle, saves the folds so that the next start replays nothing. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Gauges and counters by name. Cost: O(open replicas). */
  metrics(): Readonly<Record<string, number>> {
    return {
      ...hostMetrics(this.#context, this.#counters, this.#replicas.values()),
      consensus_ticking: this.#ticking.size,
      ...this.#context.vigil?.metrics(),
    };
  }

  #host(state: ReplicaState, machine: StateMachine, birth?: Birth): HostedReplica {
    const { replica: number, groupId } = state;
    const replica = new HostedReplica(this.#context, { number, groupId }, { machine, birth });
    this.#replicas.set(number, replica);
    return replica;
  }

  #opened(replica: HostedReplica): HostedReplica {
    const now = this.#context.world.monotonic();
    const vote = this.#early.take(replica.groupId, replica.raftId, now);
    if (vote !== null) replica.receive(vote);
    return replica;
  }

  #onWelcome({ from, head }: InPacket): void {
    const welcome = decodeWelcome(head);
    if (welcome === null || nodeOf(welcome.from) !== from) this.#counters.packetsRefused += 1;
    else this.#addressee(welcome.groupId, welcome.to)?.welcome(welcome);
  }

  /** The replica that a peer means; null: it is not here, and nothing is created for being asked for. */
  #addressee(groupId: string, raftId: number): HostedReplica | null {
    const replica = this.#open(groupId);
    if (replica?.raftId === raftId) return replica;
    this.#counters.strangers += 1;
    // A former incarnation of what is here: its sender has not heard yet that it was removed.
    if (replica === null || replica.raftId < raftId) this.#tellWanted(groupId, raftId);
    // A new one is created at once.
    const opened = this.#open(groupId);
    return opened?.raftId === raftId ? opened : null;
  }

  #open(groupId: string): HostedReplica | null {
    const number = this.#numbers.get(groupId);
    return number === undefined ? null : (this.#replicas.get(number) ?? null);
  }

  #tellWanted(groupId: string, raftId: number): void {
    const { nodeId, incarnation } = replicaOf(raftId);
    if (nodeId !== this.#context.nodeId) return;
    const now = this.#context.world.monotonic();
    const key = `${groupId} ${incarnation}`;
    if (now - (this.#wanted.get(key) ?? -Infinity) < wantedPauseMs) return;
    if (this.#wanted.size >= wantedMax) this.#wanted.clear();
    this.#wanted.set(key, now);
    this.#onWanted(groupId, incarnation);
  }

  #unreachable(nodeId: number): void {
    for (const replica of this.#replicas.values()) replica.unreachable(nodeId);
  }

  /** What a read found damaged takes its replica out, where it has peers. */
  #lookForDamageLater(): void {
    if (this.#looks || this.#closing !== null) return;
    this.#looks = true;
    this.#context.world.setTimer(damageMs, () => {
      this.#looks = false;
      this.#lookForDamage();
      this.#lookForDamageLater();
    });
  }

  #lookForDamage(): void {
    const met = this.#journal.metrics().damaged_rows_met ?? 0;
    if (met === this.#damageMet) return;
    this.#damageMet = met;
    for (const replica of this.#replicas.values()) replica.lookForDamage();
  }

  #keepVigil(options: HostOptions & { readonly transport: Transport }): Vigil<HostedReplica> {
    const { nodeId, world, journal, transport } = options;
    return new Vigil({
      nodeId,
      world,
      transport,
      health: () => journal.health(),
      find: (groupId, raftId) => this.#addressee(groupId, raftId),
      open: (groupId) => this.#open(groupId),
      all: () => this.#replicas.values(),
      onReach: options.onReach ?? (() => undefined),
    });
  }

  #tickLater(replica: HostedReplica): void {
    this.#ticking.add(replica);
    if (this.#ticks || this.#closing !== null) return;
    this.#ticks = true;
    this.#context.world.setTimer(tickMs, () => {
      this.#ticks = false;
      this.#tick();
    });
  }

  /** After a stall once, not as often as was missed: what has arrived meanwhile is stepped first. */
  #tick(): void {
    if (this.#closing !== null) return;
    for (const replica of this.#ticking) if (!replica.tick()) this.#ticking.delete(replica);
    const [some] = this.#ticking;
    if (some !== undefined) this.#tickLater(some);
  }

  #onChanged(replica: HostedReplica): void {
    this.#changed.add(replica);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#context.world.defer(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    this.#counters.turns += 1;
    const changed = this.#changed;
    this.#changed = new Set();
    let served = 0;
    for (const replica of changed) {
      const more = served >= replicasPerTurn || replica.turn();
      served += 1;
      if (more) this.#onChanged(replica);
    }
    this.#saveDue();
  }

  #saveDue(): void {
    if (this.#saving || this.#closing !== null) return;
    const number = this.#context.schedule.due();
    const replica = number === null ? undefined : this.#replicas.get(number);
    if (number === null) return;
    if (replica === undefined) this.#context.schedule.forget(number);
    else this.#save(replica);
  }

  /** A snapshot that cannot be saved is not retried before the replica has written as much again. */
  #save(replica: HostedReplica): void {
    this.#saving = true;
    replica
      .loadAndSave()
      .then(
        () => void (this.#counters.snapshotsSaved += 1),
        () => {
          this.#counters.snapshotsFailed += 1;
          this.#context.schedule.saving(replica.number, 0);
        },
      )
      .finally(() => {
        this.#saving = false;
        this.#saveDue();
      });
  }

  async #close(): Promise<void> {
    this.#context.admission.close();
    const replicas = [...this.#replicas.values()];
    await this.#within(closeMsMax, this.#drain(replicas));
    this.#context.vigil?.stop();
    for (const replica of replicas) replica.end(new Fault("shutting_down", "The node is stopping"));
  }

  async #drain(replicas: readonly HostedReplica[]): Promise<void> {
    for (const replica of replicas) {
      while (!replica.idle) {
        await replica.settled();
        await this.#nextTurn();
      }
    }
    await this.#saveAll(replicas.filter((replica) => replica.unsaved));
  }

  async #within(ms: number, work: Promise<void>): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = this.#context.world.setTimer(ms, resolve);
    await Promise.race([work, late]);
    timer.cancel();
  }

  /** Best effort: what is not saved is replayed at the next start. */
  async #saveAll(replicas: readonly HostedReplica[]): Promise<void> {
    await Promise.allSettled(replicas.map((replica) => replica.saveSnapshot()));
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#context.world.defer(resolve));
  }

  #assertOpen(): void {
    assert(this.#closing === null, "The host is closed");
  }
}
