// Topics: create, ensure, describe, list, partitions, configs, offsets, delete. Thin: parse, one broker call, encode.

import type {
  ConfigEntry,
  NewTopic,
  OffsetSpec,
  TopicDescription,
} from "../../src/broker/broker.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { offsetSchema, type BodyTypes } from "../contract/shapes.ts";
import type { Call } from "./call.ts";
import { unknownPartition } from "./placement.ts";
import { parseTime, unknownTopic } from "./positions.ts";
import { route, type Fields, type Route } from "./route.ts";

/** Of every list. */
export const listFields = {
  limit: { schema: { type: "integer", minimum: 1, maximum: limits.listPageMax, default: 100 } },
  after: { schema: { type: "string", description: "`next` of the page before" } },
} as const satisfies Fields;

const topicListFields = {
  ...listFields,
  prefix: { schema: { type: "string" } },
  internal: { schema: { type: "boolean", default: false } },
} as const satisfies Fields;

const offsetsFields = {
  at: {
    schema: { type: "string", description: "earliest, latest, ms since the epoch, or RFC 3339" },
    required: true,
  },
} as const satisfies Fields;

const deleteRecordsFields = {
  before: { schema: { ...offsetSchema, description: "First offset that stays" }, required: true },
} as const satisfies Fields;

const none = { query: {}, headers: {} } as const;

const described = { 200: { description: "The topic", shape: "Topic" } } as const;

export const topicRoutes: readonly Route[] = [
  route({
    ...none,
    id: "createTopic",
    method: "POST",
    path: "/v1/topics",
    summary: "Create a topic",
    action: "create",
    resource: "cluster",
    bodies: { "application/json": "NewTopic" },
    answers: { 201: { description: "Created", shape: "Topic" } },
    handle: createTopic,
  }),
  route({
    id: "listTopics",
    method: "GET",
    path: "/v1/topics",
    summary: "List topics by name",
    action: "describe",
    resource: "cluster",
    query: topicListFields,
    headers: {},
    answers: { 200: { description: "One page", shape: "TopicList" } },
    handle(call) {
      const { prefix = "", after = "", limit = 100, internal = false } = call.query;
      const page = call.services.broker.listTopics({ prefix, after, limit, internal });
      return call.json(200, { items: page.items.map(topicJson), next: page.next });
    },
  }),
  route({
    ...none,
    id: "ensureTopic",
    method: "PUT",
    path: "/v1/topics/{topic}",
    summary: "Create a topic unless it is there as wanted",
    action: "create",
    resource: "topic",
    bodies: { "application/json": "EnsureTopic" },
    answers: { ...described, 201: { description: "Created", shape: "Topic" } },
    handle: ensureTopic,
  }),
  route({
    ...none,
    id: "describeTopic",
    method: "GET",
    path: "/v1/topics/{topic}",
    summary: "Describe a topic",
    action: "describe",
    resource: "topic",
    answers: described,
    handle(call) {
      const topic = call.services.broker.describeTopic({ name: call.topic });
      return "ok" in topic ? call.refuse(unknownTopic(call)) : call.json(200, topicJson(topic));
    },
  }),
  route({
    ...none,
    id: "addPartitions",
    method: "PATCH",
    path: "/v1/topics/{topic}",
    summary: "Raise the number of partitions",
    action: "alter",
    resource: "topic",
    bodies: { "application/json": "AddPartitions" },
    answers: described,
    async handle(call) {
      const body = await call.jsonBody("AddPartitions");
      if (!body.ok) return call.refuse(body);
      return answerTopic(
        call,
        await call.services.broker.addPartitions(call.topic, body.value.partitions),
      );
    },
  }),
  route({
    ...none,
    id: "deleteTopic",
    method: "DELETE",
    path: "/v1/topics/{topic}",
    summary: "Delete a topic and its records",
    action: "delete",
    resource: "topic",
    answers: { 200: { description: "Deleted", shape: "Deleted" } },
    async handle(call) {
      const outcome = await call.services.broker.deleteTopic(call.topic);
      return outcome.ok
        ? call.json(200, { name: call.topic, deleted: true })
        : call.refuse(outcome);
    },
  }),
  route({
    id: "listPartitions",
    method: "GET",
    path: "/v1/topics/{topic}/partitions",
    summary: "List a topic's partitions",
    action: "describe",
    resource: "topic",
    query: listFields,
    headers: {},
    answers: { 200: { description: "One page", shape: "PartitionList" } },
    handle: listPartitions,
  }),
  route({
    ...none,
    id: "listConfigs",
    method: "GET",
    path: "/v1/topics/{topic}/configs",
    summary: "A topic's configs: value, source, and whether it has an effect",
    action: "describe_configs",
    resource: "topic",
    answers: { 200: { description: "All configs", shape: "ConfigList" } },
    handle(call) {
      const topic = call.services.broker.describeTopic({ name: call.topic });
      if ("ok" in topic) return call.refuse(unknownTopic(call));
      return call.json(200, { items: topic.configs, next: null });
    },
  }),
  route({
    ...none,
    id: "alterConfigs",
    method: "PATCH",
    path: "/v1/topics/{topic}/configs",
    summary: "Set configs; null resets one",
    action: "alter_configs",
    resource: "topic",
    bodies: { "application/json": "AlterConfigs" },
    answers: described,
    async handle(call) {
      const body = await call.jsonBody("AlterConfigs");
      if (!body.ok) return call.refuse(body);
      const changes = mapValues(body.value, (value) => (value === null ? null : String(value)));
      return answerTopic(call, await call.services.broker.alterConfigs(call.topic, changes));
    },
  }),
  route({
    id: "listOffsets",
    method: "GET",
    path: "/v1/topics/{topic}/offsets",
    summary: "Each partition's offset at a time, the start or the end",
    action: "describe",
    resource: "topic",
    query: offsetsFields,
    headers: {},
    answers: { 200: { description: "One an partition", shape: "OffsetList" } },
    handle: listOffsets,
  }),
  route({
    id: "deleteRecords",
    method: "DELETE",
    path: "/v1/topics/{topic}/partitions/{partition}/records",
    summary: "Delete the records before an offset",
    action: "delete",
    resource: "topic",
    query: deleteRecordsFields,
    headers: {},
    redirects: true,
    answers: { 200: { description: "Where the log starts now", shape: "LogStart" } },
    handle: deleteRecords,
  }),
];

function topicJson(topic: TopicDescription): unknown {
  const { name, topicId, partitions, replicationFactor, internal, configs } = topic;
  const values = Object.fromEntries(configs.map((config) => [config.name, config.value]));
  return { name, topicId, partitions, replicationFactor, internal, configs: values };
}

function answerTopic(call: Call, outcome: TopicDescription | Refusal): Response {
  return "ok" in outcome ? call.refuse(outcome) : call.json(200, topicJson(outcome));
}

function mapValues<A, B>(
  from: Readonly<Record<string, A>>,
  map: (value: A) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(from).map(([name, value]) => [name, map(value)]));
}

function newTopic(name: string, body: BodyTypes["EnsureTopic"]): NewTopic {
  const { partitions, replicationFactor, configs } = body;
  return {
    name,
    ...(partitions === undefined ? {} : { partitions }),
    ...(replicationFactor === undefined ? {} : { replicationFactor }),
    ...(configs === undefined ? {} : { configs: mapValues(configs, String) }),
  };
}

async function createTopic(call: Call): Promise<Response> {
  const body = await call.jsonBody("NewTopic");
  if (!body.ok) return call.refuse(body);
  const outcome = await call.services.broker.createTopic(newTopic(body.value.name, body.value));
  return "ok" in outcome ? call.refuse(outcome) : created(call, outcome);
}

function created(call: Call, topic: TopicDescription): Response {
  call.setHeader("location", `/v1/topics/${encodeURIComponent(topic.name)}`);
  return call.json(201, topicJson(topic));
}

async function ensureTopic(call: Call): Promise<Response> {
  const body = await wantedTopic(call);
  if (!body.ok) return call.refuse(body);
  const wanted = newTopic(call.topic, body.value);
  const { broker } = call.services;
  const outcome = await broker.createTopic(wanted);
  if (!("ok" in outcome)) return created(call, outcome);
  if (outcome.code !== "topic_already_exists") return call.refuse(outcome);
  const found = broker.describeTopic({ name: call.topic });
  // "a.b" is refused as taken when "a_b" is there: the refusal stands.
  if ("ok" in found) return call.refuse(outcome);
  const differences = differencesOf(wanted, found);
  if (differences.length === 0) return call.json(200, topicJson(found));
  const detail = `Topic ${call.topic} is there and differs: ${differences.join("; ")}`;
  return call.refuse(refuse("topic_already_exists", detail));
}

/** PUT without a body wants the defaults. */
async function wantedTopic(
  call: Call,
): Promise<{ readonly ok: true; readonly value: BodyTypes["EnsureTopic"] } | Refusal> {
  const { headers } = call.visit;
  const bare = call.mediaType === "" && Number(headers["content-length"] ?? "0") === 0;
  if (bare && headers["transfer-encoding"] === undefined) return { ok: true, value: {} };
  return call.jsonBody("EnsureTopic");
}

function differencesOf(wanted: NewTopic, found: TopicDescription): readonly string[] {
  const differences: string[] = [];
  type Compared = string | number | undefined;
  const compare = (name: string, want: Compared, have: Compared): void => {
    if (want !== undefined && want !== have)
      differences.push(`${name} is ${have ?? "unknown"}, wanted ${want}`);
  };
  compare("partitions", wanted.partitions, found.partitions);
  compare("replicationFactor", wanted.replicationFactor, found.replicationFactor);
  const configs = new Map(found.configs.map((config: ConfigEntry) => [config.name, config.value]));
  for (const [name, value] of Object.entries(wanted.configs ?? {})) {
    compare(name, value, configs.get(name));
  }
  return differences;
}

async function listPartitions(call: Call<typeof listFields>): Promise<Response> {
  const found = await call.services.broker.describePartitions(call.topic);
  if ("ok" in found) return call.refuse(unknownTopic(call));
  const { limit = 100, after = "-1" } = call.query;
  if (!/^(?:-1|\d{1,9})$/.test(after)) {
    return call.refuse(refuse("invalid_request", "after must be the `next` of the page before"));
  }
  const rest = found.slice(Number(after) + 1);
  const items = rest.slice(0, limit);
  const next = rest.length > limit ? String(items.at(-1)!.partition) : null;
  return call.json(200, { items, next });
}

async function listOffsets(call: Call<typeof offsetsFields>): Promise<Response> {
  const { broker } = call.services;
  const view = broker.topic(call.topic);
  if (view === null) return call.refuse(unknownTopic(call));
  const text = call.query.at ?? "";
  const timestamp = parseTime(text);
  if (timestamp === null && text !== "earliest" && text !== "latest") {
    const detail = "at must be earliest, latest, ms since the epoch or RFC 3339";
    return call.refuse(refuse("invalid_request", detail));
  }
  const at: OffsetSpec = timestamp === null ? (text as "earliest" | "latest") : { timestamp };
  const wanted = Array.from({ length: view.partitions }, (_, partition) => ({ partition, at }));
  const found = await broker.listOffsets(call.topic, wanted, consistencyOf(call));
  if ("ok" in found) return call.refuse(found);
  const items: unknown[] = [];
  for (const place of found) {
    if (!place.ok) return call.refuse(place);
    const { partition, offset } = place;
    items.push({ partition, offset: nullable(offset), timestamp: nullable(place.timestamp) });
  }
  return call.json(200, { items, next: null });
}

const consistencyOf = ({ consistency }: Call<typeof offsetsFields>) =>
  consistency === undefined ? {} : { consistency };

const nullable = (value: number): number | null => (value < 0 ? null : value);

async function deleteRecords(call: Call<typeof deleteRecordsFields>): Promise<Response> {
  const { broker } = call.services;
  const view = broker.topic(call.topic);
  if (view === null) return call.refuse(unknownTopic(call));
  if (call.partition >= view.partitions) {
    return call.refuse(unknownPartition(call.topic, call.partition, view));
  }
  const outcome = await broker.deleteRecords(call.topic, call.partition, call.query.before ?? 0);
  if (!outcome.ok) return call.refuse(outcome);
  const { logStartOffset } = outcome;
  return call.json(200, { partition: call.partition, logStartOffset });
}
