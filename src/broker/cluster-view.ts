// The cluster as one node sees it: nodes, who leads what, and the wishes of an operator (transfer, removal).
//
// Promise: what is told is knowledge, never a guess: a leader that is not known is null; looking wakes no idle group.
// Left to others: placing replicas and moving them (cluster/), routing requests (routed logs).

import type { Controller } from "../cluster/controller.ts";
import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import type {
  ClusterNode,
  ClusterStatus,
  GroupMember,
  GroupPlace,
  GroupStatus,
  PartitionLeader,
  PartitionStatus,
} from "./broker.ts";
import { unknownPartition, unknownTopic } from "./partition-slot.ts";
import type { Topic, Topics } from "./topics.ts";

type Done = { readonly ok: true } | Refusal;

export interface ClusterViewParts {
  readonly controller: Controller;
  readonly topics: Topics;
  readonly nodeId: number;
}

export class ClusterView {
  readonly #parts: ClusterViewParts;

  constructor(parts: ClusterViewParts) {
    this.#parts = parts;
  }

  leaderOf(name: string, partition: number): PartitionLeader | null {
    const topic = this.#parts.topics.byName(name);
    if (topic === null || topic.slot(partition) === null) return null;
    return { nodeId: this.#parts.nodeId, http: null };
  }

  async status(
    of: { readonly topic?: string; readonly local?: boolean } = {},
  ): Promise<ClusterStatus | Refusal> {
    const { controller, topics, nodeId } = this.#parts;
    const named = of.topic === undefined ? null : topics.byName(of.topic);
    if (of.topic !== undefined && named === null) return unknownTopic(of.topic);
    const shown = named === null ? allTopics(topics) : [named];
    const partitions: PartitionStatus[] = [];
    let partitionsTotal = 0;
    for (const topic of shown) {
      partitionsTotal += topic.partitions;
      for (let at = 0; at < topic.partitions && partitions.length < limits.listPageMax; at += 1)
        partitions.push(this.#partition(topic, at));
    }
    return {
      clusterId: controller.state.clusterId ?? "",
      nodeId,
      nodes: this.#nodes(),
      controller: this.#group(controller.term),
      partitions,
      partitionsTotal,
    };
  }

  async transferLeadership(of: GroupPlace, toNode: number): Promise<Done> {
    if (of !== "controller") {
      const topic = this.#parts.topics.byName(of.topic);
      if (topic === null) return unknownTopic(of.topic);
      if (topic.slot(of.partition) === null) return unknownPartition(of.topic, of.partition);
    }
    const { nodeId } = this.#parts;
    if (toNode === nodeId) return { ok: true };
    const detail = `Cannot transfer: a node with a voter of the group is wanted (${nodeId}), got ${toNode}`;
    return refuse("invalid_request", detail);
  }

  async removeNode(nodeId: number): Promise<Done> {
    if (!this.#parts.controller.state.nodes.has(nodeId))
      return refuse("invalid_request", `Cannot remove node ${nodeId}: it is no member`);
    const detail = `Cannot remove node ${nodeId}: it is the last one`;
    return refuse("policy_violation", detail);
  }

  #nodes(): readonly ClusterNode[] {
    const { controller } = this.#parts;
    const { partitions, nodes } = controller.state;
    return [...nodes.values()]
      .sort((a, b) => a.nodeId - b.nodeId)
      .map(({ nodeId, version, registeredAt }) => ({
        nodeId,
        version,
        state: "up" as const,
        http: null,
        peer: null,
        region: null,
        registeredAt,
        replicas: partitions,
        leads: partitions,
      }));
  }

  #partition(topic: Topic, partition: number): PartitionStatus {
    const { logStartOffset, highWatermark, leaderEpoch } = topic.bounds(partition);
    return {
      topic: topic.name,
      partition,
      assigned: topic.state.assignments[partition].map(({ nodeId }) => nodeId),
      logStartOffset,
      highWatermark,
      ...this.#group(leaderEpoch),
    };
  }

  /** A group whose only member is this node. */
  #group(term: number): GroupStatus {
    const { nodeId } = this.#parts;
    const caughtUp = { voter: true, inSync: true, lagEntries: 0, lagMs: 0 };
    const members: readonly GroupMember[] = [{ nodeId, incarnation: 1, ...caughtUp }];
    return { leader: nodeId, term, joint: false, members };
  }
}

function allTopics(topics: Topics): readonly Topic[] {
  return topics
    .names()
    .map((name) => topics.byName(name))
    .filter((topic) => topic !== null);
}
