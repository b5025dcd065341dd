// The Raft core: how to drive it, without reading it.
//
// A RawNode is one participant of one group. It is a state machine: calls go in (tick, step, propose, ...), and work
// comes out of ready(). It never waits, reads a clock, draws a random number that you did not seed, or touches a disk or
// a socket. It follows etcd/raft's semantics, closely enough to replay its scripts (test/raft).
//
// THE LOOP. After every call that may have changed something, and as long as hasReady():
//
//      const ready = node.ready();
//      if (ready.softState) { ... }            leader or role changed: tell whoever waits
//      for (const read of ready.readStates)    a read asked by readIndex() may be served once read.index is applied
//      for (const m of ready.messages) {
//        if (m.to === appendThread) queue a write
//        else if (m.to === applyThread) queue an application
//        else send m to node m.to              at once: none of these waits for your disk
//      }
//
// WRITING (MsgStorageAppend). In this order and in one transaction: m.snapshot (the log begins anew behind it);
// m.entries (contiguous; everything at and above entries[0].index is replaced); hardStateOf(m) when not null. Once that,
// and every earlier append, is durable, deliver m.responses in order: step() those whose `to` is this node, send the
// others. Acknowledgements and votes exist only in these responses: send one early and a crash will make a liar of you.
// A message without entries, snapshot and hard state still has its place in the queue: its responses speak of earlier
// writes. If it has no responses, durability is not needed (a commit index alone). A write that fails must never be
// answered: end the node, or retry that very write.
//
// APPLYING (MsgStorageApply). Run m.entries on the state machine, in order, skipping those that it holds already (a
// snapshot was installed meanwhile). For an entry of type "confChange" call applyConfChange(entry) and remember the
// ConfState; null means that a snapshot is about to replace the state: leave the rest of m.entries. Then step()
// m.responses. Entries are handed out once, only when durable here, and a limited number of bytes at a time: the
// response asks for more. `type` "normal" with null data is an entry that the core made (see Config.ownData): the first
// of a new leader, or the place of a refused change.
//
// AT START. Give the constructor a Storage that answers from the recovered log, and `applied` = what the state machine
// holds. Nothing that was recovered may be acknowledged before it is known to be durable: sync once before the first
// step(). A new group: storage whose initialState() names its voters, each node the same; a node that joins later has an
// empty configuration and waits to be told one.
//
// PROPOSING. propose(data, bytes) appends at the leader and returns (index, term). The entry is committed when an entry
// of that index AND that term is applied; when another term is applied there, it is lost; when the leader is lost, it
// may still go either way. `bytes` is your own measure. A sole voter commits when its own write is durable, not before.
//
// MEMBERSHIP. proposeConfChange() takes one change at a time. Several steps, or replacing a voter, go through a joint
// configuration that is left automatically. New nodes come in as learners, and are made voters when they have caught up.
//
// PAYLOADS ELSEWHERE. Storage.entries() may answer "unavailable" and begin to read; when it has them, call
// entriesFetched(to), also when reading failed: it is then asked again. Until then nothing but heartbeats goes to that
// peer, and nothing is applied. Terms and indexes must always be at hand.
//
// SNAPSHOTS. When a follower needs entries that are compacted, the core asks Storage.snapshot(to) and sends a MsgSnap.
// If its data travels by another way, send that when you see the message. Call reportSnapshot(to, ...) in either case:
// until then, or until the follower acknowledges something, nothing more goes to it. A snapshot that a MsgStorageAppend
// carries must be in the state machine too before its responses are delivered. Compact only what is applied.
//
// THE NETWORK may lose, repeat, delay and reorder messages. Call reportUnreachable(peer) when a connection breaks, so
// that the leader finds out what was lost. Deliver MsgProp only from nodes of your own cluster: it needs no membership.
//
// TIME. Ticks of equal length, say 100 ms, heartbeatTicks well below electionTicks. After a stall tick once, not as often
// as was missed, and step() what has arrived first. Idle groups need not be ticked where something else watches the
// nodes: reportActive(peer) then stands for a heartbeat's answer, forgetLeader() for its absence.
//
// WHEN IT THROWS, it is a RaftBug: an invariant is broken, here or in storage (a commit index beyond the end of the log,
// say; or entries that a decoder mixed up). Do not step that node again. What correct peers send, in whatever order and
// however often it arrives, and what you may legitimately ask, never throws.

export { RaftBug } from "./bug.ts";
export {
  describeConfiguration,
  describeEntry,
  describeMessage,
  describeReady,
} from "./describe.ts";
export { entryBytes } from "./entry.ts";
export { checkState, checkTransition, observe, type Observation } from "./invariants.ts";
export { MemoryStorage, noMembers } from "./memory-storage.ts";
export { appendThread, applyThread, isStorageThread, newMessage } from "./message.ts";
export { RawNode } from "./raw-node.ts";
export { hardStateOf } from "./ready.ts";
export type { ProgressStatus, Status } from "./status.ts";
export type { Configuration } from "./tracker.ts";
export type * from "./types.ts";
