// Who takes part: growing from one node to three, replacing and removing replicas, incarnations, transfers.

import { describe, expect, test } from "bun:test";

import { newMessage } from "../../raft/index.ts";
import { raftIdOf, type ReplicaIdentity } from "../../src/consensus/identity.ts";
import { encodeMessage } from "../../src/consensus/wire/message-codec.ts";
import type { Payload } from "../../src/consensus/payload.ts";
import { command, TestCluster } from "./cluster.ts";

const id = (nodeId: number, incarnation = 1): ReplicaIdentity => ({ nodeId, incarnation });
const words = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `w${from + i}`);
const joins = (incarnation: number) => ({ incarnation, voters: [] });

/** One node's group of its own, with a few words; the others wait to be told. */
async function alone(count = 3): Promise<TestCluster> {
  const cluster = await TestCluster.of(count);
  cluster.node(1).create("g", { incarnation: 1, voters: [id(1)] });
  await cluster.world.until(cluster.on(1).replica.lead());
  await cluster.say(cluster.node(1), words(0, 10));
  return cluster;
}

async function grown(): Promise<TestCluster> {
  const cluster = await alone();
  cluster.node(2).create("g", joins(2));
  cluster.node(3).create("g", joins(3));
  const { replica } = cluster.on(1);
  const learners = [id(2, 2), id(3, 3)];
  const target = { voters: [id(1)], learners };
  expect(await cluster.world.until(replica.changeMembers(target))).toEqual({ ok: true });
  await cluster.heard(words(0, 10));
  const voters = [id(1), ...learners];
  const done = replica.changeMembers({ voters, learners: [] });
  expect(await cluster.world.until(done)).toEqual({ ok: true });
  return cluster;
}

describe("changeMembers()", () => {
  test("takes a group from one node to three, learners first, through a joint configuration", async () => {
    const cluster = await grown();
    const members = { voters: [id(1), id(2, 2), id(3, 3)], learners: [], joint: false };
    for (const nodeId of [1, 2, 3]) {
      await cluster.eventually("the members", () => {
        const { replica } = cluster.on(nodeId);
        return JSON.stringify(replica.members) === JSON.stringify(members);
      });
    }
    cluster.node(1).crash();
    const leader = await cluster.leader();
    await cluster.say(leader, words(10, 5));
    await cluster.heard(words(0, 15), [cluster.node(2), cluster.node(3)]);
  });

  test("is remembered over a crash of every node", async () => {
    const cluster = await grown();
    await cluster.world.run(500);
    for (const node of cluster.nodes) node.crash();
    for (const node of cluster.nodes) await node.start();
    for (const node of cluster.nodes) {
      const { members } = cluster.on(node.nodeId).replica;
      expect(members.voters.map(({ nodeId }) => nodeId)).toEqual([1, 2, 3]);
    }
    cluster.wake();
    const leader = await cluster.leader();
    await cluster.say(leader, ["again"]);
    await cluster.heard([...words(0, 10), "again"]);
  });

  test("removes the leader, which steps down; the others go on", async () => {
    const cluster = await grown();
    const { replica } = cluster.on(1);
    const target = { voters: [id(2, 2), id(3, 3)], learners: [] };
    expect(await cluster.world.until(replica.changeMembers(target))).toEqual({ ok: true });
    await cluster.eventually("the leader to step down", () => !replica.role.leader);
    const leader = await cluster.leader();
    expect(leader.nodeId).not.toBe(1);
    await cluster.say(leader, ["without"]);
  });

  test("leaves a replica alone, which leads though a former member claims to", async () => {
    const cluster = await grown();
    const target = { voters: [id(2, 2)], learners: [] };
    expect(await cluster.world.until(cluster.on(1).replica.changeMembers(target))).toEqual({
      ok: true,
    });
    const node = cluster.node(2);
    await cluster.eventually("node 2 to lead", () => cluster.on(2).replica.ready);
    await cluster.say(node, ["alone"]);
    const { term } = node.journal.state(cluster.on(2).replica.number).hardState;
    // A clean stop: everything is known to be committed, so nothing campaigns at the start.
    await cluster.world.until(node.host.close());
    await cluster.world.until(node.journal.close());
    node.crash();
    cluster.node(1).crash();
    await node.start();
    const claim = newMessage<Payload>("MsgHeartbeat", raftIdOf(id(2, 2)), raftIdOf(id(1)));
    const { head } = encodeMessage("g", { ...claim, term });
    node.host.onPacket({ from: 1, lane: "control", head, body: new Uint8Array(0) });
    await cluster.world.run(10);
    expect(await cluster.world.until(cluster.on(2).replica.lead())).toBeGreaterThan(term);
    await cluster.say(node, ["still"]);
  });

  test("replaces a replica by a fresh incarnation on the same node, whose former votes count for nothing", async () => {
    const cluster = await grown();
    cluster.node(3).crash();
    await cluster.world.run(100);
    cluster.node(3).loseDisk();
    await cluster.node(3).start();
    expect(cluster.node(3).hosted.size).toBe(0);
    await cluster.eventually("the leader to ask for it", () => cluster.node(3).wanted.length > 0);
    expect(cluster.node(3).wanted[0]).toEqual({ groupId: "g", incarnation: 3 });
    cluster.node(3).create("g", joins(7));
    const { replica } = cluster.on(1);
    const target = { voters: [id(1), id(2, 2), id(3, 7)], learners: [] };
    expect(await cluster.world.until(replica.changeMembers(target))).toEqual({ ok: true });
    await cluster.heard(words(0, 10));
    expect(cluster.on(3).replica.identity).toEqual(id(3, 7));
  });

  test("takes appends in every turn of it, also in the one that leaves the joint configuration", async () => {
    const cluster = await grown();
    const { replica, machine } = cluster.on(1);
    const said = words(10, 60);
    const changes = [
      { voters: [id(1)], learners: [] },
      { voters: [id(1), id(2, 2), id(3, 3)], learners: [] },
    ];
    let done = Promise.resolve() as Promise<unknown>;
    for (const target of changes) done = done.then(() => replica.changeMembers(target));
    for (const word of said) {
      const proposed = replica.propose(command(replica, word), replica.role.term);
      expect(proposed).toMatchObject({ ok: true, index: replica.lastIndex });
      // One turn at a time: the leader's own entries appear between any two.
      await cluster.world.run(0.2);
    }
    await cluster.world.until(done);
    await cluster.heard([...words(0, 10), ...said]);
    expect(machine.said).toHaveLength(70);
  });

  test("refuses what no group can be, and a second change while one is under way", async () => {
    const cluster = await grown();
    const { replica } = cluster.on(1);
    expect(await replica.changeMembers({ voters: [], learners: [] })).toMatchObject({
      code: "invalid_request",
    });
    expect(await replica.changeMembers({ voters: [id(1), id(1, 9)], learners: [] })).toMatchObject({
      code: "invalid_request",
    });
    const first = replica.changeMembers({ voters: [id(1), id(2, 2)], learners: [] });
    expect(await replica.changeMembers({ voters: [id(1)], learners: [] })).toMatchObject({
      code: "policy_violation",
    });
    expect(await cluster.world.until(first)).toEqual({ ok: true });
    expect(
      await cluster.on(2).replica.changeMembers({ voters: [id(1)], learners: [] }),
    ).toMatchObject({ code: "not_leader_or_follower" });
  });
});

test("a change that no quorum takes ends with the term, and its fate is unknown", async () => {
  const cluster = await alone(2);
  const { replica } = cluster.on(1);
  cluster.node(2).crash();
  await cluster.world.run(2_000);
  const change = replica.changeMembers({ voters: [id(1), id(2, 9)], learners: [] });
  await cluster.world.until(change);
  const stuck = replica.changeMembers({ voters: [id(1)], learners: [] });
  expect(await cluster.world.until(stuck)).toMatchObject({
    code: "not_leader_or_follower",
    sideEffects: "unknown",
  });
});

describe("a replica that nobody told who takes part", () => {
  test("never campaigns, and is told with its first entry", async () => {
    const cluster = await alone(2);
    const replica = cluster.node(2).create("g", joins(2));
    const led = replica.leader(5_000).catch((error: unknown) => error);
    await cluster.world.run(6_000);
    expect(await led).toMatchObject({ code: "request_timed_out" });
    expect(replica.role.term).toBe(0 as never);
    const target = { voters: [id(1)], learners: [id(2, 2)] };
    await cluster.world.until(cluster.on(1).replica.changeMembers(target));
    await cluster.heard(words(0, 10));
    expect(replica.members).toEqual({ ...target, joint: false });
  });
});

describe("transferLeadership()", () => {
  test("hands over to the voter, and refuses others", async () => {
    const cluster = await TestCluster.of(3);
    cluster.group("g");
    cluster.wake();
    const leader = await cluster.leader();
    const { replica } = cluster.on(leader.nodeId);
    await cluster.say(leader, words(0, 3));
    expect(await replica.transferLeadership(9)).toMatchObject({ code: "invalid_request" });
    expect(await cluster.world.until(replica.transferLeadership(3))).toEqual({ ok: true });
    expect(replica.ready).toBe(false);
    await cluster.eventually("node 3 to be ready", () => cluster.on(3).replica.ready);
    await cluster.say(cluster.node(3), words(3, 3));
    await cluster.heard(words(0, 6));
  });

  test("gives up on a node that does not take over, and goes on leading", async () => {
    const cluster = await TestCluster.of(3);
    cluster.group("g");
    cluster.wake();
    const leader = await cluster.leader();
    const { replica } = cluster.on(leader.nodeId);
    cluster.network.isolate(3);
    const outcome = await cluster.world.until(replica.transferLeadership(3));
    expect(outcome).toMatchObject({ code: "request_timed_out" });
    await cluster.say(leader, ["still"]);
  });
});
