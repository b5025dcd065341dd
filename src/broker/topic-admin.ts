// Changing topics: checks a wish against names, numbers and configs, then submits one command to the controller.
//
// Promise: what is refused changed nothing; what is answered is committed and, for a deletion, its bytes are dead.
// Several writers to one unknown topic create it once. The check before the command gives good messages; the fold
// checks again, because two wishes may race. Left to others: the fold (cluster-state.ts), the replicas (topics.ts).

import type { BrokerSettings } from "../cluster/broker-settings.ts";
import type { Assignment } from "../cluster/commands.ts";
import type { Controller } from "../cluster/controller.ts";
import { defaultFactor, place, placeableNodes } from "../cluster/placement.ts";
import { isInternalTopic, topicNameFault } from "../cluster/topic-names.ts";
import {
  checkConfigNames,
  checkTopicConfigs,
  type ConfigValues,
} from "../cluster/topic-settings.ts";
import { uuidV4 } from "../cluster/uuid.ts";
import { refuse, refusalOf, type Refusal } from "../errors.ts";
import type { Journal } from "../journal/journal.ts";
import { limits } from "../limits.ts";
import type { World } from "../world.ts";
import type { NewTopic, TopicDescription, TopicView } from "./broker.ts";
import type { PartitionLogs } from "./partition-log.ts";
import { unknownTopic } from "./partition-slot.ts";
import type { Topic, Topics } from "./topics.ts";

/** Topics that the node will make itself, in its own shape. */
const reservedNames = new Set(["__consumer_offsets", "__transaction_state", "__share_group_state"]);

/** How long a new topic waits for its partitions' first elections, ms. */
const electionsMs = 10_000;

export interface TopicAdminParts {
  readonly world: World;
  readonly controller: Controller;
  readonly topics: Topics;
  readonly settings: BrokerSettings;
  readonly journal: Journal;
  readonly logs: PartitionLogs;
  /** Whether packets reach a node now, or it is this one: new replicas go to those first. */
  readonly reachable: (nodeId: number) => boolean;
}

export class TopicAdmin {
  readonly #parts: TopicAdminParts;
  /** Automatic creations under way, by name. */
  readonly #creating = new Map<string, Promise<TopicView | Refusal>>();

  constructor(parts: TopicAdminParts) {
    this.#parts = parts;
  }

  async create(wish: NewTopic): Promise<TopicDescription | Refusal> {
    const created = await this.#create(wish);
    return "ok" in created ? created : this.#parts.topics.describe(created);
  }

  async delete(name: string): Promise<Refusal | { readonly ok: true }> {
    const { topics, controller, settings } = this.#parts;
    const topic = topics.byName(name);
    // Not unknownTopic(): nobody who deletes a topic wants to hear how to create it.
    if (topic === null) {
      const detail = `Cannot delete topic ${JSON.stringify(name.slice(0, 300))}: there is none`;
      return refuse("unknown_topic_or_partition", detail);
    }
    if (!settings.deleteTopics)
      return refuse("policy_violation", `Cannot delete ${name}: delete.topic.enable is false`);
    const { topicId } = topic.state;
    const applied = await controller.submit({ kind: "deleteTopic", topicId });
    if (!applied.ok) return applied;
    try {
      await topics.dropped(topicId);
      return { ok: true };
    } catch (thrown) {
      return { ...refusalOf(thrown), sideEffects: "unknown" };
    }
  }

  async alterConfigs(
    name: string,
    changes: Readonly<Record<string, string | null>>,
  ): Promise<TopicDescription | Refusal> {
    const topic = this.#parts.topics.byName(name);
    if (topic === null) return unknownTopic(name);
    const checked = checkChanges(name, changes);
    if (!checked.ok) return checked;
    const { topicId } = topic.state;
    return await this.#change(topic, { kind: "alterConfigs", topicId, changes: checked.changes });
  }

  async addPartitions(name: string, total: number): Promise<TopicDescription | Refusal> {
    const topic = this.#parts.topics.byName(name);
    if (topic === null) return unknownTopic(name);
    const first = topic.partitions;
    const refusal = partitionsFault(name, total) ?? this.#checkStorage();
    if (refusal !== null) return refusal;
    if (total <= first) {
      const detail = `Cannot add partitions to ${name}: more than its ${first} are wanted, got ${total}`;
      return refuse("invalid_partitions", detail);
    }
    const { topicId, factor } = topic.state;
    const assignments = this.#place(total - first, factor);
    const changed = await this.#change(topic, {
      kind: "addPartitions",
      topicId,
      first,
      assignments,
    });
    if (!("ok" in changed)) await this.#untilWritable(topic, first);
    return changed;
  }

  /** The value itself when the topic is there. */
  forWrite(name: string): TopicView | Refusal | Promise<TopicView | Refusal> {
    const topic = this.#parts.topics.byName(name);
    if (topic !== null) return topic.view;
    // Nobody else's wait says that this very call created the topic.
    const underWay = this.#creating.get(name);
    if (underWay !== undefined)
      return underWay.then((view) => ("ok" in view ? view : { ...view, created: false }));
    if (!this.#parts.settings.autoCreateTopics) return unknownTopic(name);
    if (isInternalTopic(name)) return unknownTopic(name);
    const creating = this.#createForWrite(name).finally(() => this.#creating.delete(name));
    this.#creating.set(name, creating);
    return creating;
  }

  async #createForWrite(name: string): Promise<TopicView | Refusal> {
    const created = await this.#create({ name });
    if (!("ok" in created)) return { ...created.view, created: true };
    // An explicit creation was faster.
    const topic = created.code === "topic_already_exists" ? this.#parts.topics.byName(name) : null;
    return topic?.view ?? created;
  }

  async #create(wish: NewTopic): Promise<Topic | Refusal> {
    const { name } = wish;
    const refusal = this.#checkName(name) ?? this.#checkFactor(wish) ?? this.#checkStorage();
    if (refusal !== null) return refusal;
    const partitions = asked(wish.partitions) ?? this.#parts.settings.numPartitions;
    const tooMany = partitionsFault(name, partitions);
    if (tooMany !== null) return tooMany;
    const checked = checkTopicConfigs(name, wish.configs ?? {});
    if (!checked.ok) return checked;
    const factor = asked(wish.replicationFactor) ?? this.#parts.settings.replicationFactor;
    return await this.#submitNew({ name, partitions, factor, configs: checked.values });
  }

  async #submitNew(topic: {
    readonly name: string;
    readonly partitions: number;
    /** null: as many as nodes allow. */
    readonly factor: number | null;
    readonly configs: ConfigValues;
  }): Promise<Topic | Refusal> {
    const { world, controller, topics } = this.#parts;
    const { name, configs, factor } = topic;
    const topicId = uuidV4(world);
    const assignments = this.#place(topic.partitions, factor);
    const explicitFactor = factor !== null;
    const applied = await controller.submit({
      kind: "createTopic",
      name,
      topicId,
      assignments,
      configs,
      explicitFactor,
    });
    if (!applied.ok) return applied;
    const created = topics.byId(topicId);
    if (created !== null) await this.#untilWritable(created, 0);
    // It may have been deleted again while this call slept.
    return topics.byId(topicId) ?? unknownTopic(name);
  }

  /** A partition of one replica leads itself when it is first used; the others hold their elections now. */
  async #untilWritable(topic: Topic, first: number): Promise<void> {
    const { logs } = this.#parts;
    if (logs.peekIsCurrent) return;
    const groupIds = topic.state.assignments
      .map((replicas, partition) => ({ replicas, groupId: topic.groupId(partition) }))
      .slice(first)
      .filter(({ replicas }) => replicas.length > 1)
      .map(({ groupId }) => groupId);
    await logs.untilLed(groupIds, electionsMs);
  }

  async #change(
    topic: Topic,
    command: Parameters<Controller["submit"]>[0],
  ): Promise<TopicDescription | Refusal> {
    const { controller, topics } = this.#parts;
    const applied = await controller.submit(command);
    if (!applied.ok) return applied;
    return topic.deleted ? unknownTopic(topic.name) : topics.describe(topic);
  }

  #checkName(name: string): Refusal | null {
    const fault = topicNameFault(name);
    if (fault !== null)
      return refuse(
        "invalid_topic_exception",
        `Cannot create topic: its name must be legal, ${fault}`,
      );
    if (reservedNames.has(name))
      return refuse(
        "invalid_topic_exception",
        `Cannot create topic ${name}: the node makes it itself`,
      );
    return this.#parts.controller.state.nameTaken(name);
  }

  #checkFactor(wish: NewTopic): Refusal | null {
    const nodes = placeableNodes(this.#parts.controller.state).length;
    const factor = asked(wish.replicationFactor) ?? this.#parts.settings.replicationFactor;
    if (factor === null) return null;
    if (Number.isInteger(factor) && factor >= 1 && factor <= nodes) return null;
    const detail = `Cannot create topic ${wish.name}: a replication factor from 1 to ${nodes} is wanted (the cluster has ${nodes} node${nodes === 1 ? "" : "s"}), got ${factor}`;
    return refuse("invalid_replication_factor", detail, { members: { nodes } });
  }

  /** A full disk takes what frees it (configs, deletions), and nothing that fills it further. */
  #checkStorage(): Refusal | null {
    const { state, detail } = this.#parts.journal.health();
    return state === "full" ? refuse("storage_full", detail, { retryAfterMs: 5_000 }) : null;
  }

  #place(partitions: number, factor: number | null): readonly Assignment[] {
    const { controller, reachable } = this.#parts;
    const { state } = controller;
    const down = [...state.nodes.keys()].filter((nodeId) => !reachable(nodeId));
    const wish = { partitions, factor: factor ?? defaultFactor(state), avoid: new Set(down) };
    return place(state, wish);
  }
}

/** Kafka's -1 asks for the default, as leaving it out does. */
function asked(n: number | undefined): number | null {
  return n === undefined || n === -1 ? null : n;
}

function partitionsFault(name: string, partitions: number): Refusal | null {
  const max = limits.partitionsPerTopicMax;
  if (Number.isInteger(partitions) && partitions >= 1 && partitions <= max) return null;
  const detail = `Cannot give topic ${name} partitions: 1 to ${max} are wanted, got ${partitions}`;
  return refuse("invalid_partitions", detail, { members: { partitionsPerTopicMax: max } });
}

/** Values checked and canonical, nulls kept. */
function checkChanges(
  name: string,
  changes: Readonly<Record<string, string | null>>,
): { readonly ok: true; readonly changes: Readonly<Record<string, string | null>> } | Refusal {
  const unknown = checkConfigNames(name, Object.keys(changes));
  if (unknown !== null) return unknown;
  const values: Record<string, string> = {};
  const resets: Record<string, null> = {};
  for (const [config, value] of Object.entries(changes)) {
    if (value === null) resets[config] = null;
    else values[config] = value;
  }
  const checked = checkTopicConfigs(name, values);
  return checked.ok ? { ok: true, changes: { ...checked.values, ...resets } } : checked;
}
