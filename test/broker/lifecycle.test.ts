import { afterEach, describe, expect, test } from "bun:test";
import { batchOf, valuesOf } from "./batches.ts";
import { must } from "./harness.ts";
import { at, fetchOf, produce } from "./requests.ts";
import { settle, until } from "./virtual-world.ts";
import { diskKinds, startNode, stopNodes } from "./whole-node.ts";

afterEach(stopNodes);

describe("deletion", () => {
  test("wakes who waits, refuses what is in flight or says its fate is unknown, and a new topic is empty", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t" }));
    await broker.produce(produce("t", batchOf("a")));
    const waiting = broker.fetch({ ...fetchOf("t", at(0, 1)), maxWaitMs: 30_000 });
    await settle();
    const producing = broker.produce(produce("t", batchOf("b")));
    expect(await broker.deleteTopic("t")).toEqual({ ok: true });
    const [produced] = await producing;
    if (!produced.ok) expect(produced.code).toBe("unknown_topic_or_partition");
    const [fetched] = valuesOf(await waiting);
    expect(["unknown_topic_or_partition", "b"]).toContain([fetched].flat()[0]);
    must(await broker.createTopic({ name: "t" }));
    expect(must(broker.bounds("t"))).toMatchObject([{ highWatermark: 0, logEndOffset: 0 }]);
    expect(await broker.produce(produce("t", batchOf("c")))).toMatchObject([{ baseOffset: 0 }]);
  });

  test("frees the topic's bytes", async () => {
    const node = await startNode();
    must(await node.broker.createTopic({ name: "t" }));
    await node.broker.produce(produce("t", batchOf("a")));
    await node.broker.deleteTopic("t");
    expect([...node.journal.replicas()].map((state) => state.groupId)).toEqual(["controller"]);
  });
});

describe.each(diskKinds)("a restart on a %s disk", (kind) => {
  test("keeps topics, records, bounds and epochs, and goes on behind them", async () => {
    const node = await startNode({}, kind);
    must(await node.broker.createTopic({ name: "t", partitions: 2 }));
    for (const value of ["a", "b", "c"])
      await node.broker.produce(produce("t", batchOf(value), { partition: 1 }));
    const before = node.broker.describeTopic({ name: "t" });
    const { broker } = await node.restart();
    expect(broker.describeTopic({ name: "t" })).toEqual(before);
    expect(must(broker.bounds("t"))).toMatchObject([
      { highWatermark: 0 },
      { highWatermark: 3, logEndOffset: 3 },
    ]);
    expect(valuesOf(await broker.fetch(fetchOf("t", at(0, 0), at(1, 1))))).toEqual([
      [],
      ["b", "c"],
    ]);
    const [outcome] = await broker.produce(produce("t", batchOf("d"), { partition: 1 }));
    expect(outcome).toMatchObject({ ok: true, baseOffset: 3 });
  });

  test("opens no partition before it is used", async () => {
    const node = await startNode({}, kind);
    must(await node.broker.createTopic({ name: "t", partitions: 200 }));
    await Promise.all(
      Array.from({ length: 200 }, (_, partition) =>
        node.broker.produce(produce("t", batchOf("a"), { partition })),
      ),
    );
    const { broker, host } = await node.restart();
    expect(host.metrics()).toMatchObject({ consensus_replicas: 1 });
    expect(must(broker.bounds("t")).every((b) => b.highWatermark === 1)).toBe(true);
    expect(must(await broker.describePartitions("t"))[7]).toMatchObject({
      partition: 7,
      leader: 1,
      replicas: [1],
      highWatermark: 1,
    });
    expect(host.metrics()).toMatchObject({ consensus_replicas: 1 });
    expect(valuesOf(await broker.fetch(fetchOf("t", at(7, 0))))).toEqual([["a"]]);
    expect(host.metrics()).toMatchObject({ consensus_replicas: 2 });
  });
});

test("close() answers what is under way before it ends", async () => {
  const node = await startNode();
  must(await node.broker.createTopic({ name: "t" }));
  const producing = Promise.all(
    Array.from({ length: 50 }, (_, i) => node.broker.produce(produce("t", batchOf(String(i))))),
  );
  await node.broker.close();
  const outcomes = (await producing).flat();
  expect(outcomes.every((one) => one.ok)).toBe(true);
  expect(await node.broker.produce(produce("t", batchOf("late")))).toMatchObject([
    { code: "shutting_down", partition: 0 },
  ]);
});

test("the controller's log is cut behind a snapshot, and a restart brings every topic back", async () => {
  const node = await startNode();
  const names = Array.from({ length: 1_100 }, (_, i) => `topic-${i}`);
  await Promise.all(names.map((name) => node.broker.createTopic({ name })));
  const controller = () => [...node.journal.replicas()].find((r) => r.groupId === "controller")!;
  await until(() => controller().logStart.index > 1_000, "the controller's log to be cut");
  const all = { prefix: "", after: "", limit: 2_000, internal: false };
  const before = node.broker.listTopics(all);
  expect(before.items).toHaveLength(1_100);
  const { broker } = await node.restart();
  expect(broker.listTopics(all)).toEqual(before);
  must(await broker.createTopic({ name: "one-more" }));
});
