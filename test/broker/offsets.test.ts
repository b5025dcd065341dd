import { afterEach, describe, expect, test } from "bun:test";
import { batchOf, valuesOf } from "./batches.ts";
import { must } from "./harness.ts";
import { at, fetchOf, now, produce, stamped } from "./requests.ts";
import { settle, until } from "./virtual-world.ts";
import { startNode, stopNodes } from "./whole-node.ts";

afterEach(stopNodes);

describe("listOffsets()", () => {
  test("finds the exact record of a time, the first in offset order", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t", partitions: 2 }));
    await broker.produce(produce("t", stamped(10, 30)));
    await broker.produce(produce("t", stamped(20, 50, 40)));
    const find = async (timestamp: number) =>
      must(await broker.listOffsets("t", [{ partition: 0, at: { timestamp } }]))[0];
    expect(await find(0)).toMatchObject({ offset: 0, timestamp: 10 });
    expect(await find(11)).toMatchObject({ offset: 1, timestamp: 30 });
    expect(await find(31)).toMatchObject({ offset: 3, timestamp: 50 });
    expect(await find(51)).toMatchObject({ offset: -1, timestamp: -1 });
    const ends = await broker.listOffsets("t", [
      { partition: 0, at: "earliest" },
      { partition: 0, at: "latest" },
      { partition: 1, at: "latest" },
      { partition: 9, at: "latest" },
    ]);
    expect(ends).toMatchObject([
      { offset: 0, timestamp: -1 },
      { offset: 5, timestamp: -1 },
      { offset: 0 },
      { ok: false, code: "unknown_topic_or_partition", partition: 9 },
    ]);
  });
});

describe("bounds()", () => {
  test("tells of the partitions that are named, in order, and of all when none is", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t", partitions: 4 }));
    const told = (...partitions: number[]) =>
      must(broker.bounds("t", partitions)).map(({ partition }) => partition);
    expect(told(3, 1, 9)).toEqual([1, 3]);
    expect(told()).toEqual([0, 1, 2, 3]);
  });
});

describe("deleteRecords()", () => {
  test("moves the log start for good, and reads below it are refused", async () => {
    const node = await startNode();
    must(await node.broker.createTopic({ name: "t" }));
    for (const value of ["a", "b", "c"]) await node.broker.produce(produce("t", batchOf(value)));
    expect(await node.broker.deleteRecords("t", 0, 2)).toEqual({ ok: true, logStartOffset: 2 });
    expect(await node.broker.deleteRecords("t", 0, 1)).toEqual({ ok: true, logStartOffset: 2 });
    expect(valuesOf(await node.broker.fetch(fetchOf("t", at(0, 0))))).toEqual([
      "offset_out_of_range",
    ]);
    const { broker } = await node.restart();
    expect(must(broker.bounds("t"))).toMatchObject([{ logStartOffset: 2, highWatermark: 3 }]);
    expect(valuesOf(await broker.fetch(fetchOf("t", at(0, 2))))).toEqual([["c"]]);
    expect(await broker.deleteRecords("t", 0, -1)).toEqual({ ok: true, logStartOffset: 3 });
    must((await broker.produce(produce("t", batchOf("d"))))[0]);
    expect(valuesOf(await broker.fetch(fetchOf("t", at(0, 3))))).toEqual([["d"]]);
  });

  test.each([
    [0, 2, "offset_out_of_range"],
    [0, -2, "offset_out_of_range"],
    [0, 0.5, "offset_out_of_range"],
    [4, 0, "unknown_topic_or_partition"],
  ])("partition %p before %p is %s", async (partition, before, code) => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t" }));
    await broker.produce(produce("t", batchOf("a")));
    expect(await broker.deleteRecords("t", partition, before)).toMatchObject({ code });
  });
});

describe("retention", () => {
  test("by size keeps about that much from the end", async () => {
    const { broker } = await startNode();
    const configs = { "retention.bytes": "5000", "retention.ms": "-1" };
    must(await broker.createTopic({ name: "t", configs }));
    for (let i = 0; i < 20; i += 1) await broker.produce(produce("t", batchOf("x".repeat(1_000))));
    await broker.runRetention();
    const [bounds] = must(broker.bounds("t"));
    expect(bounds.highWatermark).toBe(20);
    expect(bounds.logStartOffset).toBeGreaterThanOrEqual(14);
    expect(bounds.logStartOffset).toBeLessThan(17);
    const [{ bytes }] = must(await broker.describePartitions("t"));
    expect(bytes).toBeLessThan(7_000);
  });

  test("by time drops what is older, on its own timer, and not before", async () => {
    const node = await startNode();
    const { broker, world } = node;
    must(await broker.createTopic({ name: "t", configs: { "retention.ms": "600000" } }));
    // One ms over its time when the second round begins, 600,000 ms from now.
    await broker.produce(produce("t", batchOf({ value: "old", timestamp: now - 1 })));
    const rounds = (n: number): Promise<void> =>
      until(() => broker.metrics()["retention_rounds_total"] === n, `round ${n}`);
    world.advance(300_000);
    await rounds(1);
    await broker.produce(produce("t", batchOf({ value: "new", timestamp: world.now() })));
    expect(must(broker.bounds("t"))).toMatchObject([{ logStartOffset: 0 }]);
    // The timer of the next round is set when the first one has ended.
    await settle();
    world.advance(300_001);
    await rounds(2);
    expect(must(broker.bounds("t"))).toMatchObject([{ logStartOffset: 1, highWatermark: 2 }]);
    expect(valuesOf(await broker.fetch(fetchOf("t", at(0, 1))))).toEqual([["new"]]);
  });

  test("a partition of which nothing is left is left alone", async () => {
    const { broker, world, journal } = await startNode();
    must(await broker.createTopic({ name: "t", configs: { "retention.ms": "1000" } }));
    await broker.produce(produce("t", batchOf("a")));
    world.advance(10_000);
    await broker.runRetention();
    expect(must(broker.bounds("t"))).toMatchObject([{ logStartOffset: 1, highWatermark: 1 }]);
    const entries = (): number[] => [...journal.replicas()].map((state) => state.lastIndex);
    const before = entries();
    await broker.runRetention();
    expect(entries()).toEqual(before);
  });

  test("an empty cleanup.policy keeps everything", async () => {
    const { broker, world } = await startNode();
    const configs = { "cleanup.policy": "", "retention.bytes": "1" };
    must(await broker.createTopic({ name: "t", configs }));
    await broker.produce(produce("t", batchOf("a")));
    world.advance(10 * 24 * 3_600_000);
    await broker.runRetention();
    expect(must(broker.bounds("t"))).toMatchObject([{ logStartOffset: 0 }]);
  });
});
