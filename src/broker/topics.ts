// The topics of this node at run time: each TopicState of the controller with its settings and partition slots.
//
// Promise: a look-up by name or id costs one map look-up; a Topic always shows the newest committed state; a deleted
// topic's waiters and subscribers are woken before its replicas are dropped. Topics and slots are made on first use.
// Left to others: changing topics (topic-admin.ts).

import type { Change, ClusterState, TopicState } from "../cluster/cluster-state.ts";
import { isInternalTopic } from "../cluster/topic-names.ts";
import {
  describeConfigs,
  settingsOf,
  type ConfigValues,
  type DescribedConfig,
  type TopicSettings,
} from "../cluster/topic-settings.ts";
import type { PartitionDescription, TopicDescription, TopicView } from "./broker.ts";
import type { GroupReport, GroupReports, LogBounds, PartitionLogs } from "./partition-log.ts";
import { emptyBounds, PartitionSlot } from "./partition-slot.ts";

/** How long a description waits for leaders, ms. */
const electMs = 3_000;

export class Topic {
  #state: TopicState;
  #settings: TopicSettings;
  #view: TopicView | null = null;
  #deleted = false;
  readonly #defaults: ConfigValues;
  readonly #logs: PartitionLogs;
  /** Sparse: a slot is made on first use. */
  readonly #slots: (PartitionSlot | undefined)[] = [];
  readonly #subscribers = new Set<() => void>();
  /** While there are subscribers: one of each slot. */
  #unwatches: (() => void)[] = [];

  constructor(logs: PartitionLogs, state: TopicState, defaults: ConfigValues) {
    this.#logs = logs;
    this.#state = state;
    this.#defaults = defaults;
    this.#settings = settingsOf(state.configs, defaults);
  }

  get state(): TopicState {
    return this.#state;
  }
  get name(): string {
    return this.#state.name;
  }
  get partitions(): number {
    return this.#state.assignments.length;
  }
  get settings(): TopicSettings {
    return this.#settings;
  }
  get deleted(): boolean {
    return this.#deleted;
  }

  /** What a door needs before it encodes records; the same object until the topic changes. */
  get view(): TopicView {
    this.#view ??= {
      name: this.#state.name,
      topicId: this.#state.topicId,
      partitions: this.partitions,
      maxMessageBytes: this.#settings.maxMessageBytes,
      timestampType: this.#settings.timestampType,
      timestampBeforeMaxMs: this.#settings.timestampBeforeMaxMs,
      timestampAfterMaxMs: this.#settings.timestampAfterMaxMs,
      created: false,
    };
    return this.#view;
  }

  /** The partition's slot, made on first use; null when the topic has no such partition, or has it no more. */
  slot(partition: number): PartitionSlot | null {
    const known = this.#slots[partition];
    if (known !== undefined) return known;
    if (this.#deleted || !this.has(partition)) return null;
    const groupId = this.groupId(partition);
    const slot = new PartitionSlot(this.#logs, { topic: this.name, partition, groupId });
    this.#slots[partition] = slot;
    slot.onWake(() => this.#wake());
    if (this.#subscribers.size > 0) this.#unwatches.push(slot.watch());
    return slot;
  }

  has(partition: number): boolean {
    return Number.isInteger(partition) && partition >= 0 && partition < this.partitions;
  }

  /** "<topicId>/<partition>". */
  groupId(partition: number): string {
    return `${this.#state.topicId}/${partition}`;
  }

  /** Where the partition's log begins and ends, without opening it or making its slot. */
  bounds(partition: number): LogBounds {
    const known = this.#slots[partition];
    return known?.bounds() ?? this.#logs.peek(this.groupId(partition))?.bounds ?? emptyBounds;
  }

  /** Live batch bytes, without opening the log. */
  bytes(partition: number): number {
    return this.#logs.peek(this.groupId(partition))?.bytes ?? 0;
  }

  /** Calls wake after each advance of any partition, after a change of the topic and after its deletion. */
  subscribe(wake: () => void): () => void {
    // A wrapper of its own, so that one function can subscribe twice.
    const subscriber = (): void => wake();
    this.#subscribers.add(subscriber);
    if (this.#subscribers.size === 1)
      this.#unwatches = this.#slots.flatMap((slot) => slot?.watch() ?? []);
    return () => {
      if (!this.#subscribers.delete(subscriber) || this.#subscribers.size > 0) return;
      for (const unwatch of this.#unwatches.splice(0)) unwatch();
    };
  }

  update(state: TopicState): void {
    this.#state = state;
    this.#settings = settingsOf(state.configs, this.#defaults);
    this.#view = null;
    this.#wake();
  }

  /** Wakes everyone; the slots refuse from now on. Settles when every partition's bytes are dead. */
  async delete(): Promise<void> {
    this.#deleted = true;
    const removals = this.#state.assignments.map(
      (_, partition) =>
        this.#slots[partition]?.remove() ?? this.#logs.remove(this.groupId(partition)),
    );
    this.#wake();
    await Promise.all(removals);
  }

  describe(configs: readonly DescribedConfig[]): TopicDescription {
    const { name, topicId, assignments } = this.#state;
    return {
      name,
      topicId,
      partitions: assignments.length,
      replicationFactor: assignments[0]?.length ?? 0,
      internal: isInternalTopic(name),
      configs,
    };
  }

  /** The value itself when every partition is led here. Partitions without a leader hold their elections first, within
   *  electMs: after a restart of all nodes nobody leads a partition before it is used, and this is a use. */
  describePartitions(): readonly PartitionDescription[] | Promise<readonly PartitionDescription[]> {
    const groupIds = this.#state.assignments.map((_, partition) => this.groupId(partition));
    const reports = this.#logs.reports(groupIds);
    return reports instanceof Promise
      ? reports.then((told) => this.#describeLed(groupIds, told))
      : this.#described(reports);
  }

  async #describeLed(
    groupIds: readonly string[],
    told: GroupReports,
  ): Promise<readonly PartitionDescription[]> {
    const asleep = groupIds.filter(
      (groupId) => !told.has(groupId) && this.#logs.leaderOf(groupId) === null,
    );
    if (asleep.length === 0) return this.#described(told);
    await this.#logs.untilLed(asleep, electMs);
    return this.#described(new Map([...told, ...(await this.#logs.reports(asleep))]));
  }

  /** Of a partition whose leader did not tell: what this node knows. */
  #described(reports: GroupReports): readonly PartitionDescription[] {
    return this.#state.assignments.map((replicas, partition) => {
      const groupId = this.groupId(partition);
      const report = reports.get(groupId);
      const { leaderEpoch, logStartOffset, highWatermark } =
        report?.bounds ?? this.bounds(partition);
      return {
        partition,
        leader: report?.leader ?? this.#logs.leaderOf(groupId),
        leaderEpoch,
        replicas: replicas.map(({ nodeId }) => nodeId),
        inSyncReplicas: report === undefined ? [] : inSyncNodes(report),
        logStartOffset,
        highWatermark,
        bytes: report?.bytes ?? this.bytes(partition),
      };
    });
  }

  #wake(): void {
    for (const subscriber of this.#subscribers) subscriber();
  }
}

function inSyncNodes({ members }: GroupReport): readonly number[] {
  return members.filter(({ inSync }) => inSync).map(({ nodeId }) => nodeId);
}

export interface TopicListQuery {
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
  readonly internal: boolean;
}

export class Topics {
  readonly #cluster: () => ClusterState;
  readonly #logs: PartitionLogs;
  readonly #defaults: ConfigValues;
  /** By topic id: only topics that were used since the start. */
  readonly #used = new Map<string, Topic>();
  /** Shared by all topics without overrides. */
  readonly #defaultConfigs: readonly DescribedConfig[];
  /** Topics whose replicas are being dropped. */
  readonly #deleting = new Map<string, Promise<void>>();

  constructor(cluster: () => ClusterState, logs: PartitionLogs, defaults: ConfigValues) {
    this.#cluster = cluster;
    this.#logs = logs;
    this.#defaults = defaults;
    this.#defaultConfigs = describeConfigs({}, defaults);
  }

  byName(name: string): Topic | null {
    const state = this.#cluster().topic(name);
    return state === null ? null : this.#topicOf(state);
  }

  byId(topicId: string): Topic | null {
    const state = this.#cluster().topicById(topicId);
    return state === null ? null : this.#topicOf(state);
  }

  get count(): number {
    return this.#cluster().names.length;
  }

  describe(topic: Topic): TopicDescription {
    const { configs } = topic.state;
    const plain = Object.keys(configs).length === 0;
    return topic.describe(plain ? this.#defaultConfigs : describeConfigs(configs, this.#defaults));
  }

  /** A page of topics in code point order. `next` is the name to give as `after`. Cost: log n + page. */
  list(query: TopicListQuery): {
    readonly items: readonly TopicDescription[];
    readonly next: string | null;
  } {
    const page: string[] = [];
    for (const name of this.#matching(query)) {
      if (page.length === query.limit)
        return { items: this.#describeAll(page), next: page.at(-1)! };
      page.push(name);
    }
    return { items: this.#describeAll(page), next: null };
  }

  /** Topics that retention looks at: a copy of the names, so that topics may come and go meanwhile. */
  names(): readonly string[] {
    return [...this.#cluster().names];
  }

  /** A committed change, told by the controller in order. */
  changed(change: Change): void {
    if (change.kind === "topicChanged") this.#used.get(change.topic.topicId)?.update(change.topic);
    if (change.kind === "topicDeleted") this.#delete(change.topic);
  }

  /** Settles when the replicas of a deleted topic are dropped. */
  async dropped(topicId: string): Promise<void> {
    await this.#deleting.get(topicId);
  }

  #topicOf(state: TopicState): Topic {
    const used = this.#used.get(state.topicId);
    if (used !== undefined) return used;
    const topic = new Topic(this.#logs, state, this.#defaults);
    this.#used.set(state.topicId, topic);
    return topic;
  }

  #delete(state: TopicState): void {
    const topic = this.#topicOf(state);
    this.#used.delete(state.topicId);
    const dropped = topic.delete().finally(() => this.#deleting.delete(state.topicId));
    this.#deleting.set(state.topicId, dropped);
    // The deleter hears of a fault through dropped(); nobody else waits.
    dropped.catch(() => undefined);
  }

  *#matching({ prefix, after, internal }: TopicListQuery): Generator<string> {
    const cluster = this.#cluster();
    const { names } = cluster;
    let at = cluster.position(after > prefix ? after : prefix);
    if (names[at] === after) at += 1;
    for (; at < names.length && names[at].startsWith(prefix); at += 1)
      if (internal || !isInternalTopic(names[at])) yield names[at];
  }

  #describeAll(names: readonly string[]): readonly TopicDescription[] {
    return names.map((name) => this.describe(this.byName(name)!));
  }
}
