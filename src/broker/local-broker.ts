// The broker of one node: both doors' one path, put together from its parts.
//
// Promise: every verb of Broker, each one call into the part that owns it; after close() has begun, nothing new is
// taken and what is under way is answered. Left to others: everything else (see the imports, in order of the path).

import type { Controller } from "../cluster/controller.ts";
import { refuse, type Refusal } from "../errors.ts";
import type { MemberService } from "../cluster/member-service.ts";
import type { JoinAnswer, JoinRequest } from "../cluster/membership.ts";
import type { ReadModel } from "../cluster/read-model.ts";
import type { ReplicaHost } from "../consensus/replica.ts";
import type { Journal } from "../journal/journal.ts";
import type { World } from "../world.ts";
import type {
  Broker,
  BrokerStatus,
  FetchRequest,
  GroupPlace,
  KeyedPlacement,
  NewTopic,
  PartitionLeader,
  ProduceRequest,
  ReadConsistency,
} from "./broker.ts";
import type { ClusterView } from "./cluster-view.ts";
import type { FenceChange, Fences } from "./fences.ts";
import type { Fetching } from "./fetch.ts";
import type { KeyCounts } from "./key-counts.ts";
import type { Offsets, WantedOffset } from "./offsets.ts";
import { groupNumbers } from "./group-numbers.ts";
import { hostMetricNames, journalMetricNames, renamed, vigilMetricNames } from "./metrics.ts";
import { unknownTopic } from "./partition-slot.ts";
import type { Producing } from "./produce.ts";
import type { ProducerIds } from "./producer-ids.ts";
import type { LogServer } from "./log-server.ts";
import type { RoutedLogs } from "./routed-logs.ts";
import type { Retention } from "./retention.ts";
import type { TopicAdmin } from "./topic-admin.ts";
import type { TopicListQuery, Topics } from "./topics.ts";
import type { WaitRoom } from "./wait-room.ts";

export interface BrokerParts {
  readonly world: World;
  readonly journal: Journal;
  readonly host: ReplicaHost;
  readonly controller: Controller;
  readonly topics: Topics;
  readonly admin: TopicAdmin;
  readonly producing: Producing;
  readonly fetching: Fetching;
  readonly offsets: Offsets;
  readonly fences: Fences;
  readonly keyCounts: KeyCounts;
  readonly producerIds: ProducerIds;
  readonly retention: Retention;
  readonly cluster: ClusterView;
  readonly members: MemberService;
  /** What moves replicas in a cluster; none on a node alone. */
  readonly movers: readonly { close(): void; metrics?(): Readonly<Record<string, number>> }[];
  /** Of the peer port, under the names that /metrics shows. */
  readonly peerMetrics: () => Readonly<Record<string, number>>;
  /** Asked when the controller has no leader: what else is known of why; null: nothing. */
  readonly trouble: () => string | null;
  /** null: this node is alone. */
  readonly routing: { readonly logs: RoutedLogs; readonly server: LogServer } | null;
  readonly room: WaitRoom;
  /** null: none was asked for. */
  readonly readModel: ReadModel | null;
  readonly nodeId: number;
  readonly version: string;
}

export class LocalBroker implements Broker {
  readonly #parts: BrokerParts;
  readonly #startedAt: number;
  /** Changes under way; close() waits for them, and for appends (Producing counts those). */
  readonly #underWay = new Set<Promise<unknown>>();
  #closing: Promise<void> | null = null;

  constructor(parts: BrokerParts) {
    this.#parts = parts;
    this.#startedAt = parts.world.monotonic();
  }

  createTopic(topic: NewTopic): ReturnType<Broker["createTopic"]> {
    return this.#whileOpen(() => this.#parts.admin.create(topic));
  }

  deleteTopic(name: string): ReturnType<Broker["deleteTopic"]> {
    return this.#whileOpen(() => this.#parts.admin.delete(name));
  }

  describeTopic(of: {
    readonly name?: string;
    readonly topicId?: string;
  }): ReturnType<Broker["describeTopic"]> {
    const { topics } = this.#parts;
    if (of.topicId !== undefined) {
      const topic = topics.byId(of.topicId);
      return topic === null ? unknownTopicId(of.topicId) : topics.describe(topic);
    }
    const topic = topics.byName(of.name ?? "");
    return topic === null ? unknownTopic(of.name ?? "") : topics.describe(topic);
  }

  describePartitions(name: string): ReturnType<Broker["describePartitions"]> {
    const topic = this.#parts.topics.byName(name);
    return topic === null ? unknownTopic(name) : topic.describePartitions();
  }

  listTopics(query: TopicListQuery): ReturnType<Broker["listTopics"]> {
    return this.#parts.topics.list(query);
  }

  alterConfigs(
    name: string,
    changes: Readonly<Record<string, string | null>>,
  ): ReturnType<Broker["alterConfigs"]> {
    return this.#whileOpen(() => this.#parts.admin.alterConfigs(name, changes));
  }

  addPartitions(name: string, total: number): ReturnType<Broker["addPartitions"]> {
    return this.#whileOpen(() => this.#parts.admin.addPartitions(name, total));
  }

  topicForWrite(name: string): ReturnType<Broker["topicForWrite"]> {
    return this.#closing === null ? this.#parts.admin.forWrite(name) : stopping();
  }

  countForKey(request: KeyedPlacement): ReturnType<Broker["countForKey"]> {
    return this.#closing === null ? this.#parts.keyCounts.countFor(request) : stopping();
  }

  topic(name: string): ReturnType<Broker["topic"]> {
    return this.#parts.topics.byName(name)?.view ?? null;
  }

  topicById(topicId: string): ReturnType<Broker["topicById"]> {
    return this.#parts.topics.byId(topicId)?.view ?? null;
  }

  produce(request: ProduceRequest): ReturnType<Broker["produce"]> {
    if (this.#closing === null) return this.#parts.producing.produce(request);
    return Promise.resolve(request.appends.map(({ partition }) => ({ ...stopping(), partition })));
  }

  fetch(request: FetchRequest): ReturnType<Broker["fetch"]> {
    return this.#closing === null
      ? this.#parts.fetching.fetch(request)
      : Promise.resolve(stopping());
  }

  listOffsets(
    topic: string,
    wanted: readonly WantedOffset[],
    options?: { readonly consistency?: ReadConsistency },
  ): ReturnType<Broker["listOffsets"]> {
    return this.#parts.offsets.list(topic, wanted, options?.consistency);
  }

  bounds(topic: string, partitions?: readonly number[]): ReturnType<Broker["bounds"]> {
    return this.#parts.offsets.bounds(topic, partitions);
  }

  currentBounds(
    topic: string,
    partitions?: readonly number[],
  ): ReturnType<Broker["currentBounds"]> {
    return this.#parts.offsets.currentBounds(topic, partitions);
  }

  deleteRecords(
    topic: string,
    partition: number,
    before: number,
  ): ReturnType<Broker["deleteRecords"]> {
    return this.#whileOpen(() => this.#parts.offsets.deleteRecords(topic, partition, before));
  }

  initProducerId(): ReturnType<Broker["initProducerId"]> {
    return this.#whileOpen(() => this.#parts.producerIds.next());
  }

  fence(topic: string, partition: number): ReturnType<Broker["fence"]> {
    return this.#whileOpen(() => this.#parts.fences.get(topic, partition));
  }

  setFence(topic: string, partition: number, change: FenceChange): ReturnType<Broker["setFence"]> {
    return this.#whileOpen(() => this.#parts.fences.set(topic, partition, change));
  }

  subscribe(name: string, wake: () => void): () => void {
    return this.#parts.topics.byName(name)?.subscribe(wake) ?? (() => undefined);
  }

  leaderOf(topic: string, partition: number): PartitionLeader | null {
    return this.#parts.cluster.leaderOf(topic, partition);
  }

  clusterStatus(of?: Parameters<Broker["clusterStatus"]>[0]): ReturnType<Broker["clusterStatus"]> {
    return this.#parts.cluster.status(of);
  }

  transferLeadership(of: GroupPlace, toNode: number): ReturnType<Broker["transferLeadership"]> {
    return this.#whileOpen(() => this.#parts.cluster.transferLeadership(of, toNode));
  }

  removeNode(
    nodeId: number,
    options: { readonly force?: boolean } = {},
  ): ReturnType<Broker["removeNode"]> {
    const { force = false } = options;
    return this.#whileOpen(() => this.#parts.members.remove(nodeId, { force }));
  }

  /** Another node asks to become a member of this one's cluster. */
  join(request: JoinRequest): Promise<JoinAnswer> {
    return this.#whileOpen(() => this.#parts.members.join(request));
  }

  /** The cluster's metadata as this node knows it, for those who wire a node. */
  get controller(): Controller {
    return this.#parts.controller;
  }

  /** A peer speaks to a replica that is not open here: it is opened or created, if the metadata names it. */
  wanted(groupId: string, incarnation: number): void {
    if (this.#closing === null) this.#parts.routing?.logs.wanted(groupId, incarnation);
  }

  /** One round of retention now; settles when it is done. For tests and operators. */
  runRetention(): Promise<void> {
    return this.#parts.retention.run();
  }

  groups(): ReturnType<Broker["groups"]> {
    return groupNumbers(this.#parts.host, this.#parts.topics);
  }

  status(): BrokerStatus {
    const { controller, topics, world, nodeId, version } = this.#parts;
    const reason = this.#unready();
    return {
      nodeId,
      clusterId: controller.state.clusterId ?? "",
      version,
      term: controller.term,
      ready: reason === null,
      reason,
      topics: topics.count,
      partitions: controller.state.partitions,
      uptimeMs: world.monotonic() - this.#startedAt,
    };
  }

  metrics(): Readonly<Record<string, number>> {
    const { controller, topics, producing, fetching, retention, room } = this.#parts;
    const { readModel, journal, host, routing, movers } = this.#parts;
    return {
      topics: topics.count,
      partitions: controller.state.partitions,
      produce_requests_total: producing.counters.requests,
      produce_batches_total: producing.counters.batches,
      produce_bytes_total: producing.counters.bytes,
      produce_refused_total: producing.counters.refused,
      fetch_requests_total: fetching.counters.requests,
      fetch_bytes_total: fetching.counters.bytes,
      fetch_waits_total: fetching.counters.waits,
      fetch_waiters: room.count,
      retention_rounds_total: retention.rounds,
      retention_failures_total: retention.failures,
      read_model_failed: readModel === null || readModel.failure === null ? 0 : 1,
      ...renamed(journal.metrics(), journalMetricNames),
      ...renamed(host.metrics(), { ...hostMetricNames, ...vigilMetricNames }),
      ...routing?.logs.metrics(),
      ...routing?.server.metrics(),
      ...this.#parts.peerMetrics(),
      ...Object.assign({}, ...movers.map((mover) => mover.metrics?.())),
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** For tests, in place of close(): only what would outlive a broker that nobody refers to any more is ended. */
  async abandon(): Promise<void> {
    await this.#parts.readModel?.close();
  }

  async #close(): Promise<void> {
    const { producing, room, retention, routing, movers, readModel, host, journal } = this.#parts;
    room.close();
    for (const mover of movers) mover.close();
    await retention.stop();
    routing?.logs.close();
    await Promise.allSettled(this.#underWay);
    await producing.idle();
    await readModel?.close();
    await host.close();
    await journal.close();
  }

  /** Runs the work unless the node stops, and lets close() wait for it. */
  async #whileOpen<T>(work: () => Promise<T>): Promise<T | Refusal> {
    if (this.#closing !== null) return stopping();
    const running = work();
    this.#underWay.add(running);
    try {
      return await running;
    } finally {
      this.#underWay.delete(running);
    }
  }

  #unready(): string | null {
    if (this.#closing !== null) return "the node is stopping";
    const { journal, host, controller, nodeId } = this.#parts;
    const { state, detail } = journal.health();
    if (state === "full" || state === "failed") return `storage is ${state}: ${detail}`;
    if (host.unfit !== null) return host.unfit;
    const isMember = !controller.state.removedNodes.has(nodeId);
    if (controller.ready && isMember) return null;
    // Nobody else would: the next command may be far away.
    controller.recover();
    return this.#parts.trouble() ?? this.#parts.cluster.leaderlessWords();
  }
}

function stopping(): Refusal {
  return refuse("shutting_down", "The node is stopping", { retryAfterMs: 1_000 });
}

function unknownTopicId(topicId: string): Refusal {
  return refuse("unknown_topic_id", `No topic has the id ${JSON.stringify(topicId.slice(0, 100))}`);
}
