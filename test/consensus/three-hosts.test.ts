// Three hosts that agree: elections, replication, crashes, cut logs, in virtual time.

import { describe, expect, test } from "bun:test";

import { TestCluster, record } from "./cluster.ts";

const words = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `w${from + i}`);

describe("a group on three nodes", () => {
  test("elects its first voter at first use, and every node hears what is committed", async () => {
    const cluster = await TestCluster.of(3);
    cluster.group("g");
    cluster.wake();
    const leader = await cluster.leader();
    expect(leader.nodeId).toBe(1);
    await cluster.say(leader, words(0, 20));
    await cluster.heard(words(0, 20));
    const { replica } = cluster.on(2);
    expect(replica.role).toMatchObject({ leader: false, leaderId: 1 });
    expect(replica.members).toEqual({
      voters: [1, 2, 3].map((nodeId) => ({ nodeId, incarnation: 1 })),
      learners: [],
      joint: false,
    });
  });

  test("goes on when its leader is killed, and takes it back", async () => {
    const cluster = await TestCluster.of(3);
    cluster.group("g");
    cluster.wake();
    const first = await cluster.leader();
    await cluster.say(first, words(0, 10));
    first.crash();
    const second = await cluster.leader();
    expect(second.nodeId).not.toBe(first.nodeId);
    await cluster.say(second, words(10, 10));
    await first.start();
    await cluster.heard(words(0, 20));
  });

  test("cuts what a deposed leader had proposed alone, and tells its fate as unknown", async () => {
    const cluster = await TestCluster.of(3);
    cluster.group("g");
    cluster.wake();
    const first = await cluster.leader();
    await cluster.say(first, words(0, 3));
    cluster.network.isolate(first.nodeId);
    const { replica, machine } = cluster.on(first.nodeId);
    for (const word of ["lost1", "lost2"]) {
      const draft = record(first, replica, word);
      expect(replica.propose(draft, replica.role.term).ok).toBe(true);
      draft.batch!.release();
    }
    expect(replica.nextOffset).toBe(2 as never);
    await cluster.world.run(100);
    const others = cluster.nodes.filter((node) => node !== first);
    const second = await cluster.eventually("another leader", () =>
      others.find((node) => cluster.on(node.nodeId).replica.ready),
    );
    await cluster.say(second, words(3, 3));
    cluster.network.heal();
    await cluster.heard(words(0, 6));
    expect(machine.lost.at(-1)?.refusal).toMatchObject({
      code: "not_leader_or_follower",
      sideEffects: "unknown",
    });
    expect(replica.nextOffset).toBe(0 as never);
    expect(first.journal.state(replica.number)).toMatchObject({
      lastIndex: cluster.on(second.nodeId).replica.lastIndex,
    });
  });

  test("gives back every batch that it was sent, wanted or not", async () => {
    const cluster = await TestCluster.of(3);
    cluster.cacheBytesMax = 0;
    for (const node of cluster.nodes) {
      node.crash();
      await node.start();
    }
    cluster.group("g");
    cluster.wake();
    const first = await cluster.leader();
    const { replica } = cluster.on(first.nodeId);
    for (const word of words(0, 30)) {
      const draft = record(first, replica, word);
      replica.propose(draft, replica.role.term);
      draft.batch!.release();
      await cluster.world.run(1);
    }
    await cluster.heard(words(0, 30));
    await cluster.world.run(1_000);
    for (const { slabs, host } of cluster.nodes) {
      expect(slabs.bytesInUse).toBe(0);
      expect(host.metrics().consensus_received_bytes).toBe(0);
    }
  });
});
