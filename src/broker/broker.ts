// The broker as both doors see it: topics, produce, fetch, offsets. One path; a record cannot be legal on one door only.
//
// Refusals are returned per item, faults are thrown (errors.ts). Every call takes the principal's decision as made:
// the door has called authorize() before.

import type { Slice } from "../bytes/slab.ts";
import type { Refusal } from "../errors.ts";

export type Acks = "all" | "leader" | "none";

/** Where a config's value comes from, Kafka's words. */
export type ConfigSource = "topic" | "broker" | "default";

export interface ConfigEntry {
  readonly name: string;
  readonly value: string;
  readonly source: ConfigSource;
  /** "works", or "no_effect": accepted, and the journal has no such thing (`note` says why). */
  readonly effect: "works" | "no_effect";
  readonly note: string | null;
}

export interface TopicDescription {
  readonly name: string;
  /** UUID v4, canonical text form. */
  readonly topicId: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly internal: boolean;
  readonly configs: readonly ConfigEntry[];
}

export interface PartitionDescription {
  readonly partition: number;
  /** Node id, or null while there is none. */
  readonly leader: number | null;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  /** Voters that hold everything, or did within replica.lag.time.max.ms, as the leader knows; empty without a leader. */
  readonly inSyncReplicas: readonly number[];
  readonly logStartOffset: number;
  readonly highWatermark: number;
  /** Live batch bytes, at the leader. */
  readonly bytes: number;
}

/** What a door needs of a topic before it encodes a record; a snapshot, valid until the next await. */
export interface TopicView {
  readonly name: string;
  readonly topicId: string;
  readonly partitions: number;
  readonly maxMessageBytes: number;
  readonly timestampType: "CreateTime" | "LogAppendTime";
  /** How much older or younger than the clock a CreateTime record may be, ms. */
  readonly timestampBeforeMaxMs: number;
  readonly timestampAfterMaxMs: number;
  /** This very call created the topic. */
  readonly created: boolean;
}

export interface NewTopic {
  readonly name: string;
  /** undefined: num.partitions. */
  readonly partitions?: number;
  /** undefined: min(3, nodes). */
  readonly replicationFactor?: number;
  readonly configs?: Readonly<Record<string, string>>;
}

/** Conditions of one partition's append; all that are given must hold. */
export interface AppendConditions {
  /** Log end offset, in-flight appends included. */
  readonly expectedOffset?: number;
  /** Fence token that must be the one set; undefined asks nothing. */
  readonly fence?: string;
}

export interface IdempotencyKey {
  readonly principal: string;
  /** 1-255 visible ASCII characters. */
  readonly key: string;
  /** 16-byte hash of the request (method, path, content type, body), by which a replay is told from a reuse. */
  readonly bodyHash: Uint8Array;
  /** The partition count by which this request's records were placed (countForKey()); recorded with the key. */
  readonly partitionCount: number;
}

/** A request whose records are about to be placed. */
export interface KeyedPlacement {
  readonly topic: string;
  readonly principal: string;
  readonly key: string;
  /** The partitions to which its records would go if the topic had `count` of them. */
  readonly partitionsOf: (count: number) => readonly number[];
}

export interface PartitionAppend {
  readonly partition: number;
  /** One RecordBatch v2, validated by the door's builder or to be validated (`trusted` false). The broker stamps it in
   *  place and retains what it needs; the caller releases its own hold when the promise settles. */
  readonly batch: Slice;
  readonly conditions?: AppendConditions;
}

export interface ProduceRequest {
  readonly topic: string;
  readonly acks: Acks;
  readonly timeoutMs: number;
  readonly appends: readonly PartitionAppend[];
  readonly idempotency?: IdempotencyKey;
  /** The batch was built by our own builder in this process: skip the full record walk. */
  readonly trusted: boolean;
}

export interface Appended {
  readonly ok: true;
  readonly partition: number;
  readonly baseOffset: number;
  readonly recordCount: number;
  /** Append time when the topic is LogAppendTime, else -1 (the record's own timestamp stands). */
  readonly logAppendTime: number;
  /** Largest record timestamp of the batch as it was first written: with `duplicate`, what the first answer said of
   *  records that brought no timestamp. */
  readonly maxTimestamp?: number;
  readonly leaderEpoch: number;
  readonly logStartOffset: number;
  /** Answered from memory of an earlier request (idempotency key or producer sequence). */
  readonly duplicate: boolean;
  /** When the idempotency key is forgotten at the latest, ms since the epoch; null without a key. */
  readonly idempotencyExpires: number | null;
}

export interface FetchPosition {
  readonly partition: number;
  /** Next offset wanted. */
  readonly offset: number;
  readonly maxBytes: number;
}

/** Whose answer a read takes. `leader`: the leader's, up to its high watermark; a leader that was deposed and does not
 *  know it yet may answer for up to an election timeout. `local`: this node's replica, up to its own high watermark, which
 *  may lag behind (the leader's, where this node has no replica). `linearizable`: the leader's, after a majority has
 *  confirmed it. */
export type ReadConsistency = "leader" | "local" | "linearizable";

export interface FetchRequest {
  readonly topic: string;
  /** "leader" when left out. */
  readonly consistency?: ReadConsistency;
  /** In the order in which they are filled; the first non-empty one returns at least one whole batch. */
  readonly positions: readonly FetchPosition[];
  readonly maxBytes: number;
  readonly minBytes: number;
  readonly maxWaitMs: number;
  /** Ends the wait at once and frees it. */
  readonly signal?: AbortSignal;
}

export interface FetchedPartition {
  readonly ok: true;
  readonly partition: number;
  /** Whole RecordBatch v2s, each a view; the first may begin before the wanted offset. Valid until release(). */
  readonly batches: readonly Uint8Array[];
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly logStartOffset: number;
  readonly leaderEpoch: number;
}

export interface FetchResponse {
  /** In the order asked for. */
  readonly partitions: readonly (FetchedPartition | (Refusal & { readonly partition: number }))[];
  /** The caller is done with every batch's bytes. Called exactly once. */
  release(): void;
}

export type OffsetSpec = "earliest" | "latest" | { readonly timestamp: number };

export interface FoundOffset {
  readonly ok: true;
  readonly partition: number;
  /** -1 when no record is that young. */
  readonly offset: number;
  /** The found record's timestamp, -1 for earliest and latest. */
  readonly timestamp: number;
  readonly leaderEpoch: number;
}

export interface PartitionBounds {
  readonly partition: number;
  readonly logStartOffset: number;
  readonly highWatermark: number;
  /** The log end, in-flight appends included (>= highWatermark). */
  readonly logEndOffset: number;
  readonly lastStableOffset: number;
}

/** A member node as the answering node sees it. */
export interface ClusterNode {
  readonly nodeId: number;
  readonly version: string;
  /** "up": this is the answering node, or it hears that node. "down": it does not. */
  readonly state: "up" | "down";
  /** URL of the HTTP door that the node advertises. */
  readonly http: string | null;
  /** host:port of the peer port that the node advertises. */
  readonly peer: string | null;
  readonly region: string | null;
  /** ms since the epoch. */
  readonly registeredAt: number;
  /** Replicas that the cluster's metadata places there, the controller's left out. */
  readonly replicas: number;
  /** Partitions that it leads, as far as the answering node knows. */
  readonly leads: number;
}

/** One replica of a group, as the group's leader knows it. */
export interface GroupMember {
  readonly nodeId: number;
  readonly incarnation: number;
  readonly voter: boolean;
  /** A voter that holds everything, or did within replica.lag.time.max.ms. */
  readonly inSync: boolean;
  /** Log entries that it has not acknowledged yet. */
  readonly lagEntries: number;
  /** How long it has not held the leader's log end, ms; 0: it does. */
  readonly lagMs: number;
}

/** One Raft group: the controller, or a partition. */
export interface GroupStatus {
  /** null: nobody leads, as far as the answering node could find out. */
  readonly leader: number | null;
  readonly term: number;
  /** A change of the configuration is under way (joint consensus). */
  readonly joint: boolean;
  /** By node id; empty when the leader did not tell. */
  readonly members: readonly GroupMember[];
}

/** One Raft group of which a replica is open on this node, in numbers. */
export interface GroupNumbers {
  /** "controller", or topic and partition: "orders-0". */
  readonly group: string;
  readonly leads: boolean;
  /** Node id of the leader, 0 when unknown. */
  readonly leader: number;
  readonly term: number;
  /** Log entries here that are not committed yet. */
  readonly uncommittedEntries: number;
  /** Committed entries that this node's fold has not applied yet. */
  readonly unappliedEntries: number;
  /** Of the other members, as this node knows them when it leads; else none. */
  readonly lags: readonly { readonly nodeId: number; readonly entries: number }[];
}

export interface PartitionStatus extends GroupStatus {
  readonly topic: string;
  readonly partition: number;
  /** Node ids where the cluster's metadata wants the replicas, the preferred leader first. */
  readonly assigned: readonly number[];
  readonly logStartOffset: number;
  readonly highWatermark: number;
}

export interface ClusterStatus {
  readonly clusterId: string;
  /** The node that answers. */
  readonly nodeId: number;
  readonly nodes: readonly ClusterNode[];
  readonly controller: GroupStatus;
  /** By topic name and partition; as many as were asked for. */
  readonly partitions: readonly PartitionStatus[];
  /** All that there are of the topics asked for. */
  readonly partitionsTotal: number;
}

/** What of the cluster is asked for. */
export interface ClusterQuery {
  /** Only this topic's partitions. */
  readonly topic?: string;
  /** Only partitions behind this one, by topic name and partition. */
  readonly after?: { readonly topic: string; readonly partition: number };
  /** Partitions at most; limits.listPageMax when left out. */
  readonly limit?: number;
  /** What this node knows by itself; nobody is asked, nothing is waited for (members only where it leads). */
  readonly local?: boolean;
}

/** A partition's group, or the controller's. */
export type GroupPlace = "controller" | { readonly topic: string; readonly partition: number };

export interface PartitionLeader {
  readonly nodeId: number;
  /** URL of its HTTP door, when it advertises one. */
  readonly http: string | null;
}

export interface BrokerStatus {
  readonly nodeId: number;
  readonly clusterId: string;
  readonly version: string;
  /** Confirmed term of the controller. */
  readonly term: number;
  readonly ready: boolean;
  /** Why the node is not ready, or null. */
  readonly reason: string | null;
  readonly topics: number;
  readonly partitions: number;
  readonly uptimeMs: number;
}

export interface Broker {
  /** Creates. Refuses: invalid_topic_exception, topic_already_exists, invalid_partitions, invalid_replication_factor,
   *  invalid_config, storage_full. Resolves when committed and every partition can be written. */
  createTopic(topic: NewTopic): Promise<TopicDescription | Refusal>;
  deleteTopic(name: string): Promise<Refusal | { readonly ok: true }>;
  describeTopic(nameOrId: {
    readonly name?: string;
    readonly topicId?: string;
  }): TopicDescription | Refusal;
  /** In order of partition. The value itself when this node leads all of them, else the leaders are asked (bounded; what
   *  a leader does not tell comes from this node's own knowledge). */
  describePartitions(
    name: string,
  ): readonly PartitionDescription[] | Refusal | Promise<readonly PartitionDescription[] | Refusal>;
  /** Names in code point order. */
  listTopics(query: {
    readonly prefix: string;
    readonly after: string;
    readonly limit: number;
    readonly internal: boolean;
  }): {
    readonly items: readonly TopicDescription[];
    readonly next: string | null;
  };
  /** null resets a config to its default. All or nothing. */
  alterConfigs(
    name: string,
    changes: Readonly<Record<string, string | null>>,
  ): Promise<TopicDescription | Refusal>;
  /** Raises the number of partitions to `total`; fewer is invalid_partitions. */
  addPartitions(name: string, total: number): Promise<TopicDescription | Refusal>;

  /** The topic for a write; creates it when auto.create.topics.enable allows. Cost when it exists: a map look-up
   *  (the value itself, no promise). */
  topicForWrite(name: string): TopicView | Refusal | Promise<TopicView | Refusal>;
  /** The partition count by which a request with an Idempotency-Key is to be placed: its first try's while a partition
   *  remembers that, else today's. Cost when no partitions were added within the life of a key: a map look-up (the
   *  value itself, no promise). */
  countForKey(request: KeyedPlacement): number | Refusal | Promise<number | Refusal>;
  topic(name: string): TopicView | null;
  /** Changes with every deletion or re-creation. null when the id is unknown. */
  topicById(topicId: string): TopicView | null;

  /** Appends one batch to each named partition, each atomic, none dependent on another. Settles when each is
   *  acknowledged as `acks` asks or refused. Same order as request.appends. Never throws for one partition's sake. */
  produce(
    request: ProduceRequest,
  ): Promise<readonly (Appended | (Refusal & { readonly partition: number }))[]>;
  /** Whole batches from the positions; waits up to maxWaitMs for minBytes, woken by commits. */
  fetch(request: FetchRequest): Promise<FetchResponse | Refusal>;
  listOffsets(
    topic: string,
    wanted: readonly { readonly partition: number; readonly at: OffsetSpec }[],
    options?: { readonly consistency?: ReadConsistency },
  ): Promise<readonly (FoundOffset | (Refusal & { readonly partition: number }))[] | Refusal>;
  /** Log start, high watermark and log end of the partitions, in order of partition (none named: of every one; those
   *  that are not there are left out); no wait. Of a partition that another node leads: what this node knows, which may
   *  lag behind. Cost: one object for each of them. */
  bounds(topic: string, partitions?: readonly number[]): readonly PartitionBounds[] | Refusal;
  /** bounds() as the leaders tell them. The value itself when this node leads all of them. Refuses also as fetch() does
   *  when a leader cannot be asked. */
  currentBounds(
    topic: string,
    partitions?: readonly number[],
  ): readonly PartitionBounds[] | Refusal | Promise<readonly PartitionBounds[] | Refusal>;
  /** Moves the log start to `before` (-1: the high watermark). */
  deleteRecords(
    topic: string,
    partition: number,
    before: number,
  ): Promise<{ readonly ok: true; readonly logStartOffset: number } | Refusal>;
  /** A producer id that the cluster has never given before, with its first epoch. */
  initProducerId(): Promise<
    { readonly ok: true; readonly producerId: number; readonly epoch: number } | Refusal
  >;
  /** The partition's fence token, null for none. */
  fence(
    topic: string,
    partition: number,
  ): Promise<{ readonly ok: true; readonly token: string | null } | Refusal>;
  /** Sets the token that conditional appends must show, or clears it (null); in order with the appends around it.
   *  `expected`: the token that must be set now, else fence_mismatch; left out asks nothing. Refuses invalid_request
   *  for an empty token or one over 64 bytes. */
  setFence(
    topic: string,
    partition: number,
    change: { readonly token: string | null; readonly expected?: string | null },
  ): Promise<{ readonly ok: true } | Refusal>;
  /** Calls wake after each advance of a partition's high watermark, after new partitions and after deletion, until
   *  the returned function is called. wake must be cheap: it schedules, it does not read. */
  subscribe(topic: string, wake: () => void): () => void;

  /** Who leads a partition as far as this node knows; null: it does not know, or there is no such partition. Cost: two
   *  map look-ups. */
  leaderOf(topic: string, partition: number): PartitionLeader | null;
  /** Nodes, controller and partitions (of one topic, or of all), as their leaders tell; idle groups are not woken.
   *  Settles within seconds, whoever is down. Refuses unknown_topic_or_partition. */
  clusterStatus(of?: ClusterQuery): Promise<ClusterStatus | Refusal>;
  /** Hands a group's leadership to one of its voters; settles once that node leads. Refuses: invalid_request (no voter
   *  there), unknown_topic_or_partition, not_leader_or_follower, request_timed_out. */
  transferLeadership(of: GroupPlace, toNode: number): Promise<{ readonly ok: true } | Refusal>;
  /** Takes a node out of the cluster for good: its replicas are placed elsewhere, and it may not come back under this id.
   *  Resolves when it is removed, or after some seconds while its replicas still move ("draining"); `force` removes it at
   *  once, with whatever it alone has. Refuses: invalid_request (no such node), policy_violation (the last one; one that
   *  is down and alone has records). */
  removeNode(
    nodeId: number,
    options?: { readonly force?: boolean },
  ): Promise<{ readonly ok: true; readonly state: "draining" | "removed" } | Refusal>;

  /** Groups whose replicas are open here, the controller first, at most limits.listPageMax. Cost: one object each. */
  groups(): readonly GroupNumbers[];
  status(): BrokerStatus;
  metrics(): Readonly<Record<string, number>>;
  /** Stops taking appends, drains, closes. Idempotent. */
  close(): Promise<void>;
}
