// Replicas with peers whose disk lost or spoiled what they had acknowledged: noticed by themselves or by their leader,
// out of every majority, replaced by another incarnation.

import { describe, expect, test } from "bun:test";

import type { ReplicaIdentity } from "../../src/consensus/identity.ts";
import { storedRows } from "../../src/journal/memory-disk.ts";
import { TestCluster, record, type TestNode } from "./cluster.ts";

const words = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `w${from + i}`);

/** Three nodes that all have the same records; node 1 leads. */
async function threeWith(count: number): Promise<TestCluster> {
  const cluster = new TestCluster();
  cluster.cacheBytesMax = 0;
  await cluster.add(3);
  cluster.group("g");
  void cluster.on(1).replica.lead();
  await cluster.leader();
  await write(cluster, 0, count);
  await cluster.heard(words(0, count));
  return cluster;
}

async function write(cluster: TestCluster, from: number, count: number): Promise<void> {
  const node = await cluster.leader();
  const { replica, machine } = cluster.on(node.nodeId);
  for (const word of words(from, count)) {
    const draft = record(node, replica, word);
    const proposed = replica.propose(draft, replica.role.term);
    draft.batch!.release();
    if (!proposed.ok) throw new Error(proposed.detail);
    // An entry each, so that a row can be lost.
    await cluster.world.run(10);
  }
  const last = words(from, count).at(-1)!;
  await cluster.eventually(last, () => machine.said.includes(last));
}

/** Rows of the node's entries with their files, in order. */
function rowsOf({ disk }: TestNode): { file: string; lsn: number; idx: number }[] {
  return [...disk.platter].flatMap(([file, stored]) =>
    storedRows(stored)
      .filter(({ groupId, idx, batch }) => groupId === "g" && idx > 0 && batch !== null)
      .map(({ lsn, idx }) => ({ file, lsn, idx })),
  );
}

function seenBy(cluster: TestCluster, leader: number, nodeId: number): boolean {
  const { replica } = cluster.on(leader);
  return replica.progress().some((one) => one.identity.nodeId === nodeId && one.damaged);
}

/** The leader takes the replica out and another incarnation of it in. */
async function replace(cluster: TestCluster, leader: number, nodeId: number): Promise<void> {
  const { replica } = cluster.on(leader);
  const others = replica.members.voters.filter((voter) => voter.nodeId !== nodeId);
  const change = async (voters: readonly ReplicaIdentity[], learners: readonly ReplicaIdentity[]) =>
    expect(await cluster.world.until(replica.changeMembers({ voters, learners }))).toEqual({
      ok: true,
    });
  await change(others, []);
  const node = cluster.node(nodeId);
  await cluster.world.until(node.host.remove("g"));
  const fresh = { nodeId, incarnation: 2 };
  node.create("g", { incarnation: 2, voters: [] });
  await change(others, [fresh]);
  await change([...others, fresh], []);
}

describe("a follower that lost what it had acknowledged", () => {
  test("finds out by its leader's commit index, and takes no part any more", async () => {
    const cluster = await threeWith(20);
    const node = cluster.node(3);
    node.crash();
    node.disk.cut(rowsOf(node).at(-5)!.lsn);
    await node.start();
    const { replica } = cluster.on(3);
    await cluster.eventually("the damage", () => replica.damaged);
    // Two of three go on; what the third holds is not theirs.
    await write(cluster, 20, 5);
    await cluster.heard(words(0, 25), [cluster.node(1), cluster.node(2)]);
    cluster.node(2).crash();
    cluster.node(1).crash();
    await cluster.node(1).start();
    cluster.wake();
    await cluster.world.run(10_000);
    expect(cluster.leaderNow()).toBeNull();
  });

  test("of what was not committed yet is found out by the leader, and by nobody else", async () => {
    const cluster = await TestCluster.of(5);
    cluster.group("g");
    void cluster.on(1).replica.lead();
    await cluster.leader();
    await write(cluster, 0, 10);
    await cluster.heard(words(0, 10));
    // Node 3 alone acknowledges: two of five are no majority.
    for (const other of [2, 4, 5]) {
      cluster.network.clog(1, other);
      cluster.network.clog(other, 1);
    }
    const { replica } = cluster.on(1);
    for (const word of words(10, 4)) {
      const draft = record(cluster.node(1), replica, word);
      replica.propose(draft, replica.role.term);
      draft.batch!.release();
      await cluster.world.run(10);
    }
    await cluster.world.run(50);
    expect(replica.commitIndex).toBe((replica.lastIndex - 4) as never);
    const node = cluster.node(3);
    node.crash();
    node.disk.cut(rowsOf(node).at(-2)!.lsn);
    await node.start();
    await cluster.eventually("the leader to notice", () => seenBy(cluster, 1, 3), 1_000);
    expect(cluster.on(3).replica.damaged).toBe(false);
    expect([2, 4, 5].some((other) => seenBy(cluster, 1, other))).toBe(false);
  });

  test("is a full member again as another incarnation", async () => {
    const cluster = await threeWith(20);
    const node = cluster.node(3);
    node.crash();
    node.disk.cut(rowsOf(node).at(-5)!.lsn);
    await node.start();
    await cluster.eventually("the damage", () => cluster.on(3).replica.damaged);
    await replace(cluster, 1, 3);
    await cluster.heard(words(0, 20));
    expect(cluster.on(3).replica.damaged).toBe(false);
    cluster.node(2).crash();
    await write(cluster, 20, 5);
    await cluster.heard(words(0, 25), [cluster.node(1), node]);
  });

  test("and was not damaged but only behind is not accused", async () => {
    const cluster = await threeWith(5);
    for (let round = 0; round < 5; round += 1) {
      cluster.node(3).crash();
      await write(cluster, 5 + round * 5, 5);
      await cluster.node(3).start();
      for (const peer of [2, 3]) cluster.network.reset(1, peer);
      await cluster.heard(words(0, 10 + round * 5));
      expect([seenBy(cluster, 1, 2), seenBy(cluster, 1, 3)]).toEqual([false, false]);
    }
  });
});

describe("a bit that flips in the rows", () => {
  test("of a follower that is down keeps it out when it comes back", async () => {
    const cluster = await threeWith(20);
    const node = cluster.node(3);
    node.crash();
    const { file, lsn } = rowsOf(node)[10];
    expect(node.disk.flip(file, lsn)).toBe(true);
    await node.start();
    const { replica } = cluster.on(3);
    expect(replica.damaged).toBe(true);
    expect(await replica.lead().catch((fault: unknown) => fault)).toMatchObject({
      code: "storage_damaged",
    });
    cluster.node(2).crash();
    // One whole voter and one that may not vote are no majority.
    cluster.node(1).crash();
    await cluster.node(1).start();
    cluster.wake();
    await cluster.world.run(10_000);
    expect(cluster.leaderNow()).toBeNull();
    await cluster.node(2).start();
    cluster.wake();
    const leader = await cluster.leader();
    expect(leader.nodeId).not.toBe(3);
    await replace(cluster, leader.nodeId, 3);
    await cluster.heard(words(0, 20));
  });

  test("of a leader is met when a follower is caught up: it hands over to one that is whole", async () => {
    const cluster = await threeWith(20);
    const [leader, late] = [cluster.node(1), cluster.node(3)];
    late.crash();
    await write(cluster, 20, 20);
    const { file, lsn } = rowsOf(leader)[25];
    expect(leader.disk.flip(file, lsn)).toBe(true);
    await late.start();
    await cluster.eventually("the damage to be met", () => cluster.on(1).replica.damaged);
    const next = await cluster.leader();
    expect(next.nodeId).toBe(2);
    await cluster.heard(words(0, 40), [cluster.node(2), late]);
    await replace(cluster, 2, 1);
    await cluster.heard(words(0, 40));
  });
});
