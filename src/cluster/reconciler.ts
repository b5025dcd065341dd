// Brings about on this node what the cluster's metadata wants: configurations of the groups that are led here, replicas
// that may die, replicas that were damaged, leaderships that belong elsewhere.
//
//   change of the metadata, new leader, slow tick --> groups to look at --(at most slotsMax at once)--> one group:
//     its replica here is gone for good   --> removed from the disk
//     it is led here                      --> next step of its members (members-step.ts), until it is as wanted; then the
//                                             controller is told, so that the data of those that left may die
//     it moves, and nobody leads it       --> woken, so that somebody does
//
// Promise: one change a group at a time; what is wanted is read anew before each step; data dies only where isGone()
// says so. Nothing happens for groups that are as they should be: the tick costs a look at the groups led here. Left to
// others: what is wanted (planner.ts), how a replica is opened (the owner of the groups).

import { unreachable } from "../assert.ts";
import type { ReplicaIdentity } from "../consensus/identity.ts";
import type { Replica, ReplicaHost } from "../consensus/replica.ts";
import type { World, Timer } from "../world.ts";
import { isGone, placeOf } from "./birth.ts";
import type { Change } from "./cluster-state.ts";
import type { Command } from "./commands.ts";
import { controllerGroupId, type Controller } from "./controller.ts";
import { Leaderships } from "./leaderships.ts";
import { nextStep, progressOf, type MembersStep, type MembersView } from "./members-step.ts";
import { confirm, includes, type Move, type TopicState } from "./topic-state.ts";

/** Groups that are changed at once by this node. */
const slotsMax = 8;
const tickMs = { moving: 1_000, atRest: 5_000 } as const;
/** How often a learner is looked at while it catches up ... */
const lookMs = { first: 20, max: 500 } as const;
/** ... and how long before the group's place is given to another. */
const waitMsMax = 30_000;
/** The controller's group alone waits so long for a learner that was not heard of yet. */
const newcomerMsMax = 3_000;
/** A group that moves and has no leader is woken by its first replica at once, by the next after this time each. */
const wakeMs = 2_000;
/** A node that is removed hears so before it is left out: a heartbeat tells it that the removal is committed. */
const farewellMs = 1_000;
const damageMs = 15_000;

/** The partition replicas of this node. */
export interface OwnedGroups {
  /** Of the replica that lies on the disk; null: none does. */
  incarnationOf(groupId: string): number | null;
  groupIds(): Iterable<string>;
  /** Opens the group's replica, or creates it as birthOf() says; null: none belongs here, or it cannot be opened. */
  wake(groupId: string): Promise<Replica | null>;
  /** Ends the replica; its data dies. */
  remove(groupId: string): Promise<void>;
}

export interface ReconcilerParts {
  readonly world: World;
  readonly controller: Controller;
  readonly host: ReplicaHost;
  readonly groups: OwnedGroups;
  readonly nodeId: number;
  /** Partition groups of which the journal found damaged rows on this node's disk when it opened. */
  readonly damaged?: Iterable<string>;
}

/** What is wanted of a group, as one state of the metadata says. */
interface Goal {
  readonly target: MembersView["target"];
  readonly oneANode: boolean;
}

const nobody = { leader: false, leaderId: 0 } as const;

interface Moving {
  readonly topic: TopicState;
  readonly partition: number;
  readonly move: Move;
}

export class Reconciler {
  readonly #parts: ReconcilerParts;
  readonly #leaderships: Leaderships;
  /** Groups to look at. */
  readonly #waiting = new Set<string>();
  readonly #busy = new Set<string>();
  /** Since when a moving group has been seen without a leader, monotonic ms. */
  readonly #leaderless = new Map<string, number>();
  /** Groups whose replica here has damaged rows: opened once, to see whether it takes part. */
  readonly #suspects = new Set<string>();
  /** When nodes were seen to be removed, monotonic ms. */
  readonly #farewells = new Map<number, number>();
  readonly #ends: (() => void)[] = [];
  readonly #counters = { changes: 0, changesRefused: 0, replicasRemoved: 0 };
  #tick: Timer | null = null;
  #search: Timer | null = null;
  #pumping = false;
  #closed = false;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#leaderships = new Leaderships(parts);
    const { controller } = parts;
    this.#ends.push(
      controller.onChange((change) => this.#changed(change)),
      controller.onLeader(() => this.#look(controllerGroupId)),
    );
    for (const groupId of parts.groups.groupIds()) if (this.#isGone(groupId)) this.#look(groupId);
    for (const groupId of parts.damaged ?? []) {
      this.#suspects.add(groupId);
      this.#look(groupId);
    }
    this.#onTick();
    this.#seekDamage();
  }

  /** Gauges and counters by name. */
  metrics(): Readonly<Record<string, number>> {
    const { changes, changesRefused, replicasRemoved } = this.#counters;
    return {
      reconciler_groups_waiting: this.#waiting.size,
      reconciler_groups_busy: this.#busy.size,
      reconciler_changes_total: changes,
      reconciler_changes_refused_total: changesRefused,
      reconciler_replicas_removed_total: replicasRemoved,
      reconciler_leaderships_moved_total: this.#leaderships.moved,
    };
  }

  /** A replica is damaged: its node gets another one, which takes its records from the others. Without others nothing
   *  happens: what is whole is all there is. */
  async replaceDamaged(groupId: string, replica: ReplicaIdentity): Promise<void> {
    const { controller } = this.#parts;
    if (groupId === controllerGroupId) {
      await controller.submit({ kind: "replaceControllerReplica", ...replica });
      return;
    }
    const place = placeOf(groupId);
    const topic = place === null ? null : controller.state.topicById(place.topicId);
    const assigned = topic?.assignments[place?.partition ?? 0] ?? [];
    if (place === null || assigned.length < 2 || !includes(assigned, replica)) return;
    await controller.submit({ kind: "replaceReplica", ...place, replica });
  }

  close(): void {
    this.#closed = true;
    this.#tick?.cancel();
    this.#search?.cancel();
    this.#leaderships.close();
    for (const end of this.#ends.splice(0)) end();
  }

  #changed(change: Change): void {
    switch (change.kind) {
      case "nodeChanged":
        this.#noteFarewell(change);
        return this.#look(controllerGroupId);
      case "controllerVoters":
        return this.#look(controllerGroupId);
      case "topicChanged":
        return this.#lookAtMoves(change.topic, change.before);
      case "topicCreated":
      case "topicDeleted":
      case "producerIds":
      case "none":
    }
  }

  #noteFarewell({ node, before }: Change & { kind: "nodeChanged" }): void {
    if (node.removedAt !== null && before?.removedAt === null)
      this.#farewells.set(node.nodeId, this.#parts.world.monotonic());
  }

  #lookAtMoves({ topicId, moves }: TopicState, before: TopicState): void {
    if (moves === before.moves) return;
    for (const [partition, move] of moves)
      if (move !== before.moves.get(partition)) this.#look(`${topicId}/${partition}`);
  }

  #look(groupId: string): void {
    if (this.#closed) return;
    this.#waiting.add(groupId);
    this.#pump();
  }

  /** Not now: entries are being applied. */
  #pump(): void {
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    this.#parts.world.defer(() => {
      this.#pumping = false;
      this.#fillSlots();
    });
  }

  #fillSlots(): void {
    for (const groupId of this.#waiting) {
      if (this.#busy.size >= slotsMax || this.#closed) return;
      if (this.#busy.has(groupId)) continue;
      this.#waiting.delete(groupId);
      this.#busy.add(groupId);
      void this.#work(groupId).finally(() => {
        this.#busy.delete(groupId);
        this.#pump();
      });
    }
  }

  /** Never rejects: what failed is tried again by the tick. */
  async #work(groupId: string): Promise<void> {
    const { controller, host, groups } = this.#parts;
    try {
      if (this.#suspects.delete(groupId)) await groups.wake(groupId);
      if (this.#isGone(groupId)) {
        this.#counters.replicasRemoved += 1;
        await groups.remove(groupId);
      }
      const replica = groupId === controllerGroupId ? controller.replica : host.replica(groupId);
      if (replica?.damaged === true) await this.replaceDamaged(groupId, replica.identity);
      if (replica?.ready === true) await this.#lead(replica);
      else await this.#wakeWhenDue(groupId);
    } catch {
      // The fault shows where it came from: the journal's health, the group's role.
    }
  }

  #isGone(groupId: string): boolean {
    const { controller, groups, nodeId } = this.#parts;
    if (groupId === controllerGroupId) return false;
    const incarnation = groups.incarnationOf(groupId);
    if (incarnation === null) return false;
    return isGone(controller.state, groupId, { nodeId, incarnation });
  }

  /** Step by step, until the group is as it is wanted, waits for a node that is down, or is led elsewhere. */
  async #lead(replica: Replica): Promise<void> {
    const { world } = this.#parts;
    const end = world.monotonic() + waitMsMax;
    // A node that has just joined is not connected yet, and nobody tells when it is.
    const isController = replica.groupId === controllerGroupId;
    const silenceEnd = world.monotonic() + (isController ? newcomerMsMax : 0);
    let pause: number = lookMs.first;
    let floor = replica.commitIndex;
    while (!this.#closed && replica.ready && world.monotonic() < end) {
      const goal = this.#goal(replica.groupId);
      if (goal === null) return;
      const { identity: self, members } = replica;
      const step = nextStep({ self, members, progress: replica.progress(), floor, ...goal });
      floor = replica.commitIndex;
      if (step.kind === "wait") {
        if (!step.active && world.monotonic() > silenceEnd) return;
        await this.#pause(pause);
        pause = Math.min(pause * 1.5, lookMs.max);
        continue;
      }
      const goesOn = await this.#take(replica, step);
      await this.#report(replica);
      if (!goesOn) return;
      pause = lookMs.first;
    }
  }

  /** False: no further step now. */
  async #take(replica: Replica, step: MembersStep): Promise<boolean> {
    switch (step.kind) {
      case "done":
      case "wait":
        return false;
      case "handOver":
        await replica.transferLeadership(step.toNode);
        return false;
      case "change": {
        await this.#farewell(replica, step.target);
        this.#counters.changes += 1;
        const changed = await replica.changeMembers(step.target);
        if (!changed.ok) this.#counters.changesRefused += 1;
        return changed.ok;
      }
      default:
        return unreachable(step);
    }
  }

  /** Lets a removed node that is up hear of its removal before it hears nothing more. */
  async #farewell(replica: Replica, target: MembersView["target"]): Promise<void> {
    const staying = [...target.voters, ...target.learners];
    const now = this.#parts.world.monotonic();
    const waits = [...replica.members.voters, ...replica.members.learners]
      .filter((member) => !staying.some(({ nodeId }) => nodeId === member.nodeId))
      .filter((member) => progressOf(replica.progress(), member)?.active === true)
      .map(({ nodeId }) => (this.#farewells.get(nodeId) ?? -Infinity) + farewellMs - now);
    const wait = Math.max(0, ...waits);
    if (wait > 0) await this.#pause(wait);
  }

  #goal(groupId: string): Goal | null {
    const { controller } = this.#parts;
    if (groupId === controllerGroupId)
      return { target: controller.state.controllerTarget(), oneANode: false };
    const moving = this.#moving(groupId);
    if (moving === null) return null;
    const voters = moving.topic.assignments[moving.partition];
    return { target: { voters, learners: [] }, oneANode: true };
  }

  /** null: the group was never moved, so that it is what it was born as. */
  #moving(groupId: string): Moving | null {
    const place = placeOf(groupId);
    const topic = place === null ? null : this.#parts.controller.state.topicById(place.topicId);
    if (place === null || topic === null) return null;
    const move = topic.moves.get(place.partition);
    return move === undefined ? null : { topic, partition: place.partition, move };
  }

  /** Tells the controller what the group's configuration is, where that is news: data of replicas that left may die. */
  async #report(replica: Replica): Promise<void> {
    // The revision before the members: a configuration that was seen later is no older than the assignment.
    const moving = this.#moving(replica.groupId);
    if (moving === null || !replica.ready || replica.members.joint) return;
    const { topic, partition, move } = moving;
    const { voters, learners } = replica.members;
    const command: Command & { kind: "confirmReplicas" } = {
      kind: "confirmReplicas",
      topicId: topic.topicId,
      partition,
      revision: move.revision,
      voters,
      learners,
    };
    const news = confirm(topic, command);
    if (news !== null && !("ok" in news)) await this.#parts.controller.submit(command);
  }

  /** Somebody must lead a group that shall change; the first of its replicas that can is the first to try. */
  async #wakeWhenDue(groupId: string): Promise<void> {
    const { host, groups, nodeId, world } = this.#parts;
    const moving = this.#moving(groupId);
    const { leader, leaderId } = host.replica(groupId)?.role ?? nobody;
    // A replica that was alone says itself before it leads: it does so on first use, and that is not now.
    const known = leader || (leaderId !== 0 && leaderId !== this.#parts.nodeId);
    if (moving === null || moving.move.settled || known) {
      this.#leaderless.delete(groupId);
      return;
    }
    const { topic, partition, move } = moving;
    const replicas = [...topic.assignments[partition], ...move.leaving];
    const rank = replicas.findIndex((replica) => replica.nodeId === nodeId);
    const elder =
      groups.incarnationOf(groupId) !== null || move.born.some((born) => born.nodeId === nodeId);
    if (rank < 0 || !elder) return;
    const since = this.#leaderless.get(groupId) ?? world.monotonic();
    this.#leaderless.set(groupId, since);
    // Replicas that were there at the birth come first: those added later wait to be told who the voters are.
    const elders = replicas.filter((r) => move.born.some((born) => born.nodeId === r.nodeId));
    const turn = Math.max(
      0,
      elders.findIndex((replica) => replica.nodeId === nodeId),
    );
    if (world.monotonic() - since < turn * wakeMs) return;
    const replica = await groups.wake(groupId);
    if ((await replica?.leader(wakeMs)) === nodeId) this.#look(groupId);
  }

  #onTick(): void {
    const { controller, world } = this.#parts;
    const moving = controller.state.unsettled > 0;
    if (moving) this.#lookAtUnsettled();
    if (controller.leads) this.#look(controllerGroupId);
    this.#leaderships.tick();
    this.#tick = world.setTimer(moving ? tickMs.moving : tickMs.atRest, () => this.#onTick());
  }

  /** A leader knows of members that have lost what they had acknowledged, and a replica may find itself damaged while it
   *  runs. Seldom: it asks every group that is here. */
  #seekDamage(): void {
    const { host, world } = this.#parts;
    for (const groupId of host.groupIds())
      if (host.replica(groupId)?.damaged === true) this.#look(groupId);
    for (const replica of host.led())
      for (const { identity, damaged } of replica.progress())
        if (damaged) void this.replaceDamaged(replica.groupId, identity);
    this.#search = world.setTimer(damageMs, () => this.#seekDamage());
  }

  #lookAtUnsettled(): void {
    const { state } = this.#parts.controller;
    for (const name of state.names) {
      const { topicId, moves } = state.topic(name)!;
      for (const [partition, { settled, leaving }] of moves)
        if (!settled || leaving.length > 0) this.#look(`${topicId}/${partition}`);
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#parts.world.setTimer(ms, resolve));
  }
}
