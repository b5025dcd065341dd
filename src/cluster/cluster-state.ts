// The controller's fold: cluster id, nodes, topics, deleted topics, producer ids.
//
// Promise: apply() is a pure function of (state, command, entry time), so that fold(log) equals the live state on
// every node; describe is a map look-up, and names are kept in order, so that a list never sorts. A TopicState is
// replaced, never changed: whoever holds one holds a consistent picture.
// Left to others: how commands get here (controller.ts), what a changed topic means for replicas (broker/).

import { unreachable } from "../assert.ts";
import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Assignment, Command } from "./commands.ts";
import { collisionKey } from "./topic-names.ts";
import { changeConfigs, type ConfigValues } from "./topic-settings.ts";

export interface NodeState {
  readonly nodeId: number;
  readonly version: string;
  /** Entry time of its last start, ms. */
  readonly registeredAt: number;
}

export interface TopicState {
  readonly name: string;
  /** UUID v4, canonical text form; never used twice. */
  readonly topicId: string;
  /** Entry time of the creation, ms. */
  readonly createdAt: number;
  /** One a partition. */
  readonly assignments: readonly Assignment[];
  /** Overrides alone, canonical values, in name order. */
  readonly configs: ConfigValues;
  /** The counts of partitions that it had before, oldest first, as long as an idempotency key may have been placed by
   *  one: a retry is placed by its first try's. */
  readonly earlierCounts: readonly EarlierCount[];
}

export interface EarlierCount {
  readonly partitions: number;
  /** Entry time of the command that added more, ms. */
  readonly until: number;
}

/** A topic whose replicas are to be dropped: data dies only when a committed record says so. */
export interface DeletedTopic {
  readonly topicId: string;
  readonly name: string;
  readonly partitions: number;
  readonly deletedAt: number;
}

/** What an applied command changed. */
export type Change =
  | { readonly kind: "none" }
  | { readonly kind: "topicCreated"; readonly topic: TopicState }
  | { readonly kind: "topicChanged"; readonly topic: TopicState; readonly before: TopicState }
  | { readonly kind: "topicDeleted"; readonly topic: TopicState }
  | { readonly kind: "producerIds"; readonly first: number; readonly count: number };

export type Applied = { readonly ok: true; readonly change: Change } | Refusal;

const unchanged: Applied = { ok: true, change: { kind: "none" } };

/** Everything that a snapshot holds. */
export interface ClusterData {
  readonly clusterId: string | null;
  readonly nodes: readonly NodeState[];
  readonly topics: readonly TopicState[];
  readonly deleted: readonly DeletedTopic[];
  readonly nextProducerId: number;
}

export class ClusterState {
  #clusterId: string | null = null;
  #nodes = new Map<number, NodeState>();
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
  get nodes(): ReadonlyMap<number, NodeState> {
    return this.#nodes;
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
        this.#nodes.set(command.nodeId, {
          nodeId: command.nodeId,
          version: command.version,
          registeredAt: time,
        });
        return unchanged;
      case "createTopic":
        return this.#create(command, time);
      case "deleteTopic":
        return this.#delete(command.topicId, time);
      case "forgetTopics":
        for (const topicId of command.topicIds) this.#deleted.delete(topicId);
        return unchanged;
      case "addPartitions":
        return this.#addPartitions(command, time);
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
      nodes: [...this.#nodes.values()].sort((a, b) => a.nodeId - b.nodeId),
      topics: this.#names.map((name) => this.#byName.get(name)!),
      deleted: [...this.#deleted.values()].sort((a, b) => (a.topicId < b.topicId ? -1 : 1)),
      nextProducerId: this.#nextProducerId,
    };
  }

  /** The state that data() told. */
  static of(data: ClusterData): ClusterState {
    const state = new ClusterState();
    state.#clusterId = data.clusterId;
    for (const node of data.nodes) state.#nodes.set(node.nodeId, node);
    for (const topic of data.topics) state.#insert(topic);
    for (const topic of data.deleted) state.#deleted.set(topic.topicId, topic);
    state.#nextProducerId = data.nextProducerId;
    return state;
  }

  #format(clusterId: string): Applied {
    if (this.#clusterId !== null)
      return refuse("policy_violation", `Cannot format: the cluster is ${this.#clusterId}`);
    this.#clusterId = clusterId;
    return unchanged;
  }

  #create(command: Command & { kind: "createTopic" }, time: number): Applied {
    const { name, topicId, assignments } = command;
    const refusal = this.nameTaken(name) ?? this.tooManyPartitions(name, assignments.length);
    if (refusal !== null) return refusal;
    const configs = changeConfigs({}, command.configs);
    const created = { name, topicId, createdAt: time, assignments, configs };
    const topic: TopicState = { ...created, earlierCounts: [] };
    this.#insert(topic);
    return { ok: true, change: { kind: "topicCreated", topic } };
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
    this.#deleted.set(topicId, { topicId, name: topic.name, partitions, deletedAt: time });
    return { ok: true, change: { kind: "topicDeleted", topic } };
  }

  #addPartitions(command: Command & { kind: "addPartitions" }, time: number): Applied {
    const before = this.#byId.get(command.topicId);
    if (before === undefined) return unknownTopic(command.topicId);
    if (before.assignments.length !== command.first) {
      const detail = `Cannot add partitions to ${before.name}: it must have ${command.first}, it has ${before.assignments.length}`;
      return refuse("invalid_partitions", detail);
    }
    const refusal = this.tooManyPartitions(before.name, command.assignments.length);
    if (refusal !== null) return refusal;
    this.#partitions += command.assignments.length;
    const assignments = [...before.assignments, ...command.assignments];
    const earlierCounts = [
      ...before.earlierCounts.filter(({ until }) => until + limits.idempotencyKeyAgeMsMax > time),
      { partitions: command.first, until: time },
    ];
    return this.#replace(before, { ...before, assignments, earlierCounts });
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
  }

  #replace(before: TopicState, topic: TopicState): Applied {
    this.#byName.set(topic.name, topic);
    this.#byId.set(topic.topicId, topic);
    return { ok: true, change: { kind: "topicChanged", topic, before } };
  }
}

function unknownTopic(topicId: string): Refusal {
  return refuse(
    "unknown_topic_or_partition",
    `The topic with id ${topicId} was deleted or never was`,
  );
}
