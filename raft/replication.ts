// Moving the log from the leader to everybody, and finding out what is committed (paper 5.3, 5.4.2).
//
// Promise: a leader acknowledges its own entries through the same durable path as a follower; it commits by counting
// only entries of its own term; a follower never replaces a committed entry and never acknowledges what is not durable
// (core.ts keeps the answer back). A refused append moves the probe back by whole terms, not by entries. Left to
// others: what may be proposed (step.ts, membership.ts), who leads (election.ts).

import { readdressed } from "./message.ts";
import { releasePostponedReads, confirmReads } from "./reads.ts";
import { broadcastAppend, sendAppend, sendNewEntries } from "./sending.ts";
import type { Core } from "./core.ts";
import type { Progress } from "./progress.ts";
import type { Entry, EntryType, Message, NodeId } from "./types.ts";

/** An entry before it has a place in the log. */
export interface EntryDraft<P> {
  readonly type: EntryType;
  readonly data: P | null;
  readonly change: Entry<P>["change"];
  readonly bytes: number;
}

/** The leader's own append. False when the uncommitted tail is too large already; one that carries no bytes always
 *  fits, so that a leader can begin its term and leave a joint configuration. */
export function appendAsLeader<P>(core: Core<P>, drafts: readonly EntryDraft<P>[]): boolean {
  let bytes = 0;
  for (const draft of drafts) bytes += draft.bytes;
  const total = core.uncommittedBytes + bytes;
  if (bytes > 0 && core.uncommittedBytes > 0 && total > core.settings.maxUncommittedBytes) {
    return false;
  }
  core.uncommittedBytes = total;
  let index = core.log.lastIndex();
  const entries: Entry<P>[] = [];
  for (const { type, data, change, bytes } of drafts) {
    index++;
    entries.push({ index, term: core.term, type, data, change, bytes });
  }
  core.log.append(entries);
  // To itself, after the write: the leader's vote for its own entries counts once they are durable.
  const message = core.draft("MsgAppResp", core.id);
  message.index = index;
  core.send(message);
  return true;
}

/** An entry without bytes that the core makes itself; the host may give it a payload. */
export function ownEntry<P>(core: Core<P>, type: EntryType, ahead: number): EntryDraft<P> {
  const index = core.log.lastIndex() + 1 + ahead;
  const data = core.settings.ownData({ index, term: core.term, type });
  return { type, data, change: null, bytes: 0 };
}

/** Entries were applied: room for further proposals. */
export function releaseUncommitted<P>(core: Core<P>, bytes: number): void {
  core.uncommittedBytes = Math.max(0, core.uncommittedBytes - bytes);
}

/** Advances the commit index to what a quorum has; true when it moved. */
export function maybeCommit<P>(core: Core<P>): boolean {
  return core.log.maybeCommit(core.tracker.committed(), core.term);
}

/** Leader: a follower (or this node's own disk) answered an append. True when a transfer may be completed. */
export function handleAppendResponse<P>(
  core: Core<P>,
  progress: Progress,
  message: Message<P>,
): boolean {
  progress.recentActive = true;
  if (message.reject) {
    handleRejection(core, progress, message);
    return false;
  }
  // A probed follower that only repeats its match goes back to replicating too: it had been reported unreachable.
  const recovers = progress.state === "probe" && progress.match === message.index;
  if (!progress.maybeUpdate(message.index) && !recovers) return false;
  resumeReplication(core, progress, message.index);
  if (maybeCommit(core)) {
    releasePostponedReads(core);
    broadcastAppend(core);
  } else if (message.from !== core.id && progress.canBumpCommit(core.log.committed)) {
    // Otherwise this follower would learn the commit index a heartbeat late.
    sendAppend(core, message.from);
  }
  if (message.from !== core.id) sendNewEntries(core, message.from);
  return message.from === core.leadTransferee && progress.match === core.log.lastIndex();
}

function resumeReplication<P>(core: Core<P>, progress: Progress, index: number): void {
  if (progress.state === "probe") {
    progress.becomeReplicate();
  } else if (progress.state === "replicate") {
    progress.inflights.freeTo(index);
  } else if (progress.match + 1 >= core.log.firstIndex()) {
    // Whatever snapshot it got, from whomever: its log now reaches ours.
    progress.becomeProbe();
    progress.becomeReplicate();
  }
}

/** The follower's log is shorter or differs. Its hint is the last entry of its own that may match ours, with its term;
 *  every entry of ours after the last one of that term or less must differ, so the next probe goes there: one probe a
 *  term. Going back entry by entry took etcd's users hours. */
function handleRejection<P>(core: Core<P>, progress: Progress, message: Message<P>): void {
  let hint = message.rejectHint;
  if (message.logTerm > 0) hint = core.log.findConflictByTerm(hint, message.logTerm).index;
  if (!progress.maybeDecrease(message.index, hint)) return;
  if (progress.state === "replicate") progress.becomeProbe();
  sendAppend(core, message.from);
}

/** Leader: a follower answered a heartbeat. Whoever is behind, or probed, gets an append: perhaps an empty one, which
 *  is how lost messages are found out. */
export function handleHeartbeatResponse<P>(
  core: Core<P>,
  progress: Progress,
  message: Message<P>,
): void {
  progress.recentActive = true;
  progress.flowPaused = false;
  if (progress.match < core.log.lastIndex() || progress.state === "probe") {
    sendAppend(core, message.from);
  }
  confirmReads(core, message);
}

/** Leader: the host says how sending a snapshot went. Either way the next append waits for a sign of life. */
export function handleSnapshotStatus<P>(progress: Progress, message: Message<P>): void {
  if (progress.state !== "snapshot") return;
  // A snapshot that never arrived is no place to go on from.
  if (message.reject) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  progress.flowPaused = true;
}

/** Leader: the host could not reach the follower; appends under way are likely lost. */
export function handleUnreachable(progress: Progress): void {
  if (progress.state === "replicate") progress.becomeProbe();
}

/** Leader: the storage has the entries that were "unavailable". */
export function resumeFetched<P>(core: Core<P>, to: NodeId): void {
  const progress = core.tracker.progress(to);
  if (progress === undefined || !progress.awaitingEntries) return;
  progress.awaitingEntries = false;
  if (core.role === "leader" && to !== core.id) sendNewEntries(core, to);
}

/** Follower: entries, or a probe. */
export function handleAppend<P>(core: Core<P>, message: Message<P>): void {
  const response = core.draft("MsgAppResp", message.from);
  const { log } = core;
  const known = log.committed - message.index;
  if (known > 0 && known >= message.entries.length) {
    // What is committed matches for certain: say so instead of comparing entries that may be compacted.
    response.index = log.committed;
    core.send(response);
    return;
  }
  const last =
    known > 0
      ? appendBehindCommitted(core, message, known)
      : log.maybeAppend(
          { index: message.index, term: message.logTerm },
          message.entries,
          message.commit,
        );
  if (last === null) {
    // Skip all of the own tail whose terms the leader's log cannot hold at or below its index.
    const guess = Math.min(message.index, log.lastIndex());
    const hint = log.findConflictByTerm(guess, message.logTerm);
    response.index = message.index;
    response.reject = true;
    response.rejectHint = hint.index;
    response.logTerm = hint.term;
  } else {
    response.index = last;
  }
  core.send(response);
}

/** An append that begins below the commit index and reaches beyond it: its front matches for certain, the rest counts, and
 *  so does its commit index. etcd answers with the own commit index and drops it; here a group that then rests has no
 *  heartbeat that would make up for it, and the follower stayed one entry behind (cluster simulator, seed 189). */
function appendBehindCommitted<P>(
  core: Core<P>,
  message: Message<P>,
  known: number,
): number | null {
  const { log } = core;
  const previous = { index: log.committed, term: log.term(log.committed) ?? 0 };
  return log.maybeAppend(previous, message.entries.slice(known), message.commit);
}

/** Follower: the leader lives. */
export function handleHeartbeat<P>(core: Core<P>, message: Message<P>): void {
  core.log.commitTo(message.commit);
  const response = core.draft("MsgHeartbeatResp", message.from);
  response.context = message.context;
  core.send(response);
}

/** Follower: passes a proposal on to the leader. */
export function forwardProposal<P>(core: Core<P>, message: Message<P>): void {
  core.sendAsIs(readdressed(message, core.lead, core.id));
}
