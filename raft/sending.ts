// What a leader sends to one follower: appends, snapshots, heartbeats.
//
// Promise: an append starts at the follower's next index and the progress is moved with it; a follower whose entries
// are gone is sent a snapshot; one whose entries are being read is sent nothing until they are here. Left to others:
// when to send (replication.ts, reads.ts).

import { payloadBytes } from "./entry.ts";
import { noEntries } from "./message.ts";
import type { Core } from "./core.ts";
import type { Progress } from "./progress.ts";
import type { Entry, NodeId } from "./types.ts";

/** Sends an append even when there is nothing new in it: it tells the commit index and probes. */
export function sendAppend<P>(core: Core<P>, to: NodeId): void {
  appendTo(core, to, "always");
}

/** Sends appends as long as there is something new and the window has room. */
export function sendNewEntries<P>(core: Core<P>, to: NodeId): void {
  while (appendTo(core, to, "ifAny"));
}

/** True when something left. */
function appendTo<P>(core: Core<P>, to: NodeId, when: "always" | "ifAny"): boolean {
  const progress = core.tracker.progress(to);
  if (progress === undefined || progress.isPaused()) return false;
  const previous = progress.next - 1;
  const previousTerm = core.log.term(previous);
  if (previousTerm === null) return sendSnapshot(core, to, progress);

  const entries = entriesFor(core, to, progress);
  if (entries === "unavailable") return false;
  if (entries === "compacted") return sendSnapshot(core, to, progress);
  if (entries.length === 0 && when === "ifAny") return false;

  const message = core.draft("MsgApp", to);
  message.index = previous;
  message.logTerm = previousTerm;
  message.entries = entries;
  message.commit = core.log.committed;
  core.send(message);
  progress.sentEntries(entries.length, payloadBytes(entries));
  progress.sentCommit = core.log.committed;
  return true;
}

/** None when the window is full: the empty append that then goes out after a heartbeat is what frees a window whose
 *  messages were all lost (etcd PR 14633). */
function entriesFor<P>(
  core: Core<P>,
  to: NodeId,
  progress: Progress,
): readonly Entry<P>[] | "compacted" | "unavailable" {
  if (progress.state === "replicate" && progress.inflights.full()) return noEntries;
  if (progress.awaitingEntries) return "unavailable";
  const entries = core.log.entriesFrom(progress.next, core.settings.maxSizePerMessage, to);
  if (entries === "unavailable") progress.awaitingEntries = true;
  return entries;
}

function sendSnapshot<P>(core: Core<P>, to: NodeId, progress: Progress): boolean {
  // A snapshot is dear: not to somebody who may be gone.
  if (!progress.recentActive) return false;
  const snapshot = core.log.unstable.snapshot ?? core.log.storage.snapshot(to);
  if (snapshot === "unavailable") return false;
  progress.becomeSnapshot(snapshot.index);
  const message = core.draft("MsgSnap", to);
  message.snapshot = snapshot;
  core.send(message);
  return true;
}

export function broadcastAppend<P>(core: Core<P>): void {
  for (const id of core.tracker.ids) if (id !== core.id) sendAppend(core, id);
}

/** Probes those who have something to get, without telling the others anything. */
export function broadcastNewEntries<P>(core: Core<P>): void {
  for (const id of core.tracker.ids) if (id !== core.id) appendTo(core, id, "ifAny");
}

export function broadcastHeartbeat<P>(core: Core<P>): void {
  const round = core.reads.round();
  for (const id of core.tracker.ids) if (id !== core.id) sendHeartbeat(core, id, round);
}

/** A heartbeat commits no further than the follower is known to match: beyond that its tail may be somebody else's. */
function sendHeartbeat<P>(core: Core<P>, to: NodeId, round: number): void {
  const progress = core.tracker.progress(to)!;
  const message = core.draft("MsgHeartbeat", to);
  message.commit = Math.min(progress.match, core.log.committed);
  message.context = round;
  core.send(message);
  progress.sentCommit = message.commit;
}
