// Groups whose nodes watch each other: at rest, after losses, behind slow disks and bad networks, in virtual time.

import { describe, expect, test } from "bun:test";

import { silentMs } from "../../src/consensus/liveness/liveness.ts";
import { command, TestCluster, type TestNode } from "./cluster.ts";

const groups = ["g", "h", "i", "j"];

/** Three nodes that host every group, led where `leads` says, at rest. */
async function rested(leads: (i: number) => number = () => 1): Promise<TestCluster> {
  const cluster = await TestCluster.of(3);
  for (const [i, groupId] of groups.entries()) {
    cluster.group(groupId);
    void cluster.on(leads(i), groupId).replica.lead();
    await cluster.leader(groupId);
  }
  await cluster.world.run(1_000);
  return cluster;
}

function ticking({ host }: TestNode): number {
  return host.metrics()["consensus_ticking"];
}

function terms(cluster: TestCluster): number[] {
  return groups.map((groupId) => cluster.on(2, groupId).replica.role.term);
}

/** Virtual ms until the condition holds. */
async function took(cluster: TestCluster, condition: () => boolean): Promise<number> {
  const from = cluster.world.monotonic();
  await cluster.eventually("the condition", condition);
  return cluster.world.monotonic() - from;
}

const ledBy = (cluster: TestCluster, nodeIds: readonly number[]): boolean =>
  groups.every((groupId) => nodeIds.some((nodeId) => cluster.on(nodeId, groupId).replica.ready));

describe("groups at rest", () => {
  test("are not ticked and send nothing: beats alone cross the network", async () => {
    const cluster = await rested();
    expect(cluster.nodes.map(ticking)).toEqual([0, 0, 0]);
    const sent = () => cluster.nodes.map(({ transport }) => transport.metrics()["packets_sent"]);
    const before = sent();
    await cluster.world.run(15_000);
    // 100 beats to each of two peers.
    sent().forEach((packets, i) => expect(packets - before[i]).toBe(200));
    expect(cluster.nodes.map(ticking)).toEqual([0, 0, 0]);
  });

  test("come to rest again after writes, and write again after rest", async () => {
    const cluster = await rested();
    for (const word of ["a", "b", "c"]) {
      await cluster.say(cluster.node(1), [word]);
      await cluster.world.run(3_000);
      expect(cluster.nodes.map(ticking)).toEqual([0, 0, 0]);
    }
    await cluster.heard(["a", "b", "c"]);
  });

  test("do not count a member as behind for the time in which nothing was written", async () => {
    const cluster = await rested();
    await cluster.world.run(600_000);
    const { replica } = cluster.on(1);
    expect(replica.propose(command(replica, "a"), replica.role.term).ok).toBe(true);
    for (const { behindMs } of replica.progress()) expect(behindMs).toBeLessThan(10);
  });
});

describe("when the leaders' node is gone", () => {
  test("killed: the others lead within half a second, and each takes its share", async () => {
    const cluster = await rested();
    cluster.node(1).crash();
    expect(await took(cluster, () => ledBy(cluster, [2, 3]))).toBeLessThan(500);
    await cluster.world.run(1_000);
    expect(cluster.nodes.slice(1).map(ticking)).toEqual([0, 0]);
  });

  test("killed while both others are asked for every group: votes do not split", async () => {
    const many = Array.from({ length: 60 }, (_, i) => `m${i}`);
    const cluster = await TestCluster.of(3);
    for (const groupId of many) {
      cluster.group(groupId);
      void cluster.on(1, groupId).replica.lead();
    }
    for (const groupId of many) await cluster.leader(groupId);
    await cluster.world.run(1_000);
    cluster.node(1).crash();
    await cluster.world.run(5);
    for (const groupId of many) cluster.wake(groupId);
    const isLed = (groupId: string): boolean =>
      [2, 3].some((nodeId) => cluster.on(nodeId, groupId).replica.ready);
    expect(await took(cluster, () => many.every(isLed))).toBeLessThan(500);
    const led = many.filter((groupId) => cluster.on(2, groupId).replica.ready).length;
    expect(led).toBeGreaterThan(15);
    expect(led).toBeLessThan(45);
  });

  test("silent, not one connection ended: they lead within 3 s, and the former steps down", async () => {
    const cluster = await rested();
    for (const peer of [2, 3]) {
      cluster.network.clog(1, peer);
      cluster.network.clog(peer, 1);
    }
    const ms = await took(cluster, () => ledBy(cluster, [2, 3]));
    expect(ms).toBeGreaterThan(silentMs - 200);
    expect(ms).toBeLessThan(3_000);
    await cluster.eventually("node 1 to step down", () =>
      groups.every((groupId) => !cluster.on(1, groupId).replica.role.leader),
    );
    cluster.network.heal();
    await cluster.world.run(10_000);
    for (const groupId of groups) {
      const leaders = cluster.nodes.map(
        (node) => cluster.on(node.nodeId, groupId).replica.role.leaderId,
      );
      expect(new Set(leaders).size).toBe(1);
    }
    expect(cluster.nodes.map(ticking)).toEqual([0, 0, 0]);
  });

  test("and with it the quorum: the one that is left waits without campaigning, and the next to come back will do", async () => {
    const cluster = await rested();
    cluster.node(1).crash();
    cluster.node(2).crash();
    await cluster.world.run(5_000);
    expect(ticking(cluster.node(3))).toBe(0);
    expect(ledBy(cluster, [3])).toBe(false);
    await cluster.node(2).start();
    expect(await took(cluster, () => ledBy(cluster, [2, 3]))).toBeLessThan(4_000);
  });
});

describe("nobody is deposed", () => {
  test("by a pause of 450 ms of the leaders' node", async () => {
    const cluster = await rested();
    const before = terms(cluster);
    for (let round = 0; round < 5; round += 1) {
      for (const peer of [2, 3]) {
        cluster.network.clog(1, peer);
        cluster.network.clog(peer, 1);
      }
      await cluster.world.run(450);
      cluster.network.heal();
      await cluster.world.run(400);
    }
    expect(terms(cluster)).toEqual(before);
    expect(ledBy(cluster, [1])).toBe(true);
  });

  test("by a connection that ends and comes back at once", async () => {
    const cluster = await rested();
    const before = terms(cluster);
    cluster.network.reset(1, 2);
    cluster.network.reset(2, 1);
    await cluster.world.run(5_000);
    expect(terms(cluster)).toEqual(before);
    expect(ledBy(cluster, [1])).toBe(true);
    for (const groupId of groups) expect(cluster.on(2, groupId).replica.role.leaderId).toBe(1);
    expect(cluster.nodes.map(ticking)).toEqual([0, 0, 0]);
  });

  test("by a follower's restart, which learns its leaders from the beats", async () => {
    const cluster = await rested();
    const before = groups.map((groupId) => cluster.on(1, groupId).replica.role.term);
    cluster.node(3).crash();
    await cluster.world.run(3_000);
    await cluster.node(3).start();
    const known = () =>
      groups.every((groupId) => cluster.on(3, groupId).replica.role.leaderId === 1);
    expect(await took(cluster, known)).toBeLessThan(1_500);
    await cluster.world.run(2_000);
    expect(groups.map((groupId) => cluster.on(1, groupId).replica.role.term)).toEqual(before);
    expect(cluster.nodes.map(ticking)).toEqual([0, 0, 0]);
  });

  test("by a way that is cut to one follower: its campaigns find no votes", async () => {
    const cluster = await rested();
    const before = groups.map((groupId) => cluster.on(1, groupId).replica.role.term);
    cluster.network.cutOneWay(1, 3);
    await cluster.world.run(10_000);
    expect(ledBy(cluster, [1])).toBe(true);
    cluster.network.heal();
    await cluster.world.run(5_000);
    expect(groups.map((groupId) => cluster.on(1, groupId).replica.role.term)).toEqual(before);
    for (const groupId of groups) expect(cluster.on(3, groupId).replica.role.leaderId).toBe(1);
  });

  test("by a way that stands still for a while without breaking: the follower is told its leaders again", async () => {
    const cluster = await rested();
    const before = groups.map((groupId) => cluster.on(1, groupId).replica.role.term);
    cluster.network.clog(1, 3);
    await cluster.eventually("node 3 to forget", () =>
      groups.every((groupId) => cluster.on(3, groupId).replica.role.leaderId === 0),
    );
    await cluster.world.run(500);
    cluster.network.unclog(1, 3);
    const known = () =>
      groups.every((groupId) => cluster.on(3, groupId).replica.role.leaderId === 1);
    expect(await took(cluster, known)).toBeLessThan(500);
    expect(groups.map((groupId) => cluster.on(1, groupId).replica.role.term)).toEqual(before);
    await cluster.world.run(1_000);
    expect(cluster.nodes.map(ticking)).toEqual([0, 0, 0]);
  });

  test("by a disk that takes 2 s for a flush", async () => {
    const cluster = await rested();
    const before = terms(cluster);
    for (const node of cluster.nodes) node.flushMs = 2_000;
    for (let i = 0; i < 5; i += 1) await cluster.say(cluster.node(1), [`w${i}`]);
    expect(terms(cluster)).toEqual(before);
    expect(ledBy(cluster, [1])).toBe(true);
  });
});

describe("a node whose disk hangs", () => {
  test("hands its leaderships over and gets none back before the disk moves again", async () => {
    const cluster = await rested();
    cluster.node(1).flushMs = 60_000;
    const { replica } = cluster.on(1);
    replica.propose(command(replica, "a"), replica.role.term);
    const ms = await took(cluster, () => ledBy(cluster, [2, 3]));
    expect(ms).toBeGreaterThan(5_000);
    expect(ms).toBeLessThan(6_500);
    expect(cluster.node(1).host.unfit).toBe("a flush to the disk takes longer than 5 s");
    const [successor] = [2, 3].filter((nodeId) => cluster.on(nodeId).replica.ready);
    await cluster.say(cluster.node(successor), ["b"]);
    const back = cluster.on(successor).replica.transferLeadership(1);
    expect(await cluster.world.until(back)).toMatchObject({ code: "node_unreachable" });
    cluster.node(1).flushMs = 0;
    await cluster.world.run(70_000);
    await cluster.heard(["a", "b"]);
    expect(cluster.node(1).host.unfit).toBeNull();
  });
});
