import { beforeAll, describe, expect, test } from "bun:test";
import type { Broker } from "../../src/broker/broker.ts";
import { LogServer } from "../../src/broker/log-server.ts";
import type { CallHandler, Calls } from "../../src/transport/calls.ts";
import { batchOf, valuesOf } from "./batches.ts";
import { BrokerCluster, type BrokerNode } from "./broker-cluster.ts";
import { must } from "./harness.ts";
import { at, fetchOf, produce } from "./requests.ts";

/** One cluster for the tests that break nothing; each takes a topic of its own. */
describe("a node that does not lead", () => {
  let cluster: BrokerCluster;
  let topics = 0;

  beforeAll(async () => {
    cluster = await BrokerCluster.of(4);
  });

  /** A new topic of one partition; the nodes that lead it, follow it, and have nothing of it. */
  async function topicOf(configs: Readonly<Record<string, string>> = {}): Promise<{
    readonly topic: string;
    readonly led: Broker;
    readonly followed: Broker;
    readonly absent: Broker;
    readonly elsewhere: readonly Broker[];
  }> {
    const topic = `t${(topics += 1)}`;
    const { topicId } = must(
      await cluster.until(cluster.broker(1).createTopic({ name: topic, configs })),
    );
    const holds = ({ host }: BrokerNode): boolean => host.groupIds().includes(`${topicId}/0`);
    const leader = await cluster.eventually("a leader", () => cluster.leaderOf(topic));
    await cluster.eventually("the followers", () => cluster.living.filter(holds).length === 3);
    const followed = cluster.living.find((node) => node !== leader && holds(node))!.broker;
    const absent = cluster.living.find((node) => !holds(node))!.broker;
    const elsewhere = [followed, absent];
    return { topic, led: leader.broker, followed, absent, elsewhere };
  }

  const run = <T>(work: T): Promise<Awaited<T>> => cluster.until(work);

  test("decides conditions where they can be decided", async () => {
    const { topic, elsewhere } = await topicOf();
    let end = 0;
    for (const broker of elsewhere) {
      const wrong = batchOf("wrong");
      const appends = [{ partition: 0, batch: wrong, conditions: { expectedOffset: end + 1 } }];
      expect(await run(broker.produce(produce(topic, wrong, { appends })))).toMatchObject([
        {
          code: "expected_offset_mismatch",
          sideEffects: "none",
          members: { expectedOffset: end + 1, currentOffset: end },
        },
      ]);
      const right = batchOf("right");
      const request = produce(topic, right, {
        appends: [{ partition: 0, batch: right, conditions: { expectedOffset: end } }],
      });
      expect(await run(broker.produce(request))).toMatchObject([{ ok: true, baseOffset: end }]);
      end += 1;
    }
  });

  test("sets and tells fences", async () => {
    const { topic, elsewhere, led } = await topicOf();
    const [one, other] = elsewhere;
    expect(await run(one.setFence(topic, 0, { token: "a", expected: null }))).toEqual({ ok: true });
    expect(await run(other.fence(topic, 0))).toEqual({ ok: true, token: "a" });
    expect(await run(other.setFence(topic, 0, { token: "b", expected: null }))).toMatchObject({
      code: "fence_mismatch",
      members: { expectedFence: null, currentFence: "a" },
    });
    const batch = batchOf("x");
    const appends = [{ partition: 0, batch, conditions: { fence: "b" } }];
    expect(await run(one.produce(produce(topic, batch, { appends })))).toMatchObject([
      { code: "fence_mismatch" },
    ]);
    expect(await run(other.setFence(topic, 0, { token: null }))).toEqual({ ok: true });
    expect(await run(led.fence(topic, 0))).toEqual({ ok: true, token: null });
  });

  test("remembers keys together with the others", async () => {
    const { topic, elsewhere, led } = await topicOf();
    const key = { principal: "p", key: "k", bodyHash: new Uint8Array(16), partitionCount: 1 };
    const outcomes = [];
    for (const broker of [...elsewhere, led])
      outcomes.push(
        ...(await run(broker.produce(produce(topic, batchOf("once"), { idempotency: key })))),
      );
    expect(outcomes).toMatchObject(
      [false, true, true].map((duplicate) => ({ ok: true, baseOffset: 0, duplicate })),
    );
    const idempotency = { ...key, bodyHash: new Uint8Array(16).fill(1) };
    const reused = elsewhere[1].produce(produce(topic, batchOf("twice"), { idempotency }));
    expect(await run(reused)).toMatchObject([{ code: "idempotency_key_reused" }]);
    must(await run(elsewhere[0].addPartitions(topic, 2)));
    for (const broker of elsewhere) {
      const placed = { topic, principal: "p", key: "k", partitionsOf: () => [0] };
      expect(await run(broker.countForKey(placed))).toBe(1);
    }
  });

  test("stamps the leader's time, and tells where records of a time lie", async () => {
    const { topic, elsewhere } = await topicOf({ "message.timestamp.type": "LogAppendTime" });
    for (const broker of elsewhere) {
      const now = cluster.world.now();
      const [outcome] = await run(broker.produce(produce(topic, batchOf("x"))));
      expect(outcome.ok && outcome.logAppendTime).toBeGreaterThanOrEqual(now);
      const wanted = [
        { partition: 0, at: { timestamp: now } },
        { partition: 0, at: { timestamp: now + 1_000_000 } },
        { partition: 0, at: "latest" as const },
      ];
      const offset = outcome.ok ? outcome.baseOffset : -1;
      expect(await run(broker.listOffsets(topic, wanted))).toMatchObject([
        { offset },
        { offset: -1 },
        { offset: offset + 1 },
      ]);
    }
  });

  test("refuses what is no batch, too large or too old as the leader would", async () => {
    const { topic, elsewhere } = await topicOf({ "max.message.bytes": "200" });
    for (const broker of elsewhere) {
      const corrupt = batchOf("x");
      corrupt.bytes[62] ^= 1;
      for (const [batch, code] of [
        [corrupt, "corrupt_message"],
        [batchOf("x".repeat(300)), "message_too_large"],
        [batchOf({ value: "x", timestamp: cluster.world.now() + 1e9 }), "invalid_timestamp"],
      ] as const)
        expect(await run(broker.produce(produce(topic, batch)))).toMatchObject([{ code }]);
    }
  });

  test("deletes records and reads what is left, each in its own way", async () => {
    const { topic, elsewhere, followed, absent } = await topicOf();
    for (const broker of elsewhere)
      must((await run(broker.produce(produce(topic, batchOf("a", "b", "c")))))[0]);
    expect(await run(followed.deleteRecords(topic, 0, 1))).toEqual({ ok: true, logStartOffset: 1 });
    expect(await run(absent.deleteRecords(topic, 0, 4))).toEqual({ ok: true, logStartOffset: 4 });
    expect(await run(absent.deleteRecords(topic, 0, 7))).toMatchObject({
      code: "offset_out_of_range",
    });
    for (const broker of elsewhere)
      for (const consistency of ["leader", "linearizable"] as const) {
        const request = { ...fetchOf(topic, at(0, 4)), consistency };
        expect(valuesOf(await run(broker.fetch(request)))).toEqual([["a", "b", "c"]]);
        const below = { ...fetchOf(topic, at(0, 3)), consistency };
        expect(valuesOf(await run(broker.fetch(below)))).toEqual(["offset_out_of_range"]);
      }
    await cluster.eventually("the follower's own log start", () => {
      const bounds = must(followed.bounds(topic));
      return bounds[0].logStartOffset === 4;
    });
    const local = { ...fetchOf(topic, at(0, 4)), consistency: "local" as const };
    expect(valuesOf(await run(followed.fetch(local)))).toEqual([["a", "b", "c"]]);
    for (const broker of elsewhere)
      expect(await run(broker.currentBounds(topic))).toMatchObject([
        { logStartOffset: 4, highWatermark: 6, logEndOffset: 6 },
      ]);
  });

  test("gives every producer an id of its own", async () => {
    const ids = [];
    for (const nodeId of [1, 2, 3, 4])
      ids.push(must(await run(cluster.broker(nodeId).initProducerId())).producerId);
    expect(new Set(ids).size).toBe(4);
  });

  test("wakes those who follow a topic, with a replica of it and without, until they leave", async () => {
    const { topic, elsewhere, led } = await topicOf();
    for (const broker of elsewhere) {
      // A tail reads once, and then waits to be woken.
      await run(broker.fetch(fetchOf(topic, at(0, 0))));
      let wakes = 0;
      const leave = broker.subscribe(topic, () => (wakes += 1));
      const watched = broker.metrics()["partitions_watched"];
      expect(watched).toBe(broker === elsewhere[0] ? 0 : 1);
      must((await run(led.produce(produce(topic, batchOf("a")))))[0]);
      await cluster.eventually("a wake", () => wakes > 0);
      leave();
      expect(broker.metrics()["partitions_watched"]).toBe(0);
      await cluster.world.run(100);
      const before = wakes;
      must((await run(led.produce(produce(topic, batchOf("b")))))[0]);
      await cluster.world.run(1_000);
      expect(wakes).toBe(before);
    }
  });

  test("says that an offset is beyond the log only when the leader says so", async () => {
    const { topic, followed, led } = await topicOf();
    must((await run(led.produce(produce(topic, batchOf("a")))))[0]);
    const wait = { ...fetchOf(topic, at(0, 2)), consistency: "local" as const };
    expect(valuesOf(await run(followed.fetch(wait)))).toEqual(["offset_out_of_range"]);
    // The follower is cut off from the leader while it goes on: what the follower lacks is not out of range.
    const leader = cluster.leaderOf(topic)!.nodeId;
    const follower = followed.status().nodeId;
    cluster.network.cutOneWay(leader, follower);
    must((await run(led.produce(produce(topic, batchOf("b", "c")))))[0]);
    const reading = followed.fetch({ ...wait, maxWaitMs: 20_000 });
    await cluster.world.run(500);
    cluster.network.heal();
    expect(valuesOf(await run(reading))).toEqual([["b", "c"]]);
  });
});

test("a node that is starting answers every question of others: it leads nothing", async () => {
  const handlers = new Map<string, CallHandler>();
  const calls: Calls = {
    call: () => Promise.reject(new Error("nobody is called")),
    serve: (verb, handler) => void handlers.set(verb, handler),
  };
  expect(new LogServer(calls).metrics()).toEqual({
    served_requests_total: 0,
    served_elsewhere_total: 0,
    served_waits: 0,
  });
  const asked = {
    from: 2,
    head: {},
    body: new Uint8Array(0),
    signal: new AbortController().signal,
  };
  for (const verb of ["append", "fetch", "leader", "describe", "wait-advance", "transfer"])
    expect(await handlers.get(verb)!(asked)).toMatchObject({
      head: { ok: false, code: "not_leader_or_follower", sideEffects: "none" },
    });
});

describe("without a majority", () => {
  test("appends are refused in time with their fate, and go on when it is back", async () => {
    const cluster = await BrokerCluster.of(3);
    must(await cluster.until(cluster.broker(1).createTopic({ name: "t" })));
    must(await cluster.until(cluster.append(1, "t", ["a"])));
    const [stays, ...others] = cluster.living;
    for (const node of others) node.kill();
    await cluster.world.run(5_000);
    const began = cluster.world.monotonic();
    expect(
      await cluster.until(cluster.append(stays.nodeId, "t", ["b"], { timeoutMs: 2_000 })),
    ).toMatchObject({ code: "not_leader_or_follower", sideEffects: "none" });
    expect(cluster.world.monotonic() - began).toBeLessThanOrEqual(2_000);
    const local = { consistency: "local" } as const;
    expect(await cluster.until(cluster.read(stays.nodeId, "t", local))).toEqual(["a"]);
    expect(stays.broker.status()).toMatchObject({ ready: false });
    const waiting = cluster.append(stays.nodeId, "t", ["c"]);
    await cluster.until(others[0].start());
    must(await cluster.until(waiting));
    expect(await cluster.until(cluster.read(stays.nodeId, "t"))).toEqual(["a", "c"]);
  });

  test("a stop does not wait for a leader that does not come", async () => {
    const cluster = await BrokerCluster.of(3);
    must(await cluster.until(cluster.broker(1).createTopic({ name: "t" })));
    const [stays, ...others] = cluster.living;
    for (const node of others) node.kill();
    await cluster.world.run(5_000);
    const waiting = cluster.append(stays.nodeId, "t", ["b"]);
    await cluster.world.run(100);
    const began = cluster.world.monotonic();
    await cluster.until(stays.broker.close());
    expect(await cluster.until(waiting)).toMatchObject({ code: "shutting_down" });
    expect(cluster.world.monotonic() - began).toBeLessThan(6_000);
  });
});

test("a node that was away drops what was deleted meanwhile, and only then it is forgotten", async () => {
  const cluster = await BrokerCluster.of(3);
  const { topicId } = must(await cluster.until(cluster.broker(1).createTopic({ name: "t" })));
  must(await cluster.until(cluster.append(1, "t", ["a"])));
  const [away, ...others] = cluster.living.toReversed();
  away.kill();
  await cluster.world.run(100);
  must(await cluster.until(others[0].broker.deleteTopic("t")));
  for (const { broker } of others) await cluster.until(broker.runRetention());
  expect([...others[0].broker.controller.state.deleted.keys()]).toEqual([topicId]);
  await cluster.until(away.start());
  await cluster.eventually("the end of its replica", () => {
    return !away.host.groupIds().includes(`${topicId}/0`);
  });
  await cluster.world.run(100);
  await cluster.until(away.broker.runRetention());
  expect([...away.broker.controller.state.deleted.keys()]).toEqual([]);
});
