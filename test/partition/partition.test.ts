// A partition over the real host and core, in virtual time, over a journal in arrays.

import { describe, expect, test } from "bun:test";

import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import { Fault } from "../../src/errors.ts";
import { createPartition, openPartition, type Partition } from "../../src/partition/partition.ts";
import type { AppendOutcome, AppendRequest } from "../../src/partition/append.ts";
import { ArrayJournal } from "../consensus/array-journal.ts";
import { VirtualWorld } from "../consensus/virtual-world.ts";
import { batchOf, recordsIn, slabs, type BatchOf } from "./batches.ts";

const groupId = "0b6c/0";
const fenced = (token: string): Partial<AppendRequest> => ({ conditions: { fence: token } });
const sequence = (baseSequence: number, epoch = 0): Pick<BatchOf, "producer"> => ({
  producer: { id: 7, epoch, baseSequence },
});
const keyed = (key: string, body = 1): Partial<AppendRequest> => ({
  idempotency: { principal: "anonymous", key, bodyHash: hash(body), partitionCount: 3 },
});
const full = (): Fault => new Fault("storage_full", "no room", { sideEffects: "unknown" });
const hash = (n: number): Uint8Array => new Uint8Array(16).fill(n);

class Bench {
  readonly world = new VirtualWorld(1);
  journal = new ArrayJournal(this.world);
  host: Host = createReplicaHost({ world: this.world, journal: this.journal, nodeId: 1 });
  partition: Partition = createPartition({
    host: this.host,
    journal: this.journal,
    slabs,
    groupId,
  });

  send(batch: BatchOf, more: Partial<AppendRequest> = {}): Promise<AppendOutcome> {
    const slice = batchOf(batch);
    return this.partition
      .append({ batch: slice, acks: "all", logAppendTime: -1, ...more })
      .finally(() => slice.release());
  }

  append(batch: BatchOf, more: Partial<AppendRequest> = {}): Promise<AppendOutcome> {
    return this.world.until(this.send(batch, more));
  }

  async restart(): Promise<void> {
    this.journal = this.journal.crash();
    this.host = createReplicaHost({ world: this.world, journal: this.journal, nodeId: 1 });
    this.partition = await this.world.until(
      openPartition({ host: this.host, journal: this.journal, slabs, groupId }),
    );
  }

  async records(from = 0): Promise<string[]> {
    const found = await this.world.until(
      Promise.resolve(this.partition.fetch({ offset: from, maxBytes: 1 << 20 })),
    );
    if (!found.ok) throw new Error(found.code);
    const records = recordsIn(found.batches);
    found.release();
    return records;
  }
}

const okAt = (baseOffset: number): AppendOutcome =>
  expect.objectContaining({ ok: true, baseOffset });
const code = (outcome: { ok: boolean }): unknown => (outcome as { code?: string }).code;

describe("append()", () => {
  test("gives dense offsets from 0 and answers after the commit", async () => {
    const bench = new Bench();
    expect(await bench.append({ values: ["a", "b"] })).toEqual({
      ok: true,
      baseOffset: 0,
      recordCount: 2,
      logAppendTime: -1,
      maxTimestamp: 1_000,
      leaderEpoch: 1,
      logStartOffset: 0,
      duplicate: false,
      idempotencyExpires: null,
    });
    expect(await bench.append({ values: ["c"] })).toEqual(okAt(2));
    expect(await bench.records()).toEqual(["0:a", "1:b", "2:c"]);
    expect(bench.partition.bounds()).toEqual({
      logStartOffset: 0,
      highWatermark: 3,
      lastStableOffset: 3,
      logEndOffset: 3,
      leaderEpoch: 1,
    });
  });

  test("elects with term and no-op in one flush, and the first records need one more", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    expect(bench.journal.counters.flushes).toBe(2);
    expect(bench.journal.entries(bench.partition.number).map((e) => e.kind)).toEqual([1, 0]);
  });

  test("joins what arrived during a flush into one entry, in order", async () => {
    const bench = new Bench();
    await bench.append({ values: ["first"] });
    const sent = ["a", "b", "c", "d", "e"].map((value) => bench.send({ values: [value] }));
    const outcomes = await bench.world.until(Promise.all(sent));
    expect(outcomes.map((o) => o.ok && o.baseOffset)).toEqual([1, 2, 3, 4, 5]);
    const data = bench.journal.entries(bench.partition.number).filter((e) => e.kind === 0);
    expect(data.map((e) => e.offsetCount)).toEqual([1, 5]);
    expect(await bench.records(3)).toEqual(["3:c", "4:d", "5:e"]);
  });

  test("does not join beyond 1 MiB, but takes one larger batch whole", async () => {
    const bench = new Bench();
    const values = ["x".repeat(700_000), "y".repeat(700_000), "z".repeat(1_500_000)];
    const outcomes = await bench.world.until(
      Promise.all(values.map((value) => bench.send({ values: [value] }))),
    );
    expect(outcomes.map((o) => o.ok)).toEqual([true, true, true]);
    const data = bench.journal.entries(bench.partition.number).filter((e) => e.kind === 0);
    expect(data.map((e) => e.offsetCount)).toEqual([1, 1, 1]);
  });

  test("is not answered before the flush is durable", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    bench.journal.flushMs = 50;
    for (const acks of ["all", "leader"] as const) {
      let answered = false;
      const sent = bench.send({ values: ["b"] }, { acks }).then(() => (answered = true));
      await bench.world.run(40);
      expect(answered).toBe(false);
      await bench.world.until(sent);
    }
  });

  test("answers acks=none at once", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    const flushes = bench.journal.counters.flushes;
    expect(await bench.send({ values: ["b"] }, { acks: "none" })).toEqual(okAt(1));
    expect(bench.journal.counters.flushes).toBe(flushes);
    await bench.world.run(100);
    expect(await bench.records(1)).toEqual(["1:b"]);
  });

  test("refuses bytes that are not exactly one batch", async () => {
    const bench = new Bench();
    const one = batchOf({ values: ["a"] });
    const two = slabs.allocate(one.bytes.length * 2);
    two.bytes.set(one.bytes);
    two.bytes.set(one.bytes, one.bytes.length);
    const outcome = await bench.world.until(
      bench.partition.append({ batch: two, acks: "all", logAppendTime: -1 }),
    );
    expect(code(outcome)).toBe("invalid_record");
  });

  test("releases every slice that it held", async () => {
    const bench = new Bench();
    const before = slabs.bytesInUse;
    await bench.append({ values: ["a"] });
    await bench.world.until(Promise.all([1, 2, 3].map(() => bench.send({ values: ["b"] }))));
    expect(slabs.bytesInUse).toBe(before);
  });
});

describe("conditions", () => {
  test("expected offset counts appends in flight", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    const first = bench.send({ values: ["b", "c"] });
    const wrong = bench.send({ values: ["x"] }, { conditions: { expectedOffset: 1 } });
    const right = bench.send({ values: ["d"] }, { conditions: { expectedOffset: 3 } });
    expect(await bench.world.until(first)).toEqual(okAt(1));
    expect(await wrong).toMatchObject({
      ok: false,
      code: "expected_offset_mismatch",
      sideEffects: "none",
      members: { expectedOffset: 1, currentOffset: 3 },
    });
    expect(await bench.world.until(right)).toEqual(okAt(3));
  });

  test("of two writers that expect the same end exactly one wins", async () => {
    const bench = new Bench();
    const conditions = { expectedOffset: 0 };
    const outcomes = await bench.world.until(
      Promise.all([
        bench.send({ values: ["a"] }, { conditions }),
        bench.send({ values: ["b"] }, { conditions }),
      ]),
    );
    expect(outcomes.map((o) => o.ok)).toEqual([true, false]);
  });

  test("a fence counts from the moment it is set, survives a restart, and can be cleared", async () => {
    const bench = new Bench();
    expect(code(await bench.append({ values: ["a"] }, fenced("t1")))).toBe("fence_mismatch");
    const set = bench.partition.setFence("t1");
    const pipelined = bench.send({ values: ["b"] }, fenced("t1"));
    expect(await bench.world.until(set)).toEqual({ ok: true });
    expect(await bench.world.until(pipelined)).toEqual(okAt(0));
    expect(code(await bench.append({ values: ["x"] }, fenced("t0")))).toBe("fence_mismatch");
    expect(code(await bench.world.until(bench.partition.setFence("t2", "t0")))).toBe(
      "fence_mismatch",
    );
    await bench.restart();
    expect(await bench.append({ values: ["c"] }, fenced("t1"))).toEqual(okAt(1));
    expect(await bench.world.until(bench.partition.setFence(null, "t1"))).toEqual({ ok: true });
    expect(await bench.world.until(bench.partition.fence())).toEqual({ ok: true, token: null });
    expect(code(await bench.world.until(bench.partition.setFence("é".repeat(33))))).toBe(
      "invalid_request",
    );
  });

  test("expected term refuses another leader epoch", async () => {
    const bench = new Bench();
    expect(await bench.append({ values: ["a"] }, { expectedTerm: 1 })).toEqual(okAt(0));
    expect(code(await bench.append({ values: ["a"] }, { expectedTerm: 2 }))).toBe(
      "not_leader_or_follower",
    );
  });
});

describe("idempotent producers", () => {
  test("a duplicate answers the first offset, in flight and after a restart", async () => {
    const bench = new Bench();
    const first = bench.send({ values: ["a", "b"], ...sequence(0) });
    const again = bench.send({ values: ["a", "b"], ...sequence(0) });
    expect(await bench.world.until(first)).toMatchObject({ baseOffset: 0, duplicate: false });
    expect(await bench.world.until(again)).toMatchObject({ baseOffset: 0, duplicate: true });
    expect(await bench.append({ values: ["c"], ...sequence(2) })).toMatchObject({ baseOffset: 2 });
    await bench.restart();
    const late = await bench.append({ values: ["a", "b"], ...sequence(0) });
    expect(late).toMatchObject({ baseOffset: 0, recordCount: 2, duplicate: true });
    expect(await bench.records()).toEqual(["0:a", "1:b", "2:c"]);
  });

  test("a duplicate of a pending append is not answered before the original commits", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"], ...sequence(0) });
    bench.journal.flushMs = 50;
    void bench.send({ values: ["b"], ...sequence(1) });
    let answered = false;
    const again = bench.send({ values: ["b"], ...sequence(1) }).then(() => (answered = true));
    await bench.world.run(40);
    expect(answered).toBe(false);
    await bench.world.until(again);
  });

  test("pipelined sequences are taken in order, a hole is refused", async () => {
    const bench = new Bench();
    const sent = [0, 1, 2, 4].map((s) => bench.send({ values: [`s${s}`], ...sequence(s) }));
    const outcomes = await bench.world.until(Promise.all(sent));
    expect(outcomes.map((o) => (o.ok ? o.baseOffset : o.code))).toEqual([
      0,
      1,
      2,
      "out_of_order_sequence_number",
    ]);
  });

  test("a newer epoch fences the older one", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"], ...sequence(0) });
    expect(code(await bench.append({ values: ["b"], ...sequence(5, 1) }))).toBe(
      "out_of_order_sequence_number",
    );
    expect(await bench.append({ values: ["b"], ...sequence(0, 1) })).toEqual(okAt(1));
    expect(code(await bench.append({ values: ["c"], ...sequence(1, 0) }))).toBe(
      "invalid_producer_epoch",
    );
  });
});

describe("idempotency keys", () => {
  test("the same key and body get the first answer, in flight and after a restart", async () => {
    const bench = new Bench();
    const first = bench.send({ values: ["a"] }, keyed("k1"));
    const again = bench.send({ values: ["a"] }, keyed("k1"));
    const answer = await bench.world.until(first);
    expect(answer).toMatchObject({ baseOffset: 0, duplicate: false });
    expect(await bench.world.until(again)).toEqual({
      ...(answer as object),
      duplicate: true,
    } as never);
    await bench.restart();
    const late = await bench.append({ values: ["a"] }, keyed("k1"));
    expect(late).toMatchObject({
      baseOffset: 0,
      duplicate: true,
      idempotencyExpires: (answer as { idempotencyExpires: number }).idempotencyExpires,
    });
    expect(await bench.append({ values: ["b"] }, keyed("k2"))).toMatchObject({ baseOffset: 1 });
    const remembered = await bench.world.until(
      bench.partition.countOfKey({ principal: "anonymous", key: "k1" }),
    );
    expect(remembered).toBe(3);
  });

  test("another body is refused, in flight and afterwards", async () => {
    const bench = new Bench();
    const first = bench.send({ values: ["a"] }, keyed("k1"));
    const other = bench.send({ values: ["b"] }, keyed("k1", 2));
    await bench.world.until(first);
    expect(code(await other)).toBe("idempotency_key_reused");
    expect(code(await bench.append({ values: ["b"] }, keyed("k1", 2)))).toBe(
      "idempotency_key_reused",
    );
  });

  test("is forgotten after 24 h of entry time", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] }, keyed("k1"));
    bench.world.wallOffset += 24 * 3_600_000;
    await bench.append({ values: ["tick"] });
    expect(await bench.append({ values: ["a"] }, keyed("k1"))).toMatchObject({
      baseOffset: 2,
      duplicate: false,
    });
  });
});

describe("fetch()", () => {
  test("is a value from the cache and a promise from the disk", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    const warm = bench.partition.fetch({ offset: 0, maxBytes: 1_000 });
    expect(warm).not.toBeInstanceOf(Promise);
    if (!(warm instanceof Promise) && warm.ok) warm.release();
    bench.journal.coldReads = true;
    expect(await bench.records()).toEqual(["0:a"]);
    expect(bench.journal.held).toBe(0);
  });

  test("refuses what lies outside the log and is empty between high watermark and log end", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a", "b"] });
    const at = (offset: number): unknown => bench.partition.fetch({ offset, maxBytes: 100 });
    expect(at(3)).toMatchObject({
      code: "offset_out_of_range",
      members: { logStartOffset: 0, highWatermark: 2 },
    });
    expect(at(-1)).toMatchObject({ code: "offset_out_of_range" });
    expect(at(2)).toMatchObject({ ok: true, batches: [] });
    const flying = bench.send({ values: ["c", "d"] });
    expect(at(3)).toMatchObject({ ok: true, batches: [] });
    await bench.world.until(flying);
    expect(await bench.records(3)).toEqual(["2:c", "3:d"].slice(0));
  });

  test("cuts a page at batches and always gives one", async () => {
    const bench = new Bench();
    await bench.world.until(
      Promise.all(["a", "b", "c"].map((v) => bench.send({ values: [v.repeat(100)] }))),
    );
    const page = bench.partition.fetch({ offset: 1, maxBytes: 1 });
    expect(page).toMatchObject({ ok: true });
    const { batches } = page as { batches: readonly Uint8Array[] };
    expect(recordsIn(batches)).toEqual([`1:${"b".repeat(100)}`]);
  });

  test("works on a partition that was only opened, without replay", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    await bench.world.until(bench.host.close());
    await bench.restart();
    expect(bench.journal.counters).toMatchObject({ flushes: 0, reads: 0, snapshotReads: 0 });
    expect(await bench.records()).toEqual(["0:a"]);
    expect(bench.partition.bounds()).toMatchObject({ highWatermark: 1, leaderEpoch: 1 });
  });

  test("wakes who waits for an advance", async () => {
    const bench = new Bench();
    let wakes = 0;
    const stop = bench.partition.onAdvance(() => (wakes += 1));
    await bench.append({ values: ["a"] });
    expect(wakes).toBe(1);
    stop();
    await bench.append({ values: ["b"] });
    expect(wakes).toBe(1);
  });
});

describe("the front of the log", () => {
  test("deleteRecords() moves the start also inside a batch, and it stays after a restart", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a", "b", "c"] });
    await bench.append({ values: ["d"] });
    const remove = (before: number) => bench.world.until(bench.partition.deleteRecords(before));
    expect(await remove(1)).toEqual({ ok: true, logStartOffset: 1 });
    expect(
      code(
        await bench.world.until(Promise.resolve(bench.partition.fetch({ offset: 0, maxBytes: 9 }))),
      ),
    ).toBe("offset_out_of_range");
    expect(await bench.records(1)).toEqual(["0:a", "1:b", "2:c", "3:d"]);
    expect(code(await remove(5))).toBe("offset_out_of_range");
    await bench.restart();
    expect(bench.partition.bounds()).toMatchObject({ logStartOffset: 1, highWatermark: 4 });
    expect(await remove(-1)).toEqual({ ok: true, logStartOffset: 4 });
    expect(await remove(2)).toEqual({ ok: true, logStartOffset: 4 });
    await bench.restart();
    expect(bench.partition.bounds()).toMatchObject({ logStartOffset: 4, highWatermark: 4 });
    expect(await bench.append({ values: ["e"] })).toEqual(okAt(4));
  });

  test("applyRetention() drops whole entries and keeps the producers", async () => {
    const bench = new Bench();
    const producer = { id: 1, epoch: 0, baseSequence: 0 };
    await bench.append({ values: ["old"], timestamp: 10, producer });
    await bench.append({ values: ["new"], timestamp: 1_000 });
    const keep = { timestampMin: 500, bytesMax: null };
    expect(await bench.world.until(bench.partition.applyRetention(keep))).toEqual({ ok: true });
    expect(bench.partition.bounds().logStartOffset).toBe(1);
    await bench.restart();
    const again = await bench.append({ values: ["old"], timestamp: 10, producer });
    expect(again).toMatchObject({ baseOffset: 0, duplicate: true });
    expect(await bench.records(1)).toEqual(["1:new"]);
  });

  test("offsetForTimestamp() finds the first record that is young enough", async () => {
    const bench = new Bench();
    for (const timestamp of [10, 30, 20, 40])
      await bench.append({ values: [`${timestamp}`], timestamp });
    const at = (timestamp: number) =>
      bench.world.until(bench.partition.offsetForTimestamp(timestamp));
    expect(await at(0)).toEqual({ offset: 0, timestamp: 10 });
    expect(await at(15)).toEqual({ offset: 1, timestamp: 30 });
    expect(await at(40)).toEqual({ offset: 3, timestamp: 40 });
    expect(await at(41)).toBeNull();
  });
});

describe("faults", () => {
  test("a failed flush is told as unknown, and the next append works at the same offset", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    bench.journal.failNext = full();
    expect(await bench.append({ values: ["lost"] })).toMatchObject({
      code: "storage_full",
      sideEffects: "unknown",
    });
    expect(await bench.append({ values: ["b"] })).toEqual(okAt(1));
    expect(await bench.records()).toEqual(["0:a", "1:b"]);
    expect(bench.partition.bounds().leaderEpoch).toBe(2);
  });

  test("what was pending dies with the term: sequence and key may be used again", async () => {
    const bench = new Bench();
    const producer = { id: 1, epoch: 0, baseSequence: 0 };
    const idempotency = { principal: "p", key: "k", bodyHash: hash(1), partitionCount: 0 };
    await bench.append({ values: ["a"] });
    bench.journal.failNext = full();
    await bench.append({ values: ["b"], producer }, { idempotency });
    expect(await bench.append({ values: ["b"], producer }, { idempotency })).toMatchObject({
      baseOffset: 1,
      duplicate: false,
    });
  });

  test("queued appends behind a failed flush are refused without effects", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    bench.journal.failNext = full();
    const flying = bench.send({ values: ["b"] });
    await bench.world.run(0);
    const queued = bench.send({ values: ["c"] });
    expect(await bench.world.until(flying)).toMatchObject({ sideEffects: "unknown" });
    expect(await bench.world.until(queued)).toMatchObject({
      code: "storage_full",
      sideEffects: "none",
    });
  });

  test("a full disk refuses appends before they have effects, reads and retention go on", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    bench.journal.healthState = "full";
    expect(await bench.append({ values: ["b"] })).toMatchObject({
      code: "storage_full",
      sideEffects: "none",
    });
    expect(await bench.world.until(bench.partition.deleteRecords(1))).toEqual({
      ok: true,
      logStartOffset: 1,
    });
    bench.journal.healthState = "failed";
    expect(code(await bench.append({ values: ["b"] }))).toBe("storage_failed");
  });

  test("more than the queue may hold is refused as overloaded", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    const value = "x".repeat(16 * 1024 * 1024 - 1_000);
    const sent = Array.from({ length: 5 }, () => bench.send({ values: [value] }));
    const outcomes = await bench.world.until(Promise.all(sent));
    expect(outcomes.map((o) => (o.ok ? "ok" : o.code))).toEqual([
      "ok",
      "ok",
      "ok",
      "ok",
      "overloaded",
    ]);
    expect(await bench.append({ values: [value] })).toMatchObject({ ok: true });
  });

  test("removal wakes waiters and refuses what is under way", async () => {
    const bench = new Bench();
    await bench.append({ values: ["a"] });
    let wakes = 0;
    bench.partition.onAdvance(() => (wakes += 1));
    const flying = bench.send({ values: ["b"] });
    await bench.world.run(0);
    await bench.world.until(bench.host.remove(groupId));
    expect(await flying).toMatchObject({
      code: "unknown_topic_or_partition",
      sideEffects: "unknown",
    });
    expect(wakes).toBeGreaterThan(0);
    expect(code(await bench.append({ values: ["c"] }))).toBe("unknown_topic_or_partition");
  });
});
