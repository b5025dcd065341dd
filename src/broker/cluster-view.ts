// The cluster as one node sees it: nodes, who leads what, and the wishes of an operator (transfer, removal).
//
// Promise: what is told is knowledge, never a guess: a leader that is not known is null; looking wakes no idle group.
// Left to others: placing replicas and moving them (cluster/), routing requests (routed logs).

import { addressText } from "../address.ts";
import type { Controller } from "../cluster/controller.ts";
import { preferLeader } from "../cluster/leaderships.ts";
import { controllerGroupId } from "../cluster/controller.ts";
import type { NodeState } from "../cluster/cluster-state.ts";
import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import type {
  ClusterNode,
  ClusterQuery,
  ClusterStatus,
  GroupPlace,
  GroupStatus,
  PartitionLeader,
  PartitionStatus,
} from "./broker.ts";
import { membersOf } from "./group-members.ts";
import type { GroupReports, PartitionLogs } from "./partition-log.ts";
import { unknownPartition, unknownTopic } from "./partition-slot.ts";
import type { PeerLogs } from "./peer-logs.ts";
import type { Topic, Topics } from "./topics.ts";

type Done = { readonly ok: true } | Refusal;

/** How long another node may take to tell of the controller, ms, ... */
const askMs = 3_000;
/** ... and to hand over a leadership. */
const transferMs = 10_000;

export interface ClusterViewParts {
  readonly controller: Controller;
  readonly topics: Topics;
  readonly logs: PartitionLogs;
  readonly nodeId: number;
  /** replica.lag.time.max.ms. */
  readonly lagMsMax: number;
  /** Whether packets reach a node now, or it is this one. */
  readonly reachable: (nodeId: number) => boolean;
  /** null: this node is alone. */
  readonly peers: PeerLogs | null;
}

interface Place {
  readonly topic: Topic;
  readonly partition: number;
}

export class ClusterView {
  readonly #parts: ClusterViewParts;

  constructor(parts: ClusterViewParts) {
    this.#parts = parts;
  }

  leaderOf(name: string, partition: number): PartitionLeader | null {
    const { topics, logs, controller } = this.#parts;
    const topic = topics.byName(name);
    if (topic === null || !topic.has(partition)) return null;
    const nodeId = logs.leaderOf(topic.groupId(partition));
    if (nodeId === null) return null;
    return { nodeId, http: controller.state.nodes.get(nodeId)?.http ?? null };
  }

  async status(of: ClusterQuery = {}): Promise<ClusterStatus | Refusal> {
    const { controller, topics, nodeId, logs } = this.#parts;
    const named = of.topic === undefined ? null : topics.byName(of.topic);
    if (of.topic !== undefined && named === null) return unknownTopic(of.topic);
    const places = placesOf(named === null ? allTopics(topics) : [named]);
    const { after, limit = limits.listPageMax } = of;
    const rest = after === undefined ? places : places.filter((place) => isBehind(place, after));
    const shown = rest.slice(0, Math.min(limit, limits.listPageMax + 1));
    const groupIds = shown.map(({ topic, partition }) => topic.groupId(partition));
    const isLocal = of.local === true;
    const [controllerGroup, reports] = await Promise.all([
      this.#controllerGroup(isLocal),
      isLocal ? logs.reportsHere(groupIds) : logs.reports(groupIds),
    ]);
    return {
      clusterId: controller.state.clusterId ?? "",
      nodeId,
      nodes: this.#nodes(),
      controller: controllerGroup,
      partitions: shown.map((place) => this.#partition(place, reports)),
      partitionsTotal: places.length,
    };
  }

  async transferLeadership(of: GroupPlace, toNode: number): Promise<Done> {
    if (of === "controller") return await this.#transferController(toNode);
    const topic = this.#parts.topics.byName(of.topic);
    if (topic === null) return unknownTopic(of.topic);
    const log = await (topic.slot(of.partition)?.log() ?? unknownPartition(of.topic, of.partition));
    if ("ok" in log) return log;
    const moved = await log.transfer(toNode);
    const { topicId } = topic.state;
    // Else the leadership would be given back to the replica that was preferred before.
    if (moved.ok)
      await preferLeader(this.#parts.controller, { topicId, partition: of.partition }, toNode);
    return moved;
  }

  /** What this node, as the controller's leader, tells of it; null: it does not lead. */
  controllerHere(): GroupStatus | null {
    const { controller, nodeId, lagMsMax } = this.#parts;
    if (!controller.leads) return null;
    const { role, members } = controller.replica;
    const told = membersOf(controller.replica, lagMsMax);
    return { leader: nodeId, term: role.term, joint: members.joint, members: told };
  }

  /** Why the controller has no leader, as far as this node can tell: whom it reaches of those who vote. */
  leaderlessWords(): string {
    const { controller, reachable } = this.#parts;
    const voters = [...new Set(controller.replica.members.voters.map(({ nodeId }) => nodeId))];
    const away = voters.filter((nodeId) => !reachable(nodeId));
    const majority = Math.floor(voters.length / 2) + 1;
    const here = voters.length - away.length;
    if (here >= majority) return "the controller has no leader; an election is under way";
    const named = away.join(" and ");
    return `the controller has no leader: ${here} of its ${voters.length} voters can be reached, ${majority} are needed (no connection to node ${named})`;
  }

  async #transferController(toNode: number): Promise<Done> {
    const { controller, peers, nodeId } = this.#parts;
    const { leaderId, replica } = controller;
    if (controller.leads || peers === null)
      return toNode === nodeId ? { ok: true } : await replica.transferLeadership(toNode);
    if (leaderId === toNode) return { ok: true };
    if (leaderId === 0)
      return refuse("not_leader_or_follower", "The controller has no leader that could hand over");
    const asked = { to: leaderId, groupId: controllerGroupId, timeoutMs: transferMs };
    return await peers.transfer(asked, toNode);
  }

  async #controllerGroup(isLocal: boolean): Promise<GroupStatus> {
    const here = this.controllerHere();
    if (here !== null) return here;
    const { controller, peers } = this.#parts;
    const { leaderId } = controller;
    const { term } = controller.replica.role;
    const unknown = { leader: leaderId === 0 ? null : leaderId, term, joint: false, members: [] };
    if (isLocal || peers === null || leaderId === 0) return unknown;
    const told = await peers.controller({ to: leaderId, timeoutMs: askMs });
    return "ok" in told ? unknown : told;
  }

  #nodes(): readonly ClusterNode[] {
    const { controller, reachable, logs, topics } = this.#parts;
    const { state } = controller;
    const leads = new Map<number, number>();
    for (const { topic, partition } of placesOf(allTopics(topics))) {
      const leader = logs.leaderOf(topic.groupId(partition));
      if (leader !== null) leads.set(leader, (leads.get(leader) ?? 0) + 1);
    }
    return [...state.nodes.values()]
      .sort((a, b) => a.nodeId - b.nodeId)
      .map((node) => ({
        ...shownOf(node),
        state: reachable(node.nodeId) ? ("up" as const) : ("down" as const),
        replicas: state.load(node.nodeId).replicas,
        leads: leads.get(node.nodeId) ?? 0,
      }));
  }

  #partition({ topic, partition }: Place, reports: GroupReports): PartitionStatus {
    const groupId = topic.groupId(partition);
    const report = reports.get(groupId);
    const bounds = report?.bounds ?? topic.bounds(partition);
    const group: GroupStatus = {
      leader: report?.leader ?? this.#parts.logs.leaderOf(groupId),
      term: report?.term ?? bounds.leaderEpoch,
      joint: report?.joint ?? false,
      members: report?.members ?? [],
    };
    return {
      topic: topic.name,
      partition,
      assigned: topic.state.assignments[partition].map(({ nodeId }) => nodeId),
      logStartOffset: bounds.logStartOffset,
      highWatermark: bounds.highWatermark,
      ...group,
    };
  }
}

function shownOf(node: NodeState): Omit<ClusterNode, "state" | "replicas" | "leads"> {
  const { nodeId, version, http, peer, region, registeredAt } = node;
  const address = peer === null ? null : addressText(peer);
  return { nodeId, version, http, peer: address, region, registeredAt };
}

function isBehind(
  { topic, partition }: Place,
  after: { readonly topic: string; readonly partition: number },
): boolean {
  return topic.name === after.topic ? partition > after.partition : topic.name > after.topic;
}

function placesOf(topics: readonly Topic[]): readonly Place[] {
  return topics.flatMap((topic) =>
    topic.state.assignments.map((_, partition) => ({ topic, partition })),
  );
}

function allTopics(topics: Topics): readonly Topic[] {
  return topics
    .names()
    .map((name) => topics.byName(name))
    .filter((topic) => topic !== null);
}
