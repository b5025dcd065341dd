import { expect, test } from "bun:test";
import type { Change } from "../../src/cluster/cluster-state.ts";
import { preferLeader } from "../../src/cluster/leaderships.ts";
import { MemoryCluster } from "./memory-cluster.ts";
import { id } from "./states.ts";

test("the only voter of two nodes is removed: the other one decides alone, with all that there was", async () => {
  const cluster = await MemoryCluster.of(2);
  await cluster.members("1 | 2");
  const group = `${await cluster.topic("a")}/0`;
  await cluster.say(group, "one");
  const second = cluster.node(2);
  const removing = await cluster.world.until(
    cluster.node(1).life.members.remove(1, { force: false }),
  );
  expect(removing.ok).toBe(true);
  await cluster.eventually("removed", () => second.state.removedNodes.has(1));
  cluster.node(1).crash();
  await cluster.members("2");
  await cluster.submit(second, { kind: "allocateProducerIds", count: 1 });
  await cluster.say(group, "two");
  expect(cluster.heard(second, group)).toEqual(["one", "two"]);
});

test("partitions that nobody ever used are raised too", async () => {
  const cluster = await MemoryCluster.of(1);
  const topicId = await cluster.topic("a", { partitions: 30 });
  await cluster.join();
  await cluster.join();
  await cluster.eventually("raised", () => cluster.any.state.unsettled === 0, 60_000);
  for (let partition = 0; partition < 30; partition += 1)
    await cluster.members("1 2 3", `${topicId}/${partition}`);
  await cluster.agreed();
});

test("leaderships come to the replicas that shall have them, and stay", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const topicId = await cluster.topic("a", { partitions: 6 });
  const groups = Array.from({ length: 6 }, (_, partition) => `${topicId}/${partition}`);
  for (const group of groups) await cluster.say(group, "one");
  const wanted = cluster.any.state.topicById(topicId)!.assignments.map(([first]) => first.nodeId);
  expect(new Set(wanted)).toEqual(new Set([1, 2, 3]));
  const leaders = () => groups.map((group) => cluster.leaderOf(group)?.nodeId ?? 0).join();
  await cluster.eventually("leaders", () => leaders() === wanted.join(), 60_000);
  cluster.node(2).crash();
  await cluster.eventually(
    "others lead",
    () => !leaders().includes("2") && !leaders().includes("0"),
  );
  await cluster.world.until(cluster.node(2).start());
  await cluster.eventually("leaders again", () => leaders() === wanted.join(), 60_000);
  const moved = cluster.living.map((node) => node.life.reconciler.metrics());
  await cluster.world.run(60_000);
  expect(cluster.living.map((node) => node.life.reconciler.metrics())).toEqual(moved);
});

test("a leadership that a person gave away is not given back", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const topicId = await cluster.topic("a");
  const group = `${topicId}/0`;
  const leader = await cluster.say(group, "one");
  const first = cluster.any.state.topicById(topicId)!.assignments[0][0].nodeId;
  const other = [1, 2, 3].find((nodeId) => nodeId !== first)!;
  const replica = leader.life.host.replica(group)!;
  if (leader.nodeId !== other)
    expect(await cluster.world.until(replica.transferLeadership(other))).toEqual({ ok: true });
  await cluster.world.until(preferLeader(cluster.any.controller, { topicId, partition: 0 }, other));
  await cluster.world.run(60_000);
  expect(cluster.leaderOf(group)?.nodeId).toBe(other);
  expect(cluster.any.state.unsettled).toBe(0);
});

test("a node that was down when a topic was made and moved is born as the others were", async () => {
  const cluster = await MemoryCluster.of(4);
  await cluster.members("1 2 3 | 4");
  cluster.node(3).crash();
  const through = cluster.node(1);
  const voters = [1, 2, 3].map((nodeId) => ({ nodeId, incarnation: 1 }));
  const topic = { name: "a", topicId: id(1), assignments: [voters], configs: {} };
  await cluster.submit(through, { kind: "createTopic", ...topic, explicitFactor: true });
  const group = `${id(1)}/0`;
  await cluster.say(group, "one");
  await cluster.submit(through, {
    kind: "assignReplicas",
    topicId: id(1),
    changes: [{ partition: 0, nodes: [3, 1, 4], expected: [1, 2, 3] }],
  });
  await cluster.members("1 3 4", group);
  await cluster.say(group, "two");
  await cluster.world.until(cluster.node(3).start());
  await cluster.eventually("words there", () => cluster.heard(cluster.node(3), group).length === 2);
  expect(cluster.node(3).incarnationOf(group)).toBe(1);
  await cluster.eventually("gone from 2", () => cluster.node(2).incarnationOf(group) === null);
  await cluster.agreed();
});

test("a replica that was damaged is replaced on its node, and has everything again", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const group = `${await cluster.topic("a")}/0`;
  await cluster.say(group, "one");
  const damaged = cluster.living.find((node) => node !== cluster.leaderOf(group))!;
  await cluster.world.until(
    damaged.life.reconciler.replaceDamaged(group, { nodeId: damaged.nodeId, incarnation: 1 }),
  );
  await cluster.eventually("another incarnation", () => (damaged.incarnationOf(group) ?? 1) > 1);
  await cluster.members("1 2 3", group);
  await cluster.eventually("its words", () => cluster.heard(damaged, group).join() === "one");
  await cluster.eventually("settled", () => cluster.any.state.unsettled === 0);
});

test("a node whose stored entries are damaged gets a fresh replica, and everything from the others", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const group = `${await cluster.topic("a")}/0`;
  for (const word of ["one", "two"]) await cluster.say(group, word);
  const node = cluster.living.find((one) => one !== cluster.leaderOf(group))!;
  await cluster.eventually("its words", () => cluster.heard(node, group).length === 2);
  expect(node.crashAndDamage(group)).toBe(true);
  await cluster.world.until(node.start());
  await cluster.eventually("another incarnation", () => (node.incarnationOf(group) ?? 1) > 1);
  await cluster.members("1 2 3", group);
  await cluster.eventually("its words", () => cluster.heard(node, group).join() === "one,two");
});

test("a node whose copy of the metadata is damaged gets another one, and three go on voting", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  await cluster.topic("a");
  const node = cluster.living.find((one) => one !== cluster.leaderOf("controller"))!;
  await cluster.agreed();
  expect(node.crashAndDamage("controller")).toBe(true);
  await cluster.world.until(node.start(), 90_000);
  expect(node.state.topic("a")).not.toBeNull();
  const { controllerIncarnation } = cluster.any.state.nodes.get(node.nodeId)!;
  expect(node.incarnationOf("controller")).toBe(controllerIncarnation);
  expect(controllerIncarnation).toBeGreaterThan(3);
  await cluster.members("1 2 3");
  const leader = cluster.leaderOf("controller")!;
  const voters = () =>
    leader.controller.replica.members.voters.some(
      ({ nodeId, incarnation }) => nodeId === node.nodeId && incarnation === controllerIncarnation,
    );
  await cluster.eventually("the new one votes", voters);
  await cluster.agreed();
});

test("a node that was away hears of a leader that joined meanwhile", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const away = cluster.node(3);
  away.crash();
  for (const _ of [4, 5]) await cluster.join();
  await cluster.members("1 2 3 4 5");
  const leader = cluster.leaderOf("controller")!;
  const handed = await cluster.world.until(leader.controller.replica.transferLeadership(5));
  expect(handed).toEqual({ ok: true });
  await cluster.topic("a");
  await cluster.world.until(away.start());
  await cluster.eventually("the topic there", () => away.state.topic("a"));
  expect(cluster.leaderOf("controller")?.nodeId).toBe(5);
});

test("a node that was away while the log was cut hears of everything that changed", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const kept = await cluster.topic("kept");
  const gone = await cluster.topic("gone");
  const third = cluster.node(3);
  await cluster.eventually("topics there", () => third.state.topicById(gone));
  const changes: Change[] = [];
  third.controller.onChange((change) => void changes.push(change));
  cluster.network.isolate(3);
  const through = cluster.node(1);
  await cluster.submit(through, { kind: "deleteTopic", topicId: gone });
  const made = await cluster.topic("made", {}, through);
  const alter = { "retention.ms": "1" };
  await cluster.submit(through, { kind: "alterConfigs", topicId: kept, changes: alter });
  for (let i = 0; i < 25; i += 1) {
    const many = Array.from({ length: 100 }, () =>
      through.controller.submit({ kind: "allocateProducerIds", count: 1 }),
    );
    await cluster.world.until(Promise.all(many));
  }
  cluster.network.heal();
  await cluster.agreed();
  const kinds = changes.map((change) => change.kind).filter((kind) => kind !== "producerIds");
  expect(kinds.toSorted()).toEqual(["topicChanged", "topicCreated", "topicDeleted"]);
  expect(third.state.topicById(made)).not.toBeNull();
  expect(third.state.topicById(kept)?.configs).toEqual(alter);
});
