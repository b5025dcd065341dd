// Making messages and sorting their types.
//
// Promise: newMessage() is the only place where a Message is born, so all have one hidden class. Drafts are mutable
// until they are handed to send(); nobody writes to one after that. Left to others: who sends what (election,
// replication, reads) and which wait for the disk (core.ts).

import type { Message, MessageType, NodeId } from "./types.ts";

/** Target of MsgStorageAppend: the part of the host that makes writes durable, in order. */
export const appendThread: NodeId = Number.MAX_SAFE_INTEGER;
/** Target of MsgStorageApply: the part of the host that runs the state machine, in order. */
export const applyThread: NodeId = Number.MAX_SAFE_INTEGER - 1;

/** A message under construction. */
export type Draft<P> = { -readonly [K in keyof Message<P>]: Message<P>[K] };

export const noEntries: readonly never[] = Object.freeze([]);
const noResponses: readonly never[] = Object.freeze([]);

/** An empty message: for the core, and for a decoder, which fills in what it read. Every field is there, so that all
 *  messages share one hidden class. */
export function newMessage<P>(type: MessageType, to: NodeId, from: NodeId): Draft<P> {
  return {
    type,
    to,
    from,
    term: 0,
    logTerm: 0,
    index: 0,
    entries: noEntries,
    commit: 0,
    vote: 0,
    reject: false,
    rejectHint: 0,
    context: 0,
    priority: 0,
    known: 0,
    knownTerm: 0,
    snapshot: null,
    responses: noResponses,
  };
}

/** A copy that differs in its receiver: proposals and reads are passed on to the leader. */
export function readdressed<P>(message: Message<P>, to: NodeId, from: NodeId): Draft<P> {
  return { ...message, to, from: message.from === 0 ? from : message.from };
}

interface TypeFacts {
  /** Made on this node for this node: never accepted from a peer. */
  readonly local: boolean;
  /** An answer: of no use from a node that is not a member. */
  readonly response: boolean;
  /** Rests on state that must be durable first (term, vote, entries). */
  readonly afterAppend: boolean;
}

const peer: TypeFacts = { local: false, response: false, afterAppend: false };
const answer: TypeFacts = { local: false, response: true, afterAppend: false };
const promise: TypeFacts = { local: false, response: true, afterAppend: true };
const own: TypeFacts = { local: true, response: false, afterAppend: false };
const ownAnswer: TypeFacts = { local: true, response: true, afterAppend: false };

export const messageTypes: Readonly<Record<MessageType, TypeFacts>> = {
  MsgHup: own,
  MsgBeat: own,
  MsgProp: peer,
  MsgApp: peer,
  MsgAppResp: promise,
  MsgVote: peer,
  MsgVoteResp: promise,
  MsgSnap: peer,
  MsgHeartbeat: peer,
  MsgHeartbeatResp: answer,
  MsgUnreachable: ownAnswer,
  MsgSnapStatus: own,
  MsgCheckQuorum: own,
  MsgTransferLeader: peer,
  MsgTimeoutNow: peer,
  MsgReadIndex: peer,
  MsgReadIndexResp: answer,
  MsgPreVote: peer,
  MsgPreVoteResp: promise,
  MsgStorageAppend: own,
  MsgStorageAppendResp: ownAnswer,
  MsgStorageApply: own,
  MsgStorageApplyResp: ownAnswer,
  MsgForgetLeader: peer,
};

/** True for the two local targets, whose messages must not be lost or reordered. */
export function isStorageThread(id: NodeId): boolean {
  return id === appendThread || id === applyThread;
}
