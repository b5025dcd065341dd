// What the rest of the node sees of consensus: a replica of one Raft group that takes proposals and applies what
// commits. Implemented by the host (host.ts), which drives raft/ and the journal for all replicas of the node.
//
// Promise: apply() sees every committed entry once, in order, before any caller's propose() outcome can be observed
// through it; propose() never blocks. Left to others: what entries mean (partition, cluster).

import type { Refusal } from "../errors.ts";
import type { EntryKind, LogEntry, LogStart } from "../journal/journal.ts";
import type { LogIndex, Offset, ReplicaNumber, Term } from "../quantities.ts";
import type { Slice } from "../bytes/slab.ts";

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

/** The state machine on top of one replica. All calls come from the host, one at a time, never re-entrantly. */
export interface StateMachine {
  /** Restores the fold from a snapshot's bytes; called at most once, before any apply. */
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
   *  machine is restored and replayed. Rejects with a Fault: storage_full, storage_failed, storage_damaged,
   *  shutting_down, unknown_topic_or_partition (removed). */
  lead(): Promise<Term>;
  /** Proposes a log-start entry; the state machine's snapshot is made durable before the log is cut. */
  advanceLogStart(start: LogStart): Promise<Refusal | { readonly ok: true }>;
}

/** Creates, recovers and ends replicas on this node. */
export interface ReplicaHost {
  /** A new group whose only voter is this node. */
  create(groupId: string, machine: StateMachine): Replica;
  /** Recovers a replica that the journal holds, O(1): its positions are known, its records are readable. The state
   *  machine is restored and replayed by the first lead(), so that a node of thousands of idle partitions starts at
   *  once. A replica with an uncommitted tail campaigns here; open() resolves when that tail is committed.
   *  Rejects with storage_damaged when the recorded commit lies beyond the last entry (acknowledged data is gone). */
  open(groupId: string, machine: StateMachine): Promise<Replica>;
  /** Group ids that the journal holds. */
  groupIds(): readonly string[];
  /** Ends the replica; its rows die. Waiters hear unknown_topic_or_partition through onLost. */
  remove(groupId: string): Promise<void>;
  /** Gauges and counters by name. Cost: O(1). */
  metrics(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}
