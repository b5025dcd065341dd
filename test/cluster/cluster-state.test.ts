import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { decodeState, encodeState } from "../../src/cluster/cluster-snapshot.ts";
import { changesBetween } from "../../src/cluster/changes-between.ts";
import { ClusterState, type Change, type TopicState } from "../../src/cluster/cluster-state.ts";
import { decodeCommand, encodeCommand, type Command } from "../../src/cluster/commands.ts";
import { assertNodes } from "../../src/cluster/node-registry.ts";
import { limits } from "../../src/limits.ts";
import { do_, id } from "./states.ts";

const here = [{ nodeId: 1, incarnation: 1 }];
const create = (name: string, n: number, partitions = 1): Command => ({
  kind: "createTopic",
  name,
  topicId: id(n),
  assignments: Array.from({ length: partitions }, () => here),
  configs: {},
});

test("a created topic is found by name and by id", () => {
  const state = new ClusterState();
  expect(state.apply(create("orders", 1, 3), 42)).toMatchObject({ ok: true });
  expect(state.topic("orders")).toMatchObject({ topicId: id(1), createdAt: 42 });
  expect(state.topicById(id(1))?.assignments).toHaveLength(3);
  expect(state.partitions).toBe(3);
});

test("a name can be taken once, and never by a name that collides with it", () => {
  const state = new ClusterState();
  state.apply(create("a.b", 1), 0);
  expect(state.apply(create("a.b", 2), 0)).toMatchObject({ code: "topic_already_exists" });
  expect(state.apply(create("a_b", 2), 0)).toMatchObject({ code: "invalid_topic_exception" });
  state.apply({ kind: "deleteTopic", topicId: id(1) }, 0);
  expect(state.apply(create("a_b", 2), 0)).toMatchObject({ ok: true });
});

test("a deleted topic leaves a note until its replicas are gone", () => {
  const state = new ClusterState();
  state.apply(create("a", 1, 2), 0);
  state.apply({ kind: "deleteTopic", topicId: id(1) }, 7);
  expect(state.topic("a")).toBeNull();
  expect(state.topicById(id(1))).toBeNull();
  expect(state.deleted.get(id(1))).toEqual({
    topicId: id(1),
    name: "a",
    partitions: 2,
    deletedAt: 7,
    holders: [1],
  });
  expect(state.apply({ kind: "deleteTopic", topicId: id(1) }, 8)).toMatchObject({
    code: "unknown_topic_or_partition",
  });
  state.apply({ kind: "forgetTopics", topicIds: [id(1)] }, 9);
  expect(state.deleted.size).toBe(0);
});

test("partitions are added behind the ones that the proposer saw", () => {
  const state = new ClusterState();
  state.apply(create("a", 1, 2), 0);
  const add = { kind: "addPartitions", topicId: id(1), first: 2, assignments: [here] } as const;
  expect(state.apply(add, 0)).toMatchObject({ ok: true });
  expect(state.apply(add, 0)).toMatchObject({ ok: false, code: "invalid_partitions" });
  expect(state.topic("a")?.assignments).toHaveLength(3);
});

test("earlier counts are remembered while an idempotency key may have been placed by them", () => {
  let state = new ClusterState();
  state.apply(create("a", 1, 2), 0);
  const grow = (first: number, time: number) =>
    state.apply({ kind: "addPartitions", topicId: id(1), first, assignments: [here] }, time);
  const age = limits.idempotencyKeyAgeMsMax;
  grow(2, 10);
  grow(3, age);
  state = decodeState(encodeState(state));
  const second = { partitions: 3, until: age };
  expect(state.topic("a")?.earlierCounts).toEqual([{ partitions: 2, until: 10 }, second]);
  grow(4, age + 10);
  expect(state.topic("a")?.earlierCounts).toEqual([second, { partitions: 4, until: age + 10 }]);
});

test("the node's limit of partitions holds", () => {
  const state = new ClusterState();
  state.apply(create("a", 1, limits.partitionsPerNodeMax), 0);
  expect(state.apply(create("b", 2), 0)).toMatchObject({ code: "invalid_partitions" });
});

test("who holds a topic's state does not see it change", () => {
  const state = new ClusterState();
  state.apply(create("a", 1), 0);
  const held = state.topic("a")!;
  state.apply(
    { kind: "alterConfigs", topicId: id(1), changes: { "retention.ms": "1", "flush.ms": null } },
    0,
  );
  expect(held.configs).toEqual({});
  expect(state.topic("a")?.configs).toEqual({ "retention.ms": "1" });
});

test("names stay in code point order", () => {
  const state = new ClusterState();
  ["b", "a", "Z", "a.b", "_", "a-"].forEach((name, n) => state.apply(create(name, n), 0));
  state.apply({ kind: "deleteTopic", topicId: id(1) }, 0);
  expect(state.names).toEqual(["Z", "_", "a-", "a.b", "b"]);
  expect(state.position("a.b")).toBe(3);
  expect(state.position("zz")).toBe(5);
});

test("producer ids are handed out in blocks that never overlap", () => {
  const state = new ClusterState();
  const allocate = { kind: "allocateProducerIds", count: 1000 } as const;
  expect(state.apply(allocate, 0)).toMatchObject({ change: { first: 0, count: 1000 } });
  expect(state.apply(allocate, 0)).toMatchObject({ change: { first: 1000, count: 1000 } });
});

test("a cluster is formatted once", () => {
  const state = new ClusterState();
  expect(state.apply({ kind: "formatCluster", clusterId: "x" }, 0)).toMatchObject({ ok: true });
  expect(state.apply({ kind: "formatCluster", clusterId: "y" }, 0)).toMatchObject({ ok: false });
  expect(state.clusterId).toBe("x");
});

const someCommand: fc.Arbitrary<Command> = fc.oneof(
  fc
    .record({ n: fc.nat(6), name: fc.constantFrom("a", "b.c", "b_c", "d"), size: fc.nat(3) })
    .map(({ n, name, size }) => create(name, n, size + 1)),
  fc.nat(6).map((n): Command => ({ kind: "deleteTopic", topicId: id(n) })),
  fc.nat(6).map((n): Command => ({ kind: "forgetTopics", topicIds: [id(n)] })),
  fc
    .record({ n: fc.nat(6), first: fc.integer({ min: 1, max: 4 }) })
    .map(({ n, first }): Command => ({
      kind: "addPartitions",
      topicId: id(n),
      first,
      assignments: [here, [...here, { nodeId: 2, incarnation: 9 }]],
    })),
  fc
    .record({ n: fc.nat(6), value: fc.option(fc.constantFrom("1", "2")) })
    .map(({ n, value }): Command => ({
      kind: "alterConfigs",
      topicId: id(n),
      changes: { "retention.ms": value },
    })),
  fc.constant<Command>({ kind: "allocateProducerIds", count: 1000 }),
  fc.constant<Command>({ kind: "formatCluster", clusterId: "c" }),
  fc.nat(3).map((nodeId): Command => ({ kind: "registerNode", nodeId, version: "0.1.0" })),
  fc.nat(5).map((n): Command => ({
    kind: "joinNode",
    requestId: `request-${n}`,
    version: "0.1.0",
    http: "http://127.0.0.1:1",
    peer: { host: "127.0.0.1", port: 7_000 + n },
    region: n % 2 === 0 ? null : "a",
  })),
  fc.nat(6).map((nodeId): Command => ({ kind: "drainNode", nodeId })),
  fc.nat(6).map((nodeId): Command => ({ kind: "removeNode", nodeId })),
  fc.array(fc.nat(6), { minLength: 1, maxLength: 4 }).map((voters): Command => ({
    kind: "setControllerVoters",
    voters,
    expected: [1],
  })),
  fc
    .record({ nodeId: fc.nat(4), incarnation: fc.integer({ min: 1, max: 6 }) })
    .map((of): Command => ({ kind: "replaceControllerReplica", ...of })),
  fc
    .record({
      n: fc.nat(6),
      nodes: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
    })
    .map(({ n, nodes }): Command => ({
      kind: "assignReplicas",
      topicId: id(n),
      changes: [{ partition: 0, nodes, expected: [1] }],
    })),
  fc
    .record({ n: fc.nat(6), nodeId: fc.integer({ min: 1, max: 3 }) })
    .map(({ n, nodeId }): Command => ({
      kind: "replaceReplica",
      topicId: id(n),
      partition: 0,
      replica: { nodeId, incarnation: 1 },
    })),
  fc
    .record({ n: fc.nat(6), revision: fc.integer({ min: 1, max: 2 }) })
    .map(({ n, revision }): Command => ({
      kind: "confirmReplicas",
      topicId: id(n),
      partition: 0,
      revision,
      voters: here,
      learners: [],
    })),
);

/** What ClusterState.load() keeps count of, counted. */
function countedLoad(topics: readonly TopicState[], nodeId: number) {
  const all = topics.flatMap((topic) => topic.assignments);
  return {
    replicas: all.flat().filter((replica) => replica.nodeId === nodeId).length,
    leads: all.filter((assignment) => assignment[0]?.nodeId === nodeId).length,
  };
}

test("the fold of the log equals the live state, from the start and from any snapshot", () => {
  fc.assert(
    fc.property(fc.array(someCommand, { maxLength: 30 }), fc.nat(30), (commands, at) => {
      const live = new ClusterState();
      let restored = new ClusterState();
      commands.forEach((command, time) => {
        if (time === at) restored = decodeState(encodeState(live));
        const copy = decodeCommand(encodeCommand(command));
        expect(copy).toEqual(command);
        const applied = live.apply(command, time);
        if (time < at) restored.apply(copy, time);
        else expect(restored.apply(copy, time)).toEqual(applied);
      });
      expect(encodeState(restored)).toEqual(encodeState(live));
      expect([...live.names].sort()).toEqual([...live.names]);
      const sum = live.data().topics.reduce((n, topic) => n + topic.assignments.length, 0);
      expect(live.partitions).toBe(sum);
      const data = live.data();
      assertNodes(data.nodes);
      const moves = data.topics.flatMap((topic) => [...topic.moves.values()]);
      expect(live.unsettled).toBe(moves.filter((move) => !move.settled).length);
      for (let nodeId = 1; nodeId < 6; nodeId += 1)
        expect(live.load(nodeId)).toEqual(countedLoad(data.topics, nodeId));
    }),
    { numRuns: 500 },
  );
});

test("changes between two states tell what the commands between them told, and nothing else", () => {
  fc.assert(
    fc.property(fc.array(someCommand, { maxLength: 30 }), fc.nat(30), (commands, at) => {
      const live = new ClusterState();
      let before = decodeState(encodeState(live));
      const told = { nodes: new Set<number>(), topics: new Set<string>() };
      commands.forEach((command, time) => {
        if (time === at) before = decodeState(encodeState(live));
        const applied = live.apply(command, time);
        if (applied.ok && time >= at) note(told, applied.change);
      });
      if (commands.length <= at) before = decodeState(encodeState(live));
      const found = { nodes: new Set<number>(), topics: new Set<string>() };
      for (const change of changesBetween(before, live)) note(found, change);
      for (const nodeId of found.nodes) expect(told.nodes.has(nodeId)).toBe(true);
      for (const topicId of found.topics) expect(told.topics.has(topicId)).toBe(true);
      for (const topicId of told.topics) {
        const [then, now] = [before.topicById(topicId), live.topicById(topicId)];
        if ((then === null) !== (now === null)) expect(found.topics.has(topicId)).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});

function note(told: { nodes: Set<number>; topics: Set<string> }, change: Change): void {
  if (change.kind === "nodeChanged") told.nodes.add(change.node.nodeId);
  if ("topic" in change) told.topics.add(change.topic.topicId);
}

test("what one node wrote before there were clusters is read", async () => {
  const { Packr } = await import("msgpackr");
  const packr = new Packr({ useRecords: false });
  const old = [
    { v: 1, kind: "formatCluster", clusterId: "c" },
    { v: 1, kind: "registerNode", nodeId: 1, version: "0.1.0" },
    { v: 1, kind: "createTopic", name: "a", topicId: id(1), assignments: [here], configs: {} },
    { v: 1, kind: "addPartitions", topicId: id(1), first: 1, assignments: [here] },
    { v: 1, kind: "createTopic", name: "b", topicId: id(2), assignments: [here], configs: {} },
    { v: 1, kind: "deleteTopic", topicId: id(2) },
    { v: 1, kind: "allocateProducerIds", count: 1_000 },
  ];
  const folded = new ClusterState();
  for (const command of old) do_(folded, decodeCommand(packr.pack(command)), 5);
  expect(folded.controllerVoters).toEqual([1]);
  const flat = [
    [1, 1],
    [1, 1],
  ];
  const snapshot = [
    1,
    "c",
    [[1, "0.1.0", 5]],
    [["a", id(1), 5, flat, {}, [1, 5]]],
    [[id(2), "b", 1, 5]],
    1_000,
  ];
  expect(encodeState(decodeState(packr.pack(snapshot)))).toEqual(encodeState(folded));
});

test("a command or snapshot of a newer version halts", async () => {
  const { pack } = await import("msgpackr");
  expect(() => decodeCommand(pack({ v: 3, kind: "createTopic" }))).toThrow(
    "version must be 1 to 2, got 3",
  );
  expect(() => decodeCommand(pack({ v: 2, kind: "renameTopic" }))).toThrow("renameTopic");
  expect(() => decodeCommand(pack({ v: 1, kind: "joinNode" }))).toThrow("joinNode");
  expect(() => decodeState(pack([3]))).toThrow("version must be 1 to 2, got 3");
});
