// The next step of a group's configuration toward its wanted one, as its leader sees it.
//
//   wanted replicas that are missing   --> learners
//   all wanted voters caught up        --> one joint change: wanted voters in, all others out
//   the leader itself is not wanted    --> hands over to one that stays, which goes on
//
// Promise: pure. Voters change only to the wanted ones, in one step (but for a leader that has nobody to hand over to: it
// stays for one step more, and not in the controller's group, where two or four voters would come about); a voter is added only when it has all records that the leader had a moment ago; a step that was done
// is followed by another or by none: it ends. Safety does not depend on it: Raft's joint consensus has that. Left to
// others: doing it (reconciler.ts).

import type { ReplicaIdentity } from "../consensus/identity.ts";
import type { MemberProgress, Members, MembersTarget } from "../consensus/replica.ts";
import { includes, isSame } from "./topic-state.ts";

/** A learner that has had everything within this time may vote: it follows the live end. */
export const caughtUpMsMax = 1_000;

export interface MembersView {
  /** The leader's own replica. */
  readonly self: ReplicaIdentity;
  readonly members: Members;
  readonly progress: readonly MemberProgress[];
  readonly target: MembersTarget;
  /** Commit index of the group a moment ago: who is to vote has at least this. (How long a member has been behind is no
   *  proof: a new leader gives everybody the benefit of the doubt, also a learner that has nothing yet.) */
  readonly floor: number;
  /** A replica that makes room for another one on its own node leaves first: a node holds one replica of a partition's
   *  group. (The controller's group has an odd number of voters at all times: there it leaves when the other votes.) */
  readonly oneANode: boolean;
}

export type MembersStep =
  | { readonly kind: "done" }
  | { readonly kind: "change"; readonly target: MembersTarget }
  | { readonly kind: "handOver"; readonly toNode: number }
  /** For these replicas to catch up; none: for a change under way. `active`: they are heard of. */
  | {
      readonly kind: "wait";
      readonly behind: readonly ReplicaIdentity[];
      readonly active: boolean;
    };

type Replicas = readonly ReplicaIdentity[];

export function nextStep(view: MembersView): MembersStep {
  const { members, target } = view;
  if (members.joint) return { kind: "wait", behind: [], active: true };
  return (
    makeRoom(view) ??
    addLearners(members, target) ??
    catchUp(view) ??
    handOver(view) ??
    (isEqual(members, target) ? { kind: "done" } : { kind: "change", target })
  );
}

/** Former replicas on nodes that shall hold another one. */
function makeRoom(view: MembersView): MembersStep | null {
  const { members, target, self, oneANode } = view;
  if (!oneANode) return null;
  const wanted = [...target.voters, ...target.learners];
  const former = (replica: ReplicaIdentity): boolean =>
    !includes(wanted, replica) && wanted.some(({ nodeId }) => nodeId === replica.nodeId);
  const voters = members.voters.filter((replica) => !former(replica));
  const learners = members.learners.filter((replica) => !former(replica));
  const none = voters.length + learners.length === members.voters.length + members.learners.length;
  if (none) return null;
  // Nobody would be left who has the records.
  if (voters.length === 0) return { kind: "wait", behind: target.voters, active: false };
  if (!former(self)) {
    const able = voters.length < members.voters.length ? withMajority(voters, view) : voters;
    if (able === null) return { kind: "wait", behind: target.voters, active: false };
    return { kind: "change", target: { voters: able, learners } };
  }
  const heir = heirOf(voters, view);
  return heir === null
    ? { kind: "wait", behind: voters, active: false }
    : { kind: "handOver", toNode: heir };
}

/** These voters, of whom most are heard of: else without those that are silent and not wanted, and if that does not help
 *  null. Beside a voter that is lost for good, one that makes room could be one too many (cluster simulator, seed 8144). */
function withMajority(voters: Replicas, { progress, target }: MembersView): Replicas | null {
  const active = (replica: ReplicaIdentity): boolean =>
    progressOf(progress, replica)?.active === true;
  const staying = voters.filter((replica) => active(replica) || includes(target.voters, replica));
  const able = (some: Replicas): boolean => some.filter(active).length * 2 > some.length;
  return able(voters) ? voters : able(staying) ? staying : null;
}

/** Whoever is wanted and not there begins as a learner. */
function addLearners(members: Members, target: MembersTarget): MembersStep | null {
  const wanted = [...target.voters, ...target.learners];
  const there = [...members.voters, ...members.learners];
  const missing = wanted.filter((replica) => !includes(there, replica));
  if (missing.length === 0) return null;
  const kept = members.learners.filter((replica) => includes(wanted, replica));
  return { kind: "change", target: { voters: members.voters, learners: [...kept, ...missing] } };
}

function catchUp({ members, target, progress, floor }: MembersView): MembersStep | null {
  const coming = target.voters.filter((replica) => !includes(members.voters, replica));
  const behind = coming.filter((replica) => !isCaughtUp(progressOf(progress, replica), floor));
  if (behind.length === 0) return null;
  const active = behind.every((replica) => progressOf(progress, replica)?.active === true);
  return { kind: "wait", behind, active };
}

/** Before a leader leaves: one that goes on voting leads on, so that nobody waits for an election. Where all wanted voters
 *  are new, they get their votes beside the leader first. */
function handOver(view: MembersView): MembersStep | null {
  const { self, members, target, oneANode } = view;
  if (includes(target.voters, self)) return null;
  const staying = target.voters.filter((replica) => includes(members.voters, replica));
  const heir = heirOf(staying, view);
  if (heir !== null) return { kind: "handOver", toNode: heir };
  // The controller's voters are odd at all times: its new ones elect one of them.
  if (!oneANode || staying.length > 0) return null;
  const learners = target.learners.filter((replica) => !isSame(replica, self));
  return { kind: "change", target: { voters: [self, ...target.voters], learners } };
}

/** Node id of the first one that is caught up; null: none is. */
function heirOf(replicas: Replicas, { progress, floor }: MembersView): number | null {
  const heir = replicas.find((replica) => isCaughtUp(progressOf(progress, replica), floor));
  return heir?.nodeId ?? null;
}

export function isCaughtUp(progress: MemberProgress | null, floor = 0): boolean {
  if (progress === null || !progress.active || progress.matchIndex < floor) return false;
  return progress.behindMs <= caughtUpMsMax;
}

export function progressOf(
  progress: readonly MemberProgress[],
  replica: ReplicaIdentity,
): MemberProgress | null {
  return progress.find(({ identity }) => isSame(identity, replica)) ?? null;
}

function isEqual(members: Members, target: MembersTarget): boolean {
  return sameSet(members.voters, target.voters) && sameSet(members.learners, target.learners);
}

function sameSet(a: Replicas, b: Replicas): boolean {
  return a.length === b.length && a.every((replica) => includes(b, replica));
}
