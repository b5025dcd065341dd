// Linearizable reads, votes on the disk, damaged replicas, failed flushes.

import { describe, expect, test } from "bun:test";

import { newMessage } from "../../raft/index.ts";
import type { Payload } from "../../src/consensus/payload.ts";
import { decodeMessage, encodeMessage } from "../../src/consensus/wire/message-codec.ts";
import { Fault } from "../../src/errors.ts";
import { entryKinds } from "../../src/journal/journal.ts";
import { logIndex } from "../../src/quantities.ts";
import { TestCluster } from "./cluster.ts";

const words = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `w${from + i}`);

async function three(): Promise<TestCluster> {
  const cluster = await TestCluster.of(3);
  cluster.group("g");
  cluster.wake();
  await cluster.leader();
  return cluster;
}

describe("readBarrier()", () => {
  test("on a follower waits until everything committed before is applied there", async () => {
    const cluster = await three();
    const leader = await cluster.leader();
    const follower = cluster.nodes.find((node) => node !== leader)!;
    cluster.network.delay(leader.nodeId, follower.nodeId, { minMs: 50, maxMs: 50 });
    await cluster.say(leader, words(0, 5));
    const { replica, machine } = cluster.on(follower.nodeId);
    expect(machine.said).toEqual([]);
    expect(await cluster.world.until(replica.readBarrier(5_000))).toEqual({ ok: true });
    expect(machine.said).toEqual(words(0, 5));
  });

  test("on a leader that was replaced does not resolve until it follows the new one", async () => {
    const cluster = await three();
    const first = await cluster.leader();
    cluster.network.isolate(first.nodeId);
    const { replica, machine } = cluster.on(first.nodeId);
    const short = await cluster.world.until(replica.readBarrier(500));
    expect(short).toMatchObject({ ok: false, code: "request_timed_out" });
    const second = await cluster.eventually("another leader", () =>
      cluster.nodes.find((node) => node !== first && cluster.on(node.nodeId).replica.ready),
    );
    await cluster.say(second, words(0, 3));
    const passed = replica.readBarrier(20_000);
    await cluster.world.run(500);
    cluster.network.heal();
    expect(await cluster.world.until(passed)).toEqual({ ok: true });
    expect(machine.said).toEqual(words(0, 3));
  });
});

describe("a vote", () => {
  test("is on the disk before it is told: a voter that crashes keeps it", async () => {
    const cluster = await TestCluster.of(3);
    cluster.group("g");
    const voter = cluster.node(3);
    const told: number[] = [];
    const send = voter.transport.send.bind(voter.transport);
    voter.transport.send = (to, lane, packet) => {
      // MsgVoteResp is type 6 on the wire (message-codec.ts).
      if (packet.head[1] === 6)
        told.push(voter.journal.state(cluster.on(3).replica.number).hardState.vote);
      return send(to, lane, packet);
    };
    cluster.wake();
    const leader = await cluster.leader();
    expect(told).toEqual([leader.nodeId]);
  });

  test("that became durable behind a refused write is not given once more in its term", async () => {
    const cluster = await TestCluster.of(3);
    cluster.group("g");
    const voter = cluster.node(3);
    cluster.network.isolate(3);
    voter.flushMs = 20;
    const answers: { to: number; term: number; granted: boolean }[] = [];
    voter.transport.send = (nodeId, _lane, packet) => {
      const body = Buffer.concat(packet.body);
      const decoded = decodeMessage(
        { from: 3, head: packet.head, body },
        { nodeId, slabs: voter.slabs },
      );
      packet.release?.();
      if (decoded.ok && decoded.message.type === "MsgVoteResp") {
        const { to, term, reject } = decoded.message;
        answers.push({ to, term, granted: !reject });
      }
      return true;
    };
    const ask = (from: number, term: number): void => {
      const message = { ...newMessage<Payload>("MsgVote", 3, from), term };
      const { head } = encodeMessage("g", message);
      voter.host.onPacket({ from, lane: "control", head, body: new Uint8Array(0) });
    };
    ask(1, 5);
    await cluster.world.run(1);
    const { journal } = voter;
    const enqueue = journal.enqueue.bind(journal);
    journal.enqueue = () => {
      throw new Fault("storage_full", "No room");
    };
    ask(2, 6);
    await cluster.world.run(1);
    journal.enqueue = enqueue;
    // The former core is gone; its vote for node 1 became durable meanwhile.
    await cluster.world.run(100);
    expect(journal.state(cluster.on(3).replica.number).hardState).toMatchObject({
      term: 5,
      vote: 1,
    });
    ask(2, 5);
    await cluster.world.run(100);
    expect(answers.filter(({ granted }) => granted)).toEqual([]);
    expect(answers).toContainEqual({ to: 2, term: 5, granted: false });
  });
});

describe("a row that is damaged while its replica leads", () => {
  test("takes the replica out as soon as a read meets it; another one leads", async () => {
    const cluster = new TestCluster();
    cluster.cacheBytesMax = 0;
    await cluster.add(3);
    cluster.group("g");
    cluster.wake();
    const leader = await cluster.leader();
    await cluster.say(leader, words(0, 20));
    const { replica } = cluster.on(leader.nodeId);
    const wordRows = [...leader.disk.platter].flatMap(([file, { kind, ...stored }]) => {
      const rows = "rows" in stored ? stored.rows : stored.commits.flat();
      return rows
        .filter((row) => row.kind === entryKinds.command)
        .map(({ lsn }) => ({ file, lsn, kind }));
    });
    const { file, lsn } = wordRows.at(-1)!;
    expect(leader.disk.flip(file, lsn)).toBe(true);
    const from = { index: replica.commitIndex };
    const endIndex = logIndex(replica.commitIndex + 1);
    const request = { replica: replica.number, from, endIndex, maxBytes: 1, dataOnly: false };
    const read = Promise.resolve(leader.journal.read(request));
    expect(await cluster.world.until(read.catch((fault: Fault) => fault.code))).toBe(
      "storage_damaged",
    );
    await cluster.eventually("the leader to take no part", () => replica.damaged);
    expect(replica).toMatchObject({ ready: false, role: { leader: false } });
    const next = await cluster.eventually("another leader", () =>
      cluster.nodes.find((node) => node !== leader && cluster.on(node.nodeId).replica.ready),
    );
    await cluster.say(next, ["on"]);
    expect(await cluster.world.until(replica.leader(5_000))).toBe(next.nodeId);
    expect(await outcomeOf(replica.lead())).toMatchObject({ code: "storage_damaged" });
  });
});

const outcomeOf = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

describe("a group at rest", () => {
  test("tells a follower that crashed what is committed, though nothing is appended", async () => {
    const cluster = await three();
    const leader = await cluster.leader();
    await cluster.say(leader, words(0, 3));
    await cluster.heard(words(0, 3));
    await cluster.world.run(5_000);
    const follower = cluster.nodes.find((node) => node !== leader)!;
    const { number } = cluster.on(follower.nodeId).replica;
    follower.crash();
    await follower.start();
    const { lastIndex, hardState } = follower.journal.state(number);
    expect(hardState.commit).toBeLessThan(lastIndex);
    await cluster.heard(words(0, 3));
    await cluster.world.run(5_000);
    for (const { host } of cluster.nodes) expect(host.metrics().consensus_ticking).toBe(0);
  });
});

describe("a failed flush", () => {
  test("of a follower costs it its core, and it takes part again", async () => {
    const cluster = await three();
    const leader = await cluster.leader();
    const follower = cluster.nodes.find((node) => node !== leader)!;
    await cluster.say(leader, words(0, 3));
    follower.disk.failNext("commit", "storage_full");
    await cluster.say(leader, words(3, 3));
    await cluster.heard(words(0, 6));
  });

  test("of a leader makes it step down; what it had proposed has an unknown fate", async () => {
    const cluster = await three();
    const leader = await cluster.leader();
    await cluster.say(leader, words(0, 3));
    const { replica, machine } = cluster.on(leader.nodeId);
    leader.disk.failNext("commit", "storage_full");
    await cluster.say(leader, ["maybe"]).catch(() => undefined);
    expect(machine.lost.at(-1)?.refusal).toMatchObject({ sideEffects: "unknown" });
    const next = await cluster.leader();
    await cluster.say(next, ["on"]);
    const said = cluster.on(next.nodeId).machine.said;
    await cluster.heard(said);
    expect(replica.damaged).toBe(false);
  });
});
