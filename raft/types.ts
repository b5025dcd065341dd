// The nouns of the Raft core: what goes in, what comes out, what it asks of storage. No behaviour.
//
// Promise: every object here is a plain record that the core never mutates after handing it out. Indexes, terms and
// node ids are integers below 2^53; 0 is "none" for each of them. Left to others: what a payload P means, how messages
// travel, how entries reach the disk. The essay on how the parts work together is in index.ts.

/** A node id: a positive integer. 0 stands for "nobody". */
export type NodeId = number;

/** "normal" carries data (or nothing: a new leader's first entry); "confChange" changes the configuration. */
export type EntryType = "normal" | "confChange";

/** One log entry. Immutable: the same object is shared by the log, messages, storage and the state machine. */
export interface Entry<P> {
  readonly index: number;
  readonly term: number;
  readonly type: EntryType;
  /** The proposer's payload; the core never looks into it. Null for entries that the core made (see Config.ownData). */
  readonly data: P | null;
  /** The change of a "confChange" entry; null otherwise. */
  readonly change: ConfChange | null;
  /** Size of `data` in bytes, as the proposer counted it. Only limits use it. */
  readonly bytes: number;
}

/** What must survive a restart besides the log. Term and vote must be durable before any answer that rests on them. */
export interface HardState {
  readonly term: number;
  /** Candidate voted for in `term`, 0 for none. */
  readonly vote: NodeId;
  readonly commit: number;
}

export type Role = "follower" | "preCandidate" | "candidate" | "leader";

/** Volatile state worth telling the host about. */
export interface SoftState {
  readonly lead: NodeId;
  readonly role: Role;
}

/** A configuration as it is stored and sent. All lists ascend; outgoing is empty unless the configuration is joint. */
export interface ConfState {
  readonly voters: readonly NodeId[];
  readonly votersOutgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Voters of the outgoing half that become learners when the joint configuration is left. */
  readonly learnersNext: readonly NodeId[];
  /** The leader leaves the joint configuration by itself as soon as it is applied. */
  readonly autoLeave: boolean;
}

/** "update" changes nothing in Raft; it lets an entry that announces new facts about a node travel as a change. */
export type ConfChangeType = "addVoter" | "addLearner" | "remove" | "update";

export interface ConfChangeStep {
  readonly type: ConfChangeType;
  readonly id: NodeId;
}

/** "auto": one step applies at once, more go through a joint configuration that is left automatically. "implicit":
 *  joint, left automatically. "explicit": joint, left when somebody proposes an empty change. */
export type Transition = "auto" | "implicit" | "explicit";

/** A change of configuration (thesis chapter 4), active when it is applied. Empty "auto" steps leave a joint one. */
export interface ConfChange {
  readonly transition: Transition;
  readonly steps: readonly ConfChangeStep[];
}

/** State up to and including `index`, for a follower whose entries the leader no longer has. */
export interface Snapshot {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
  /** The host's own; the core never looks into it. */
  readonly data: unknown;
}

/** Which fields of Message a type uses, besides type, to, from and term:
 *
 *      MsgHup, MsgBeat, MsgCheckQuorum     local ticks, term 0
 *      MsgProp                             entries (index and term not yet given)
 *      MsgApp                              index, logTerm: the entry before `entries`; commit
 *      MsgAppResp                          index: last matching; or reject with index, rejectHint, logTerm (of the hint)
 *      MsgVote, MsgPreVote                 index, logTerm: the candidate's last entry; priority; context 1: a transfer;
 *                                          known, knownTerm
 *      MsgVoteResp, MsgPreVoteResp         reject; then known, knownTerm
 *      MsgSnap                             snapshot
 *      MsgHeartbeat, MsgHeartbeatResp      commit; context: read round, 0 for none
 *      MsgUnreachable, MsgSnapStatus       local reports about peer `from`; reject: the snapshot failed
 *      MsgTransferLeader                   from: who is to lead
 *      MsgTimeoutNow, MsgForgetLeader      -
 *      MsgReadIndex, MsgReadIndexResp      context: the request; index: where it may be read
 *      MsgStorageAppend                    entries, snapshot; term, vote, commit when the hard state changed; responses
 *      MsgStorageAppendResp                index, logTerm: last entry then stable; snapshot
 *      MsgStorageApply, MsgStorageApplyResp  entries; responses
 */
export type MessageType =
  | "MsgHup"
  | "MsgBeat"
  | "MsgProp"
  | "MsgApp"
  | "MsgAppResp"
  | "MsgVote"
  | "MsgVoteResp"
  | "MsgSnap"
  | "MsgHeartbeat"
  | "MsgHeartbeatResp"
  | "MsgUnreachable"
  | "MsgSnapStatus"
  | "MsgCheckQuorum"
  | "MsgTransferLeader"
  | "MsgTimeoutNow"
  | "MsgReadIndex"
  | "MsgReadIndexResp"
  | "MsgPreVote"
  | "MsgPreVoteResp"
  | "MsgStorageAppend"
  | "MsgStorageAppendResp"
  | "MsgStorageApply"
  | "MsgStorageApplyResp"
  | "MsgForgetLeader";

/** One record for all types, so that every message has the same hidden class: step() stays monomorphic. */
export interface Message<P> {
  readonly type: MessageType;
  readonly to: NodeId;
  readonly from: NodeId;
  /** Sender's term; 0 for local messages and for proposals and reads that are forwarded. */
  readonly term: number;
  readonly logTerm: number;
  readonly index: number;
  readonly entries: readonly Entry<P>[];
  readonly commit: number;
  readonly vote: NodeId;
  readonly reject: boolean;
  readonly rejectHint: number;
  readonly context: number;
  readonly priority: number;
  /** Index and term of the last entry that the sender knows to be committed; whoever holds that entry knows it too. */
  readonly known: number;
  readonly knownTerm: number;
  readonly snapshot: Snapshot | null;
  /** Storage messages: step (or send) these once the work is done: durable for an append, executed for an apply. */
  readonly responses: readonly Message<P>[];
}

/** A linearizable read may be served once `index` is applied. */
export interface ReadState {
  readonly index: number;
  /** What readIndex() returned. */
  readonly request: number;
}

/** Work for the host. In asynchronous mode `messages` says it all but softState and readStates. */
export interface Ready<P> {
  /** Null when unchanged since the last Ready. */
  readonly softState: SoftState | null;
  /** Null when unchanged since the last Ready. */
  readonly hardState: HardState | null;
  readonly readStates: readonly ReadState[];
  /** To be appended to stable storage, replacing everything at and above entries[0].index. */
  readonly entries: readonly Entry<P>[];
  readonly snapshot: Snapshot | null;
  readonly committedEntries: readonly Entry<P>[];
  readonly messages: readonly Message<P>[];
  /** Entries, term or vote changed: the write must be durable, not only ordered. (A snapshot always must.) */
  readonly mustSync: boolean;
}

/** What stable storage answers. Synchronous: everything but payloads is in memory. */
export interface Storage<P> {
  /** Read once, by the constructor. A null hard state is a node that has never written. */
  initialState(): { readonly hardState: HardState | null; readonly confState: ConfState };
  /** Index of the first entry not yet compacted away; last + 1 when the log is empty. */
  firstIndex(): number;
  /** Index of the last stable entry; firstIndex - 1 when the log is empty. */
  lastIndex(): number;
  /** Term of an index in [firstIndex - 1, lastIndex], always; null outside. */
  term(index: number): number | null;
  /** Entries [lo, end) as a fresh array, cut after the first that exceeds maxBytes (entryBytes each) but never empty.
   *  "compacted" when lo < firstIndex. "unavailable" when payloads must be read first: the storage begins to fetch and
   *  the host calls entriesFetched(to) later; `to` is the peer they are for, 0 for this node's own state machine.
   *  (Four numbers instead of an object: asked once for every append that leaves.) */
  entries(
    lo: number,
    end: number,
    maxBytes: number,
    to: NodeId,
  ): readonly Entry<P>[] | "compacted" | "unavailable";
  /** Newest snapshot, or "unavailable" while one is being made: asked again at the next occasion. */
  snapshot(to: NodeId): Snapshot | "unavailable";
}

/** Why a proposal was not appended here. */
export type ProposalRefusal =
  | "noLeader" // no leader known: retry later
  | "notLeader" // this node follows; Config.disableProposalForwarding
  | "forwarded" // sent to the leader: the outcome is not known here
  | "removed" // this leader is no longer a member
  | "transferring" // leadership is being handed over
  | "uncommittedFull" // Config.maxUncommittedBytes
  | "changeRefused"; // another change is not applied yet, or joint when it must not be; an empty entry took its place

/** Where the entry lies in the log. It is committed only once an entry of that index and that term is. */
export type Proposed =
  | { readonly ok: true; readonly index: number; readonly term: number }
  | { readonly ok: false; readonly reason: ProposalRefusal };

/** "dropped": a proposal that found no leader or no room. "local": a local type that came from a peer. "unknownPeer":
 *  a response of a node outside the configuration. Each is harmless: the message was ignored. */
export type StepResult = "ok" | "dropped" | "local" | "unknownPeer";

export interface Config<P> {
  /** This node's id, > 0. */
  readonly id: NodeId;
  /** Seeds election timeouts and read request numbers; any integer, different at each start of the node. */
  readonly seed: number;
  /** Last index that the state machine has applied; nothing at or below is handed out again. Default 0. */
  readonly applied?: number;
  /** Ticks without a leader before an election, randomised to [n, 2n). > heartbeatTicks. Default 10. */
  readonly electionTicks?: number;
  /** Ticks between heartbeats, >= 1. Default 1. */
  readonly heartbeatTicks?: number;
  /** Bytes of entries in one MsgApp; one entry always fits. Default 1 MiB. */
  readonly maxSizePerMessage?: number;
  /** Bytes of entries being applied at a time. Default maxSizePerMessage. */
  readonly maxCommittedBytesPerReady?: number;
  /** Payload bytes that a leader accepts beyond what is applied; one proposal always fits. Default unlimited. */
  readonly maxUncommittedBytes?: number;
  /** MsgApp under way to one follower, >= 1. Default 256. */
  readonly maxInflightMessages?: number;
  /** Payload bytes under way to one follower, >= maxSizePerMessage. Default unlimited. */
  readonly maxInflightBytes?: number;
  /** A leader that hears no quorum for an election timeout steps down, and followers of a live leader ignore
   *  candidates. Default true. */
  readonly checkQuorum?: boolean;
  /** Ask before raising the term (thesis 9.6). Default true. */
  readonly preVote?: boolean;
  /** Storage work travels as MsgStorageAppend and MsgStorageApply. False: Ready and advance(). Default true. */
  readonly asyncStorageWrites?: boolean;
  /** A leader that is removed or demoted steps down when it applies that. Default true. */
  readonly stepDownOnRemoval?: boolean;
  /** Followers refuse proposals. Default true. */
  readonly disableProposalForwarding?: boolean;
  /** Propose changes unchecked; one that cannot be applied then throws on every node. Default false. */
  readonly disableConfChangeValidation?: boolean;
  /** "leaseBased" trusts check-quorum, bounded clock drift, and that no follower restarts within a lease, instead of
   *  asking a quorum. Default "safe". */
  readonly readOnly?: "safe" | "leaseBased";
  /** A voter refuses a candidate of lower priority whose log is no longer than its own, twice in a row at most, so
   *  that preference delays an election but never prevents one. Default 0. */
  readonly priority?: number;
  /** The only member of a group counts its own vote at once, so that term, vote and first entry go in one write. Safe
   *  because nobody else hears of the term before that write. Default true. */
  readonly electAloneAtOnce?: boolean;
  /** Makes the payload of an entry that the core appends itself: a new leader's first one, the one that leaves a joint
   *  configuration, the empty one in place of a refused change. It counts as 0 bytes. Default: null. */
  readonly ownData?: (entry: OwnEntry) => P | null;
}

/** Position and type of an entry that the core is about to append by itself. */
export interface OwnEntry {
  readonly index: number;
  readonly term: number;
  readonly type: EntryType;
}
