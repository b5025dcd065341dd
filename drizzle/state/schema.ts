// state.db: the queryable read model of the cluster's metadata, filled from the controller's log.
//
// Promise: nothing is decided by it and it may be deleted at any time; the node fills it anew. Left to others: truth.

import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const topics = sqliteTable("topics", {
  topicId: text("topic_id").primaryKey(),
  name: text("name").notNull().unique(),
  partitionCount: integer("partition_count").notNull(),
  replicationFactor: integer("replication_factor").notNull(),
  internal: integer("internal", { mode: "boolean" }).notNull(),
  createdAt: integer("created_at").notNull(),
});

export const partitions = sqliteTable(
  "partitions",
  {
    topicId: text("topic_id").notNull(),
    partition: integer("partition").notNull(),
    /** Node id: the first replica of the assignment. Who leads now is the partition's own knowledge. */
    preferredLeader: integer("preferred_leader").notNull(),
    /** JSON array of node ids. */
    replicas: text("replicas", { mode: "json" }).$type<readonly number[]>().notNull(),
  },
  (t) => [primaryKey({ columns: [t.topicId, t.partition] })],
);

/** Members, and nodes that were removed. */
export const nodes = sqliteTable("nodes", {
  nodeId: integer("node_id").primaryKey(),
  state: text("state", { enum: ["member", "draining", "removed"] }).notNull(),
  /** Of its program. */
  version: text("version").notNull(),
  http: text("http"),
  peerHost: text("peer_host"),
  peerPort: integer("peer_port"),
  region: text("region"),
  registeredAt: integer("registered_at").notNull(),
  removedAt: integer("removed_at"),
});

/** Configs that were set; a topic's own under its id, the node's or cluster's under their kind. */
export const configs = sqliteTable(
  "configs",
  {
    resourceType: text("resource_type", { enum: ["topic", "broker"] }).notNull(),
    resource: text("resource").notNull(),
    name: text("name").notNull(),
    value: text("value"),
  },
  (t) => [primaryKey({ columns: [t.resourceType, t.resource, t.name] })],
);
