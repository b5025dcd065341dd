import { afterEach, describe, expect, test } from "bun:test";
import { field, maxTimestampAt, stampCrc } from "../../src/records/batch-layout.ts";
import { batchOf, valuesOf } from "./batches.ts";
import { must } from "./harness.ts";
import { at, fetchOf, now, produce } from "./requests.ts";
import { startNode, stopNodes } from "./whole-node.ts";

afterEach(stopNodes);

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

  test("append times never run back, though the clock does and the node restarts", async () => {
    let node = await startNode();
    const configs = { "message.timestamp.type": "LogAppendTime" };
    must(await node.broker.createTopic({ name: "t", configs }));
    const append = async () => {
      const [outcome] = await node.broker.produce(produce("t", batchOf("a")));
      return outcome.ok ? outcome.logAppendTime : outcome;
    };
    expect(await append()).toBe(now);
    node.world.advance(100);
    // The second of these is stamped while the first waits for its turn.
    const first = append();
    node.world.setBack(500);
    expect(await Promise.all([first, append()])).toEqual([now + 100, now + 100]);
    node.world.setBack(500);
    node = await node.restart();
    expect(await append()).toBe(now + 100);
    node.world.advance(2_000);
    expect(await append()).toBe(now + 1_100);
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

  test("a fence keeps out who does not show it, also after a restart", async () => {
    const node = await startNode();
    must(await node.broker.createTopic({ name: "t" }));
    const append = (broker: typeof node.broker, fence?: string) =>
      broker.produce({
        ...produce("t", batchOf("")),
        appends: [
          {
            partition: 0,
            batch: batchOf("a"),
            ...(fence === undefined ? {} : { conditions: { fence } }),
          },
        ],
      });
    expect(await node.broker.fence("t", 0)).toEqual({ ok: true, token: null });
    expect(await append(node.broker, "one")).toMatchObject([{ code: "fence_mismatch" }]);
    must(await node.broker.setFence("t", 0, { token: "one" }));
    expect(await append(node.broker, "one")).toMatchObject([{ ok: true }]);
    const { broker } = await node.restart();
    expect(await broker.fence("t", 0)).toEqual({ ok: true, token: "one" });
    const stale = { token: "three", expected: "two" };
    expect(await broker.setFence("t", 0, stale)).toMatchObject({ code: "fence_mismatch" });
    must(await broker.setFence("t", 0, { token: "two", expected: "one" }));
    expect(await append(broker, "one")).toMatchObject([{ code: "fence_mismatch" }]);
    expect(await append(broker)).toMatchObject([{ ok: true, baseOffset: 1 }]);
    must(await broker.setFence("t", 0, { token: null }));
    expect(await broker.fence("t", 0)).toEqual({ ok: true, token: null });
  });

  test.each([
    ["t", 0, "", "invalid_request"],
    ["t", 0, "x".repeat(65), "invalid_request"],
    ["t", 1, "x", "unknown_topic_or_partition"],
    ["u", 0, "x", "unknown_topic_or_partition"],
  ])("setFence(%p, %p, %p) is %s", async (topic, partition, token, code) => {
    const { broker } = await startNode();
    must(await broker.createTopic({ name: "t" }));
    expect(await broker.setFence(topic, partition, { token })).toMatchObject({ code });
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
