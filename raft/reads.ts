// Linearizable reads without a log entry (ReadIndex, thesis 6.4).
//
// Promise: a read is answered with a commit index that was current at some moment after it was asked: the leader has
// committed in its own term, and a quorum confirmed its leadership after the question (or, "leaseBased", its lease
// holds). Followers pass the question on. A question that is lost with a change of leader is never answered: the asker
// asks again. Left to others: waiting until the index is applied (the host).

import { readdressed } from "./message.ts";
import { broadcastHeartbeat } from "./sending.ts";
import type { Core } from "./core.ts";
import type { Message } from "./types.ts";

/** A leader got the question, from itself or from a follower. Until it has committed an entry of its own term its commit
 *  index may lie behind what a former leader (or its own former life) told, so the question waits: a sole voter too. */
export function handleReadIndex<P>(core: Core<P>, message: Message<P>): void {
  if (core.committedInTerm()) ask(core, message);
  else core.reads.postpone(message);
}

/** The leader's first entry committed: what came too early is asked now. */
export function releasePostponedReads<P>(core: Core<P>): void {
  if (!core.committedInTerm()) return;
  for (const message of core.reads.takePostponed()) ask(core, message);
}

function ask<P>(core: Core<P>, message: Message<P>): void {
  if (needsNoQuorum(core)) {
    answer(core, message, core.log.committed);
    return;
  }
  core.reads.add({ message, index: core.log.committed });
  core.reads.acknowledge(core.id, core.reads.round());
  broadcastHeartbeat(core);
}

/** A sole voter is its own quorum. A lease is given up while the leadership is being handed over (tikv #4680). */
function needsNoQuorum<P>(core: Core<P>): boolean {
  const { tracker, settings } = core;
  if (tracker.isSingleton() && tracker.configuration.voters.incoming[0] === core.id) return true;
  return settings.readOnly === "leaseBased" && core.leadTransferee === 0;
}

/** A follower answered the heartbeat of a round. */
export function confirmReads<P>(core: Core<P>, message: Message<P>): void {
  if (message.context === 0) return;
  core.reads.acknowledge(message.from, message.context);
  for (const read of core.reads.takeConfirmed(core.tracker.configuration.voters)) {
    answer(core, read.message, read.index);
  }
}

function answer<P>(core: Core<P>, question: Message<P>, index: number): void {
  if (question.from === 0 || question.from === core.id) {
    core.readStates.push({ index, request: question.context });
    return;
  }
  const message = core.draft("MsgReadIndexResp", question.from);
  message.index = index;
  message.context = question.context;
  core.send(message);
}

/** A follower passes the question on; false when it knows no leader. */
export function forwardReadIndex<P>(core: Core<P>, message: Message<P>): boolean {
  if (core.lead === 0) return false;
  core.sendAsIs(readdressed(message, core.lead, core.id));
  return true;
}

export function handleReadIndexResponse<P>(core: Core<P>, message: Message<P>): void {
  core.readStates.push({ index: message.index, request: message.context });
}
