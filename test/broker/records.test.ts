import { afterEach, describe, expect, test } from "bun:test";
import type { ProduceRequest } from "../../src/broker/broker.ts";
import { compressBatch } from "../../src/records/batch-builder.ts";
import {
  baseOffsetAt,
  field,
  leaderEpochAt,
  maxTimestampAt,
  recordCountAt,
  stampCrc,
} from "../../src/records/batch-layout.ts";
import { privateSlice } from "../../src/bytes/slab-pool.ts";
import { batchOf, valuesIn, valuesOf } from "./batches.ts";
import { must } from "./harness.ts";
import { diskKinds, startNode, stopNodes } from "./whole-node.ts";
import { settle, until } from "./virtual-world.ts";

afterEach(stopNodes);

const now = 1_700_000_000_000;

const produce = (
  topic: string,
  batch: ReturnType<typeof batchOf>,
  more: Partial<ProduceRequest> & { readonly partition?: number } = {},
): ProduceRequest => {
  const { partition = 0, ...rest } = more;
  return {
    topic,
    acks: "all",
    timeoutMs: 30_000,
    trusted: false,
    appends: [{ partition, batch }],
    ...rest,
  };
};

/** One record a timestamp. */
const stamped = (...timestamps: number[]) =>
  batchOf(...timestamps.map((timestamp) => ({ value: String(timestamp), timestamp })));

const at = (partition: number, offset: number, maxBytes = 1 << 20) => ({
  partition,
  offset,
  maxBytes,
});

const fetchOf = (topic: string, ...positions: readonly ReturnType<typeof at>[]) => ({
  topic,
  positions,
  maxBytes: 1 << 20,
  minBytes: 1,
  maxWaitMs: 0,
});

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

describe("what produce() refuses, leaving nothing behind", () => {
  const cases: [string, Record<string, string>, () => ReturnType<typeof batchOf>, string][] = [
    [
      "a batch over max.message.bytes",
      { "max.message.bytes": "100" },
      () => batchOf("x".repeat(100)),
      "message_too_large",
    ],
    [
      "a wrong CRC",
      {},
      () => {
        const batch = batchOf("a");
        batch.bytes[field.records + 3] ^= 1;
        return batch;
      },
      "corrupt_message",
    ],
    [
      "a record count that lies",
      {},
      () => {
        const batch = batchOf("a", "b");
        batch.bytes[field.recordCount + 3] = 3;
        stampCrc(batch.bytes, 0);
        return batch;
      },
      "invalid_record",
    ],
    [
      "a timestamp too far ahead",
      {},
      () => batchOf({ value: "a", timestamp: now + 3_600_001 }),
      "invalid_timestamp",
    ],
    [
      "a timestamp too long ago",
      { "message.timestamp.before.max.ms": "1000" },
      () => batchOf({ value: "a", timestamp: now - 1_001 }),
      "invalid_timestamp",
    ],
    [
      "acks=all without enough replicas",
      { "min.insync.replicas": "2" },
      () => batchOf("a"),
      "not_enough_replicas",
    ],
  ];
  for (const [what, configs, batch, code] of cases) {
    const trustedToo = !["corrupt_message", "invalid_record"].includes(code);
    test.each(trustedToo ? [false, true] : [false])(`${what} (trusted: %p)`, async (trusted) => {
      const { broker } = await startNode();
      must(await broker.createTopic({ name: "t", configs }));
      const [outcome] = await broker.produce(produce("t", batch(), { trusted }));
      expect(outcome).toMatchObject({ ok: false, code, sideEffects: "none", partition: 0 });
      expect(must(broker.bounds("t"))).toMatchObject([{ logEndOffset: 0 }]);
    });
  }

  test("acks=1 does not ask for min.insync.replicas", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t", configs: { "min.insync.replicas": "2" } }));
    const [outcome] = await broker.produce(produce("t", batchOf("a"), { acks: "leader" }));
    expect(outcome).toMatchObject({ ok: true });
  });
});

describe("timestamps", () => {
  test("LogAppendTime stamps every record with the append time", async () => {
    const { broker } = await startNode();
    const configs = { "message.timestamp.type": "LogAppendTime" };
    must(await broker.createTopic({ name: "t", configs }));
    const batch = batchOf({ value: "a", timestamp: 5 }, { value: "b", timestamp: now * 2 });
    const [outcome] = await broker.produce(produce("t", batch));
    expect(outcome).toMatchObject({ ok: true, logAppendTime: now });
    const fetched = must(await broker.fetch(fetchOf("t", at(0, 0))));
    const [partition] = fetched.partitions;
    if (!partition.ok) throw new Error(partition.detail);
    expect(maxTimestampAt(partition.batches[0], 0)).toBe(now);
    fetched.release();
  });

  test("a wrong max timestamp of a client is corrected, so that look-ups by time find it", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t" }));
    const batch = batchOf({ value: "a", timestamp: 100 }, { value: "b", timestamp: 200 });
    batch.bytes.fill(0, field.maxTimestamp, field.maxTimestamp + 8);
    stampCrc(batch.bytes, 0);
    must((await broker.produce(produce("t", batch)))[0]);
    const found = await broker.listOffsets("t", [{ partition: 0, at: { timestamp: 150 } }]);
    expect(found).toMatchObject([{ ok: true, offset: 1, timestamp: 200 }]);
  });
});

describe("conditions and idempotency", () => {
  test("an expected offset that does not hold is refused with both offsets", async () => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t" }));
    const append = (expectedOffset: number) =>
      broker.produce({
        ...produce("t", batchOf("")),
        appends: [{ partition: 0, batch: batchOf("a"), conditions: { expectedOffset } }],
      });
    expect(await append(0)).toMatchObject([{ ok: true, baseOffset: 0 }]);
    expect(await append(0)).toMatchObject([
      {
        code: "expected_offset_mismatch",
        members: { expectedOffset: 0, currentOffset: 1 },
        sideEffects: "none",
      },
    ]);
    const racing = await Promise.all([append(1), append(1), append(1)]);
    expect(racing.flat().filter((one) => one.ok)).toHaveLength(1);
  });

  test("a retried key gets its first answer, also after a restart; another body is refused", async () => {
    const node = await startNode();
    must(await node.broker.createTopic({ name: "t" }));
    const send = (broker: typeof node.broker, body: number) =>
      broker.produce(
        produce("t", batchOf("a"), {
          idempotency: {
            principal: "anonymous",
            key: "k",
            bodyHash: new Uint8Array(16).fill(body),
            partitionCount: 1,
          },
        }),
      );
    expect(await send(node.broker, 1)).toMatchObject([{ baseOffset: 0, duplicate: false }]);
    expect(await send(node.broker, 1)).toMatchObject([{ baseOffset: 0, duplicate: true }]);
    expect(await send(node.broker, 2)).toMatchObject([{ code: "idempotency_key_reused" }]);
    const { broker } = await node.restart();
    expect(await send(broker, 1)).toMatchObject([{ baseOffset: 0, duplicate: true }]);
    expect(valuesOf(await broker.fetch(fetchOf("t", at(0, 0))))).toEqual([["a"]]);
  });
});

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
    const [{ bytes }] = must(broker.describePartitions("t"));
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
    expect(must(broker.describePartitions("t"))[7]).toMatchObject({
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
