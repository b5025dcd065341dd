// The controller: the cluster's metadata as a state machine on replica 0 (group id "controller"), which every node has.
//
//   one node     it leads, and submit() proposes
//   several      one leads, the others follow; submit() takes any command anywhere (controller-route.ts), and the state is
//                a local fold on each
//
// Promise: submit() settles with what the committed command did, as every node will see it; listeners hear of each
// change in commit order, before submit() settles, and of what a leader's snapshot skipped. The log is cut behind a
// durable snapshot every snapshotEvery commands, so that it stays short. Left to others: what a command does
// (cluster-state.ts), placement (placement.ts), bringing about what the state wants (reconciler.ts).

import { assert } from "../assert.ts";
import type { Birth, Replica, ReplicaHost, Role, StateMachine } from "../consensus/replica.ts";
import { Fault, refuse, refusalOf, type Refusal } from "../errors.ts";
import { entryKinds, type LogEntry, type LogStart } from "../journal/journal.ts";
import { logIndex, type LogIndex, type Term } from "../quantities.ts";
import type { Peer } from "../transport/transport.ts";
import type { World } from "../world.ts";
import { changesBetween } from "./changes-between.ts";
import { decodeState, encodeState } from "./cluster-snapshot.ts";
import { ClusterState, type Applied, type Change } from "./cluster-state.ts";
import { decodeCommand, encodeCommand, type Command } from "./commands.ts";
import { ControllerRoute, isElection, type ClusterSeat, type Outcome } from "./controller-route.ts";
import { askForPeers } from "./peer-list.ts";
import { isSame } from "./topic-state.ts";

export const controllerGroupId = "controller";

/** Commands between two snapshots: a replay of this many takes a few ms. */
const snapshotEvery = 1_000;

/** Outcomes remembered for submitters on this node whose command was applied here before they heard of its index. */
const outcomesMax = 1_000;

/** A node of a cluster that starts does not wait longer for a leader: it may be the first of all that come up. */
const followMsMax = 3_000;
/** A node that has joined waits so long until the cluster's metadata has reached it. */
const joinMsMax = 60_000;

interface Waiter {
  readonly term: Term;
  readonly settle: (applied: Applied) => void;
}

/** Hears of every committed change, in order. Called while entries are applied: it must not await or throw. */
export type ChangeListener = (change: Change) => void;

/** This node as one of several. */
export interface ControllerSeat extends ClusterSeat {
  /** How the replica of a node that has just joined begins; left out: it is there, or this is the first node. */
  readonly birth?: Birth;
  /** Connects with these nodes: a replica that begins anew may have missed who joined. */
  readonly connect?: (peers: readonly Peer[]) => void;
}

export class Controller implements StateMachine {
  #state = new ClusterState();
  #replica: Replica | null = null;
  #route: ControllerRoute | null = null;
  readonly #listeners = new Set<ChangeListener>();
  readonly #roleListeners = new Set<(role: Role) => void>();
  /** Proposals that have not been applied yet, by log index. */
  readonly #waiters = new Map<LogIndex, Waiter>();
  /** Newest last; only with others. */
  readonly #outcomes = new Map<number, Applied>();
  /** Called after each apply. */
  readonly #watchers = new Set<() => void>();
  #appliedIndex = 0;
  #appliedSinceSnapshot = 0;
  #cutting = false;
  #recovering = false;

  private constructor(listener: ChangeListener) {
    this.#listeners.add(listener);
  }

  /** Recovers the controller, or creates it at the first start. Alone it waits until it leads: the state then holds every
   *  command that was ever acknowledged. With a seat among others it waits until a leader has brought it up to date, or
   *  for followMsMax; a node that has just joined until the state holds the node itself. A damaged replica is replaced.
   *  Rejects with request_timed_out when it has joined in vain, and with what lead() rejects. */
  static async open(
    host: ReplicaHost,
    listener: ChangeListener,
    seat: ControllerSeat | null = null,
  ): Promise<Controller> {
    const controller = new Controller(listener);
    const known = host.groupIds().includes(controllerGroupId);
    const replica = known
      ? await host.open(controllerGroupId, controller)
      : host.create(controllerGroupId, controller, seat?.birth);
    controller.#replica = replica;
    if (seat !== null) controller.#sit(seat);
    if (replica.damaged && seat !== null) await controller.#beginAnew(host, seat);
    else if (controller.alone) await replica.lead();
    else await controller.#catchUp(seat, seat?.birth === undefined ? "known" : "new");
    return controller;
  }

  /** The live state: read it freely, change it by submit() alone. */
  get state(): ClusterState {
    return this.#state;
  }

  /** Term of the newest committed entry. */
  get term(): Term {
    return this.#leader().confirmedTerm;
  }

  /** Changes can be submitted: this node leads, or knows who does. */
  get ready(): boolean {
    const replica = this.#leader();
    return replica.ready || (!this.alone && replica.role.leaderId !== 0);
  }

  /** This node leads the controller, and its state holds everything that was ever acknowledged. */
  get leads(): boolean {
    return this.#leader().ready;
  }

  /** This node is the only voter: it decides by itself. */
  get alone(): boolean {
    const { members, identity } = this.#leader();
    const [voter] = members.voters;
    return members.voters.length === 1 && isSame(voter, identity);
  }

  /** Node id of the controller's leader, 0 when unknown. */
  get leaderId(): number {
    return this.#leader().role.leaderId;
  }

  /** The controller's leader is known and can be asked. */
  get reachesLeader(): boolean {
    const { leaderId } = this;
    if (leaderId === 0) return false;
    const here = leaderId === this.#leader().identity.nodeId;
    return here || this.#route?.reaches(leaderId) === true;
  }

  get replica(): Replica {
    return this.#leader();
  }

  /** Hears of every change from now on, until the answer is called. */
  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Hears when another leader is known, or none, and when this node begins to lead (state.leads). */
  onLeader(listener: (role: Role) => void): () => void {
    this.#roleListeners.add(listener);
    return () => void this.#roleListeners.delete(listener);
  }

  /** Leads again after a failed write, in the background; a further fault leaves things as they are. */
  recover(): void {
    if (this.#recovering || this.ready) return;
    this.#recovering = true;
    const over = (): void => {
      this.#recovering = false;
    };
    const replica = this.#leader();
    const led = this.alone ? replica.lead() : replica.leader(followMsMax);
    led.then(over, over);
  }

  /** Submits the command, wherever the controller is led; settles when it is applied here, or with a refusal (sideEffects
   *  unknown when it may still commit; not_leader_or_follower or request_timed_out when no majority can be reached).
   *  Never rejects. */
  async submit(command: Command): Promise<Applied> {
    if (this.#route !== null && !this.alone) return await this.#route.submit(command);
    return (await this.#submitHere(command)).applied;
  }

  restore(index: LogIndex, snapshot: Uint8Array): void {
    const before = this.#state;
    this.#state = decodeState(snapshot);
    // At the start nobody has seen the former state.
    if (this.#appliedIndex > 0)
      for (const change of changesBetween(before, this.#state)) this.#tell(change);
    this.#appliedIndex = index;
    this.#passed();
  }

  apply(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      if (entry.kind !== entryKinds.command) continue;
      assert(entry.meta !== null, () => `Controller entry ${entry.index} must hold a command`);
      this.#applyOne(entry, entry.meta);
    }
    const last = entries.at(-1);
    if (last === undefined) return;
    this.#appliedIndex = last.index;
    this.#passed();
    this.#cutWhenLong(last);
  }

  snapshot(): Uint8Array {
    return encodeState(this.#state);
  }

  onRole(role: Role): void {
    for (const listener of this.#roleListeners) listener(role);
  }

  onReady(_term: Term): void {
    for (const listener of this.#roleListeners) listener(this.#leader().role);
  }

  onFlushed(_index: LogIndex, _term: Term): void {}

  onLost(index: LogIndex, refusal: Refusal): void {
    for (const [at, waiter] of this.#waiters) {
      if (at < index) continue;
      this.#waiters.delete(at);
      waiter.settle({ ...refusal, sideEffects: "unknown" });
    }
  }

  #leader(): Replica {
    assert(this.#replica !== null, "The controller is used before it is open");
    return this.#replica;
  }

  #sit(seat: ControllerSeat): void {
    this.#route = new ControllerRoute(seat, {
      replica: () => this.#leader(),
      propose: (command) => this.#submitHere(command),
      applied: (index, told, timeoutMs) => this.#appliedHere({ index, told, timeoutMs, seat }),
    });
  }

  /** This node's replica has lost what it once acknowledged: the others give it another incarnation, which begins with
   *  nothing, as that of a node that joins. Rejects with storage_damaged when nobody does. */
  async #beginAnew(host: ReplicaHost, seat: ControllerSeat): Promise<void> {
    const incarnation = await this.#replaced(seat);
    await host.remove(controllerGroupId);
    this.#state = new ClusterState();
    this.#appliedIndex = 0;
    this.#replica = host.create(controllerGroupId, this, { incarnation, voters: [] });
    await this.#catchUp(seat, "new");
  }

  /** The leader may be a node that joined while this one was away. */
  async #learnPeers({ calls, nodeId, reachable, connect }: ControllerSeat): Promise<void> {
    const { voters, learners } = this.#leader().members;
    const others = [...voters, ...learners].map((member) => member.nodeId);
    const to = others.find((other) => other !== nodeId && reachable(other));
    const peers = to === undefined ? [] : await askForPeers(calls, to);
    if (peers.length > 0) connect?.(peers);
  }

  /** The incarnation that the others give to this node's replica instead of its damaged one. */
  async #replaced(seat: ControllerSeat): Promise<number> {
    const { nodeId, incarnation } = this.#leader().identity;
    const command = { kind: "replaceControllerReplica", nodeId, incarnation } as const;
    const deadline = seat.world.monotonic() + joinMsMax;
    for (;;) {
      await this.#learnPeers(seat);
      const replaced = await this.#route!.submitElsewhere(command);
      if (replaced.ok && replaced.change.kind === "nodeChanged")
        return replaced.change.node.controllerIncarnation;
      // Each try waits for a leader by itself.
      if (!replaced.ok && isElection(replaced) && seat.world.monotonic() < deadline) continue;
      const why = replaced.ok ? "the answer names no node" : replaced.detail;
      const detail = `The cluster's metadata is damaged on this node, and no other node could replace it: ${why}`;
      throw new Fault("storage_damaged", detail);
    }
  }

  /** The fold is behind by what was committed while this node was away; of a new replica it is empty. */
  async #catchUp(seat: ControllerSeat | null, replica: "known" | "new"): Promise<void> {
    assert(seat !== null, "A controller with several voters needs a seat among them");
    const { world, nodeId } = seat;
    const waitMs = replica === "known" ? followMsMax : joinMsMax;
    const deadline = world.monotonic() + waitMs;
    const barrier = await this.#leader().readBarrier(waitMs);
    if (replica === "known") return;
    const here = (): boolean =>
      this.#state.nodes.has(nodeId) || this.#state.removedNodes.has(nodeId);
    if (await this.#until(here, world, deadline - world.monotonic())) return;
    const why = barrier.ok ? "its metadata does not name this node" : barrier.detail;
    const detail = `Cannot join: nothing was heard of the cluster for ${waitMs} ms (${why})`;
    throw new Fault("request_timed_out", detail);
  }

  /** Proposes here; settles when it is applied. Never rejects. */
  async #submitHere(command: Command): Promise<Outcome> {
    try {
      const replica = this.#leader();
      const term = replica.ready ? replica.role.term : await replica.lead();
      return await this.#propose(replica, term, encodeCommand(command));
    } catch (thrown) {
      return { applied: refusalOf(thrown), index: 0 };
    }
  }

  async #appliedHere(of: {
    readonly index: number;
    readonly told: Change;
    readonly timeoutMs: number;
    readonly seat: ClusterSeat;
  }): Promise<Applied> {
    const { index, told, timeoutMs, seat } = of;
    if (await this.#until(() => this.#appliedIndex >= index, seat.world, timeoutMs))
      return this.#outcomes.get(index) ?? { ok: true, change: told };
    const detail = "The change is committed, but has not come to this node yet";
    return refuse("request_timed_out", detail, { sideEffects: "unknown" });
  }

  /** Whether the condition came true in time. It can change when something is applied. */
  #until(condition: () => boolean, world: World, timeoutMs: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const over = (came: boolean): void => {
        timer.cancel();
        this.#watchers.delete(look);
        resolve(came);
      };
      const look = (): void => {
        if (condition()) over(true);
      };
      const timer = world.setTimer(Math.max(0, timeoutMs), () => over(false));
      this.#watchers.add(look);
    });
  }

  #passed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  #tell(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }

  #propose(replica: Replica, term: Term, meta: Uint8Array): Promise<Outcome> | Outcome {
    const proposed = replica.propose(
      {
        kind: entryKinds.command,
        baseOffset: replica.nextOffset,
        offsetCount: 0,
        maxTimestamp: -1,
        meta,
        batch: null,
      },
      term,
    );
    if (!proposed.ok) return { applied: proposed, index: 0 };
    const { index } = proposed;
    return new Promise((resolve) => {
      const settle = (applied: Applied): void => resolve({ applied, index });
      this.#waiters.set(index, { term: proposed.term, settle });
    });
  }

  #applyOne(entry: LogEntry, meta: Uint8Array): void {
    const applied = this.#state.apply(decodeCommand(meta), entry.time);
    this.#appliedSinceSnapshot += 1;
    if (applied.ok) this.#tell(applied.change);
    if (this.#route !== null) this.#remember(entry.index, applied);
    const waiter = this.#waiters.get(entry.index);
    if (waiter === undefined) return;
    this.#waiters.delete(entry.index);
    if (waiter.term === entry.term) waiter.settle(applied);
    else waiter.settle(replaced);
  }

  #remember(index: number, applied: Applied): void {
    this.#outcomes.set(index, applied);
    if (this.#outcomes.size <= outcomesMax) return;
    for (const oldest of this.#outcomes.keys()) {
      this.#outcomes.delete(oldest);
      return;
    }
  }

  /** Starts one cut of the log when it has grown long; the next one waits for it. */
  #cutWhenLong(last: LogEntry): void {
    if (this.#cutting || this.#appliedSinceSnapshot < snapshotEvery) return;
    this.#cutting = true;
    this.#appliedSinceSnapshot = 0;
    void this.#cut({
      index: logIndex(last.index + 1),
      prevTerm: last.term,
      offset: last.baseOffset,
    });
  }

  /** A refused or failed cut costs nothing but a longer log: the next thousand commands try again. */
  async #cut(start: LogStart): Promise<void> {
    // apply() must return before the replica is asked for more.
    await Promise.resolve();
    try {
      if (this.#replica?.ready === true) await this.#replica.advanceLogStart(start);
    } catch {
      // The journal's health and the next commands tell of the fault.
    } finally {
      this.#cutting = false;
    }
  }
}

const replaced: Refusal = refuse(
  "not_leader_or_follower",
  "Another leader's entry took the place of this change",
);
