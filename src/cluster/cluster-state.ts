// The controller's fold: cluster id, nodes (node-registry.ts), topics, deleted topics, producer ids, incarnations.
//
// Promise: apply() is a pure function of (state, command, entry time), so that fold(log) equals the live state on
// every node; describe is a map look-up, and names are kept in order, so that a list never sorts. A TopicState is
// replaced, never changed: whoever holds one holds a consistent picture.
// Left to others: how commands get here (controller.ts), what a changed topic means for replicas (broker/).

import { unreachable } from "../assert.ts";
import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Assignment, Command } from "./commands.ts";
import {
  NodeRegistry,
  noNodes,
  type NodeData,
  type NodeOutcome,
  type NodeState,
} from "./node-registry.ts";
import { collisionKey } from "./topic-names.ts";
import { changeConfigs } from "./topic-settings.ts";
import { confirm, reassign, replace, type TopicState } from "./topic-state.ts";

export type { NodeState } from "./node-registry.ts";
export type { EarlierCount, Move, TopicState } from "./topic-state.ts";

/** A topic whose replicas are to be dropped: data dies only when a committed record says so. */
export interface DeletedTopic {
  readonly topicId: string;
  readonly name: string;
  readonly partitions: number;
  readonly deletedAt: number;
  /** Members that may still hold replicas of it, by ascending id. */
  readonly holders: readonly number[];
}

/** Replicas on a node, as they are wanted. */
export interface NodeLoad {
  readonly replicas: number;
  /** Partitions that it shall lead. */
  readonly leads: number;
}

/** What an applied command changed. */
export type Change =
  | { readonly kind: "none" }
  | { readonly kind: "topicCreated"; readonly topic: TopicState }
  | { readonly kind: "topicChanged"; readonly topic: TopicState; readonly before: TopicState }
  | { readonly kind: "topicDeleted"; readonly topic: TopicState }
  | { readonly kind: "producerIds"; readonly first: number; readonly count: number }
  /** A node is new (before: null), has told anew of itself, drains, or was removed. */
  | { readonly kind: "nodeChanged"; readonly node: NodeState; readonly before: NodeState | null }
  /** Wanted members of the controller's group are others. */
  | { readonly kind: "controllerVoters"; readonly voters: readonly number[] };

export type Applied = { readonly ok: true; readonly change: Change } | Refusal;

const unchanged: Applied = { ok: true, change: { kind: "none" } };

/** Everything that a snapshot holds. */
export interface ClusterData {
  readonly clusterId: string | null;
  readonly nodes: NodeData;
  readonly topics: readonly TopicState[];
  readonly deleted: readonly DeletedTopic[];
  readonly nextProducerId: number;
  readonly nextIncarnation: number;
}

export class ClusterState {
  #clusterId: string | null = null;
  #nodes = NodeRegistry.of(noNodes);
  #byName = new Map<string, TopicState>();
  #byId = new Map<string, TopicState>();
  /** Names in code point order. Invariant: exactly the keys of #byName. */
  #names: string[] = [];
  /** Collision key -> name. Invariant: one entry a topic. */
  #collisions = new Map<string, string>();
  #deleted = new Map<string, DeletedTopic>();
  /** Invariant: the sum of all topics' partitions. */
  #partitions = 0;
  #nextProducerId = 0;
  /** Invariant: above every incarnation that was ever given; the first one, 1, is for replicas that a group or the
   *  cluster is born with. */
  #nextIncarnation = 2;
  /** Invariant: the number of moves, of all topics, that are not settled. */
  #unsettled = 0;
  /** By node id. Invariant: the sum over all assignments. */
  #loads = new Map<number, NodeLoad>();

  get clusterId(): string | null {
    return this.#clusterId;
  }
  get partitions(): number {
    return this.#partitions;
  }
  /** Topic names in code point order; borrowed, valid until the next apply(). */
  get names(): readonly string[] {
    return this.#names;
  }
  get deleted(): ReadonlyMap<string, DeletedTopic> {
    return this.#deleted;
  }
  /** Members alone. */
  get nodes(): ReadonlyMap<number, NodeState> {
    return this.#nodes.members;
  }
  /** Nodes that were members once. */
  get removedNodes(): ReadonlyMap<number, NodeState> {
    return this.#nodes.removed;
  }
  /** Wanted voters of the controller's group, node ids ascending. */
  get controllerVoters(): readonly number[] {
    return this.#nodes.controllerVoters;
  }
  /** Wanted configuration of the controller's group. */
  controllerTarget(): ReturnType<NodeRegistry["controllerTarget"]> {
    return this.#nodes.controllerTarget();
  }
  /** The node that joined by this request, member or removed. */
  nodeOfRequest(requestId: string): NodeState | null {
    return this.#nodes.byRequest(requestId);
  }
  get nextIncarnation(): number {
    return this.#nextIncarnation;
  }
  /** Partitions whose groups are not yet what they shall be, as far as their leaders have told. */
  get unsettled(): number {
    return this.#unsettled;
  }
  /** Wanted replicas on a node. */
  load(nodeId: number): NodeLoad {
    return this.#loads.get(nodeId) ?? noLoad;
  }
  topic(name: string): TopicState | null {
    return this.#byName.get(name) ?? null;
  }
  topicById(topicId: string): TopicState | null {
    return this.#byId.get(topicId) ?? null;
  }
  /** Position of the first name that is not below `name`. Cost: log n. */
  position(name: string): number {
    let [low, high] = [0, this.#names.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#names[middle] < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  /** The topic whose name equals this one up to "." and "_"; null when there is none. */
  collision(name: string): string | null {
    return this.#collisions.get(collisionKey(name)) ?? null;
  }

  /** Applies one committed command. `time` is the entry's, the only clock of a fold. A refusal changes nothing. */
  apply(command: Command, time: number): Applied {
    switch (command.kind) {
      case "formatCluster":
        return this.#format(command.clusterId);
      case "registerNode":
        return nodeChange(this.#nodes.register(command, time));
      case "joinNode":
        return this.#join(command, time);
      case "drainNode":
        return nodeChange(this.#nodes.drain(command.nodeId));
      case "removeNode":
        return this.#remove(command.nodeId, time);
      case "setControllerVoters":
        return this.#setVoters(command);
      case "replaceControllerReplica":
        return this.#replaceController(command);
      case "createTopic":
        return this.#create(command, time);
      case "deleteTopic":
        return this.#delete(command.topicId, time);
      case "forgetTopics":
        return this.#forget(command);
      case "addPartitions":
        return this.#addPartitions(command, time);
      case "assignReplicas":
        return this.#assign(command);
      case "replaceReplica":
        return this.#replaceReplica(command);
      case "confirmReplicas":
        return this.#confirm(command);
      case "alterConfigs":
        return this.#alterConfigs(command);
      case "allocateProducerIds":
        return this.#allocateProducerIds(command.count);
      default:
        return unreachable(command);
    }
  }

  /** The whole state, in an order that depends on the state alone. */
  data(): ClusterData {
    return {
      clusterId: this.#clusterId,
      nodes: this.#nodes.data(),
      topics: this.#names.map((name) => this.#byName.get(name)!),
      deleted: [...this.#deleted.values()].sort((a, b) => (a.topicId < b.topicId ? -1 : 1)),
      nextProducerId: this.#nextProducerId,
      nextIncarnation: this.#nextIncarnation,
    };
  }

  /** The state that data() told. */
  static of(data: ClusterData): ClusterState {
    const state = new ClusterState();
    state.#clusterId = data.clusterId;
    state.#nodes = NodeRegistry.of(data.nodes);
    for (const topic of data.topics) state.#insert(topic);
    for (const topic of data.deleted) state.#deleted.set(topic.topicId, topic);
    state.#nextProducerId = data.nextProducerId;
    state.#nextIncarnation = data.nextIncarnation;
    return state;
  }

  #format(clusterId: string): Applied {
    if (this.#clusterId !== null)
      return refuse("policy_violation", `Cannot format: the cluster is ${this.#clusterId}`);
    this.#clusterId = clusterId;
    return unchanged;
  }

  #join(command: Command & { kind: "joinNode" }, time: number): Applied {
    const outcome = this.#nodes.join(command, time, this.#nextIncarnation);
    if (outcome.ok && outcome.before === null) this.#nextIncarnation += 1;
    return nodeChange(outcome);
  }

  #remove(nodeId: number, time: number): Applied {
    const outcome = this.#nodes.remove(nodeId, time);
    if (outcome.ok && outcome.node !== null)
      for (const topic of this.#deleted.values()) this.#letGo(topic, nodeId);
    return nodeChange(outcome);
  }

  #setVoters(command: Command & { kind: "setControllerVoters" }): Applied {
    const outcome = this.#nodes.setVoters(command);
    if (!outcome.ok) return outcome;
    return { ok: true, change: { kind: "controllerVoters", voters: this.controllerVoters } };
  }

  #replaceController(command: Command & { kind: "replaceControllerReplica" }): Applied {
    const { nodeId, incarnation } = command;
    const outcome = this.#nodes.replaceController(nodeId, incarnation, this.#nextIncarnation);
    if (outcome.ok && outcome.node !== outcome.before) this.#nextIncarnation += 1;
    return nodeChange(outcome);
  }

  #create(command: Command & { kind: "createTopic" }, time: number): Applied {
    const { name, topicId, assignments } = command;
    // The same command again: its first try was committed, and its sender did not hear of it.
    const known = this.#byId.get(topicId);
    if (known?.name === name) return unchanged;
    const refusal =
      idTaken(name, known) ??
      this.nameTaken(name) ??
      this.tooManyPartitions(name, assignments.length) ??
      this.#removedFault(name, assignments);
    if (refusal !== null) return refusal;
    const factor = command.explicitFactor === true ? (assignments[0]?.length ?? 1) : null;
    const topic: TopicState = {
      name,
      topicId,
      createdAt: time,
      assignments,
      configs: changeConfigs({}, command.configs),
      earlierCounts: [],
      factor,
      moves: new Map(),
    };
    this.#insert(topic);
    return { ok: true, change: { kind: "topicCreated", topic } };
  }

  /** A node was removed after the proposer had chosen it. */
  #removedFault(name: string, assignments: readonly Assignment[]): Refusal | null {
    if (this.removedNodes.size === 0) return null;
    for (const assignment of assignments)
      for (const { nodeId } of assignment)
        if (this.removedNodes.has(nodeId)) return placedOnRemoved(name, nodeId);
    return null;
  }

  /** topic_already_exists, or invalid_topic_exception for a name that collides; null when the name is free. */
  nameTaken(name: string): Refusal | null {
    if (this.#byName.has(name))
      return refuse("topic_already_exists", `Cannot create topic ${name}: it is already there`);
    const other = this.collision(name);
    if (other === null) return null;
    const detail = `Cannot create topic ${name}: it collides with ${other}, "." and "_" count as the same`;
    return refuse("invalid_topic_exception", detail);
  }

  /** invalid_partitions when `more` would pass the node's limit. */
  tooManyPartitions(name: string, more: number): Refusal | null {
    const max = limits.partitionsPerNodeMax;
    if (this.#partitions + more <= max) return null;
    const detail = `Cannot give topic ${name} ${more} more partitions: ${this.#partitions} of ${max} are in use`;
    return refuse("invalid_partitions", detail, { members: { partitionsPerNodeMax: max } });
  }

  #delete(topicId: string, time: number): Applied {
    const topic = this.#byId.get(topicId);
    if (topic === undefined) return unknownTopic(topicId);
    this.#byName.delete(topic.name);
    this.#byId.delete(topicId);
    this.#names.splice(this.position(topic.name), 1);
    this.#collisions.delete(collisionKey(topic.name));
    this.#partitions -= topic.assignments.length;
    const partitions = topic.assignments.length;
    this.#weigh(topic, -1);
    const holders = this.#holders(topic);
    this.#deleted.set(topicId, { topicId, name: topic.name, partitions, deletedAt: time, holders });
    return { ok: true, change: { kind: "topicDeleted", topic } };
  }

  /** Members with replicas of the topic, by ascending id. */
  #holders(topic: TopicState): readonly number[] {
    const replicas = [topic.assignments, [...topic.moves.values()].map((move) => move.leaving)];
    const nodes = new Set(replicas.flat(2).map(({ nodeId }) => nodeId));
    return [...nodes].filter((nodeId) => !this.removedNodes.has(nodeId)).sort((a, b) => a - b);
  }

  #forget({ topicIds, nodeId }: Command & { kind: "forgetTopics" }): Applied {
    for (const topicId of topicIds) {
      const topic = this.#deleted.get(topicId);
      if (topic === undefined) continue;
      if (nodeId === undefined) this.#deleted.delete(topicId);
      else this.#letGo(topic, nodeId);
    }
    return unchanged;
  }

  /** The node holds nothing of a deleted topic any more. */
  #letGo(topic: DeletedTopic, nodeId: number): void {
    const holders = topic.holders.filter((holder) => holder !== nodeId);
    if (holders.length === 0) this.#deleted.delete(topic.topicId);
    else this.#deleted.set(topic.topicId, { ...topic, holders });
  }

  #addPartitions(command: Command & { kind: "addPartitions" }, time: number): Applied {
    const before = this.#byId.get(command.topicId);
    if (before === undefined) return unknownTopic(command.topicId);
    if (before.assignments.length !== command.first) {
      const detail = `Cannot add partitions to ${before.name}: it must have ${command.first}, it has ${before.assignments.length}`;
      return refuse("invalid_partitions", detail);
    }
    const refusal =
      this.tooManyPartitions(before.name, command.assignments.length) ??
      this.#removedFault(before.name, command.assignments);
    if (refusal !== null) return refusal;
    this.#partitions += command.assignments.length;
    const assignments = [...before.assignments, ...command.assignments];
    const earlierCounts = [
      ...before.earlierCounts.filter(({ until }) => until + limits.idempotencyKeyAgeMsMax > time),
      { partitions: command.first, until: time },
    ];
    return this.#replace(before, { ...before, assignments, earlierCounts });
  }

  #assign(command: Command & { kind: "assignReplicas" }): Applied {
    const before = this.#byId.get(command.topicId);
    if (before === undefined) return unknownTopic(command.topicId);
    for (const { nodes } of command.changes) {
      const stranger = nodes.find((nodeId) => !this.nodes.has(nodeId));
      if (stranger !== undefined) return placedOnRemoved(before.name, stranger);
    }
    const changed = reassign(before, command, () => this.#nextIncarnation++);
    return changed.ok ? this.#replace(before, changed.topic) : changed;
  }

  #replaceReplica(command: Command & { kind: "replaceReplica" }): Applied {
    const before = this.#byId.get(command.topicId);
    if (before === undefined) return unknownTopic(command.topicId);
    const topic = replace(before, command, () => this.#nextIncarnation++);
    return topic === null ? unchanged : this.#replace(before, topic);
  }

  #confirm(command: Command & { kind: "confirmReplicas" }): Applied {
    const before = this.#byId.get(command.topicId);
    if (before === undefined) return unknownTopic(command.topicId);
    const topic = confirm(before, command);
    if (topic === null) return unchanged;
    return "ok" in topic ? topic : this.#replace(before, topic);
  }

  #alterConfigs(command: Command & { kind: "alterConfigs" }): Applied {
    const before = this.#byId.get(command.topicId);
    if (before === undefined) return unknownTopic(command.topicId);
    const configs = changeConfigs(before.configs, command.changes);
    return this.#replace(before, { ...before, configs });
  }

  #allocateProducerIds(count: number): Applied {
    const first = this.#nextProducerId;
    this.#nextProducerId += count;
    return { ok: true, change: { kind: "producerIds", first, count } };
  }

  #insert(topic: TopicState): void {
    this.#names.splice(this.position(topic.name), 0, topic.name);
    this.#byName.set(topic.name, topic);
    this.#byId.set(topic.topicId, topic);
    this.#collisions.set(collisionKey(topic.name), topic.name);
    this.#partitions += topic.assignments.length;
    this.#weigh(topic, 1);
  }

  #replace(before: TopicState, topic: TopicState): Applied {
    this.#weigh(before, -1);
    this.#weigh(topic, 1);
    this.#byName.set(topic.name, topic);
    this.#byId.set(topic.topicId, topic);
    return { ok: true, change: { kind: "topicChanged", topic, before } };
  }

  #weigh(topic: TopicState, sign: 1 | -1): void {
    for (const { settled } of topic.moves.values()) if (!settled) this.#unsettled += sign;
    for (const assignment of topic.assignments)
      assignment.forEach(({ nodeId }, place) => {
        const { replicas, leads } = this.load(nodeId);
        const load = { replicas: replicas + sign, leads: leads + (place === 0 ? sign : 0) };
        if (load.replicas === 0) this.#loads.delete(nodeId);
        else this.#loads.set(nodeId, load);
      });
  }
}

const noLoad: NodeLoad = { replicas: 0, leads: 0 };

function nodeChange(outcome: NodeOutcome): Applied {
  if (!outcome.ok) return outcome;
  const { node, before } = outcome;
  return node === null ? unchanged : { ok: true, change: { kind: "nodeChanged", node, before } };
}

function idTaken(name: string, known: TopicState | undefined): Refusal | null {
  if (known === undefined) return null;
  const detail = `Cannot create topic ${name}: its id ${known.topicId} is that of ${known.name}`;
  return refuse("topic_already_exists", detail);
}

function placedOnRemoved(name: string, nodeId: number): Refusal {
  const detail = `Cannot place partitions of ${name} on node ${nodeId}: it is no member of the cluster`;
  return refuse("policy_violation", detail, { members: { nodeId } });
}

function unknownTopic(topicId: string): Refusal {
  return refuse(
    "unknown_topic_or_partition",
    `The topic with id ${topicId} was deleted or never was`,
  );
}
