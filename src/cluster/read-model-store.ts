// The rows of the read model, written through drizzle-orm.
//
// Promise: after fill() the file says exactly what the state says; after change() it follows; each is one transaction,
// so that who queries the file sees one moment. Runs in a Worker (read-model-worker.ts), never on the main thread.
// Left to others: the tables (drizzle/state), when to write (read-model.ts).

import { rmSync } from "node:fs";
import { createClient, type Client } from "@libsql/client/sqlite3";
import { eq } from "drizzle-orm";
import type { LibSQLDatabase } from "drizzle-orm/libsql";
import { drizzle } from "drizzle-orm/libsql/sqlite3";
import { configs, nodes, partitions, topics } from "../../drizzle/state/schema.ts";
import { migrate } from "../journal/schema.ts";
import { openSqlite } from "../journal/sqlite.ts";
import type { Change, ClusterState, NodeState, TopicState } from "./cluster-state.ts";
import { isInternalTopic } from "./topic-names.ts";

/** Rows of one INSERT: well below SQLite's bound of 32,766 values. */
const rowsPerInsert = 1_000;

type Transaction = Parameters<Parameters<LibSQLDatabase["transaction"]>[0]>[0];

export class ReadModelStore {
  readonly #client: Client;
  readonly #db: LibSQLDatabase;

  private constructor(client: Client) {
    this.#client = client;
    this.#db = drizzle(client);
  }

  /** Opens the file and brings its schema up to date; a file that cannot be is made anew, for nothing in it counts. */
  static open(path: string): ReadModelStore {
    try {
      prepare(path);
    } catch {
      for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(path + suffix, { force: true });
      prepare(path);
    }
    return new ReadModelStore(createClient({ url: `file:${encodeURI(path)}` }));
  }

  /** Replaces everything by the state. */
  async fill(state: ClusterState): Promise<void> {
    await this.#db.transaction(async (tx) => {
      for (const table of [topics, partitions, configs, nodes]) await tx.delete(table);
      const data = state.data();
      for (const rows of chunks(data.nodes.nodes.map(nodeRow))) await tx.insert(nodes).values(rows);
      await insertTopics(tx, data.topics);
    });
  }

  /** Follows committed changes, in order. */
  async change(changes: readonly Change[]): Promise<void> {
    await this.#db.transaction(async (tx) => {
      for (const change of changes) await applyChange(tx, change);
    });
  }

  close(): void {
    this.#client.close();
  }
}

function prepare(path: string): void {
  const connection = openSqlite(path, "rw");
  try {
    connection.exec("PRAGMA journal_mode=WAL");
    migrate(connection, "state");
  } finally {
    connection.close();
  }
}

async function applyChange(tx: Transaction, change: Change): Promise<void> {
  switch (change.kind) {
    case "topicCreated":
      return insertTopics(tx, [change.topic]);
    case "topicChanged":
      await deleteTopic(tx, change.topic.topicId);
      return insertTopics(tx, [change.topic]);
    case "topicDeleted":
      return deleteTopic(tx, change.topic.topicId);
    case "nodeChanged":
      await tx.delete(nodes).where(eq(nodes.nodeId, change.node.nodeId));
      await tx.insert(nodes).values(nodeRow(change.node));
      return;
    case "controllerVoters":
    case "producerIds":
    case "none":
      return;
  }
}

async function deleteTopic(tx: Transaction, topicId: string): Promise<void> {
  await tx.delete(topics).where(eq(topics.topicId, topicId));
  await tx.delete(partitions).where(eq(partitions.topicId, topicId));
  await tx.delete(configs).where(eq(configs.resource, topicId));
}

async function insertTopics(tx: Transaction, states: readonly TopicState[]): Promise<void> {
  for (const rows of chunks(states.map(topicRow))) await tx.insert(topics).values(rows);
  for (const rows of chunks(states.flatMap(partitionRows)))
    await tx.insert(partitions).values(rows);
  for (const rows of chunks(states.flatMap(configRows))) await tx.insert(configs).values(rows);
}

function nodeRow(node: NodeState): typeof nodes.$inferInsert {
  const { nodeId, version, http, peer, region, registeredAt, removedAt, draining } = node;
  const leaving = draining ? "draining" : "member";
  return {
    nodeId,
    state: removedAt === null ? leaving : "removed",
    version,
    http,
    peerHost: peer?.host ?? null,
    peerPort: peer?.port ?? null,
    region,
    registeredAt,
    removedAt,
  };
}

function topicRow(topic: TopicState): typeof topics.$inferInsert {
  const { topicId, name, createdAt, assignments } = topic;
  return {
    topicId,
    name,
    partitionCount: assignments.length,
    replicationFactor: assignments[0]?.length ?? 0,
    internal: isInternalTopic(name),
    createdAt,
  };
}

function partitionRows(topic: TopicState): (typeof partitions.$inferInsert)[] {
  return topic.assignments.map((replicas, partition) => ({
    topicId: topic.topicId,
    partition,
    preferredLeader: replicas[0]?.nodeId ?? 0,
    replicas: replicas.map((replica) => replica.nodeId),
  }));
}

function configRows(topic: TopicState): (typeof configs.$inferInsert)[] {
  return Object.entries(topic.configs).map(([name, value]) => ({
    resourceType: "topic" as const,
    resource: topic.topicId,
    name,
    value,
  }));
}

function* chunks<T>(rows: readonly T[]): Generator<T[]> {
  for (let at = 0; at < rows.length; at += rowsPerInsert) yield rows.slice(at, at + rowsPerInsert);
}
