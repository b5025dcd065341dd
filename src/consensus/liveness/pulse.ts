// Whether a replica's core needs ticks. Most never do: while nothing happens, the beats of nodes stand for everything
// that a tick would do (DESIGN section 5), and ten thousand idle replicas cost nothing.
//
//   role          ticks while                                                 because
//   leader        a read or a transfer waits                                  heartbeats confirm reads, time ends transfers
//                 a member on a living node lacks entries                     heartbeats find out what was lost
//                 no quorum of its voters' nodes hears it                     the check of the quorum must depose it
//   candidate     a quorum of its voters' nodes lives                         it asks again after a while
//   follower      its leader's node is not heard                              nobody tells it that the leader is gone
//                 it knows no leader, and a quorum of nodes lives             somebody must campaign
//   (learner)     as a follower; it never campaigns
//
// Promise: O(members), no allocation; what needs no ticks now needs none until a message, a call, or a change of the node
// table comes. Left to others: ticking (host), the node table (liveness.ts).

import type { RawNode } from "../../../raft/index.ts";
import type { NodeId } from "../../../raft/types.ts";
import { nodeOf } from "../identity.ts";

/** What is known of the other nodes. */
export interface NodeTable {
  /** Heard lately. */
  live(nodeId: number): boolean;
  /** Heard lately, and hears this node. */
  active(nodeId: number): boolean;
}

export function needsTicks(node: RawNode<unknown>, nodes: NodeTable): boolean {
  const { core } = node;
  if (core.role === "leader") return leaderNeedsTicks(node, nodes);
  if (core.role === "follower" && core.lead !== 0) return !nodes.live(nodeOf(core.lead));
  return hasQuorum(node, (nodeId) => nodes.live(nodeId));
}

/** Enough voters' nodes fulfil the condition to decide anything; this node counts as one that does. A group that knows
 *  no voters has none. */
export function hasQuorum(
  { core }: RawNode<unknown>,
  condition: (nodeId: number) => boolean,
): boolean {
  const { incoming, outgoing } = core.tracker.configuration.voters;
  const own = nodeOf(core.id);
  // Another replica on this node is one that is to take this one's place, or the one whose place it takes: not here.
  const counts = (id: NodeId): boolean =>
    id === core.id || (nodeOf(id) !== own && condition(nodeOf(id)));
  return incoming.length > 0 && isMajority(incoming, counts) && isMajority(outgoing, counts);
}

function leaderNeedsTicks(node: RawNode<unknown>, nodes: NodeTable): boolean {
  const { core } = node;
  if (core.leadTransferee !== 0 || core.reads.round() !== 0) return true;
  const last = core.log.lastIndex();
  for (const [id, progress] of core.tracker.members) {
    if (id === core.id || !nodes.live(nodeOf(id))) continue;
    if (progress.match < last || progress.state !== "replicate") return true;
  }
  return !hasQuorum(node, (nodeId) => nodes.active(nodeId));
}

function isMajority(voters: readonly NodeId[], counts: (id: NodeId) => boolean): boolean {
  let count = 0;
  for (const id of voters) if (counts(id)) count += 1;
  return 2 * count > voters.length || voters.length === 0;
}
