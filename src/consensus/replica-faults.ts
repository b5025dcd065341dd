// What a replica answers when it is not the one that is wanted, or is not whole.

import { Fault, refuse, type Refusal } from "../errors.ts";
import type { ReplicaState } from "../journal/journal.ts";
import type { Term } from "../quantities.ts";
import { committedIn } from "./positions.ts";
import type { Role } from "./replica.ts";

/** Nothing was done. Members: {leader: node id, 0 when unknown} where another leads. */
export function notLeader(
  groupId: string,
  expected: Term,
  { leader, term, leaderId }: Role,
): Refusal {
  const found = leader ? `leader of term ${term}` : "no leader";
  const detail = `Cannot append to ${groupId}: leader of term ${expected} is wanted, this replica is ${found}`;
  return refuse("not_leader_or_follower", detail, leader ? {} : { members: { leader: leaderId } });
}

/** The term is over: a new leader may have what was proposed here, or not. */
export function deposed(groupId: string): Refusal {
  const detail = `Another replica of ${groupId} leads, or none; what this one had proposed may still commit`;
  return refuse("not_leader_or_follower", detail, { sideEffects: "unknown" });
}

export function ledElsewhere(groupId: string, nodeId: number): Fault {
  const detail = `Cannot lead ${groupId}: node ${nodeId} leads it`;
  return new Fault("not_leader_or_follower", detail, { members: { leader: nodeId } });
}

/** Why a replica with peers must take no part; null: it is whole. */
export function damageOf(state: ReplicaState): Fault | null {
  const { groupId, damage, lastIndex } = state;
  const commit = committedIn(state);
  if (damage.length === 0 && commit <= lastIndex) return null;
  const ends = `entry ${commit} was committed, the log ends at ${lastIndex}`;
  const detail = `Replica ${groupId} is damaged and takes no part: ${damage[0]?.detail ?? ends}`;
  return new Fault("storage_damaged", detail, { members: { groupId } });
}

/** Acknowledged entries of a group without peers are gone: halt, never clamp (a clamped log would give their offsets to
 *  others). */
export function lostTail(state: ReplicaState, commit: number): Fault {
  const { groupId, lastIndex, replica } = state;
  const detail = `Cannot open ${groupId}: entry ${commit} was committed, the log ends at ${lastIndex}`;
  return new Fault("storage_damaged", detail, { members: { groupId, replica, commit, lastIndex } });
}
