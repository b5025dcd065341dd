// Questions that come before those whom they concern are ready: votes, read barriers of a replica that joins.

import { describe, expect, test } from "bun:test";
import { TestCluster, type TestNode } from "./cluster.ts";

const voters = [1, 2, 3].map((nodeId) => ({ nodeId, incarnation: 1 }));

/** Runs the group's first election with the replica of node 1 alone open; how long it took, ms. */
async function elect(open: (node: TestNode, groupId: string) => void): Promise<number> {
  const cluster = await TestCluster.of(3);
  for (const node of cluster.nodes) {
    const { push } = node.wanted;
    node.wanted.push = (...told) => {
      for (const { groupId } of told) if (!node.hosted.has(groupId)) open(node, groupId);
      return push.apply(node.wanted, told);
    };
  }
  cluster.node(1).create("g", { incarnation: 1, voters });
  const began = cluster.world.monotonic();
  cluster.wake();
  await cluster.leader();
  return cluster.world.monotonic() - began;
}

const birth = { incarnation: 1, voters };

function later(node: TestNode, groupId: string): void {
  void Promise.resolve()
    .then(() => Promise.resolve())
    .then(() => node.create(groupId, birth));
}

describe("the first election of a group takes no timeout when the others open theirs for being asked", () => {
  test("at once", async () => {
    expect(await elect((node, groupId) => void node.create(groupId, birth))).toBeLessThan(100);
  });

  test("a little later", async () => {
    expect(await elect(later)).toBeLessThan(100);
  });
});

test("a replica whose core is being started from its log answers the question that came meanwhile", async () => {
  const cluster = await TestCluster.of(3);
  cluster.group("g");
  cluster.wake();
  const first = await cluster.leader();
  await cluster.say(first, ["a", "b"]);
  await cluster.heard(["a", "b"]);
  for (const node of cluster.nodes) node.crash();
  for (const node of cluster.nodes) await node.start();
  await cluster.world.run(50);
  const began = cluster.world.monotonic();
  // Used at its first voter alone.
  cluster
    .on(1)
    .replica.leader(10_000)
    .catch(() => undefined);
  const leader = await cluster.leader();
  expect(leader.nodeId).toBe(1);
  expect(cluster.world.monotonic() - began).toBeLessThan(150);
});

test("a replica that joins passes a read barrier as soon as it has caught up", async () => {
  const cluster = await TestCluster.of(4);
  const old = cluster.nodes.slice(0, 3);
  cluster.group("g", old);
  cluster.node(4).create("g", { incarnation: 1, voters: [] });
  cluster.wake();
  const leader = await cluster.leader();
  await cluster.say(leader, ["a"]);
  const { replica } = cluster.on(4);
  const passed = replica.readBarrier(10_000);
  const began = cluster.world.monotonic();
  const target = { voters, learners: [{ nodeId: 4, incarnation: 1 }] };
  void cluster.on(leader.nodeId).replica.changeMembers(target);
  expect(await cluster.world.until(passed)).toEqual({ ok: true });
  expect(cluster.world.monotonic() - began).toBeLessThan(150);
});
