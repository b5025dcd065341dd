// What the rest of the node sees of consensus: a replica of one Raft group that takes proposals and applies what
// commits. Implemented by the host (host.ts), which drives raft/ and the journal for all replicas of the node.
//
// Promise: apply() sees every committed entry once, in order, before any caller's propose() outcome can be observed
// through it; propose() never blocks. Left to others: what entries mean (partition, cluster).

import type { Refusal } from "../errors.ts";
import type { EntryKind, LogEntry, LogStart } from "../journal/journal.ts";
import type { LogIndex, Offset, ReplicaNumber, Term } from "../quantities.ts";
import type { Slice } from "../bytes/slab.ts";
import type { InPacket, Lane } from "../transport/transport.ts";
import type { ReplicaIdentity } from "./identity.ts";

/** An entry before the core gave it index and term. The host stamps `time`. */
export interface EntryDraft {
  readonly kind: EntryKind;
  readonly baseOffset: Offset;
  readonly offsetCount: number;
  readonly maxTimestamp: number;
  /** The entry's time is at least this, ms: the append times that its batches carry already. */
  readonly timeMin?: number;
  readonly meta: Uint8Array | null;
  /** Held by the draft until the host took it (propose retains what it accepts). */
  readonly batch: Slice | null;
}

export interface Proposed {
  readonly ok: true;
  readonly index: LogIndex;
  readonly term: Term;
  readonly time: number;
}

export interface Role {
  readonly leader: boolean;
  readonly term: Term;
  /** Node id of the leader, 0 when unknown. */
  readonly leaderId: number;
}

/** Who takes part in a group: its configuration as it is applied here. */
export interface Members {
  /** While joint: the voters of both halves. */
  readonly voters: readonly ReplicaIdentity[];
  readonly learners: readonly ReplicaIdentity[];
  /** A change is under way: decisions need a majority of the former and of the coming voters. */
  readonly joint: boolean;
}

/** What a leader knows of one member, itself included. */
export interface MemberProgress {
  readonly identity: ReplicaIdentity;
  readonly voter: boolean;
  /** Last entry that it is known to have durably. */
  readonly matchIndex: LogIndex;
  /** How long ago it was last seen to have everything that this leader had then, ms; 0 while it has. */
  readonly behindMs: number;
  /** Heard of within the last election timeout. */
  readonly active: boolean;
  /** It has lost what it had acknowledged: it should be replaced by a fresh incarnation. */
  readonly damaged: boolean;
}

/** Members that a change of configuration leads to. */
export interface MembersTarget {
  readonly voters: readonly ReplicaIdentity[];
  readonly learners: readonly ReplicaIdentity[];
}

/** How a group is born on this node. */
export interface Birth {
  /** Of the replica on this node; a number that the group never saw before. */
  readonly incarnation: number;
  /** As the command that created the group names them, the same on each node. Empty: a replica that is added later; it
   *  waits to be told a configuration. */
  readonly voters: readonly ReplicaIdentity[];
  readonly learners?: readonly ReplicaIdentity[];
}

/** The state machine on top of one replica. All calls come from the host, one at a time, never re-entrantly. */
export interface StateMachine {
  /** Replaces the whole state by a snapshot's: once before any apply, and whenever a leader's snapshot was installed. */
  restore(index: LogIndex, snapshot: Uint8Array): void;
  /** Applies committed entries of every kind, in order. The slices are borrowed for the call. */
  apply(entries: readonly LogEntry[]): void;
  /** The state at the last applied entry, for the journal; owned by the caller. */
  snapshot(): Uint8Array;
  /** Role or term changed. As leader, proposals of conditions wait until the replica's own no-op is applied
   *  (`ready()`), so that the fold holds everything committed before. */
  onRole(role: Role): void;
  /** The leader's no-op of `term` is applied: conditional proposals may be checked against the fold now. */
  onReady(term: Term): void;
  /** Entries up to index are durable here (acks=1), and the replica has room for the next proposal: called after
   *  each flush of this replica. */
  onFlushed(index: LogIndex, term: Term): void;
  /** The tail at and above index was lost (deposed leader, failed commit): answers of those proposals are unknown. */
  onLost(index: LogIndex, refusal: Refusal): void;
  /** Called once in the host's next turn after wake(), before the turn's writes are collected: what is proposed now
   *  goes into the same flush as the other replicas' entries. */
  onTurn?(): void;
}

export interface Replica {
  readonly number: ReplicaNumber;
  readonly groupId: string;
  readonly identity: ReplicaIdentity;
  readonly members: Members;
  /** What this replica once acknowledged is not whole, and others have it: it never votes nor leads, and should be
   *  replaced by a fresh incarnation. */
  readonly damaged: boolean;
  readonly role: Role;
  /** True when this replica leads, its own no-op is applied and the state machine has seen everything before it. */
  readonly ready: boolean;
  readonly commitIndex: LogIndex;
  /** commitIndex as an offset: every record below it is committed, durable here and readable. Never goes back. */
  readonly highWatermark: Offset;
  /** Term of the newest committed entry, 0 before the first: Kafka's leader epoch, never one that is unconfirmed. */
  readonly confirmedTerm: Term;
  readonly appliedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  /** Offset that the next proposed record gets, in-flight proposals included. */
  readonly nextOffset: Offset;
  /** The newest applied log start; the journal's own may lag behind it. */
  readonly logStart: LogStart;

  /** The time that an entry proposed now would carry: max(own clock, previous entry's time), ms. */
  clock(): number;
  /** Asks for one onTurn() in the host's next turn. Idempotent until then. */
  wake(): void;
  /** Refuses what would not find room: overloaded, storage_full, storage_failed, shutting_down; else counts the bytes
   *  until leave(). For proposers that queue before they propose. */
  admit(bytes: number): Refusal | null;
  leave(bytes: number): void;
  /** Hands one entry to the core at the expected term. Synchronous; refuses with not_leader_or_follower when the term
   *  has passed, overloaded or storage_full as the journal says. `draft.baseOffset` must equal nextOffset. */
  propose(draft: EntryDraft, expectedTerm: Term): Proposed | Refusal;
  /** Resolves when this replica leads and is ready; a sole voter campaigns at once on first use, while the state
   *  machine is restored and replayed. With peers it wakes the replica and rejects with not_leader_or_follower (members
   *  {leader: node id}) as soon as another leader is known. Rejects with a Fault: storage_full, storage_failed,
   *  storage_damaged, shutting_down, unknown_topic_or_partition (removed). */
  lead(): Promise<Term>;
  /** Node id of the leader once one is known; the own id when this replica leads and is ready. Wakes the replica, so
   *  that an election happens. Rejects with request_timed_out, and like lead(). */
  leader(timeoutMs: number): Promise<number>;
  /** Once it resolves with ok, everything that was committed anywhere before the call is applied here (ReadIndex).
   *  Refuses: request_timed_out, and like lead(). */
  readBarrier(timeoutMs: number): Promise<{ readonly ok: true } | Refusal>;
  /** Leader: what it knows of the members, by ascending node id; elsewhere none. */
  progress(): readonly MemberProgress[];
  /** Leader only: changes the configuration to the target, through a joint one where that is needed; settles when the
   *  target is applied here. One change at a time: refuses policy_violation while another is under way, invalid_request
   *  for a target that cannot be, not_leader_or_follower. A proposal that a new leader may still commit:
   *  sideEffects unknown. */
  changeMembers(target: MembersTarget): Promise<{ readonly ok: true } | Refusal>;
  /** Leader only: hands over to the voter on that node; settles once it leads, or refuses: invalid_request (no voter
   *  there), request_timed_out, not_leader_or_follower. */
  transferLeadership(toNode: number): Promise<{ readonly ok: true } | Refusal>;
  /** Proposes a log-start entry; the state machine's snapshot is made durable before the log is cut. */
  advanceLogStart(start: LogStart): Promise<Refusal | { readonly ok: true }>;
}

/** Creates, recovers and ends replicas on this node. */
export interface ReplicaHost {
  /** A new replica. Without `birth`: of a group whose only voter is this node, in its first incarnation. */
  create(groupId: string, machine: StateMachine, birth?: Birth): Replica;
  /** Recovers a replica that the journal holds, O(1): its positions are known, its records are readable. The state
   *  machine is restored and replayed by the first lead(), so that a node of thousands of idle partitions starts at
   *  once. A replica with an uncommitted tail campaigns here; open() resolves when that tail is committed.
   *  Rejects with storage_damaged when the recorded commit lies beyond the last entry (acknowledged data is gone). */
  open(groupId: string, machine: StateMachine): Promise<Replica>;
  /** Group ids that the journal holds. */
  groupIds(): readonly string[];
  /** The open replica of a group. */
  replica(groupId: string): Replica | null;
  /** Open replicas that lead. */
  led(): Iterable<Replica>;
  /** Why this node hands its leaderships over and takes none (a flush that hangs, appends that reach no majority), for a
   *  person; null: it may lead. */
  readonly unfit: string | null;
  /** Ends the replica; its rows die. Waiters hear unknown_topic_or_partition through onLost. */
  remove(groupId: string): Promise<void>;
  /** Gauges and counters by name. Cost: O(1). */
  metrics(): Readonly<Record<string, number>>;
  /** What the transport tells: packets of the lanes control, append and bulk, and the state of the links. */
  onPacket(packet: InPacket): void;
  onUp(nodeId: number): void;
  onBroken(nodeId: number, lane: Lane): void;
  onDown(nodeId: number): void;
  close(): Promise<void>;
}
