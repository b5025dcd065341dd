// Who a replica is: (node id, incarnation), and the one number by which the Raft core knows that pair.
//
//   raft id = node id + (incarnation - 1) * 2^20        the first incarnation's raft id is the node id itself
//
// A replica that was removed and is added again on the same node is another participant, with another raft id: a vote
// or an acknowledgement of the former one never counts for it (the bug that this prevents: RethinkDB 2.2.3, a removed
// and re-added node voted twice). Incarnations beyond the first come from the controller's counter, so none is used
// twice in a group. Promise: replicaOf(raftIdOf(x)) equals x; ids stay below 2^53.

import { assert } from "../assert.ts";

/** One Raft participant: (node id, incarnation). */
export interface ReplicaIdentity {
  readonly nodeId: number;
  readonly incarnation: number;
}

export const nodeIdMax = 2 ** 20 - 1;
export const incarnationMax = 2 ** 32;
const incarnationFactor = 2 ** 20;

export function raftIdOf({ nodeId, incarnation }: ReplicaIdentity): number {
  assert(
    Number.isSafeInteger(nodeId) && nodeId >= 1 && nodeId <= nodeIdMax,
    () => `Node id must be 1 to ${nodeIdMax}, got ${nodeId}`,
  );
  assert(
    Number.isSafeInteger(incarnation) && incarnation >= 1 && incarnation <= incarnationMax,
    () => `Incarnation must be 1 to ${incarnationMax}, got ${incarnation}`,
  );
  return nodeId + (incarnation - 1) * incarnationFactor;
}

export function replicaOf(raftId: number): ReplicaIdentity {
  const nodeId = raftId % incarnationFactor;
  return { nodeId, incarnation: (raftId - nodeId) / incarnationFactor + 1 };
}

/** Node id of a raft id; 0 for 0 (nobody). */
export function nodeOf(raftId: number): number {
  return raftId % incarnationFactor;
}
