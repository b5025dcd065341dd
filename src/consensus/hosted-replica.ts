// One replica on this node: its Raft core, its writes under way, its positions, its state machine.
//
//   cold ---lead(), or a recovered tail---> running ---its own no-op applied, machine loaded---> ready
//                                             |  ^
//              a failed flush, lost tail told |  | lead()                      any ---> ended (removed, closed, halted)
//                                             v  |
//                                            cold
//
// Promise: one step a turn of the host; what is acknowledged was durable before (the core's own acknowledgement follows
// the fsync); after a failed flush the core is made anew from what the journal knows to be durable.
// Left to others: the turn itself (host.ts), replay (fold-feed.ts), when to save state (snapshot-schedule.ts).

import { RawNode } from "../../raft/index.ts";
import type { Entry, Message } from "../../raft/types.ts";
import { assert } from "../assert.ts";
import { Fault, refusalOf, refuse, type Refusal } from "../errors.ts";
import type { HardState, LogEntry, LogStart } from "../journal/journal.ts";
import {
  logIndex,
  term,
  type LogIndex,
  type Offset,
  type ReplicaNumber,
  type Term,
} from "../quantities.ts";
import { decodeConfiguration, encodeConfiguration, soleVoter } from "./configuration.ts";
import { EntryWindow } from "./entry-window.ts";
import { FoldFeed } from "./fold-feed.ts";
import { LeadWaiters } from "./lead-waiters.ts";
import { LogStarts } from "./log-starts.ts";
import { draftBytes, noopPayload, toLogEntry, type Payload } from "./payload.ts";
import { Positions } from "./positions.ts";
import { replicaOf, type ReplicaIdentity } from "./identity.ts";
import { ReplicaStorage } from "./replica-storage.ts";
import type { ReplicaContext } from "./replica-context.ts";
import type {
  EntryDraft,
  MemberProgress,
  Members,
  MembersTarget,
  Proposed,
  Replica,
  Role,
  StateMachine,
} from "./replica.ts";
import { hardStateIn } from "./storage-message.ts";
import { WritesUnderWay, type WriteUnderWay } from "./writes-under-way.ts";

const seedRange = 2 ** 31;

export class HostedReplica implements Replica {
  readonly number: ReplicaNumber;
  readonly groupId: string;
  readonly #context: ReplicaContext;
  readonly #machine: StateMachine;
  readonly #window = new EntryWindow();
  readonly #feed: FoldFeed;
  readonly #logStarts: LogStarts;
  readonly #writes: WritesUnderWay;
  /** Null while cold. */
  #node: RawNode<Payload> | null = null;
  #role: Role;
  #ready = false;
  /** Why nothing works any more; null while something does. */
  #ended: Fault | null = null;
  readonly #waiters = new LeadWaiters();
  #wakeWanted = false;
  /** What the journal was told last; at least what is durable. */
  #hardState: HardState;
  readonly #positions: Positions;

  constructor(
    context: ReplicaContext,
    identity: { readonly number: ReplicaNumber; readonly groupId: string },
    machine: StateMachine,
  ) {
    this.#context = context;
    this.#machine = machine;
    this.number = identity.number;
    this.groupId = identity.groupId;
    const { world, journal } = context;
    const state = journal.state(this.number);
    this.#hardState = state.hardState;
    this.#positions = new Positions(state);
    // A sole voter is the only leader there can be, also before it campaigned.
    this.#role = { leader: false, term: state.hardState.term, leaderId: context.nodeId };
    this.#logStarts = new LogStarts(journal, this.number, () => this.saveSnapshot());
    this.#feed = new FoldFeed({
      world,
      journal,
      replica: this.number,
      machine,
      onLogStart: (start, index) => this.#logStarts.applied(start, index),
    });
    this.#writes = new WritesUnderWay(journal, {
      onDurable: (write) => this.#onDurable(write),
      onFailed: (write, reason) => this.#onFailed(write, reason),
    });
  }

  get identity(): ReplicaIdentity {
    return { nodeId: this.#context.nodeId, incarnation: 1 };
  }

  get members(): Members {
    const { configuration } = this.#context.journal.state(this.number);
    if (configuration === null) return { voters: [this.identity], learners: [], joint: false };
    const { voters, votersOutgoing, learners } = decodeConfiguration(configuration);
    const both = [...new Set([...voters, ...votersOutgoing])];
    return {
      voters: both.map(replicaOf),
      learners: learners.map(replicaOf),
      joint: votersOutgoing.length > 0,
    };
  }

  get role(): Role {
    return this.#role;
  }

  get ready(): boolean {
    return this.#ready;
  }

  get commitIndex(): LogIndex {
    return this.#positions.commitIndex;
  }

  get highWatermark(): Offset {
    return this.#positions.highWatermark;
  }

  get confirmedTerm(): Term {
    return this.#positions.confirmedTerm;
  }

  get appliedIndex(): LogIndex {
    return this.#feed.applied;
  }

  get lastIndex(): LogIndex {
    return this.#positions.lastIndex;
  }

  get nextOffset(): Offset {
    return this.#positions.nextOffset;
  }

  get logStart(): LogStart {
    return this.#logStarts.current;
  }

  /** Nothing is under way: no write, no proposal, no turn's work. */
  get idle(): boolean {
    return this.#writes.count === 0 && (this.#node === null || !this.#node.hasReady());
  }

  clock(): number {
    return Math.max(this.#context.world.now(), this.#positions.lastTime);
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
    if (this.#node === null || !this.#ready || this.#role.term !== expectedTerm) {
      return notLeader(this.groupId, expectedTerm, this.#role);
    }
    assert(
      draft.baseOffset === this.#positions.nextOffset,
      () => `Proposal must begin at offset ${this.#positions.nextOffset}, got ${draft.baseOffset}`,
    );
    const time = Math.max(this.clock(), draft.timeMin ?? 0);
    const data: Payload = { ...draft, time };
    const bytes = draftBytes(draft);
    const proposed = this.#node.propose(data, bytes);
    if (!proposed.ok) return notLeader(this.groupId, expectedTerm, this.#role);
    draft.batch?.retain();
    this.#track({ ...proposed, type: "normal", data, change: null, bytes }, data);
    this.#context.changed(this);
    return { ok: true, index: this.#positions.lastIndex, term: expectedTerm, time };
  }

  lead(): Promise<Term> {
    if (this.#ready) return Promise.resolve(this.#role.term);
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const ready = this.#waiters.untilReady();
    this.campaign();
    void this.#load();
    return ready;
  }

  /** A sole voter is the only leader there can be. */
  async leader(): Promise<number> {
    await this.lead();
    return this.#context.nodeId;
  }

  async readBarrier(): Promise<{ readonly ok: true } | Refusal> {
    try {
      await this.lead();
      return { ok: true };
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  progress(): readonly MemberProgress[] {
    if (!this.#role.leader) return [];
    const { identity, lastIndex: matchIndex } = this;
    return [{ identity, voter: true, matchIndex, behindMs: 0, active: true }];
  }

  changeMembers(_target: MembersTarget): Promise<{ readonly ok: true } | Refusal> {
    const detail = `Cannot change the members of ${this.groupId}: this node is alone`;
    return Promise.resolve(refuse("policy_violation", detail));
  }

  transferLeadership(toNode: number): Promise<{ readonly ok: true } | Refusal> {
    const detail = `Cannot hand ${this.groupId} to node ${toNode}: it is no voter of the group`;
    return Promise.resolve(refuse("invalid_request", detail));
  }

  async advanceLogStart(start: LogStart): Promise<Refusal | { readonly ok: true }> {
    if (this.#ended !== null) return refusalOf(this.#ended);
    const { index, offset: at } = this.logStart;
    if (start.index <= index && start.offset <= at) return this.#logStarts.settled();
    assert(
      start.index <= this.#positions.commitIndex + 1 &&
        start.offset <= this.#positions.highWatermark,
      () => `Log start ${start.offset} (index ${start.index}) must be committed`,
    );
    const draft = LogStarts.draft(start, this.#positions.nextOffset);
    const proposed = this.propose(draft, this.#role.term);
    if (!proposed.ok) return proposed;
    return this.#logStarts.waitFor(proposed.index);
  }

  /** Starts the core, unless writes of a former one are still under way: then it starts when they have settled. */
  campaign(): void {
    if (this.#node !== null || this.#ended !== null || this.#writes.count > 0) return;
    const state = this.#context.journal.state(this.number);
    const { hardState, configuration } = state;
    const confState =
      configuration === null ? soleVoter(this.#context.nodeId) : decodeConfiguration(configuration);
    const storage = new ReplicaStorage({
      journal: this.#context.journal,
      replica: this.number,
      window: this.#window,
      hardState: { ...hardState, commit: this.#positions.commitIndex },
      confState,
    });
    const seed = Math.floor(this.#context.world.random() * seedRange);
    const ownData = (): Payload => noopPayload(this.#positions.nextOffset, this.clock());
    const id = this.#context.nodeId;
    this.#node = new RawNode({ id, seed, applied: this.#positions.commitIndex, ownData }, storage);
    this.#node.campaign();
    this.#context.changed(this);
  }

  /** Commits what the last run left uncommitted; nothing to do for most. Resolves also when the disk takes no write:
   *  then the records up to the recorded commit are readable. */
  async recoverTail(): Promise<void> {
    if (!this.#positions.hasTail) return;
    const settled = this.#waiters.untilTail();
    this.campaign();
    await settled;
    if (this.#positions.confirmedTerm === 0) await this.#locateHighWatermark();
  }

  /** One step: proposals, then one Ready. True when there is more to do. */
  turn(): boolean {
    if (this.#wakeWanted) {
      this.#wakeWanted = false;
      this.#machine.onTurn?.();
    }
    const node = this.#node;
    if (node === null || !node.hasReady()) return this.#wakeWanted;
    this.#handle(node);
    return this.#wakeWanted || (this.#node?.hasReady() ?? false);
  }

  /** Makes the machine's state durable at its applied index. Resolves to that index. */
  async saveSnapshot(): Promise<LogIndex> {
    const index = this.#feed.applied;
    const bytes = this.#feed.snapshot(this.logStart);
    const { journal, schedule } = this.#context;
    schedule.saving(this.number, bytes.length);
    if (index > journal.state(this.number).snapshotIndex) {
      const hardState = { ...this.#hardState, commit: this.#positions.commitIndex };
      await this.#writes.write({ replica: this.number, hardState, snapshot: { index, bytes } });
    }
    return index;
  }

  /** Loads the machine (if need be) and saves its state. */
  async loadAndSave(): Promise<void> {
    await this.#feed.load(() => this.#positions.commitIndex);
    if (this.#ended === null) await this.saveSnapshot();
  }

  /** The machine has seen everything and its state is newer than the saved one. */
  get unsaved(): boolean {
    const { snapshotIndex } = this.#context.journal.state(this.number);
    return this.#feed.loaded && this.#feed.applied > snapshotIndex;
  }

  /** Nothing works any more; who waits hears why. Idempotent. */
  end(fault: Fault): void {
    if (this.#ended !== null) return;
    this.#ended = fault;
    this.#feed.stop(fault);
    this.#lose(logIndex(this.#positions.commitIndex + 1), fault);
    this.#waiters.failed(fault);
  }

  /** Resolves when no write is under way. */
  settled(): Promise<void> {
    return this.#writes.settled();
  }

  /** One Ready. A sole voter is elected within campaign(): its term, its vote and its no-op are one write. */
  #handle(node: RawNode<Payload>): void {
    const { softState, messages } = node.ready();
    if (softState !== null) this.#onSoftState(node);
    for (const message of messages) {
      if (message.type === "MsgStorageApply") this.#apply(node, message);
      else this.#append(message);
    }
  }

  #append(message: Message<Payload>): void {
    assert(
      message.type === "MsgStorageAppend",
      () => `A sole voter sends nothing, got ${message.type} to ${message.to}`,
    );
    this.#adoptOwnEntries(message.entries);
    const hardState = hardStateIn(message);
    if (hardState !== null) this.#hardState = hardState;
    const { responses } = message;
    if (message.entries.length === 0) {
      this.#writes.noteCommit(
        { replica: this.number, ...present("hardState", hardState) },
        responses,
      );
      return;
    }
    const entries = message.entries.map((entry) => toLogEntry(entry)!);
    const write = {
      replica: this.number,
      entries,
      ...present("hardState", hardState),
      ...present("configuration", this.#firstConfiguration()),
    };
    this.#context.schedule.wrote(this.number, entries);
    this.#writes.enqueue(write, responses);
  }

  /** Entries that the core made itself (no-ops) were not seen by propose(). */
  #adoptOwnEntries(entries: readonly Entry<Payload>[]): void {
    for (const entry of entries) {
      if (entry.index > this.#positions.lastIndex) this.#track(entry, entry.data!);
    }
  }

  #track(entry: Entry<Payload>, data: Payload): void {
    this.#window.push(entry);
    this.#positions.proposed(entry.index, data);
  }

  /** The configuration is told with the replica's first entries. */
  #firstConfiguration(): Uint8Array | null {
    const known = this.#context.journal.state(this.number).configuration !== null;
    return known ? null : encodeConfiguration(soleVoter(this.#context.nodeId));
  }

  #onSoftState(node: RawNode<Payload>): void {
    const { role, lead, term: t } = node.core;
    this.#role = { leader: role === "leader", term: term(t), leaderId: lead };
    this.#machine.onRole(this.#role);
  }

  #apply(node: RawNode<Payload>, message: Message<Payload>): void {
    const entries: LogEntry[] = [];
    for (const entry of message.entries) {
      const known = toLogEntry(entry);
      if (known !== null) entries.push(known);
      this.#positions.committed(entry);
    }
    try {
      if (entries.length > 0) this.#feed.feed(entries);
    } catch (error) {
      this.#halt(error);
      return;
    }
    this.#window.dropBelow(this.#positions.commitIndex + 1);
    for (const response of message.responses) node.step(response);
    if (this.#feed.loaded) this.#logStarts.cut();
    this.#becomeReady();
  }

  #becomeReady(): void {
    const confirmed = this.#role.leader && this.#positions.confirmedTerm === this.#role.term;
    if (!confirmed || this.#ready) return;
    this.#waiters.confirmed();
    if (!this.#feed.loaded) {
      if (this.#waiters.any) void this.#load();
      return;
    }
    this.#ready = true;
    this.#machine.onReady(this.#role.term);
    this.#waiters.ready(this.#role.term);
  }

  async #load(): Promise<void> {
    try {
      await this.#feed.load(() => this.#positions.commitIndex);
    } catch (error) {
      if (this.#ended === null) this.#waiters.failed(error);
      return;
    }
    this.#logStarts.cut();
    this.#becomeReady();
  }

  #onDurable(write: WriteUnderWay): void {
    if (this.#node === null) {
      this.#restartIfWanted();
      return;
    }
    for (const response of write.responses) this.#node.step(response);
    this.#machine.onFlushed(write.last.index, write.last.term);
    this.#context.changed(this);
  }

  /** The core believes in entries that are not on the disk. What became durable before is applied, the rest is lost;
   *  the next core begins from the journal's state. */
  #onFailed(write: WriteUnderWay, reason: unknown): void {
    if (this.#node === null) {
      this.#restartIfWanted();
      return;
    }
    const fault = asFault(reason);
    while (this.#node.hasReady() && this.#ended === null) this.#applyOnly(this.#node);
    if (this.#ended !== null) return;
    this.#lose(write.first, fault);
    this.#waiters.failed(fault);
  }

  /** The records up to the recorded commit end where the first entry behind it begins. */
  async #locateHighWatermark(): Promise<void> {
    const from = { index: logIndex(this.#positions.commitIndex + 1) };
    const endIndex = logIndex(from.index + 1);
    const request = { replica: this.number, from, endIndex, maxBytes: 1, dataOnly: false };
    const page = await this.#context.journal.read(request);
    const at = page.entries[0]?.baseOffset ?? this.#positions.highWatermark;
    this.#positions.atLeast(at);
    page.release();
  }

  #applyOnly(node: RawNode<Payload>): void {
    for (const message of node.ready().messages) {
      if (message.type === "MsgStorageApply") this.#apply(node, message);
    }
  }

  /** Steps down, and tells that the entries from `index` on may or may not come to be. */
  #lose(index: LogIndex, fault: Fault): void {
    const hadCore = this.#node !== null;
    this.#node = null;
    this.#ready = false;
    this.#window.dropFrom(0);
    this.#feed.unload();
    const state = this.#context.journal.state(this.number);
    this.#hardState = state.hardState;
    this.#positions.fallBackTo(state);
    this.#role = { ...this.#role, leader: false };
    const refusal: Refusal = { ...refusalOf(fault), sideEffects: "unknown" };
    this.#logStarts.lost(refusal);
    if (hadCore) this.#machine.onRole(this.#role);
    this.#machine.onLost(index, refusal);
  }

  /** A campaign was put off until the writes of the former core settled. */
  #restartIfWanted(): void {
    if (this.#waiters.any) this.campaign();
  }

  #halt(error: unknown): void {
    if (!(error instanceof Fault)) throw error;
    this.end(error);
  }
}

/** {[name]: value}, or nothing when the value is null. */
function present<K extends string, V>(name: K, value: V | null): { [P in K]?: V } {
  return value === null ? {} : ({ [name]: value } as { [P in K]: V });
}

function notLeader(groupId: string, expected: Term, role: Role): Refusal {
  const found = role.leader ? `leader of term ${role.term}` : "no leader";
  const detail = `Cannot append to ${groupId}: leader of term ${expected} is wanted, this replica is ${found}`;
  return refuse("not_leader_or_follower", detail);
}

/** What was thrown, as a fault whose effects are not known. */
export function asFault(reason: unknown): Fault {
  if (reason instanceof Fault) return reason;
  const detail = "Cannot write: an unexpected error was met";
  return new Fault("storage_failed", detail, { cause: reason, sideEffects: "unknown" });
}
