// Followers that are far behind: entries from the cache, from files, from a snapshot; and what never gets far: strangers.

import { describe, expect, test } from "bun:test";

import { Fault } from "../../src/errors.ts";
import { logIndex, offset } from "../../src/quantities.ts";
import { TestCluster, record, type TestNode } from "./cluster.ts";

const words = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `w${from + i}`);

async function write(cluster: TestCluster, node: TestNode, from: number, count: number) {
  const { replica, machine } = cluster.on(node.nodeId);
  for (const word of words(from, count)) {
    const draft = record(node, replica, word);
    const proposed = replica.propose(draft, replica.role.term);
    draft.batch!.release();
    if (!proposed.ok) throw new Error(proposed.detail);
    if (from % 10 === 0) await cluster.world.run(1);
  }
  const last = words(from, count).at(-1)!;
  await cluster.eventually(last, () => machine.said.includes(last));
}

/** Three nodes, of which the third misses the second half of the words. */
async function oneBehind(cacheBytesMax: number) {
  const cluster = new TestCluster();
  cluster.cacheBytesMax = cacheBytesMax;
  await cluster.add(3);
  cluster.group("g");
  cluster.wake();
  const leader = await cluster.leader();
  await write(cluster, leader, 0, 50);
  await cluster.heard(words(0, 50));
  cluster.node(3).crash();
  for (let from = 50; from < 300; from += 50) await write(cluster, leader, from, 50);
  return { cluster, leader };
}

describe("a follower that is behind", () => {
  for (const [what, bytes] of [
    ["cache", 40_000_000],
    ["files", 0],
  ] as const) {
    test(`catches up from the ${what}`, async () => {
      const { cluster, leader } = await oneBehind(bytes);
      await cluster.node(3).start();
      await cluster.heard(words(0, 300));
      const { replica } = cluster.on(3);
      expect(replica.highWatermark).toBe(offset(300));
      expect(replica).toMatchObject({ lastIndex: cluster.on(leader.nodeId).replica.lastIndex });
      await cluster.world.run(500);
      if (bytes === 0) for (const { slabs } of cluster.nodes) expect(slabs.bytesInUse).toBe(0);
    });
  }

  test("takes a snapshot where the entries are gone, then the entries behind the log start", async () => {
    const { cluster, leader } = await oneBehind(0);
    const { replica } = cluster.on(leader.nodeId);
    const index = logIndex(replica.commitIndex - 100);
    const prevTerm = leader.journal.term(replica.number, logIndex(index - 1))!;
    const start = { index, prevTerm, offset: offset(replica.highWatermark - 99) };
    expect(await cluster.world.until(replica.advanceLogStart(start))).toEqual({ ok: true });
    await write(cluster, leader, 300, 20);
    await cluster.node(3).start();
    await cluster.heard(words(0, 320));
    const late = cluster.on(3);
    expect(late.machine.restores).toBeGreaterThan(0);
    await cluster.eventually("the log start", () => late.replica.logStart.index === index);
    expect(late.replica.logStart).toEqual(start);
    await cluster.eventually("the end", () => late.replica.highWatermark === offset(320));
    const state = cluster.node(3).journal.state(late.replica.number);
    expect(state).toMatchObject({ logStart: start, nextOffset: 320 });
    // It is a full member: with it alone as second voter the group goes on, also after a restart.
    cluster.node(leader.nodeId === 2 ? 1 : 2).crash();
    await write(cluster, leader, 320, 5);
    cluster.node(3).crash();
    await cluster.node(3).start();
    await cluster.heard(words(0, 325), [leader, cluster.node(3)]);
  });

  test("is given the snapshot again when the connection breaks under it", async () => {
    const { cluster, leader } = await oneBehind(0);
    const { replica } = cluster.on(leader.nodeId);
    const index = logIndex(replica.commitIndex - 10);
    const prevTerm = leader.journal.term(replica.number, logIndex(index - 1))!;
    const start = { index, prevTerm, offset: offset(replica.highWatermark - 9) };
    await cluster.world.until(replica.advanceLogStart(start));
    await cluster.node(3).start();
    for (let i = 0; i < 20; i += 1) {
      cluster.network.breakLane(leader.nodeId, 3, "bulk");
      await cluster.world.run(7);
    }
    await cluster.heard(words(0, 300));
  });

  test("is given the snapshot again when its disk did not take it", async () => {
    const { cluster, leader } = await oneBehind(0);
    const { replica } = cluster.on(leader.nodeId);
    const index = logIndex(replica.commitIndex - 10);
    const prevTerm = leader.journal.term(replica.number, logIndex(index - 1))!;
    const start = { index, prevTerm, offset: offset(replica.highWatermark - 9) };
    await cluster.world.until(replica.advanceLogStart(start));
    await cluster.node(3).start();
    const late = cluster.on(3);
    const { journal } = cluster.node(3);
    const enqueue = journal.enqueue.bind(journal);
    let failures = 0;
    journal.enqueue = (write) => {
      if (write.reset !== undefined && failures < 2) {
        failures += 1;
        return Promise.reject(new Fault("storage_full", "Full", { sideEffects: "unknown" }));
      }
      return enqueue(write);
    };
    await cluster.eventually("two failures", () => failures === 2);
    expect(late.replica.commitIndex).toBeLessThan(index - 1);
    await cluster.heard(words(0, 300));
    await cluster.eventually("the log start", () => late.replica.logStart.index === index);
  });

  test("crashes after a snapshot was installed and before the entries came, and is no lost tail", async () => {
    const { cluster, leader } = await oneBehind(0);
    const { replica } = cluster.on(leader.nodeId);
    const index = logIndex(replica.commitIndex - 200);
    const prevTerm = leader.journal.term(replica.number, logIndex(index - 1))!;
    const start = { index, prevTerm, offset: offset(replica.highWatermark - 199) };
    await cluster.world.until(replica.advanceLogStart(start));
    await cluster.node(3).start();
    const { journal } = cluster.node(3);
    const { number } = cluster.on(3).replica;
    await cluster.eventually("the snapshot", () => journal.state(number).snapshotIndex > index);
    cluster.network.isolate(3);
    const { lastIndex, snapshotIndex } = journal.state(number);
    expect(lastIndex).toBeLessThan(snapshotIndex);
    cluster.node(3).crash();
    await cluster.node(3).start();
    expect(cluster.on(3).replica.damaged).toBe(false);
    cluster.network.heal();
    await cluster.heard(words(0, 300));
  });
});
