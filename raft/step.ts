// One message in: first its term is compared with ours, then its type decides who handles it.
//
//      term of the message     what happens
//      0                       local, or forwarded: goes on
//      higher                  we follow that term (pre-votes excepted: they only ask); a candidate is ignored as
//                              long as the leader's lease holds
//      lower                   ignored; but a deposed leader and a pre-candidate are told our term, or they would stay
//                              stuck below it (etcd #8243, #8501)
//      equal                   goes on
//
// Promise: any message of any peer, stale, duplicated or out of order, is safe. Left to others: the rules themselves.

import { entriesBytes, payloadBytes } from "./entry.ts";
import {
  becomeFollower,
  checkActivity,
  forgetLeader,
  handleVote,
  handleVoteResponse,
  hup,
  inLease,
  sendTimeoutNow,
  transferContext,
  transferLeadership,
} from "./election.ts";
import { appliedTo } from "./membership.ts";
import { handleProposal } from "./proposals.ts";
import { forwardReadIndex, handleReadIndex, handleReadIndexResponse } from "./reads.ts";
import {
  handleAppend,
  handleAppendResponse,
  handleHeartbeat,
  handleHeartbeatResponse,
  handleSnapshotStatus,
  handleUnreachable,
  releaseUncommitted,
} from "./replication.ts";
import { readdressed } from "./message.ts";
import { broadcastHeartbeat } from "./sending.ts";
import { appliedSnapshot, handleSnapshot } from "./snapshots.ts";
import type { Core } from "./core.ts";
import type { Message, StepResult } from "./types.ts";

export function step<P>(core: Core<P>, message: Message<P>): StepResult {
  if (message.term !== 0 && message.term !== core.term) {
    const goesOn =
      message.term > core.term ? meetHigherTerm(core, message) : meetLowerTerm(core, message);
    if (!goesOn) return "ok";
  }
  switch (message.type) {
    case "MsgHup":
      hup(core, core.settings.preVote ? "preElection" : "election");
      return "ok";
    case "MsgVote":
    case "MsgPreVote":
      handleVote(core, message);
      return "ok";
    case "MsgStorageAppendResp":
      handleStorageAppended(core, message);
      return "ok";
    case "MsgStorageApplyResp":
      handleStorageApplied(core, message);
      return "ok";
    case "MsgProp":
      return dropped(handleProposal(core, message));
    default:
      if (core.role === "leader") stepLeader(core, message);
      else if (core.role === "follower") stepFollower(core, message);
      else stepCandidate(core, message);
      return "ok";
  }
}

/** A forwarded proposal is on its way, and a refused change left its entry: neither is dropped. */
function dropped(proposed: ReturnType<typeof handleProposal>): StepResult {
  if (proposed.ok || proposed.reason === "forwarded" || proposed.reason === "changeRefused") {
    return "ok";
  }
  return "dropped";
}

/** False when the message ends here. */
function meetHigherTerm<P>(core: Core<P>, message: Message<P>): boolean {
  const { type } = message;
  if (type === "MsgVote" || type === "MsgPreVote") {
    if (message.context !== transferContext && inLease(core)) return false;
  }
  // A pre-vote asks about a term that nobody has reached, and so does its grant.
  if (type === "MsgPreVote" || (type === "MsgPreVoteResp" && !message.reject)) return true;
  const fromLeader = type === "MsgApp" || type === "MsgHeartbeat" || type === "MsgSnap";
  becomeFollower(core, message.term, fromLeader ? message.from : 0);
  return true;
}

/** Always false: nothing of a former term is acted upon, except that an installed snapshot stays installed. */
function meetLowerTerm<P>(core: Core<P>, message: Message<P>): boolean {
  const { type } = message;
  const { checkQuorum, preVote } = core.settings;
  if ((type === "MsgHeartbeat" || type === "MsgApp") && (checkQuorum || preVote)) {
    core.send(core.draft("MsgAppResp", message.from));
  } else if (type === "MsgPreVote") {
    const response = core.draft("MsgPreVoteResp", message.from);
    response.reject = true;
    core.send(response);
  } else if (type === "MsgStorageAppendResp" && message.snapshot !== null) {
    appliedSnapshot(core, message.snapshot);
  }
  return false;
}

/** Only an answer of the present term says that entries are stable: an older write may be about to be replaced on disk
 *  by one that is under way (the ABA race of ready.ts). */
function handleStorageAppended<P>(core: Core<P>, message: Message<P>): void {
  if (message.index !== 0) core.log.unstable.stableTo(message.index, message.logTerm);
  if (message.snapshot !== null) appliedSnapshot(core, message.snapshot);
}

function handleStorageApplied<P>(core: Core<P>, message: Message<P>): void {
  const { entries } = message;
  if (entries.length === 0) return;
  appliedTo(core, entries[entries.length - 1].index, entriesBytes(entries));
  releaseUncommitted(core, payloadBytes(entries));
}

function stepLeader<P>(core: Core<P>, message: Message<P>): void {
  switch (message.type) {
    case "MsgBeat":
      broadcastHeartbeat(core);
      return;
    case "MsgCheckQuorum":
      checkActivity(core);
      return;
    case "MsgReadIndex":
      handleReadIndex(core, message);
      return;
    default:
      stepLeaderForPeer(core, message);
  }
}

function stepLeaderForPeer<P>(core: Core<P>, message: Message<P>): void {
  const progress = core.tracker.progress(message.from);
  if (progress === undefined) return;
  switch (message.type) {
    case "MsgAppResp":
      if (handleAppendResponse(core, progress, message)) sendTimeoutNow(core, message.from);
      return;
    case "MsgHeartbeatResp":
      handleHeartbeatResponse(core, progress, message);
      return;
    case "MsgSnapStatus":
      handleSnapshotStatus(progress, message);
      return;
    case "MsgUnreachable":
      handleUnreachable(progress);
      return;
    case "MsgTransferLeader":
      transferLeadership(core, message.from, progress);
      return;
    default: // nothing else concerns a leader
  }
}

/** Candidates of both kinds; each hears only the answers to its own question. */
function stepCandidate<P>(core: Core<P>, message: Message<P>): void {
  switch (message.type) {
    case "MsgApp":
    case "MsgHeartbeat":
    case "MsgSnap":
      becomeFollower(core, message.term, message.from);
      hearLeader(core, message);
      return;
    case "MsgVoteResp":
      if (core.role === "candidate") handleVoteResponse(core, message);
      return;
    case "MsgPreVoteResp":
      if (core.role === "preCandidate") handleVoteResponse(core, message);
      return;
    default: // a candidate knows no leader to forward to
  }
}

function stepFollower<P>(core: Core<P>, message: Message<P>): void {
  switch (message.type) {
    case "MsgApp":
    case "MsgHeartbeat":
    case "MsgSnap":
      core.electionElapsed = 0;
      core.lead = message.from;
      hearLeader(core, message);
      return;
    case "MsgTransferLeader":
      if (core.lead !== 0) core.send(readdressed(message, core.lead, core.id));
      return;
    case "MsgForgetLeader":
      forgetLeader(core);
      return;
    case "MsgTimeoutNow":
      // The leader asks for it: no pre-vote, the group is not recovering from a partition.
      hup(core, "transfer");
      return;
    case "MsgReadIndex":
      forwardReadIndex(core, message);
      return;
    case "MsgReadIndexResp":
      handleReadIndexResponse(core, message);
      return;
    default: // the rest is for leaders and candidates
  }
}

function hearLeader<P>(core: Core<P>, message: Message<P>): void {
  core.priorityRefusals = 0;
  if (message.type === "MsgApp") handleAppend(core, message);
  else if (message.type === "MsgHeartbeat") handleHeartbeat(core, message);
  else handleSnapshot(core, message);
}
