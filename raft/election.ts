// Who leads: roles, votes, timeouts, and handing the leadership over (paper 5.2, thesis 3.10, 6.4.1, 9.6).
//
//                  timeout               majority of pre-votes          majority of votes
//      follower ------------> preCandidate ------------> candidate ------------> leader
//         ^                        | lost                    | lost                 | higher term,
//         +------------------------+-------------------------+----------------------+ no active quorum
//
// Promise: a term has at most one leader: one vote a term, durable before it is told. Pre-vote raises no term;
// check-quorum deposes a leader that nobody answers, and its followers ignore candidates as long as they hear it.
// Left to others: terms of arriving messages (step.ts).

import { bug } from "./bug.ts";
import { appendAsLeader, ownEntry } from "./replication.ts";
import { broadcastAppend, broadcastHeartbeat, sendAppend } from "./sending.ts";
import type { Core } from "./core.ts";
import type { Draft } from "./message.ts";
import type { Progress } from "./progress.ts";
import { voterIds } from "./quorum.ts";
import type { Message, NodeId } from "./types.ts";

export type Campaign = "preElection" | "election" | "transfer";

/** Value of MsgVote.context when the present leader asked for the election: followers vote in spite of its lease. */
export const transferContext = 1;
/** How often a voter refuses a candidate for its priority before it lets it pass. */
const priorityRefusalsMax = 2;

export function becomeFollower<P>(core: Core<P>, term: number, lead: NodeId): void {
  reset(core, term);
  core.lead = lead;
  core.role = "follower";
}

function becomePreCandidate<P>(core: Core<P>): void {
  if (core.role === "leader") bug("Cannot become preCandidate: role is leader");
  core.tracker.votes.clear();
  core.lead = 0;
  core.role = "preCandidate";
}

function becomeCandidate<P>(core: Core<P>): void {
  if (core.role === "leader") bug("Cannot become candidate: role is leader");
  reset(core, core.term + 1);
  core.vote = core.id;
  core.role = "candidate";
}

function becomeLeader<P>(core: Core<P>): void {
  if (core.role !== "candidate") bug(`Cannot become leader: role is ${core.role}`);
  reset(core, core.term);
  core.lead = core.id;
  core.role = "leader";
  core.priorityRefusals = 0;
  const own = core.tracker.progress(core.id) ?? bug(`Cannot lead: ${core.id} is no member`);
  own.becomeReplicate();
  own.recentActive = true;
  // A change may hide anywhere in the tail: no new one until all of it is applied.
  core.pendingConfIndex = core.log.lastIndex();
  appendAsLeader(core, [ownEntry(core, "normal", 0)]);
}

/** A new role begins: votes, timers, progress and reads of the former one are void. */
function reset<P>(core: Core<P>, term: number): void {
  if (core.term !== term) {
    core.term = term;
    core.vote = 0;
  }
  core.lead = 0;
  core.electionElapsed = 0;
  core.heartbeatElapsed = 0;
  const { electionTicks } = core.settings;
  core.randomizedElectionTicks = electionTicks + core.random.below(electionTicks);
  core.leadTransferee = 0;
  core.tracker.votes.clear();
  core.tracker.resetProgress(core.log.lastIndex(), core.id);
  core.pendingConfIndex = 0;
  core.uncommittedBytes = 0;
  core.reads.reset();
}

/** Starts an election if this node may win one. Not while a committed change of configuration is still to be applied:
 *  it would count votes by a configuration that is past. */
export function hup<P>(core: Core<P>, kind: Campaign): void {
  if (core.role === "leader" || !core.promotable() || hasUnappliedChange(core)) return;
  campaign(core, kind);
}

function hasUnappliedChange<P>(core: Core<P>): boolean {
  const { log, settings } = core;
  let next = log.applied + 1;
  while (next <= log.committed) {
    const page = log.slice(next, log.committed + 1, settings.maxCommittedBytesPerReady, 0);
    // What cannot be looked at yet may hold one; it is being fetched, and applied next.
    if (typeof page === "string") return true;
    for (const entry of page) if (entry.type === "confChange") return true;
    next += page.length;
  }
  return false;
}

function campaign<P>(core: Core<P>, kind: Campaign): void {
  if (core.settings.electAloneAtOnce && core.tracker.ids.length === 1) {
    becomeCandidate(core);
    becomeLeader(core);
    return;
  }
  if (kind === "preElection") becomePreCandidate(core);
  else becomeCandidate(core);
  const pre = kind === "preElection";
  const term = pre ? core.term + 1 : core.term;
  const index = core.log.lastIndex();
  const logTerm = core.log.lastTerm();
  for (const id of voterIds(core.tracker.configuration.voters)) {
    if (id === core.id) {
      // Its own vote counts once it is durable, like any other.
      const own = core.draft(pre ? "MsgPreVoteResp" : "MsgVoteResp", id);
      own.term = term;
      core.sendAsIs(own);
      continue;
    }
    const message = core.draft(pre ? "MsgPreVote" : "MsgVote", id);
    message.term = term;
    message.index = index;
    message.logTerm = logTerm;
    message.priority = core.settings.priority;
    tellCommitted(core, message);
    if (kind === "transfer") message.context = transferContext;
    core.sendAsIs(message);
  }
}

/** Candidates of both kinds: an answer to the question they asked. */
export function handleVoteResponse<P>(core: Core<P>, message: Message<P>): void {
  if (message.reject && learnCommitted(core, message)) return;
  const result = core.tracker.recordVote(message.from, !message.reject);
  if (result === "lost") {
    becomeFollower(core, core.term, 0);
  } else if (result === "won" && core.role === "preCandidate") {
    campaign(core, "election");
  } else if (result === "won" && hasOwnVote(core)) {
    becomeLeader(core);
    broadcastAppend(core);
  }
}

/** The own vote is counted when it is durable, and a majority without it is not enough: requests for votes leave before
 *  the term is on disk, so a node that led by the others' votes, crashed and forgot the term could be elected in it
 *  once more, by the same votes, and fill it with other entries. The simulation found it in a core that followed etcd
 *  here (2026-11). */
function hasOwnVote<P>(core: Core<P>): boolean {
  return core.tracker.votes.get(core.id) === true;
}

/** True when a live leader's followers must not listen to candidates (thesis 6.4.1). */
export function inLease<P>(core: Core<P>): boolean {
  const { checkQuorum, electionTicks } = core.settings;
  return checkQuorum && core.lead !== 0 && core.electionElapsed < electionTicks;
}

/** Answers MsgVote and MsgPreVote. Learners vote too: a learner may have been promoted without knowing it yet. */
export function handleVote<P>(core: Core<P>, message: Message<P>): void {
  const pre = message.type === "MsgPreVote";
  const response = core.draft(pre ? "MsgPreVoteResp" : "MsgVoteResp", message.from);
  const free = core.vote === 0 && core.lead === 0;
  const canVote = core.vote === message.from || free || (pre && message.term > core.term);
  const upToDate = core.log.isUpToDate({ index: message.index, term: message.logTerm });
  if (canVote && upToDate && !yieldsToPriority(core, message)) {
    // The asked term, not the own: a pre-candidate asks for a term that is not reached yet.
    response.term = message.term;
    core.sendAsIs(response);
    if (!pre) {
      core.electionElapsed = 0;
      core.vote = message.from;
    }
    return;
  }
  response.term = core.term;
  response.reject = true;
  if (core.role !== "leader") learnCommitted(core, message);
  tellCommitted(core, response);
  core.sendAsIs(response);
}

/** A refusal travels with what is known to be committed, both ways (as in raft-rs). Without it a group can be stuck for
 *  good: a change that leaves node 2 as only voter is committed, but 2 has not heard so and counts by the former
 *  configuration, whose other voters have longer logs and refuse it, and do not campaign themselves. */
function tellCommitted<P>(core: Core<P>, message: Draft<P>): void {
  message.known = core.log.committed;
  message.knownTerm = core.log.term(core.log.committed) ?? 0;
}

/** True when the node gave up its candidacy because a change of configuration turned out to be committed. */
function learnCommitted<P>(core: Core<P>, { known, knownTerm }: Message<P>): boolean {
  const { log } = core;
  if (known <= log.committed || !log.matches(known, knownTerm)) return false;
  log.commitTo(known);
  if (core.role === "follower" || !hasUnappliedChange(core)) return false;
  becomeFollower(core, core.term, 0);
  return true;
}

/** Preferred leaders: equal logs, and this voter would rather lead itself. It gives way after two refusals, so that a
 *  preferred node which cannot win does not keep the group without a leader. */
function yieldsToPriority<P>(core: Core<P>, message: Message<P>): boolean {
  if (message.priority >= core.settings.priority || message.context === transferContext) {
    return false;
  }
  if (message.index > core.log.lastIndex() || core.priorityRefusals >= priorityRefusalsMax) {
    return false;
  }
  core.priorityRefusals++;
  return true;
}

/** Follower and candidates: time passed without a leader. True when an election is due. */
export function tickElection<P>(core: Core<P>): boolean {
  core.electionElapsed++;
  if (!core.promotable() || core.electionElapsed < core.randomizedElectionTicks) return false;
  core.electionElapsed = 0;
  return true;
}

/** Leader: time passed. Checks the quorum once an election timeout, and sends heartbeats. */
export function tickLeader<P>(core: Core<P>): void {
  const { electionTicks, heartbeatTicks, checkQuorum } = core.settings;
  core.heartbeatElapsed++;
  core.electionElapsed++;
  if (core.electionElapsed >= electionTicks) {
    core.electionElapsed = 0;
    if (checkQuorum) checkActivity(core);
    // A transfer that takes an election timeout has failed: take proposals again.
    if (core.role === "leader") core.leadTransferee = 0;
  }
  if (core.role !== "leader" || core.heartbeatElapsed < heartbeatTicks) return;
  core.heartbeatElapsed = 0;
  broadcastHeartbeat(core);
}

/** A leader that no quorum has answered since the last check may have been replaced without knowing it. */
export function checkActivity<P>(core: Core<P>): void {
  if (!core.tracker.quorumActive()) becomeFollower(core, core.term, 0);
  for (const [id, progress] of core.tracker.members) {
    if (id !== core.id) progress.recentActive = false;
  }
}

/** Leader: begins to hand over to `to`. Proposals are refused until it has taken over or the attempt has timed out. */
export function transferLeadership<P>(core: Core<P>, to: NodeId, progress: Progress): void {
  if (progress.isLearner || core.leadTransferee === to) return;
  core.leadTransferee = 0;
  if (to === core.id) return;
  core.electionElapsed = 0;
  core.leadTransferee = to;
  if (progress.match === core.log.lastIndex()) sendTimeoutNow(core, to);
  else sendAppend(core, to);
}

export function sendTimeoutNow<P>(core: Core<P>, to: NodeId): void {
  core.send(core.draft("MsgTimeoutNow", to));
}

/** Follower: the host knows that the leader is gone. Not with leases: the leader may be answering reads by it. */
export function forgetLeader<P>(core: Core<P>): void {
  if (core.settings.readOnly !== "leaseBased") core.lead = 0;
}
