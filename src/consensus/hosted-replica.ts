// One replica on this node: its Raft core while there is one, its log, its role, and those who wait for it.
//
//   cold ---first use, first message---> running ---leads, own no-op applied, machine loaded---> ready
//                                          |  ^
//           a failed write, lost tail told |  | next use or message           any ---> ended (removed, closed, halted)
//                                          v  |
//                                         cold                 damaged, with peers: no core, votes and leads never
//
// Promise: one step a turn of the host; what is acknowledged was durable before (the core's own acknowledgement follows
// the fsync); after a failed flush the core is made anew from what the journal knows to be durable. A replica whose term
// as leader is over tells at once that the fate of what it had proposed is not known.
// Left to others: the turn itself (host.ts), the log (durable-log.ts), replay (fold-feed.ts), lanes (outbox.ts).

import { isStorageThread, RaftBug } from "../../raft/index.ts";
import type { Message, OwnEntry } from "../../raft/types.ts";
import { assert } from "../assert.ts";
import { Fault, refusalOf, refuse, type Refusal } from "../errors.ts";
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
import { enterLeadership, heartbeatOf, tickCore } from "./attendance.ts";
import { CatchUpReads } from "./catch-up.ts";
import { bornWith, soleVoter } from "./configuration.ts";
import { CoreRun, releaseBatches } from "./core-run.ts";
import { DurableLog } from "./durable-log.ts";
import { nodeOf, raftIdOf, type ReplicaIdentity } from "./identity.ts";
import { LeadWaiters, ledElsewhere } from "./lead-waiters.ts";
import type { Leadership } from "./leaderships.ts";
import { LogStarts } from "./log-starts.ts";
import { Membership } from "./membership.ts";
import { leaveJoint } from "./membership-change.ts";
import { changePayload, draftBytes, noopPayload, type Payload } from "./payload.ts";
import { committedIn } from "./positions.ts";
import { hasQuorum, needsTicks } from "./pulse.ts";
import { ReadBarriers } from "./read-barriers.ts";
import { nothingRecovered, readRecovered, type RecoveredEntries } from "./recovered-entries.ts";
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
import { SnapshotSource } from "./snapshot-source.ts";
import { successorOf } from "./successor.ts";
import type { VigilantReplica } from "./vigil.ts";
import type { Welcome } from "./welcome.ts";
import type { WriteUnderWay } from "./writes-under-way.ts";

const seedRange = 2 ** 31;
/** A replica that is used while no leader is known campaigns at once where its group's first voter is, elsewhere after a
 *  random time of this much: the first voters are where the controller spreads leaders to, and votes do not split. */
const campaignDelayMsMax = 150;
/** At most so often for being used: elections that fail are repeated by the core's own timeout. */
const campaignPauseMs = 1_000;

type Done = { readonly ok: true } | Refusal;

export class HostedReplica implements Replica, VigilantReplica {
  readonly number: ReplicaNumber;
  readonly groupId: string;
  readonly identity: ReplicaIdentity;
  readonly raftId: number;
  readonly #context: ReplicaContext;
  readonly #machine: StateMachine;
  readonly #log: DurableLog;
  readonly #snapshots: SnapshotSource;
  readonly #membership: Membership;
  readonly #waiters: LeadWaiters;
  readonly #barriers: ReadBarriers;
  /** Null while cold. */
  #run: CoreRun | null = null;
  #role: Role;
  #ready = false;
  /** Why nothing works any more; null while something does. */
  #ended: Fault | null = null;
  /** What this replica once acknowledged is not whole, and it has peers that have it. */
  #damage: Fault | null = null;
  #wakeWanted = false;
  /** Entries are being read before the core can start. */
  #starting = false;
  /** The core shall start as soon as writes of a former one have settled. */
  #startWanted = false;
  /** ... and campaign then. */
  #campaignWanted = false;
  #campaignedAt = -Infinity;
  /** What the core is told in the next turn: never from within its own calls. */
  #later: ((run: CoreRun) => void)[] = [];

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
      machine: of.machine,
      born,
      onDurable: (write) => this.#onDurable(write),
      onFailed: (write, reason) => this.#onFailed(write, reason),
    });
    this.#snapshots = new SnapshotSource(journal, this.number, this.#log);
    this.#membership = new Membership(world, this.groupId);
    this.#waiters = new LeadWaiters(world, this.groupId);
    this.#barriers = new ReadBarriers(world, this.groupId, () => context.changed(this));
    // A sole voter is the only leader there can be, also before it campaigned.
    const leaderId = this.#alone ? nodeId : 0;
    this.#role = { leader: false, term: state.hardState.term, leaderId };
    this.#lookForDamage();
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
    return this.#log.writes.count === 0 && (this.#run === null || !this.#run.node.hasReady());
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
    const run = this.#run;
    if (run === null || !this.#ready || this.#role.term !== expectedTerm) {
      return this.#notLeader(expectedTerm);
    }
    const { positions } = this.#log;
    assert(
      draft.baseOffset === positions.nextOffset,
      () => `Proposal must begin at offset ${positions.nextOffset}, got ${draft.baseOffset}`,
    );
    const time = Math.max(this.clock(), draft.timeMin ?? 0);
    const data: Payload = { ...draft, time };
    this.#membership.appends();
    const bytes = draftBytes(draft);
    const proposed = run.node.propose(data, bytes);
    if (!proposed.ok || proposed.term !== expectedTerm) return this.#notLeader(expectedTerm);
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
    this.campaign();
    void this.#load();
    return ready;
  }

  leader(timeoutMs: number): Promise<number> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const { leaderId } = this.#role;
    if (this.#ready || this.#ledElsewhere() !== null) return Promise.resolve(leaderId);
    const known = this.#waiters.untilLeader(timeoutMs);
    if (this.#damage === null) this.campaign();
    void this.#load();
    return known;
  }

  readBarrier(timeoutMs: number): Promise<Done> {
    const hindrance = this.#ended ?? this.#damage;
    if (hindrance !== null) return Promise.resolve(refusalOf(hindrance));
    const passed = this.#barriers.wait(timeoutMs);
    this.campaign();
    void this.#load();
    return passed;
  }

  progress(): readonly MemberProgress[] {
    if (this.#run === null || !this.#role.leader) return [];
    return this.#membership.progress(this.#run.node, this.#log.positions.lastIndex);
  }

  changeMembers(target: MembersTarget): Promise<Done> {
    const run = this.#run;
    if (run === null || !this.#ready) return Promise.resolve(this.#notLeader(this.#role.term));
    const planned = this.#membership.plan(this.#log.configurations.state, target);
    if (planned === null) return Promise.resolve({ ok: true });
    if ("ok" in planned) return Promise.resolve(planned);
    const data = changePayload(planned, this.nextOffset, this.clock());
    const bytes = draftBytes(data);
    const proposed = run.node.proposeConfChange(planned, { data, bytes });
    this.#context.changed(this);
    if (!proposed.ok) return Promise.resolve(this.#membership.refused(proposed.reason));
    const entry = { ...proposed, type: "confChange", data, change: planned, bytes } as const;
    this.#log.track(run, entry, data);
    return this.#membership.untilApplied(proposed.index);
  }

  transferLeadership(toNode: number): Promise<Done> {
    const run = this.#run;
    if (run === null || !this.#ready) return Promise.resolve(this.#notLeader(this.#role.term));
    if (toNode === this.identity.nodeId) return Promise.resolve({ ok: true });
    const to = this.#log.configurations.state.voters.find((id) => nodeOf(id) === toNode);
    if (to === undefined) {
      const detail = `Cannot hand ${this.groupId} to node ${toNode}: it is no voter of the group`;
      return Promise.resolve(refuse("invalid_request", detail));
    }
    run.node.transferLeader(to);
    this.#context.changed(this);
    return this.#membership.untilLedBy(toNode);
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

  /** Starts the core, and an election where no leader is known. */
  campaign(): void {
    const run = this.start();
    if (run === null) this.#campaignWanted = true;
    else this.#campaignIfLeaderless(run);
  }

  /** The core, if it can run now: not while writes of a former one are under way, nor while what the journal holds beyond
   *  the applied state is being read; then it starts as soon as it can. */
  start(): CoreRun | null {
    if (this.#run !== null) return this.#run;
    if (this.#ended !== null || this.#damage !== null || this.#starting) return null;
    this.#startWanted = true;
    if (this.#log.writes.count > 0) return null;
    const { positions, configurations } = this.#log;
    const { changes } = configurations;
    if (changes.length === 0 && (this.#alone || !positions.hasTail)) {
      return this.#launch(nothingRecovered);
    }
    const wanted = { from: positions.commitIndex + 1, end: positions.lastIndex + 1, changes };
    this.#starting = true;
    void this.#startWith(readRecovered(this.#context.journal, this.number, wanted));
    return null;
  }

  /** A message of a peer, decoded; its batches are held for this call's owner, which is the replica from now on. */
  receive(message: Message<Payload>): void {
    if (this.#damage !== null) this.#noteLeader(message);
    const run = this.#admits(message) ? this.start() : null;
    if (run === null) {
      this.#context.counters.messagesIgnored += 1;
      releaseBatches(message.entries);
      return;
    }
    this.#guarded(() => run.step(message));
    this.#context.changed(this);
  }

  /** A leader says who takes part, to a replica that joins. */
  welcome({ index, state }: Welcome): void {
    if (!this.#log.configurations.unknown) return;
    const run = this.start();
    if (run?.node.adoptConfiguration(state) === true) this.#log.configurations.told(index, state);
  }

  /** 100 ms passed. False: time does not concern this replica, until something happens to it. */
  tick(): boolean {
    const run = this.#run;
    const { vigil } = this.#context;
    if (run === null || this.#alone || vigil === null) return false;
    if (!needsTicks(run.node, vigil)) return false;
    this.#guarded(() => tickCore(run.node, vigil));
    if (this.#role.leader) this.#membership.tick(run.node, this.#log.positions.lastIndex);
    this.#context.changed(this);
    return true;
  }

  leaderGone(): boolean {
    if (this.#ended !== null || this.#damage !== null) return false;
    const run = this.start();
    if (run === null) return true;
    const { core } = run.node;
    if (core.role !== "follower") return false;
    this.#guarded(() => run.node.forgetLeader());
    this.#context.changed(this);
    return core.promotable();
  }

  leaderTold(row: Leadership): void {
    this.receive(heartbeatOf(row));
  }

  campaignDue(): void {
    const run = this.#run;
    const { vigil, world } = this.#context;
    if (run === null || vigil === null) return;
    const { core } = run.node;
    if (core.lead !== 0 || core.role !== "follower") return;
    if (!hasQuorum(run.node, (nodeId) => vigil.live(nodeId))) return;
    this.#campaignedAt = world.monotonic();
    this.#campaignNow(run);
  }

  handOver(canLead: (nodeId: number) => boolean): "offered" | "waits" | "leads not" {
    const run = this.#run;
    if (run === null || this.#alone || !this.#role.leader) return "leads not";
    const to = successorOf(run.node, canLead);
    if (to === 0) return "waits";
    this.#guarded(() => run.node.transferLeader(to));
    this.#context.changed(this);
    return "offered";
  }

  nodeChanged(): void {
    if (this.#run !== null && !this.#alone) this.#context.ticking(this);
  }

  /** What was sent to replicas on the node may be lost. */
  unreachable(nodeId: number): void {
    const run = this.#run;
    if (run === null || !this.#role.leader) return;
    for (const id of this.#log.configurations.peersOf(this.raftId)) {
      if (nodeOf(id) === nodeId) this.#reportUnreachable(id);
    }
  }

  /** Commits what the last run of a sole voter left uncommitted, or finds out where the committed records of a replica
   *  with peers end; nothing to do for most. Resolves also when the disk takes no write: then the records up to the
   *  recorded commit are readable. */
  async recoverTail(): Promise<void> {
    const { positions } = this.#log;
    if (!positions.hasTail || this.#damage !== null) return;
    if (this.#alone) {
      const settled = this.#waiters.untilTail();
      this.campaign();
      await settled;
    }
    if (positions.confirmedTerm === 0) await this.#locateHighWatermark();
  }

  /** One step: what waits to be told, proposals, then one Ready. True when there is more to do. */
  turn(): boolean {
    if (this.#wakeWanted) {
      this.#wakeWanted = false;
      this.#machine.onTurn?.();
    }
    const run = this.#run;
    if (run === null) return this.#wakeWanted;
    if (this.#later.length > 0) this.#tell(run);
    this.#barriers.ask(() => this.#askRead(run));
    if (run.node.hasReady()) this.#guarded(() => this.#handle(run));
    if (!this.#alone) this.#context.ticking(this);
    return this.#wakeWanted || this.#later.length > 0 || (this.#run?.node.hasReady() ?? false);
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
    this.#lose(logIndex(this.commitIndex + 1), fault);
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

  #ledElsewhere(): Fault | null {
    const { leaderId } = this.#role;
    const elsewhere = leaderId !== 0 && leaderId !== this.identity.nodeId;
    return elsewhere ? ledElsewhere(this.groupId, leaderId) : null;
  }

  async #startWith(reading: Promise<RecoveredEntries>): Promise<void> {
    try {
      const recovered = await reading;
      this.#starting = false;
      if (this.#ended !== null || this.#damage !== null) return;
      // A snapshot of the fold may be on its way meanwhile: then it all begins once more when that has settled.
      if (this.#log.writes.count > 0) return;
      this.#launch(recovered);
    } catch (thrown) {
      this.#starting = false;
      this.#halt(thrown);
    }
  }

  #launch(recovered: RecoveredEntries): CoreRun {
    const { journal, catchUp, world, ticking } = this.#context;
    const { positions, configurations, hardState } = this.#log;
    const first = recovered.get(positions.commitIndex + 1);
    if (first !== undefined) positions.atLeast(first.baseOffset as Offset);
    const unapplied = configurations.changes.find((index) => index <= positions.commitIndex);
    const run = new CoreRun({
      journal,
      replica: this.number,
      raftId: this.raftId,
      seed: Math.floor(world.random() * seedRange),
      applied: unapplied === undefined ? positions.commitIndex : unapplied - 1,
      recovered,
      hardState: { ...hardState, commit: positions.commitIndex },
      confState: configurations.state,
      reads: new CatchUpReads(catchUp, journal, (to) =>
        this.#inTurn((at) => at.node.entriesFetched(to)),
      ),
      snapshot: () => this.#snapshots.take(),
      ownData: (entry) => this.#ownData(entry),
    });
    this.#run = run;
    this.#context.onCore(this.groupId, this.identity.incarnation, run.node);
    this.#startWanted = false;
    if (!this.#alone) ticking(this);
    if (this.#campaignWanted) this.#campaignIfLeaderless(run);
    this.#context.changed(this);
    return run;
  }

  #ownData({ type }: OwnEntry): Payload {
    const { nextOffset } = this;
    if (type === "confChange") return changePayload(leaveJoint, nextOffset, this.clock());
    return noopPayload(nextOffset, this.clock());
  }

  #campaignIfLeaderless(run: CoreRun): void {
    this.#campaignWanted = false;
    const { core } = run.node;
    if (core.lead !== 0 || core.role !== "follower") return;
    const { world } = this.#context;
    const now = world.monotonic();
    if (!this.#alone && now - this.#campaignedAt < campaignPauseMs) return;
    this.#campaignedAt = now;
    const [first] = this.#log.configurations.state.voters;
    if (first === this.raftId) {
      this.#campaignNow(run);
      return;
    }
    world.setTimer(world.random() * campaignDelayMsMax, () => {
      const leaderless = this.#run === run && core.lead === 0 && core.role === "follower";
      if (leaderless) this.#campaignNow(run);
    });
  }

  #campaignNow(run: CoreRun): void {
    if (!this.#alone && this.#context.vigil?.fit === false) return;
    this.#guarded(() => run.node.campaign());
    this.#context.changed(this);
  }

  /** Whether the message may be stepped. A replica that nobody has told who takes part cannot take its first entry (what
   *  comes before which it answers that it has nothing); a node that has more to write than it should takes none for now:
   *  the leader sends them again. */
  #admits({ type, index, entries }: Message<Payload>): boolean {
    if (this.#ended !== null || this.#damage !== null) return false;
    if (type === "MsgApp" && index === 0 && this.#log.configurations.unknown) return false;
    return entries.length === 0 || this.#context.undurable.bytes < limits.journalQueueBytesMax;
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

  #handle(run: CoreRun): void {
    const { node, window } = run;
    const held = run.storage.takeHeld();
    const { messages, readStates } = node.ready();
    this.#followRole(run);
    for (const { request, index } of readStates) this.#barriers.answered(request, index);
    if (readStates.length > 0) this.#barriers.applied(this.#log.feed.loaded ? this.commitIndex : 0);
    for (const message of messages) if (!isStorageThread(message.to)) this.#send(run, message);
    // Messages made before now are on their way, so nothing needs what is applied any more.
    for (const page of held) page.release();
    window.dropBelow(this.commitIndex + 1);
    let due: readonly Message<Payload>[] = [];
    for (const message of messages) {
      if (message.type === "MsgStorageAppend") due = this.#log.append(run, message);
      else if (message.type === "MsgStorageApply") this.#apply(run, message);
    }
    run.releaseReceived();
    this.#deliver(run, due);
    if (!node.hasReady()) window.dropBelow(this.commitIndex + 1);
  }

  #apply(run: CoreRun, message: Message<Payload>): void {
    this.#log.apply(run, message.entries);
    for (const response of message.responses) run.node.step(response);
    const { configurations, feed, starts } = this.#log;
    if (message.entries.some(({ type }) => type === "confChange")) this.#enterLeadership(run);
    if (feed.loaded) starts.cut();
    else if (!this.#role.leader) void this.#load();
    this.#membership.applied(configurations.index, configurations.members.joint);
    this.#barriers.applied(feed.loaded ? this.commitIndex : 0);
    this.#becomeReady();
  }

  /** Responses whose writes are durable. */
  #deliver(run: CoreRun, responses: readonly Message<Payload>[]): void {
    for (const response of responses) {
      if (response.to === this.raftId) run.node.step(response);
      else this.#send(run, response);
    }
  }

  #send(run: CoreRun, message: Message<Payload>): void {
    const { outbox, counters } = this.#context;
    const { type, to } = message;
    if (type === "MsgSnap") {
      counters.snapshotsSent += 1;
      let left = true;
      const gone = () =>
        this.#inTurn(({ node }) => node.reportSnapshot(to, left ? "finished" : "failed"));
      left = outbox.sendSnapshot(this.groupId, message, gone);
      return;
    }
    const behind = type === "MsgApp" && run.storage.isBehind(to, run.node);
    if (type === "MsgApp" && message.index === 0) this.#sendWelcome(to, behind);
    const sent = outbox.send(this.groupId, message, behind);
    if (!sent && type === "MsgApp") this.#reportUnreachable(to);
  }

  #sendWelcome(to: number, behind: boolean): void {
    const { index, state } = this.#log.configurations;
    const welcome = { from: this.raftId, to, index, state };
    this.#context.outbox.sendWelcome(this.groupId, welcome, behind);
  }

  #reportUnreachable(to: number): void {
    this.#inTurn(({ node }) => node.reportUnreachable(to));
  }

  #inTurn(tell: (run: CoreRun) => void): void {
    this.#later.push(tell);
    this.#context.changed(this);
  }

  #tell(run: CoreRun): void {
    for (const tell of this.#later.splice(0)) this.#guarded(() => tell(run));
  }

  #askRead(run: CoreRun): number | null {
    const asked = run.node.readIndex();
    return asked.ok ? asked.request : null;
  }

  #followRole(run: CoreRun): void {
    const { role, lead, term: at } = run.node.core;
    const before = this.#role;
    const leader = role === "leader";
    const leaderId = this.#alone ? this.identity.nodeId : nodeOf(lead);
    if (before.leader === leader && before.term === at && before.leaderId === leaderId) return;
    this.#role = { leader, term: term(at), leaderId };
    if (leader) this.#begin(before.term);
    this.#enterLeadership(run);
    this.#machine.onRole(this.#role);
    if (before.leader && (!leader || before.term !== at)) this.#deposed();
    this.#membership.ledBy(leaderId);
    if (leaderId !== 0 && leaderId !== this.identity.nodeId) this.#waiters.ledBy(leaderId);
  }

  #enterLeadership({ node }: CoreRun): void {
    const { vigil } = this.#context;
    if (vigil === null) return;
    if (this.#alone) vigil.forget(this, this.groupId);
    else enterLeadership(vigil.leaderships, this.groupId, node);
  }

  #begin(before: Term): void {
    if (before === this.#role.term) return;
    this.#context.counters.elections += 1;
    this.#membership.begin(this.#log.positions.lastIndex);
  }

  /** A new leader may have what was proposed here, or not. */
  #deposed(): void {
    const detail = `Another replica of ${this.groupId} leads, or none; what this one had proposed may still commit`;
    const refusal = refuse("not_leader_or_follower", detail, { sideEffects: "unknown" });
    this.#context.counters.leadershipsLost += 1;
    this.#ready = false;
    this.#log.starts.lost(refusal);
    this.#membership.lost(refusal);
    this.#machine.onLost(logIndex(this.commitIndex + 1), refusal);
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
      return;
    }
    this.#log.starts.cut();
    this.#barriers.applied(this.commitIndex);
    this.#becomeReady();
  }

  #onDurable(write: WriteUnderWay): void {
    const run = this.#run;
    if (run === null) {
      this.#restartIfWanted();
      return;
    }
    if (write.installs !== null) this.#installed(write.installs);
    this.#guarded(() => this.#deliver(run, write.responses));
    if (write.last !== null) this.#machine.onFlushed(write.last.index, write.last.term);
    this.#context.changed(this);
  }

  #installed(installs: NonNullable<WriteUnderWay["installs"]>): void {
    this.#context.counters.snapshotsInstalled += 1;
    this.#log.installed(installs);
    this.#barriers.applied(this.commitIndex);
  }

  /** The core believes in entries that are not on the disk. What became durable before is applied, the rest is lost;
   *  the next core begins from the journal's state. */
  #onFailed(write: WriteUnderWay, reason: unknown): void {
    const run = this.#run;
    if (run === null) {
      this.#restartIfWanted();
      return;
    }
    const fault = asFault(reason);
    this.#guarded(() => this.#applyOnly(run));
    if (this.#ended !== null) return;
    this.#lose(write.first ?? logIndex(this.commitIndex + 1), fault);
    this.#waiters.failed(fault);
  }

  /** The records up to the recorded commit end where the first entry behind it begins. */
  async #locateHighWatermark(): Promise<void> {
    const from = { index: logIndex(this.commitIndex + 1) };
    const endIndex = logIndex(from.index + 1);
    const request = { replica: this.number, from, endIndex, maxBytes: 1, dataOnly: false };
    const page = await this.#context.journal.read(request);
    const at = page.entries[0]?.baseOffset ?? this.highWatermark;
    this.#log.positions.atLeast(at);
    page.release();
  }

  #applyOnly(run: CoreRun): void {
    while (run.node.hasReady() && this.#ended === null) {
      for (const message of run.node.ready().messages) {
        if (message.type === "MsgStorageApply") this.#apply(run, message);
      }
    }
  }

  /** Steps down, and tells that the entries from `index` on may or may not come to be. */
  #lose(index: LogIndex, fault: Fault): void {
    const run = this.#run;
    this.#run = null;
    this.#later = [];
    this.#ready = false;
    run?.end();
    this.#context.vigil?.forget(this, this.groupId);
    this.#log.fallBack();
    const leaderId = this.#alone ? this.identity.nodeId : 0;
    this.#role = { ...this.#role, leader: false, leaderId };
    const refusal: Refusal = { ...refusalOf(fault), sideEffects: "unknown" };
    this.#log.starts.lost(refusal);
    this.#membership.lost(refusal);
    if (run !== null) this.#machine.onRole(this.#role);
    this.#machine.onLost(index, refusal);
  }

  /** The core's start was put off until the writes of the former one settled. */
  #restartIfWanted(): void {
    if (this.#waiters.any) this.campaign();
    else if (this.#startWanted) this.start();
  }

  #lookForDamage(): void {
    const state = this.#context.journal.state(this.number);
    const commit = committedIn(state);
    if (this.#alone || (state.damage.length === 0 && commit <= state.lastIndex)) return;
    const found =
      state.damage[0]?.detail ??
      `entry ${commit} was committed, the log ends at ${state.lastIndex}`;
    const detail = `Replica ${this.groupId} is damaged and takes no part: ${found}`;
    this.#damage = new Fault("storage_damaged", detail, { members: { groupId: this.groupId } });
  }

  /** A broken invariant of the core, or what the log cannot take, ends this replica and no other. */
  #guarded(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      this.#halt(thrown);
    }
  }

  #halt(thrown: unknown): void {
    let fault = thrown;
    if (thrown instanceof RaftBug) {
      const detail = `Replica ${this.groupId} takes no further part: ${thrown.message}`;
      fault = new Fault("storage_damaged", detail, { cause: thrown });
    }
    if (!(fault instanceof Fault)) throw fault;
    if (!this.#alone && fault.code === "storage_damaged") this.#damage = fault;
    this.end(fault);
  }

  #notLeader(expected: Term): Refusal {
    const { leader, term: at, leaderId } = this.#role;
    const found = leader ? `leader of term ${at}` : "no leader";
    const detail = `Cannot append to ${this.groupId}: leader of term ${expected} is wanted, this replica is ${found}`;
    return refuse(
      "not_leader_or_follower",
      detail,
      leader ? {} : { members: { leader: leaderId } },
    );
  }
}

/** What was thrown, as a fault whose effects are not known. */
export function asFault(reason: unknown): Fault {
  if (reason instanceof Fault) return reason;
  const detail = "Cannot write: an unexpected error was met";
  return new Fault("storage_failed", detail, { cause: reason, sideEffects: "unknown" });
}
