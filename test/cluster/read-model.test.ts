import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "bun:sqlite";
import type { Change } from "../../src/cluster/cluster-state.ts";
import { ClusterState } from "../../src/cluster/cluster-state.ts";
import type { Command } from "../../src/cluster/commands.ts";
import { VirtualWorld } from "../broker/virtual-world.ts";
import { ReadModel } from "../../src/cluster/read-model.ts";
import { clusterOf } from "./states.ts";

const folder = mkdtempSync(join(tmpdir(), "rivulet-read-model-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const here = [{ nodeId: 1, incarnation: 1 }];
const create = (name: string, partitions = 1): Command => ({
  kind: "createTopic",
  name,
  topicId: `id-of-${name}`,
  assignments: Array.from({ length: partitions }, () => here),
  configs: { "retention.ms": "5" },
});

function apply(state: ClusterState, command: Command, model: ReadModel | null): void {
  const applied = state.apply(command, 7);
  if (!applied.ok) throw new Error(applied.detail);
  model?.changed(applied.change satisfies Change);
}

const world = new VirtualWorld();
function modelOf(path: string, state: ClusterState): ReadModel {
  const model = new ReadModel({ world, path, state: () => state });
  world.advance(1_000);
  return model;
}

/** Reads what another process would see. The model is closed: no other connection of this process has the file. */
function rows(path: string, sql: string): unknown[] {
  const db = new Database(path, { readonly: true });
  try {
    return db.query(sql).values();
  } finally {
    db.close();
  }
}

const topicsSql = "SELECT name, partition_count, internal, created_at FROM topics ORDER BY name";
const partitionsSql =
  "SELECT name, partition, preferred_leader, replicas FROM partitions JOIN topics USING (topic_id) ORDER BY 1, 2";
const configsSql = "SELECT resource, name, value FROM configs ORDER BY 1, 2";

test("state.db holds what was there at the start, follows every change, and is filled anew", async () => {
  const path = join(folder, "state.db");
  const state = new ClusterState();
  apply(state, create("a", 2), null);
  apply(state, create("__b"), null);
  const model = modelOf(path, state);
  apply(state, create("c"), model);
  await model.idle();
  apply(state, { kind: "deleteTopic", topicId: "id-of-__b" }, model);
  apply(state, { kind: "addPartitions", topicId: "id-of-c", first: 1, assignments: [here] }, model);
  apply(
    state,
    {
      kind: "alterConfigs",
      topicId: "id-of-a",
      changes: { "retention.ms": null, "flush.ms": "1" },
    },
    model,
  );
  await model.close();
  expect(model.failure).toBeNull();
  expect(rows(path, topicsSql)).toEqual([
    ["a", 2, 0, 7],
    ["c", 2, 0, 7],
  ]);
  expect(rows(path, partitionsSql)).toEqual([
    ["a", 0, 1, "[1]"],
    ["a", 1, 1, "[1]"],
    ["c", 0, 1, "[1]"],
    ["c", 1, 1, "[1]"],
  ]);
  expect(rows(path, configsSql)).toEqual([
    ["id-of-a", "flush.ms", "1"],
    ["id-of-c", "retention.ms", "5"],
  ]);

  // A file of another life, with rows that no longer hold, is filled anew.
  const again = modelOf(path, new ClusterState());
  await again.close();
  expect(rows(path, topicsSql)).toEqual([]);
});

test("nodes are rows too: members, draining ones and removed ones", async () => {
  const path = join(folder, "nodes.db");
  const state = clusterOf([null]);
  const model = modelOf(path, state);
  const peer = { host: "h", port: 7 };
  const told = { version: "0.2.0", http: "http://h:1", peer, region: "a" };
  apply(state, { kind: "joinNode", requestId: "request-2", ...told }, model);
  apply(state, { kind: "joinNode", requestId: "request-3", version: "0.2.0" }, model);
  await model.idle();
  apply(state, { kind: "drainNode", nodeId: 2 }, model);
  apply(state, { kind: "removeNode", nodeId: 3 }, model);
  await model.close();
  expect(model.failure).toBeNull();
  const columns = "node_id, state, version, http, peer_host, peer_port, region, removed_at";
  expect(rows(path, `SELECT ${columns} FROM nodes ORDER BY 1`)).toEqual([
    [1, "member", "0.1.0", null, null, null, null, null],
    [2, "draining", "0.2.0", "http://h:1", "h", 7, "a", null],
    [3, "removed", "0.2.0", null, null, null, null, 7],
  ]);
});

test("a file that is no database is made anew", async () => {
  const path = join(folder, "garbage.db");
  writeFileSync(path, "this is not a database ".repeat(400));
  const state = new ClusterState();
  apply(state, create("a"), null);
  const model = modelOf(path, state);
  await model.close();
  expect(model.failure).toBeNull();
  expect(rows(path, topicsSql)).toHaveLength(1);
});

test("a path that cannot be written is told, and nothing else happens", async () => {
  const state = new ClusterState();
  const model = modelOf(join(folder, "no", "such", "folder.db"), state);
  apply(state, create("a"), model);
  await model.close();
  expect(model.failure).toContain("folder.db");
});

test("a model that rests gives its Worker back, and follows again at the next change", async () => {
  const path = join(folder, "rest.db");
  const state = new ClusterState();
  const model = modelOf(path, state);
  await model.idle();
  world.advance(5_000);
  apply(state, create("a"), model);
  await model.idle();
  world.advance(5_000);
  await model.idle();
  expect(rows(path, topicsSql)).toHaveLength(1);
  apply(state, create("b"), model);
  await model.close();
  expect(model.failure).toBeNull();
  expect(rows(path, topicsSql)).toHaveLength(2);
});

test("a node that stops at once leaves no file and no Worker", async () => {
  const path = join(folder, "never.db");
  const model = new ReadModel({ world, path, state: () => new ClusterState() });
  const timers = world.timers;
  await model.close();
  expect(world.timers).toBe(timers - 1);
  world.advance(1_000);
  await model.idle();
  expect(existsSync(path)).toBe(false);
});
