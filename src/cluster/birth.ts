// How a group's replica is born on a node, and when it may die there: read from the controller's fold.
//
// A node may hear of a topic late, when its assignment has changed already. Its replica must then begin as it would have
// begun in time: with the voters that the group was created with. Where one node made up other first voters, two
// majorities could decide apart. So the fold keeps what a moved group was born with (topic-state.ts).
//
// Promise: every node that asks for a group's first incarnation gets the same voters, for ever; a replica is called gone
// only by a fold that has seen it come and go, never by one that is merely behind.

import type { ReplicaIdentity } from "../consensus/identity.ts";
import type { Birth } from "../consensus/replica.ts";
import type { ClusterState } from "./cluster-state.ts";
import { includes, type TopicState } from "./topic-state.ts";

export interface GroupPlace {
  readonly topicId: string;
  readonly partition: number;
}

/** "<topicId>/<partition>" */
export function groupIdOf({ topicId, partition }: GroupPlace): string {
  return `${topicId}/${partition}`;
}

/** null: not the group of a partition. */
export function placeOf(groupId: string): GroupPlace | null {
  const slash = groupId.lastIndexOf("/");
  const partition = Number(groupId.slice(slash + 1));
  if (slash <= 0 || !Number.isInteger(partition) || partition < 0) return null;
  return { topicId: groupId.slice(0, slash), partition };
}

/** How the group's replica on this node begins; null when none belongs here as far as this fold knows. A replica that
 *  is leaving is still born: the group may need its vote to let it go. */
export function birthOf(state: ClusterState, groupId: string, nodeId: number): Birth | null {
  const group = groupOf(state, groupId);
  if (group === null) return null;
  const { topic, partition } = group;
  const move = topic.moves.get(partition);
  const here = [...topic.assignments[partition], ...(move?.leaving ?? [])]
    .filter((replica) => replica.nodeId === nodeId)
    .sort((a, b) => b.incarnation - a.incarnation);
  if (here.length === 0) return null;
  const born = move?.born ?? topic.assignments[partition];
  // The newest of them: an older one was damaged, or is about to go.
  const { incarnation } = here[0];
  const voters = includes(born, here[0]) ? born : [];
  return { incarnation, voters };
}

/** Whether a committed record says that this replica of a partition's group is gone for good: its topic is deleted, or
 *  it was assigned once and is neither assigned nor leaving now. False where this fold may be behind. */
export function isGone(state: ClusterState, groupId: string, replica: ReplicaIdentity): boolean {
  const place = placeOf(groupId);
  if (place === null) return false;
  if (state.deleted.has(place.topicId)) return true;
  const group = groupOf(state, groupId);
  if (group === null) return false;
  const { topic, partition } = group;
  // Incarnations beyond the first come from the fold's counter: one that it has not given yet is from its future.
  if (replica.incarnation >= state.nextIncarnation) return false;
  const leaving = topic.moves.get(partition)?.leaving ?? [];
  return !includes(topic.assignments[partition], replica) && !includes(leaving, replica);
}

function groupOf(
  state: ClusterState,
  groupId: string,
): { readonly topic: TopicState; readonly partition: number } | null {
  const place = placeOf(groupId);
  const topic = place === null ? null : state.topicById(place.topicId);
  if (place === null || topic === null || place.partition >= topic.assignments.length) return null;
  return { topic, partition: place.partition };
}
