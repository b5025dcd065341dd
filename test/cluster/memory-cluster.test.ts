import { expect, test } from "bun:test";
import { MemoryCluster } from "./memory-cluster.ts";
import { id } from "./states.ts";

const create = (name: string, n: number) => ({
  kind: "createTopic" as const,
  name,
  topicId: id(n),
  assignments: [[{ nodeId: 1, incarnation: 1 }]],
  configs: {},
});

test("the first node forms the cluster, the second learns, with the third all three vote", async () => {
  const cluster = await MemoryCluster.of(1);
  await cluster.members("1");
  await cluster.join();
  await cluster.members("1 | 2");
  await cluster.join();
  await cluster.members("1 2 3");
  await cluster.agreed();
  expect([...cluster.node(3).state.nodes.keys()].toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
  await cluster.join();
  await cluster.members("1 2 3 | 4");
  await cluster.join();
  await cluster.members("1 2 3 4 5");
});

test("any node takes a command, and sees it done when it is answered", async () => {
  const cluster = await MemoryCluster.of(4);
  await cluster.members("1 2 3 | 4");
  let n = 0;
  for (const node of cluster.living) {
    n += 1;
    await cluster.submit(node, create(`t${n}`, n));
    expect(node.state.topic(`t${n}`)).not.toBeNull();
  }
  const blocks = cluster.living.map((node) =>
    node.controller.submit({ kind: "allocateProducerIds", count: 10 }),
  );
  const firsts = (await cluster.world.until(Promise.all(blocks))).map((applied) => {
    if (!applied.ok || applied.change.kind !== "producerIds") throw new Error("refused");
    return applied.change.first;
  });
  expect(firsts.toSorted((a, b) => a - b)).toEqual([0, 10, 20, 30]);
  const again = await cluster.world.until(cluster.node(4).controller.submit(create("t1", 9)));
  expect(again).toMatchObject({ ok: false, code: "topic_already_exists", sideEffects: "none" });
  await cluster.agreed();
});

test("a command that meets an election waits for the next leader", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const leader = cluster.leaderOf("controller")!;
  leader.crash();
  const other = cluster.any;
  await cluster.submit(other, create("a", 1));
  expect(other.state.topic("a")).not.toBeNull();
  await cluster.world.until(leader.start());
  await cluster.eventually("the topic there too", () => leader.state.topic("a"));
  await cluster.agreed();
});

test("without a majority a command is refused in time, in words", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  cluster.node(2).crash();
  cluster.node(3).crash();
  const began = cluster.world.monotonic();
  const refused = await cluster.world.until(cluster.node(1).controller.submit(create("a", 1)));
  expect(cluster.world.monotonic() - began).toBeLessThan(11_000);
  if (refused.ok) throw new Error("must be refused");
  expect(["not_leader_or_follower", "request_timed_out"]).toContain(refused.code);
  expect(refused.detail).toContain("1 of 3 voters can be reached");
  const joining = await cluster.ask(cluster.node(1));
  expect(joining).toMatchObject({ ok: false, members: { votersReachable: 1, voters: 3 } });
});

test("a topic for which nobody chose a factor is raised as nodes join; its words are everywhere", async () => {
  const cluster = await MemoryCluster.of(1);
  const raised = `${await cluster.topic("raised")}/0`;
  const fixed = `${await cluster.topic("fixed", { factor: 1 })}/0`;
  await cluster.say(raised, "one");
  await cluster.say(fixed, "alone");
  await cluster.join();
  await cluster.members("1 2", raised);
  await cluster.join();
  await cluster.members("1 2 3", raised);
  await cluster.say(raised, "two");
  await cluster.eventually("words everywhere", () =>
    cluster.living.every((node) => cluster.heard(node, raised).join() === "one,two"),
  );
  await cluster.members("1", fixed);
  await cluster.eventually("settled", () => cluster.any.state.unsettled === 0);
});

test("a node lost for good is removed, and another one takes its place", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const group = `${await cluster.topic("a")}/0`;
  await cluster.say(group, "one");
  cluster.node(3).crash();
  const { members } = cluster.node(1).life;
  const removing = await cluster.world.until(members.remove(3, { force: false }));
  expect(removing).toEqual({ ok: true, state: "removed" });
  await cluster.members("1 | 2");
  await cluster.members("1 2", group);
  const fourth = await cluster.join();
  expect(fourth.nodeId).toBe(4);
  await cluster.members("1 2 4");
  await cluster.members("1 2 4", group);
  await cluster.eventually("words", () => cluster.heard(fourth, group).includes("one"));
  expect(cluster.any.state.removedNodes.has(3)).toBe(true);
});

test("a living node that is removed hands over all that it has, and knows that it was removed", async () => {
  const cluster = await MemoryCluster.of(4);
  await cluster.members("1 2 3 | 4");
  const leader = cluster.leaderOf("controller")!;
  const { nodeId } = leader;
  const group = `${await cluster.topic("only", { factor: 1, partitions: 4 })}/0`;
  const groups = [0, 1, 2, 3].map((p) => group.replace(/0$/, String(p)));
  for (const one of groups) await cluster.say(one, `word of ${one}`);
  const through = cluster.living.find((node) => node !== leader)!;
  const removing = await cluster.world.until(through.life.members.remove(nodeId, { force: false }));
  expect(removing.ok).toBe(true);
  await cluster.eventually("removed", () => through.state.removedNodes.has(nodeId));
  await cluster.eventually("it knows", () => leader.state.removedNodes.has(nodeId));
  await cluster.eventually("nothing is left there", () => [...leader.groupIds()].length === 0);
  for (const one of groups) {
    const led = await cluster.say(one, "more");
    expect(led.nodeId).not.toBe(nodeId);
    expect(cluster.heard(led, one)).toEqual([`word of ${one}`, "more"]);
  }
  expect(cluster.leaderOf("controller")!.nodeId).not.toBe(nodeId);
});

test("a node that is down and alone has something is not removed unless it is forced", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const topicId = await cluster.topic("only", { factor: 1, partitions: 3 });
  const holder = cluster
    .node(1)
    .state.topicById(topicId)!
    .assignments.find(([r]) => r.nodeId === 3);
  expect(holder).toBeDefined();
  cluster.node(3).crash();
  await cluster.world.run(1_000);
  const { members } = cluster.node(1).life;
  const refused = await cluster.world.until(members.remove(3, { force: false }));
  expect(refused).toMatchObject({ ok: false, code: "policy_violation" });
  const forced = await cluster.world.until(members.remove(3, { force: true }));
  expect(forced).toEqual({ ok: true, state: "removed" });
  await cluster.members("1 | 2");
});

test("the last node, a stranger, and a node of another cluster are refused", async () => {
  const cluster = await MemoryCluster.of(1);
  const { members } = cluster.node(1).life;
  const outcomes = await cluster.world.until(
    Promise.all([
      members.remove(1, { force: false }),
      members.remove(9, { force: true }),
      members.join({
        requestId: "request-x",
        version: "1",
        peer: { host: "h", port: 1 },
        clusterId: "other",
      }),
    ]),
  );
  expect(outcomes.map((outcome) => outcome.ok)).toEqual([false, false, false]);
  expect(cluster.node(1).state.nodes.size).toBe(1);
});

test("all nodes are killed at once and come back to the same state and members", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const group = `${await cluster.topic("a")}/0`;
  await cluster.say(group, "one");
  const before = cluster.any.state.nodes.size;
  for (const node of cluster.nodes.values()) node.crash();
  await cluster.world.until(Promise.all([...cluster.nodes.values()].map((node) => node.start())));
  await cluster.members("1 2 3");
  expect(cluster.any.state.nodes.size).toBe(before);
  await cluster.say(group, "two");
  await cluster.eventually("words", () =>
    cluster.living.every((node) => cluster.heard(node, group).join() === "one,two"),
  );
});
