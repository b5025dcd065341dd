// A replica host in a few lines: one voter, entries commit in a microtask unless a test holds them. For the edges that
// the real host reaches only by chance; everything else is tested over the real one.

import type {
  EntryDraft,
  Proposed,
  Replica,
  ReplicaHost,
  StateMachine,
} from "../../src/consensus/replica.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import type { LogEntry } from "../../src/journal/journal.ts";
import { logIndex, offset, replicaNumber, term } from "../../src/quantities.ts";

class ScriptedReplica implements Replica {
  readonly number = replicaNumber(0);
  readonly identity = { nodeId: 1, incarnation: 1 };
  readonly members = { voters: [this.identity], learners: [], joint: false };
  readonly damaged = false;
  readonly role = { leader: true, term: term(1), leaderId: 1 };
  /** A test makes it false; lead() makes it true again. */
  ready = true;
  readonly nextOffset = offset(0);
  readonly logStart = { index: logIndex(1), prevTerm: term(0), offset: offset(0) };
  readonly groupId: string;
  readonly log: LogEntry[];
  readonly host: ScriptedHost;
  machine: StateMachine;
  applied = 0;
  cuts = 0;

  constructor(host: ScriptedHost, groupId: string, machine: StateMachine, log: LogEntry[]) {
    this.host = host;
    this.groupId = groupId;
    this.machine = machine;
    this.log = log;
    this.commit();
  }
  get commitIndex() {
    return logIndex(this.applied);
  }
  get appliedIndex() {
    return logIndex(this.applied);
  }
  get highWatermark() {
    return offset(0);
  }
  get confirmedTerm() {
    return term(this.applied === 0 ? 0 : 1);
  }
  clock() {
    return this.host.now();
  }
  wake(): void {
    queueMicrotask(() => this.machine.onTurn?.());
  }
  admit(): Refusal | null {
    return this.host.refusal;
  }
  leave(): void {}
  get lastIndex() {
    return logIndex(this.log.length);
  }
  propose(draft: EntryDraft): Proposed | Refusal {
    if (this.host.refusal !== null) return this.host.refusal;
    const index = logIndex(this.log.length + 1);
    const time = this.host.now();
    this.log.push({ ...draft, index, term: term(1), time });
    queueMicrotask(() => {
      if (!this.host.held) this.commit();
    });
    return { ok: true, index, term: term(1), time };
  }
  commit(): void {
    const entries = this.log.slice(this.applied);
    this.applied = this.log.length;
    if (entries.length > 0) this.machine.apply(entries);
  }
  lose(refusal: Refusal): void {
    const at = logIndex(this.applied + 1);
    this.log.length = this.applied;
    this.machine.onLost(at, refusal);
  }
  lead() {
    this.ready = true;
    return Promise.resolve(term(1));
  }
  leader() {
    return Promise.resolve(1);
  }
  readBarrier() {
    return Promise.resolve({ ok: true } as const);
  }
  progress() {
    return [];
  }
  changeMembers() {
    return Promise.resolve(refuse("policy_violation", "This group has one member"));
  }
  transferLeadership() {
    return Promise.resolve(refuse("invalid_request", "This group has one member"));
  }
  advanceLogStart() {
    this.cuts += 1;
    return Promise.resolve({ ok: true } as const);
  }
}

export class ScriptedHost implements ReplicaHost {
  readonly logs: Map<string, LogEntry[]>;
  readonly replicas = new Map<string, ScriptedReplica>();
  /** Entries stay uncommitted while true. */
  held = false;
  /** What propose() answers, or null. */
  refusal: Refusal | null = null;
  now = (): number => 1_000;
  unfit: string | null = null;

  /** `logs` of an earlier host: a restart. */
  constructor(logs = new Map<string, LogEntry[]>()) {
    this.logs = logs;
  }
  create(groupId: string, machine: StateMachine): Replica {
    this.logs.set(groupId, []);
    return this.#replica(groupId, machine);
  }
  open(groupId: string, machine: StateMachine): Promise<Replica> {
    return Promise.resolve(this.#replica(groupId, machine));
  }
  groupIds(): readonly string[] {
    return [...this.logs.keys()];
  }
  replica(groupId: string): Replica | null {
    return this.replicas.get(groupId) ?? null;
  }
  led(): Iterable<Replica> {
    return this.replicas.values();
  }
  onPacket(): void {}
  onUp(): void {}
  onBroken(): void {}
  onDown(): void {}
  remove(groupId: string): Promise<void> {
    this.logs.delete(groupId);
    return Promise.resolve();
  }
  metrics(): Readonly<Record<string, number>> {
    return {};
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  release(): void {
    this.held = false;
    for (const replica of this.replicas.values()) replica.commit();
  }
  #replica(groupId: string, machine: StateMachine): Replica {
    const replica = new ScriptedReplica(this, groupId, machine, this.logs.get(groupId)!);
    this.replicas.set(groupId, replica);
    return replica;
  }
}
