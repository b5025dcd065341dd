// Where the cluster's metadata wants the replicas of a group, as this node's fold of it says.
//
// Promise: a few map look-ups; a group that is not there has no nodes. Left to others: changing it, and how replicas are
// born and die (cluster/), what the group's own configuration says by now (consensus).

import { birthOf, isGone, placeOf } from "../cluster/birth.ts";
import type { ClusterState } from "../cluster/cluster-state.ts";
import type { ReplicaIdentity } from "../consensus/identity.ts";
import type { Birth } from "../consensus/replica.ts";

export class Assignments {
  readonly nodeId: number;
  readonly #cluster: () => ClusterState;

  constructor(cluster: () => ClusterState, nodeId: number) {
    this.#cluster = cluster;
    this.nodeId = nodeId;
  }

  /** Wanted replicas, the preferred leader first; empty for a group that is not there (any more). */
  of(groupId: string): readonly ReplicaIdentity[] {
    const place = placeOf(groupId);
    if (place === null) return [];
    return this.#cluster().topicById(place.topicId)?.assignments[place.partition] ?? [];
  }

  /** The group is there, or was: asking again later would tell nothing else. */
  knows(groupId: string): boolean {
    const place = placeOf(groupId);
    if (place === null || this.#cluster().deleted.has(place.topicId)) return true;
    return this.of(groupId).length > 0;
  }

  /** For a person: "orders-0"; the group's id where the topic is not there (any more). */
  nameOf(groupId: string): string {
    const place = placeOf(groupId);
    const topic = place === null ? null : this.#cluster().topicById(place.topicId);
    return place === null || topic === null ? groupId : `${topic.name}-${place.partition}`;
  }

  /** How the replica on this node is born; null: none belongs here. */
  birthHere(groupId: string): Birth | null {
    return birthOf(this.#cluster(), groupId, this.nodeId);
  }

  /** A committed record says that this node's replica of that incarnation is out of the group for good. */
  isGone(groupId: string, incarnation: number): boolean {
    return isGone(this.#cluster(), groupId, { nodeId: this.nodeId, incarnation });
  }

  /** URL of the node's HTTP door; null when it told none. */
  httpOf(nodeId: number): string | null {
    return this.#cluster().nodes.get(nodeId)?.http ?? null;
  }
}
