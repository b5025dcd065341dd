import { afterEach, describe, expect, test } from "bun:test";
import { privateSlice } from "../../src/bytes/slab-pool.ts";
import { compressBatch } from "../../src/records/batch-builder.ts";
import { baseOffsetAt, leaderEpochAt, recordCountAt } from "../../src/records/batch-layout.ts";
import { limits } from "../../src/limits.ts";
import { batchOf, valuesIn, valuesOf } from "./batches.ts";
import { must } from "./harness.ts";
import { at, fetchOf, now, produce } from "./requests.ts";
import { settle } from "./virtual-world.ts";
import { diskKinds, startNode, stopNodes } from "./whole-node.ts";

afterEach(stopNodes);

describe("produce() and fetch()", () => {
  test("what is acknowledged is read back, batch for batch, at dense offsets", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t" }));
    const [first] = await broker.produce(produce("t", batchOf("a", "b")));
    const [second] = await broker.produce(produce("t", batchOf("c")));
    expect(first).toMatchObject({ ok: true, partition: 0, baseOffset: 0, recordCount: 2 });
    expect(second).toMatchObject({ ok: true, baseOffset: 2, recordCount: 1, duplicate: false });
    const fetched = must(await broker.fetch(fetchOf("t", at(0, 0))));
    const [partition] = fetched.partitions;
    if (!partition.ok) throw new Error(partition.detail);
    expect(partition).toMatchObject({ highWatermark: 3, lastStableOffset: 3, logStartOffset: 0 });
    expect(partition.batches.map((batch) => baseOffsetAt(batch, 0))).toEqual([0, 2]);
    expect(partition.batches.map((batch) => recordCountAt(batch, 0))).toEqual([2, 1]);
    for (const batch of partition.batches)
      expect(leaderEpochAt(batch, 0)).toBe(partition.leaderEpoch);
    expect(partition.batches.flatMap((batch) => valuesIn(batch))).toEqual(["a", "b", "c"]);
    fetched.release();
  });

  test("an offset inside a batch brings the whole batch", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t" }));
    await broker.produce(produce("t", batchOf("a", "b", "c")));
    await broker.produce(produce("t", batchOf("d")));
    expect(valuesOf(await broker.fetch(fetchOf("t", at(0, 2))))).toEqual([["a", "b", "c", "d"]]);
    expect(valuesOf(await broker.fetch(fetchOf("t", at(0, 3))))).toEqual([["d"]]);
    expect(valuesOf(await broker.fetch(fetchOf("t", at(0, 4))))).toEqual([[]]);
  });

  test.each(["all", "leader", "none"] as const)("acks=%s is written", async (acks) => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t" }));
    const [outcome] = await broker.produce(produce("t", batchOf("a"), { acks }));
    expect(outcome).toMatchObject({ ok: true, baseOffset: 0 });
    const waiting = broker.fetch({ ...fetchOf("t", at(0, 0)), maxWaitMs: 1_000 });
    expect(valuesOf(await waiting)).toEqual([["a"]]);
  });

  test("one request writes to several partitions, and one refusal is its own", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t", partitions: 3 }));
    const outcomes = await broker.produce({
      ...produce("t", batchOf("")),
      appends: [
        { partition: 2, batch: batchOf("x") },
        { partition: 7, batch: batchOf("y") },
        { partition: 0, batch: batchOf("z") },
      ],
    });
    expect(outcomes).toMatchObject([
      { ok: true, partition: 2, baseOffset: 0 },
      { ok: false, partition: 7, code: "unknown_topic_or_partition" },
      { ok: true, partition: 0, baseOffset: 0 },
    ]);
    const values = valuesOf(
      await broker.fetch(fetchOf("t", at(2, 0), at(1, 0), at(7, 0), at(0, 0))),
    );
    expect(values).toEqual([["x"], [], "unknown_topic_or_partition", ["z"]]);
  });

  test("many writers at once get dense offsets, each batch whole", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t", partitions: 4 }));
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        broker.produce(produce("t", batchOf(`${i}a`, `${i}b`), { partition: i % 4 })),
      ),
    );
    expect(outcomes.flat().every((one) => one.ok)).toBe(true);
    for (let partition = 0; partition < 4; partition += 1) {
      const [values] = valuesOf(await broker.fetch(fetchOf("t", at(partition, 0))));
      expect(values).toHaveLength(100);
      const pairs = Array.from({ length: 50 }, (_, i) => [values[2 * i], values[2 * i + 1]]);
      for (const [a, b] of pairs) expect(b).toBe(a.replace("a", "b"));
    }
    expect(must(broker.bounds("t")).map((b) => b.highWatermark)).toEqual([100, 100, 100, 100]);
  });

  test("a long poll is woken by the append", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t", partitions: 2 }));
    await broker.produce(produce("t", batchOf("old")));
    const waiting = broker.fetch({ ...fetchOf("t", at(0, 1), at(1, 0)), maxWaitMs: 30_000 });
    await settle();
    await broker.produce(produce("t", batchOf("new"), { partition: 1 }));
    expect(valuesOf(await waiting)).toEqual([[], ["new"]]);
  });

  test("budgets: the first batch always comes, later ones only when they fit", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t", partitions: 2 }));
    const size = batchOf("x".repeat(1_000)).bytes.length;
    for (const partition of [0, 0, 0, 1])
      await broker.produce(produce("t", batchOf("x".repeat(1_000)), { partition }));
    const count = async (request: object): Promise<readonly number[]> =>
      valuesOf(await broker.fetch({ ...fetchOf("t", at(0, 0), at(1, 0)), ...request })).map(
        (values) => values.length,
      );
    expect(await count({ maxBytes: 1 })).toEqual([1, 0]);
    expect(await count({ maxBytes: size * 2 })).toEqual([2, 0]);
    expect(await count({ maxBytes: size * 4 })).toEqual([3, 1]);
    expect(await count({ positions: [at(0, 0, size * 2), at(1, 0)] })).toEqual([2, 1]);
    expect(await count({ positions: [at(0, 0, 1), at(1, 0, 1)] })).toEqual([1, 0]);
  });

  test("an offset outside the log is refused with its bounds", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t" }));
    await broker.produce(produce("t", batchOf("a", "b")));
    const fetched = must(
      await broker.fetch({ ...fetchOf("t", at(0, 3)), maxWaitMs: 30_000, minBytes: 1 }),
    );
    expect(fetched.partitions).toMatchObject([
      {
        ok: false,
        code: "offset_out_of_range",
        partition: 0,
        members: { logStartOffset: 0, highWatermark: 2 },
      },
    ]);
    fetched.release();
    expect(valuesOf(await broker.fetch(fetchOf("t", at(0, -1))))).toEqual(["offset_out_of_range"]);
  });

  test("an unknown topic is refused as a whole", async () => {
    const { broker } = await startNode();
    const code = "unknown_topic_or_partition";
    expect(await broker.fetch(fetchOf("t", at(0, 0)))).toMatchObject({ ok: false, code });
    expect(await broker.produce(produce("t", batchOf("a")))).toMatchObject([
      { code, partition: 0 },
    ]);
    expect(await broker.listOffsets("t", [])).toMatchObject({ code });
    expect(broker.bounds("t")).toMatchObject({ code });
    expect(broker.describePartitions("t")).toMatchObject({ code });
    expect(await broker.deleteRecords("t", 0, 0)).toMatchObject({ code });
  });
});

test("compressed batches are stored and served as they came", async () => {
  const { broker } = await startNode();
  must(await broker.createTopic({ name: "t" }));
  for (const codec of ["gzip", "zstd"] as const) {
    const value = new TextEncoder().encode("v".repeat(1_000));
    const record = { key: null, value, headers: [], timestamp: now };
    const packed = compressBatch([record, record], codec);
    const bytes = new Uint8Array(packed.bytes);
    packed.writeTo(bytes);
    must((await broker.produce(produce("t", privateSlice(bytes))))[0]);
  }
  const [values] = valuesOf(await broker.fetch(fetchOf("t", at(0, 0))));
  expect(values).toHaveLength(4);
});

test("subscribe() wakes for every partition until it is stopped", async () => {
  const { broker } = await startNode();
  must(await broker.createTopic({ name: "t", partitions: 2 }));
  let wakes = 0;
  const stop = broker.subscribe("t", () => (wakes += 1));
  await broker.produce(produce("t", batchOf("a"), { partition: 0 }));
  const first = wakes;
  expect(first).toBeGreaterThan(0);
  await broker.produce(produce("t", batchOf("a"), { partition: 1 }));
  expect(wakes).toBeGreaterThan(first);
  const last = wakes;
  stop();
  await broker.produce(produce("t", batchOf("a"), { partition: 1 }));
  expect(wakes).toBe(last);
});

test.each(diskKinds)(
  "the largest batch that a topic may allow is written and read, %s",
  async (kind) => {
    const { broker } = await startNode({}, kind);
    const configs = { "max.message.bytes": String(limits.requestBodyBytesMax) };
    must(await broker.createTopic({ name: "t", configs }));
    const overhead = batchOf("").bytes.length + 16;
    const value = "x".repeat(limits.requestBodyBytesMax - overhead);
    must((await broker.produce(produce("t", batchOf("small"))))[0]);
    must((await broker.produce(produce("t", batchOf(value))))[0]);
    must((await broker.produce(produce("t", batchOf("small"))))[0]);
    const [first] = valuesOf(await broker.fetch(fetchOf("t", at(0, 1))));
    expect(first).toHaveLength(1);
    expect(first[0].length).toBe(value.length);
    expect(valuesOf(await broker.fetch(fetchOf("t", at(0, 2))))).toEqual([["small"]]);
  },
);
