// One replica on this node: its Raft core while there is one, its log, its role, and those who wait for it.
//
//   cold ---first use, first message---> running ---leads, own no-op applied, machine loaded---> ready
//                                          |  ^
//           a failed write, lost tail told |  | next use or message           any ---> ended (removed, closed, halted)
//                                          v  |
//                                         cold                 damaged, with peers: no core, votes and leads never
//
// Promise: one step a turn of the host; what is acknowledged was durable before; after a failed flush the core is made
// anew from what the journal knows to be durable; whose term as leader is over tells at once that the fate of what it had
// proposed is not known. Left to others: the turn (host.ts), the core's work (core-driver.ts), which nodes live (vigil.ts).

import type { Message } from "../../raft/types.ts";
import { assert } from "../assert.ts";
import { Fault, refusalOf, type Refusal } from "../errors.ts";
import type { LogStart } from "../journal/journal.ts";
import { limits } from "../limits.ts";
import {
  logIndex,
  term,
  type LogIndex,
  type Offset,
  type ReplicaNumber,
  type Term,
} from "../quantities.ts";
import { enterLeadership, heartbeatOf, tickCore } from "./liveness/attendance.ts";
import { Campaigns } from "./campaigns.ts";
import { bornWith, soleVoter } from "./configuration.ts";
import { CoreDriver } from "./core-driver.ts";
import { releaseBatches, type CoreRun } from "./core-run.ts";
import { asksForVote } from "./early-votes.ts";
import { DurableLog } from "./durable-log.ts";
import { nodeOf, raftIdOf, type ReplicaIdentity } from "./identity.ts";
import { LeadWaiters } from "./lead-waiters.ts";
import type { Leadership } from "./liveness/leaderships.ts";
import { LogStarts } from "./log-starts.ts";
import { lostAcknowledgement } from "./liveness/lost-acknowledgement.ts";
import { Membership } from "./membership.ts";
import { draftBytes, type Payload } from "./payload.ts";
import { needsTicks } from "./liveness/pulse.ts";
import { ReadBarriers } from "./read-barriers.ts";
import type { ReplicaContext } from "./replica-context.ts";
import type {
  Birth,
  EntryDraft,
  MemberProgress,
  Members,
  MembersTarget,
  Proposed,
  Replica,
  Role,
  StateMachine,
} from "./replica.ts";
import { damageOf, deposed, ledElsewhere, notLeader } from "./replica-faults.ts";
import type { VigilantReplica } from "./liveness/vigil.ts";
import type { Welcome } from "./wire/welcome.ts";

type Done = { readonly ok: true } | Refusal;

export class HostedReplica implements Replica, VigilantReplica {
  readonly number: ReplicaNumber;
  readonly groupId: string;
  readonly identity: ReplicaIdentity;
  readonly raftId: number;
  readonly #context: ReplicaContext;
  readonly #machine: StateMachine;
  readonly #log: DurableLog;
  readonly #driver: CoreDriver;
  readonly #campaigns: Campaigns;
  readonly #membership: Membership;
  readonly #waiters: LeadWaiters;
  readonly #barriers: ReadBarriers;
  #role: Role;
  #ready = false;
  /** Why nothing works any more; null while something does. */
  #ended: Fault | null = null;
  /** What this replica once acknowledged is not whole, and it has peers that have it. */
  #damage: Fault | null = null;
  #wakeWanted = false;
  /** Index of the configuration with which the leadership was entered. */
  #enteredAt = 0;

  constructor(
    context: ReplicaContext,
    identity: { readonly number: ReplicaNumber; readonly groupId: string },
    of: { readonly machine: StateMachine; readonly birth: Birth | undefined },
  ) {
    const { world, journal, nodeId } = context;
    const state = journal.state(identity.number);
    this.#context = context;
    this.#machine = of.machine;
    this.number = identity.number;
    this.groupId = identity.groupId;
    this.identity = { nodeId, incarnation: state.incarnation };
    this.raftId = raftIdOf(this.identity);
    const born = of.birth === undefined ? soleVoter(this.raftId) : bornWith(of.birth);
    this.#log = new DurableLog({
      context,
      ...identity,
      raftId: this.raftId,
      machine: of.machine,
      born,
      onDurable: (write) => this.#driver.onDurable(write),
      onFailed: (write, reason) => this.#driver.onFailed(write, reason),
      onIdle: () => this.#driver.onIdle(),
    });
    this.#driver = this.#newDriver();
    this.#campaigns = new Campaigns({
      context,
      groupId: this.groupId,
      raftId: this.raftId,
      driver: this.#driver,
      configurations: this.#log.configurations,
      changed: () => context.changed(this),
    });
    this.#membership = new Membership(context, this.groupId);
    this.#waiters = new LeadWaiters(world, this.groupId);
    this.#barriers = new ReadBarriers(world, this.groupId, () => context.changed(this));
    // A sole voter is the only leader there can be, also before it campaigned.
    const leaderId = this.#alone ? nodeId : 0;
    this.#role = { leader: false, term: state.hardState.term, leaderId };
    this.#damage = this.#alone ? null : damageOf(state);
  }

  get role(): Role {
    return this.#role;
  }

  get members(): Members {
    return this.#log.configurations.members;
  }

  get ready(): boolean {
    return this.#ready;
  }

  get damaged(): boolean {
    return this.#damage !== null;
  }

  /** It has no core: nobody has used it, or asked for it, so far. */
  get cold(): boolean {
    return this.#driver.run === null;
  }

  get commitIndex(): LogIndex {
    return this.#log.positions.commitIndex;
  }

  get highWatermark(): Offset {
    return this.#log.positions.highWatermark;
  }

  get confirmedTerm(): Term {
    return this.#log.positions.confirmedTerm;
  }

  get appliedIndex(): LogIndex {
    return this.#log.feed.applied;
  }

  get lastIndex(): LogIndex {
    return this.#log.positions.lastIndex;
  }

  get nextOffset(): Offset {
    return this.#log.positions.nextOffset;
  }

  get logStart(): LogStart {
    return this.#log.starts.current;
  }

  /** Nothing is under way: no write, no proposal, no turn's work. */
  get idle(): boolean {
    return this.#log.writes.count === 0 && !this.#driver.busy;
  }

  clock(): number {
    return this.#log.clock();
  }

  wake(): void {
    this.#wakeWanted = true;
    this.#context.changed(this);
  }

  admit(bytes: number): Refusal | null {
    return this.#context.admission.admit(bytes);
  }

  leave(bytes: number): void {
    this.#context.admission.leave(bytes);
  }

  propose(draft: EntryDraft, expectedTerm: Term): Proposed | Refusal {
    if (this.#ended !== null) return refusalOf(this.#ended);
    const { run } = this.#driver;
    if (run === null || !this.#ready || this.#role.term !== expectedTerm) {
      return notLeader(this.groupId, expectedTerm, this.#role);
    }
    const { positions } = this.#log;
    this.#log.trackOwn(run);
    assert(
      draft.baseOffset === positions.nextOffset,
      () => `Proposal must begin at offset ${positions.nextOffset}, got ${draft.baseOffset}`,
    );
    const time = Math.max(this.clock(), draft.timeMin ?? 0);
    const data: Payload = { ...draft, time };
    if (!this.#alone) this.#membership.appends();
    const bytes = draftBytes(draft);
    const proposed = run.node.propose(data, bytes);
    if (!proposed.ok || proposed.term !== expectedTerm)
      return notLeader(this.groupId, expectedTerm, this.#role);
    draft.batch?.retain();
    this.#log.track(run, { ...proposed, type: "normal", data, change: null, bytes }, data);
    this.#context.changed(this);
    return { ok: true, index: positions.lastIndex, term: expectedTerm, time };
  }

  lead(): Promise<Term> {
    if (this.#ready) return Promise.resolve(this.#role.term);
    const hindrance = this.#ended ?? this.#damage ?? this.#ledElsewhere();
    if (hindrance !== null) return Promise.reject(hindrance);
    const ready = this.#waiters.untilReady();
    this.#campaigns.use();
    void this.#load();
    return ready;
  }

  leader(timeoutMs: number): Promise<number> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    if (this.#ready || this.#ledElsewhere() !== null) return Promise.resolve(this.#role.leaderId);
    const known = this.#waiters.untilLeader(timeoutMs);
    // A damaged replica only listens.
    if (this.#damage !== null) return known;
    this.#campaigns.use();
    void this.#load();
    return known;
  }

  readBarrier(timeoutMs: number): Promise<Done> {
    const hindrance = this.#ended ?? this.#damage;
    if (hindrance !== null) return Promise.resolve(refusalOf(hindrance));
    const passed = this.#barriers.wait(timeoutMs);
    this.#campaigns.use();
    void this.#load();
    return passed;
  }

  progress(): readonly MemberProgress[] {
    const { run } = this.#driver;
    if (run === null || !this.#role.leader) return [];
    return this.#membership.progress(run.node, this.lastIndex, this.#context.vigil);
  }

  changeMembers(target: MembersTarget): Promise<Done> {
    const { run } = this.#driver;
    if (run === null || !this.#ready)
      return Promise.resolve(notLeader(this.groupId, this.#role.term, this.#role));
    this.#context.changed(this);
    return this.#membership.change(run, this.#log, target);
  }

  transferLeadership(toNode: number): Promise<Done> {
    const { run } = this.#driver;
    if (run === null || !this.#ready)
      return Promise.resolve(notLeader(this.groupId, this.#role.term, this.#role));
    this.#context.changed(this);
    return this.#membership.transfer(run, toNode);
  }

  async advanceLogStart(start: LogStart): Promise<Done> {
    if (this.#ended !== null) return refusalOf(this.#ended);
    const { starts, positions } = this.#log;
    const { index, offset: at } = starts.current;
    if (start.index <= index && start.offset <= at) return starts.settled();
    assert(
      start.index <= positions.commitIndex + 1 && start.offset <= positions.highWatermark,
      () => `Log start ${start.offset} (index ${start.index}) must be committed`,
    );
    const draft = LogStarts.draft(start, positions.nextOffset);
    const proposed = this.propose(draft, this.#role.term);
    if (!proposed.ok) return proposed;
    return starts.waitFor(proposed.index);
  }

  /** A message of a peer, decoded; its batches are held for this call's owner, which is the replica from now on. */
  receive(message: Message<Payload>): void {
    if (this.#damage !== null) this.#noteLeader(message);
    const run = this.#admits(message) ? this.#driver.start() : null;
    if (run === null) {
      this.#context.counters.messagesIgnored += 1;
      releaseBatches(message.entries);
      if (asksForVote(message) && this.#driver.startWanted)
        this.#driver.inTurn((late) => late.step(message));
      return;
    }
    if (lostAcknowledgement(run.node, message) !== null) {
      this.#membership.lostData(message.from);
      return;
    }
    this.#driver.guarded(() => run.step(message));
    this.#context.changed(this);
  }

  /** A leader says who takes part, to a replica that joins. */
  welcome({ index, state }: Welcome): void {
    if (!this.#log.configurations.unknown || this.#damage !== null) return;
    const run = this.#driver.start();
    if (run?.node.adoptConfiguration(state) === true) this.#log.configurations.told(index, state);
  }

  /** 100 ms passed. False: time does not concern this replica, until something happens to it. */
  tick(): boolean {
    const { run } = this.#driver;
    const { vigil } = this.#context;
    if (run === null || this.#alone || vigil === null) return false;
    const rests = !needsTicks(run.node, vigil);
    if (rests && !this.#membership.commitUntold(run.node)) return false;
    this.#driver.guarded(() => tickCore(run.node, vigil));
    if (rests) this.#membership.commitTold(run.node);
    if (this.#role.leader) this.#membership.tick(run.node, this.lastIndex);
    this.#context.changed(this);
    return true;
  }

  /** What was sent to replicas on the node may be lost. */
  unreachable(nodeId: number): void {
    if (this.#driver.run === null || !this.#role.leader) return;
    for (const id of this.#log.configurations.peersOf(this.raftId)) {
      if (nodeOf(id) === nodeId) this.#driver.reportUnreachable(id);
    }
  }

  leaderGone(): number | null {
    return this.#campaigns.leaderGone();
  }

  leaderTold(row: Leadership): void {
    this.receive(heartbeatOf(row));
  }

  campaignDue(): void {
    this.#campaigns.due();
  }

  handOver(canLead: (nodeId: number) => boolean): "offered" | "waits" | "leads not" {
    return this.#campaigns.handOver(canLead);
  }

  nodeChanged(): number | null {
    if (this.#driver.run !== null && !this.#alone) this.#context.ticking(this);
    return this.#campaigns.nodeHeard();
  }

  /** Stored data may have been found damaged since this was asked last. */
  lookForDamage(): void {
    const fault = this.#alone ? null : damageOf(this.#context.journal.state(this.number));
    if (fault !== null) this.#takeNoPart(fault);
  }

  /** Commits what the last run of a sole voter left uncommitted, or finds out where the committed records of a replica
   *  with peers end; nothing to do for most. Resolves also when the disk takes no write: then the records up to the
   *  recorded commit are readable. */
  async recoverTail(): Promise<void> {
    const { positions } = this.#log;
    if (!positions.hasTail || this.#damage !== null) return;
    if (this.#alone) {
      const settled = this.#waiters.untilTail();
      this.#campaigns.use();
      await settled;
    }
    if (positions.confirmedTerm === 0) await this.#log.locateHighWatermark();
  }

  /** One step: what waits to be told, proposals, then one Ready. True when there is more to do. */
  turn(): boolean {
    if (this.#wakeWanted) {
      this.#wakeWanted = false;
      this.#machine.onTurn?.();
    }
    const { run } = this.#driver;
    if (run === null) return this.#wakeWanted;
    this.#barriers.ask(() => (this.#log.configurations.unknown ? null : run.askRead()));
    this.#driver.turn(run);
    if (!this.#alone) this.#context.ticking(this);
    return this.#wakeWanted || this.#driver.busy;
  }

  /** Makes the machine's state durable at its applied index. Resolves to that index. */
  saveSnapshot(): Promise<LogIndex> {
    return this.#log.save();
  }

  /** Loads the machine (if need be) and saves its state. */
  async loadAndSave(): Promise<void> {
    await this.#log.feed.load(() => this.commitIndex);
    if (this.#ended === null) await this.saveSnapshot();
  }

  /** The machine has seen everything and its state is newer than the saved one. */
  get unsaved(): boolean {
    const { snapshotIndex } = this.#context.journal.state(this.number);
    const { loaded, applied } = this.#log.feed;
    return loaded && applied > snapshotIndex;
  }

  /** Nothing works any more; who waits hears why. Idempotent. */
  end(fault: Fault): void {
    if (this.#ended !== null) return;
    this.#ended = fault;
    this.#log.feed.stop(fault);
    this.#lose(this.#undecided(), fault);
    this.#waiters.failed(fault);
    this.#barriers.failed(refusalOf(fault));
  }

  /** Resolves when no write is under way. */
  settled(): Promise<void> {
    return this.#log.writes.settled();
  }

  get #alone(): boolean {
    return this.#log.configurations.isAlone(this.raftId);
  }

  #newDriver(): CoreDriver {
    return new CoreDriver({
      context: this.#context,
      number: this.number,
      groupId: this.groupId,
      raftId: this.raftId,
      log: this.#log,
      changed: () => this.#context.changed(this),
      mayStart: () => this.#ended === null && this.#damage === null,
      onStarted: (run) => this.#campaigns.onStarted(run),
      onReady: (run, reads) => {
        this.#followRole(run);
        for (const { request, index } of reads) this.#barriers.answered(request, index);
        if (reads.length > 0) this.#passBarriers();
      },
      onApplied: () => this.#onApplied(),
      onFlushed: ({ index, term: at }) => this.#machine.onFlushed(index, at),
      onFailed: (first, fault) => {
        this.#lose(this.#alone ? first : this.#undecided(), fault);
        this.#waiters.failed(fault);
      },
      onMayStart: () => this.#restartIfWanted(),
      onHalted: (fault) => this.#halt(fault),
    });
  }

  #ledElsewhere(): Fault | null {
    const { leaderId } = this.#role;
    const elsewhere = leaderId !== 0 && leaderId !== this.identity.nodeId;
    return elsewhere ? ledElsewhere(this.groupId, leaderId) : null;
  }

  /** Whether the message may be stepped. A replica that nobody has told who takes part cannot take its first entry (what
   *  comes before which it answers that it has nothing); a node that has more to write than it should takes none for now:
   *  the leader sends them again. */
  #admits({ type, index, entries }: Message<Payload>): boolean {
    if (this.#ended !== null || this.#damage !== null) return false;
    if (type === "MsgApp" && index === 0 && this.#log.configurations.unknown) return false;
    return entries.length === 0 || this.#context.received.bytes < limits.receivedBytesMax;
  }

  /** A damaged replica has no core, but others on this node want to know who leads. */
  #noteLeader({ type, from, term: at }: Message<Payload>): void {
    if (type !== "MsgApp" && type !== "MsgHeartbeat") return;
    const leaderId = nodeOf(from);
    if (at < this.#role.term || leaderId === this.#role.leaderId) return;
    this.#role = { leader: false, term: term(at), leaderId };
    this.#machine.onRole(this.#role);
    this.#waiters.ledBy(leaderId);
  }

  #onApplied(): void {
    const { configurations, feed } = this.#log;
    if (configurations.index !== this.#enteredAt) this.#reconfigured(this.#driver.run!);
    if (!feed.loaded && !this.#role.leader) void this.#load();
    this.#membership.applied(configurations.index, configurations.members.joint);
    this.#passBarriers();
    this.#becomeReady();
  }

  /** Who is left alone by a change has no leader to wait for, and nobody tells it so. */
  #reconfigured(run: CoreRun): void {
    this.#enterLeadership(run);
    if (this.#alone && !this.#role.leader) this.#driver.inTurn((at) => at.takeOver());
  }

  #passBarriers(): void {
    if (this.#log.feed.loaded) this.#barriers.applied(this.commitIndex);
  }

  #followRole(run: CoreRun): void {
    const { role, lead, term: at } = run.node.core;
    const before = this.#role;
    const leader = role === "leader";
    const leaderId = this.#alone ? this.identity.nodeId : nodeOf(lead);
    if (before.leader === leader && before.term === at && before.leaderId === leaderId) return;
    this.#role = { leader, term: term(at), leaderId };
    // A candidate of the same term becomes the leader.
    if (leader && (!before.leader || before.term !== at)) {
      this.#context.counters.elections += 1;
      this.#membership.begin(this.lastIndex);
    }
    this.#enterLeadership(run);
    this.#machine.onRole(this.#role);
    if (before.leader && (!leader || before.term !== at)) this.#deposed();
    this.#membership.ledBy(leaderId);
    if (leaderId !== 0 && leaderId !== this.identity.nodeId) this.#waiters.ledBy(leaderId);
  }

  #enterLeadership({ node }: CoreRun): void {
    this.#enteredAt = this.#log.configurations.index;
    const { vigil } = this.#context;
    if (vigil === null) return;
    if (this.#alone) vigil.forget(this, this.groupId);
    else enterLeadership(vigil.leaderships, this.groupId, node);
  }

  /** A new leader may have what was proposed here, or not. */
  #deposed(): void {
    const refusal = deposed(this.groupId);
    this.#context.counters.leadershipsLost += 1;
    this.#ready = false;
    this.#log.starts.lost(refusal);
    this.#membership.lost(refusal);
    this.#machine.onLost(this.#undecided(), refusal);
  }

  /** The first entry that may be lost, durable or not (simulator, seed 6106). A snapshot may have taken the machine on. */
  #undecided(): LogIndex {
    return logIndex(Math.max(this.commitIndex, this.#log.feed.applied) + 1);
  }

  #becomeReady(): void {
    const confirmed = this.#role.leader && this.confirmedTerm === this.#role.term;
    if (!confirmed || this.#ready) return;
    this.#waiters.confirmed();
    if (!this.#log.feed.loaded) {
      if (this.#waiters.any || !this.#alone) void this.#load();
      return;
    }
    this.#ready = true;
    this.#machine.onReady(this.#role.term);
    this.#waiters.ready(this.#role.term, this.identity.nodeId);
  }

  async #load(): Promise<void> {
    try {
      await this.#log.feed.load(() => this.commitIndex);
    } catch (error) {
      if (this.#ended === null) this.#waiters.failed(error);
      if (!(error instanceof Fault)) throw error;
      return;
    }
    this.#log.starts.cut();
    this.#passBarriers();
    this.#becomeReady();
  }

  /** Steps down, and tells that the entries from `index` on may or may not come to be. */
  #lose(index: LogIndex, fault: Fault): void {
    const ran = this.#driver.run !== null;
    this.#ready = false;
    this.#driver.end();
    this.#context.vigil?.forget(this, this.groupId);
    const leaderId = this.#alone ? this.identity.nodeId : 0;
    this.#role = { ...this.#role, leader: false, leaderId };
    const refusal: Refusal = { ...refusalOf(fault), sideEffects: "unknown" };
    this.#log.starts.lost(refusal);
    this.#membership.lost(refusal);
    if (ran) this.#machine.onRole(this.#role);
    this.#machine.onLost(index, refusal);
  }

  /** The core's start was put off until the writes of the former one settled. */
  #restartIfWanted(): void {
    if (this.#waiters.any || this.#barriers.any) this.#campaigns.use();
    else if (this.#driver.startWanted) this.#driver.start();
  }

  #halt(fault: Fault): void {
    if (this.#alone || fault.code !== "storage_damaged") this.end(fault);
    else this.#takeNoPart(fault);
  }

  /** Others have what is not whole here: until this replica is replaced it neither votes nor leads. */
  #takeNoPart(fault: Fault): void {
    if (this.#ended !== null || this.#damage !== null) return;
    this.#damage = fault;
    this.#lose(this.#undecided(), fault);
    this.#waiters.failed(fault);
    this.#barriers.failed(refusalOf(fault));
  }
}
