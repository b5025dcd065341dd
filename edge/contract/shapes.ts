// Every JSON shape that the door takes or gives, by name: components/schemas of the OpenAPI document.
//
// Answers may gain fields (clients ignore what they do not know); requests may not (a typo must not become a tombstone).

import { codes } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { answer, listOf, ref, type Schema } from "./schema.ts";

const offsetMax = Number.MAX_SAFE_INTEGER;
export const offsetSchema = {
  type: "integer",
  minimum: 0,
  maximum: offsetMax,
} as const satisfies Schema;
export const partitionSchema = {
  type: "integer",
  minimum: 0,
  maximum: 2_147_483_647,
} as const satisfies Schema;
/** Ids above are a replica's second incarnation (consensus/identity.ts). */
export const nodeIdSchema = {
  type: "integer",
  minimum: 1,
  maximum: 1_048_575,
} as const satisfies Schema;
export const timestampSchema = {
  type: "integer",
  minimum: 0,
  maximum: offsetMax,
  description: "ms since the Unix epoch",
} as const satisfies Schema;
const base64Text = "RFC 4648 standard alphabet, padded";
const base64: Schema = { type: "string", description: base64Text };
const base64OrNull: Schema = { type: ["string", "null"], description: base64Text };
const text: Schema = { type: "string" };
const textOrNull: Schema = { type: ["string", "null"] };

const headerSchema: Schema = {
  type: "array",
  minItems: 2,
  maxItems: 2,
  description: '[name, text | null | {"base64": "..."}]',
  items: {
    anyOf: [
      textOrNull,
      {
        type: "object",
        properties: { base64 },
        required: ["base64"],
        additionalProperties: false,
      },
    ],
  },
};

const recordWritten: Schema = {
  type: "object",
  description:
    "Exactly one of value, valueJson, valueBase64; at most one of key, keyJson, keyBase64.",
  properties: {
    value: { ...textOrNull, description: "Text; null is a tombstone" },
    valueJson: { description: "Any JSON, stored as its text, numbers digit for digit" },
    valueBase64: base64,
    key: textOrNull,
    keyJson: { description: "Any JSON, stored as its text" },
    keyBase64: base64,
    headers: { ...listOf(headerSchema), maxItems: limits.headersPerRecordMax },
    timestamp: timestampSchema,
    partition: partitionSchema,
  },
  additionalProperties: false,
};

const recordRead = answer(
  {
    partition: partitionSchema,
    offset: offsetSchema,
    timestamp: { type: "integer", description: "ms since the Unix epoch; -1: the record has none" },
    timestampType: { type: "string", enum: ["LogAppendTime"], description: "Only when it is that" },
    key: textOrNull,
    keyBase64: base64OrNull,
    value: { ...textOrNull, description: "null is a tombstone" },
    valueBase64: base64OrNull,
    valueJson: { description: "as=json: the stored text itself" },
    headers: listOf(headerSchema),
  },
  ["timestampType", "key", "keyBase64", "value", "valueBase64", "valueJson"],
);

const problemMembers = answer(
  {
    type: text,
    title: text,
    status: { type: "integer" },
    detail: text,
    instance: { ...text, description: "The request id" },
    code: { type: "string", enum: Object.keys(codes) },
    retryable: { type: "boolean" },
    sideEffects: { type: "string", enum: ["none", "unknown"] },
    retryAfterMs: { type: "integer", minimum: 0 },
    errors: listOf(answer({ index: { type: "integer" }, code: text, detail: text }, ["index"])),
    expectedOffset: offsetSchema,
    currentOffset: offsetSchema,
    logStartOffset: offsetSchema,
    highWatermark: offsetSchema,
    logEndOffset: offsetSchema,
    partition: partitionSchema,
  },
  [
    "retryAfterMs",
    "errors",
    "expectedOffset",
    "currentOffset",
    "logStartOffset",
    "highWatermark",
    "logEndOffset",
    "partition",
  ],
);

/** Visible ASCII: a header must be able to carry it. */
export const fenceSchema = {
  type: "string",
  pattern: `^[!-~]{1,${limits.fenceBytesMax}}$`,
} as const satisfies Schema;

/** RFC 9457: a code may bring members of its own. */
const problem: Schema = { ...problemMembers, additionalProperties: true };

const receipt = answer({
  partition: partitionSchema,
  offset: offsetSchema,
  timestamp: { type: "integer" },
});

const partitionRead = answer({
  partition: partitionSchema,
  nextOffset: offsetSchema,
  highWatermark: offsetSchema,
  logStartOffset: offsetSchema,
});

const count: Schema = { type: "integer", minimum: 0 };

/** Records of one partition by their first and last offset. */
const range = answer({
  partition: partitionSchema,
  firstOffset: offsetSchema,
  lastOffset: offsetSchema,
  count: { type: "integer", minimum: 1 },
});

const topic = answer({
  name: text,
  topicId: text,
  partitions: { type: "integer", minimum: 1 },
  replicationFactor: { type: "integer", minimum: 1 },
  internal: { type: "boolean" },
  configs: { type: "object", additionalProperties: text },
});

const config = answer({
  name: text,
  value: text,
  source: { type: "string", enum: ["topic", "broker", "default"] },
  effect: { type: "string", enum: ["works", "no_effect"] },
  note: { ...textOrNull, description: "Why it has no effect" },
});

const nodeIdOrNull: Schema = {
  type: ["integer", "null"],
  description: "null: nobody, or not known",
};

const groupMember = answer({
  nodeId: nodeIdSchema,
  incarnation: { type: "integer", minimum: 1 },
  voter: { type: "boolean" },
  inSync: { type: "boolean", description: "Has everything, or had within replica.lag.time.max.ms" },
  lagEntries: { ...count, description: "Log entries that it has not acknowledged yet" },
  lagMs: { type: "number", description: "How long it has not had the leader's log end; 0: it has" },
});

const group: Readonly<Record<string, Schema>> = {
  leader: nodeIdOrNull,
  term: count,
  joint: { type: "boolean", description: "A change of its members is under way" },
  members: { ...listOf(groupMember), description: "As the leader tells; empty when it did not" },
};

const clusterNode = answer({
  nodeId: nodeIdSchema,
  version: text,
  state: {
    type: "string",
    enum: ["up", "down"],
    description: "up: the node that was asked hears it",
  },
  http: { ...textOrNull, description: "URL at which clients reach it" },
  peer: { ...textOrNull, description: "host:port at which other nodes reach it" },
  region: textOrNull,
  registeredAt: timestampSchema,
  replicas: { ...count, description: "Partitions of which it is to have a replica" },
  leads: { ...count, description: "Partitions that it leads, as far as is known" },
});

const configValue: Schema = { type: ["string", "integer", "number", "boolean"] };

export const newTopicFields: Readonly<Record<string, Schema>> = {
  partitions: { type: "integer", minimum: 1, maximum: limits.partitionsPerTopicMax },
  replicationFactor: { type: "integer", minimum: 1, maximum: 32_767 },
  configs: { type: "object", additionalProperties: configValue },
};

/** components/schemas. */
export const shapes = {
  RecordWritten: recordWritten,
  WriteRequest: {
    type: "object",
    properties: {
      records: {
        ...listOf(ref("RecordWritten")),
        minItems: 1,
        maxItems: limits.recordsPerRequestMax,
      },
    },
    required: ["records"],
    additionalProperties: false,
  },
  Receipt: receipt,
  WriteAnswer: answer({ receipts: listOf(ref("Receipt")) }),
  PartialWriteAnswer: answer({
    receipts: listOf({ anyOf: [ref("Receipt"), answer({ error: ref("Problem") })] }),
  }),
  WriteLine: {
    description: `One line: a receipt; or the last line. done: all lines are appended. error: line is the first that is not, and the last that was looked at. count and ranges: receipts=summary; a range's count is less than its offsets where others wrote between`,
    anyOf: [
      ref("Receipt"),
      answer({ done: { type: "boolean" }, count, ranges: listOf(range) }, ["ranges"]),
      answer(
        {
          error: ref("Problem"),
          line: { type: "integer", minimum: 1 },
          count,
          ranges: listOf(range),
        },
        ["count", "ranges"],
      ),
    ],
  },
  AcceptedAnswer: answer({ accepted: { type: "integer", minimum: 1 } }),
  RecordRead: recordRead,
  ReadAnswer: answer({
    records: listOf(ref("RecordRead")),
    cursor: text,
    partitions: listOf(partitionRead),
  }),
  ReadLine: {
    description:
      "One line: a record; or the last line. done: this is all up to where the log ended at the beginning. error: why it ended before. cursor: where to go on",
    anyOf: [
      ref("RecordRead"),
      answer({ done: { type: "boolean" }, count, cursor: text, partitions: listOf(partitionRead) }),
      answer({ error: ref("Problem"), cursor: text }),
    ],
  },
  Problem: problem,
  NewTopic: {
    type: "object",
    properties: { name: { type: "string" }, ...newTopicFields },
    required: ["name"],
    additionalProperties: false,
  },
  EnsureTopic: { type: "object", properties: newTopicFields, additionalProperties: false },
  AddPartitions: {
    type: "object",
    properties: { partitions: newTopicFields["partitions"] },
    required: ["partitions"],
    additionalProperties: false,
  },
  AlterConfigs: {
    type: "object",
    additionalProperties: { type: ["string", "integer", "number", "boolean", "null"] },
  },
  Config: config,
  ConfigList: answer({ items: listOf(ref("Config")), next: textOrNull }),
  Topic: topic,
  TopicList: answer({ items: listOf(ref("Topic")), next: textOrNull }),
  PartitionList: answer({
    items: listOf(
      answer({
        partition: partitionSchema,
        leader: { type: ["integer", "null"] },
        leaderEpoch: { type: "integer" },
        replicas: listOf({ type: "integer" }),
        inSyncReplicas: listOf({ type: "integer" }),
        logStartOffset: offsetSchema,
        highWatermark: offsetSchema,
        bytes: { type: "integer", minimum: 0 },
      }),
    ),
    next: textOrNull,
  }),
  OffsetList: answer({
    items: listOf(
      answer({
        partition: partitionSchema,
        offset: { type: ["integer", "null"], description: "null: no record is that young" },
        timestamp: { type: ["integer", "null"] },
      }),
    ),
    next: textOrNull,
  }),
  Producer: answer({
    producerId: offsetSchema,
    epoch: { type: "integer", minimum: 0, maximum: 32_767 },
  }),
  SetFence: {
    type: "object",
    properties: {
      token: {
        ...fenceSchema,
        description: "What writers with Rivulet-Fence must show from now on",
      },
      expected: {
        type: ["string", "null"],
        description: "The token that must be set now, null for none; left out asks nothing",
      },
    },
    required: ["token"],
    additionalProperties: false,
  },
  Fence: answer({ partition: partitionSchema, token: textOrNull }),
  LogStart: answer({ partition: partitionSchema, logStartOffset: offsetSchema }),
  Deleted: answer({ name: text, deleted: { type: "boolean" } }),
  Limits: answer(
    Object.fromEntries(Object.keys(limits).map((name) => [name, { type: "integer" }])),
  ),
  Cluster: answer({
    clusterId: text,
    nodeId: { ...nodeIdSchema, description: "The node that answers" },
    nodes: listOf(clusterNode),
    controller: answer(group),
    partitions: { ...count, description: "Of all topics" },
  }),
  ClusterPartitions: answer({
    items: listOf(
      answer({
        topic: text,
        partition: partitionSchema,
        ...group,
        assigned: { ...listOf(nodeIdSchema), description: "Where its replicas are to be" },
        logStartOffset: offsetSchema,
        highWatermark: offsetSchema,
      }),
    ),
    next: textOrNull,
    total: { ...count, description: "Of all pages" },
  }),
  TransferLeadership: {
    type: "object",
    description: "Either controller: true, or topic and partition",
    properties: {
      controller: { type: "boolean" },
      topic: { type: "string" },
      partition: partitionSchema,
      to: nodeIdSchema,
    },
    required: ["to"],
    additionalProperties: false,
  },
  LeadershipTransferred: answer({ leader: nodeIdSchema }),
  NodeRemoved: answer({
    nodeId: nodeIdSchema,
    state: {
      type: "string",
      enum: ["draining", "removed"],
      description:
        "draining: its replicas are being moved; it is removed when nothing is left on it",
    },
  }),
  Redirect: answer({ leader: nodeIdSchema, location: text }),
  Ready: answer({ ready: { type: "boolean" }, reason: textOrNull }),
  Live: answer({ live: { type: "boolean" } }),
} as const satisfies Record<string, Schema>;

export type ShapeName = keyof typeof shapes;

type ConfigValue = string | number | boolean;

interface TopicFields {
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly configs?: Readonly<Record<string, ConfigValue>>;
}

/** What a body is once its shape was checked. */
export interface BodyTypes {
  readonly NewTopic: TopicFields & { readonly name: string };
  readonly EnsureTopic: TopicFields;
  readonly AddPartitions: { readonly partitions: number };
  readonly SetFence: { readonly token: string; readonly expected?: string | null };
  readonly TransferLeadership: {
    readonly controller?: boolean;
    readonly topic?: string;
    readonly partition?: number;
    readonly to: number;
  };
  readonly AlterConfigs: Readonly<Record<string, ConfigValue | null>>;
}
