// The cluster: its nodes, who leads what and how far the others are, and what an operator may ask of it.
//
// Thin: parse, one call into the broker, encode. What a node needs to join stands in GET /v1/cluster: peer addresses.

import type { ClusterStatus, GroupPlace } from "../../src/broker/broker.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import type { BodyTypes } from "../contract/shapes.ts";
import type { Call } from "./call.ts";
import { route, type Fields, type Route } from "./route.ts";
import { listFields } from "./topics.ts";

const none = { query: {}, headers: {} } as const;

const partitionFields = {
  ...listFields,
  after: { schema: { type: "string", description: "`next` of the page before: topic/partition" } },
  topic: { schema: { type: "string", description: "Only this topic's" } },
} as const satisfies Fields;

const removalFields = {
  force: {
    schema: {
      type: "boolean",
      default: false,
      description: "At once, with whatever this node alone has: those records are lost",
    },
  },
} as const satisfies Fields;

export const clusterRoutes: readonly Route[] = [
  route({
    ...none,
    id: "getCluster",
    method: "GET",
    path: "/v1/cluster",
    summary: "Nodes, where they are reached, what they lead, and the controller",
    action: "describe",
    resource: "cluster",
    answers: { 200: { description: "As the node that was asked sees it", shape: "Cluster" } },
    async handle(call) {
      const of = { ...knowledge(call), limit: 0 };
      const status = await call.services.broker.clusterStatus(of);
      return "ok" in status ? call.refuse(status) : call.json(200, clusterJson(status));
    },
  }),
  route({
    id: "listClusterPartitions",
    method: "GET",
    path: "/v1/cluster/partitions",
    summary: "Each partition's leader, term, members and how far they are behind",
    action: "describe",
    resource: "cluster",
    query: partitionFields,
    headers: {},
    answers: {
      200: {
        description: "One page, by topic and partition",
        shape: "ClusterPartitions",
      },
    },
    handle: listPartitions,
  }),
  route({
    id: "removeNode",
    method: "DELETE",
    path: "/v1/cluster/nodes/{node}",
    summary: "Remove a node for good: its replicas are placed elsewhere, its id never comes back",
    action: "alter",
    resource: "cluster",
    query: removalFields,
    headers: {},
    answers: {
      200: {
        description: "Removed; or it will be, when its replicas have moved",
        shape: "NodeRemoved",
      },
    },
    async handle(call) {
      const { force = false } = call.query;
      const outcome = await call.services.broker.removeNode(call.node, { force });
      if (!outcome.ok) return call.refuse(outcome);
      return call.json(200, { nodeId: call.node, state: outcome.state });
    },
  }),
  route({
    ...none,
    id: "transferLeadership",
    method: "POST",
    path: "/v1/cluster/transfer",
    summary: "Hand the leadership of a partition, or of the controller, to another of its voters",
    action: "alter",
    resource: "cluster",
    bodies: { "application/json": "TransferLeadership" },
    answers: { 200: { description: "That node leads", shape: "LeadershipTransferred" } },
    handle: transferLeadership,
  }),
];

/** Rivulet-Consistency: local: as the node knows it by itself, at once, whoever is down. */
function knowledge({ consistency }: Pick<Call, "consistency">): { readonly local?: true } {
  return consistency === "local" ? { local: true } : {};
}

function clusterJson({ clusterId, nodeId, nodes, controller, partitionsTotal }: ClusterStatus) {
  return { clusterId, nodeId, nodes, controller, partitions: partitionsTotal };
}

async function listPartitions(call: Call<typeof partitionFields>): Promise<Response> {
  const { topic, after, limit = partitionFields.limit.schema.default } = call.query;
  const place = after === undefined ? undefined : placeIn(after);
  if (place === null)
    return call.refuse(refuse("invalid_request", "after must be the `next` of the page before"));
  const status = await call.services.broker.clusterStatus({
    ...knowledge(call),
    ...(topic === undefined ? {} : { topic }),
    ...(place === undefined ? {} : { after: place }),
    // One more tells whether there is a next page.
    limit: limit + 1,
  });
  if ("ok" in status) return call.refuse(status);
  const items = status.partitions.slice(0, limit);
  const last = items.at(-1);
  const isWhole = status.partitions.length <= limit || last === undefined;
  const next = isWhole ? null : `${last.topic}/${last.partition}`;
  return call.json(200, { items, next, total: status.partitionsTotal });
}

/** "topic/partition"; a topic's name holds no slash. */
function placeIn(text: string): { readonly topic: string; readonly partition: number } | null {
  const [, topic, partition] = /^([^/]+)\/(\d{1,9})$/.exec(text) ?? [];
  return topic === undefined ? null : { topic, partition: Number(partition) };
}

async function transferLeadership(call: Call): Promise<Response> {
  const body = await call.jsonBody("TransferLeadership");
  if (!body.ok) return call.refuse(body);
  const place = placeOf(body.value);
  if (typeof place === "object" && "ok" in place) return call.refuse(place);
  const { to } = body.value;
  const outcome = await call.services.broker.transferLeadership(place, to);
  return outcome.ok ? call.json(200, { leader: to }) : call.refuse(outcome);
}

function placeOf(body: BodyTypes["TransferLeadership"]): GroupPlace | Refusal {
  const { controller, topic, partition } = body;
  const ofController = controller === true && topic === undefined && partition === undefined;
  if (ofController) return "controller";
  if (controller !== true && topic !== undefined && partition !== undefined)
    return { topic, partition };
  return refuse("invalid_request", "Either controller: true, or topic and partition are wanted");
}
