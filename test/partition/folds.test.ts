// The folds of a partition: producers against KIP-98's rules, keys within their bounds, snapshots that are the state.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import { entryKinds, type LogEntry } from "../../src/journal/journal.ts";
import { limits } from "../../src/limits.ts";
import { logIndex, offset, term } from "../../src/quantities.ts";
import { encodeCommand, encodeReceipts } from "../../src/partition/entry-meta.ts";
import { PartitionFold } from "../../src/partition/fold.ts";
import { KeyTable } from "../../src/partition/idempotency.ts";
import {
  checkSequence,
  nextProducerState,
  ProducerTable,
  type ProducerState,
} from "../../src/partition/producers.ts";
import { stampBatch } from "../../src/records/batch-layout.ts";
import { batchOf } from "./batches.ts";

const batch = (baseSequence: number, recordCount = 1, producerEpoch = 0) => ({
  producerId: 7,
  producerEpoch,
  baseSequence,
  recordCount,
});

function stateAfter(...batches: ReturnType<typeof batch>[]): ProducerState<never> {
  let state: ProducerState<never> | undefined;
  let baseOffset = 100;
  for (const one of batches) {
    const at = { baseOffset, maxTimestamp: 1, time: 1, pending: null };
    state = nextProducerState<never>(state, one, at);
    baseOffset += one.recordCount;
  }
  return state!;
}

function verdict(
  state: ProducerState<never> | undefined,
  one: ReturnType<typeof batch>,
): string | number {
  const found = checkSequence(state, one);
  if (found.kind === "refused") return found.refusal.code;
  return found.kind === "duplicate" ? found.batch.baseOffset : "append";
}

describe("checkSequence()", () => {
  const top = 2 ** 31 - 1;
  const five = [0, 2, 4, 6, 8].map((s) => batch(s, 2));
  const rows: [
    string,
    ProducerState<never> | undefined,
    ReturnType<typeof batch>,
    string | number,
  ][] = [
    ["an unknown producer may begin anywhere", undefined, batch(41), "append"],
    ["the next sequence is appended", stateAfter(batch(0, 3)), batch(3), "append"],
    ["a hole is out of order", stateAfter(batch(0, 3)), batch(4), "out_of_order_sequence_number"],
    ["the last batch again is a duplicate", stateAfter(batch(0, 3)), batch(0, 3), 100],
    ["the oldest of five is still known", stateAfter(...five), batch(0, 2), 100],
    ["the newest of five as well", stateAfter(...five), batch(8, 2), 108],
    [
      "the sixth from the end is forgotten",
      stateAfter(...five, batch(10)),
      batch(0, 2),
      "duplicate_sequence_number",
    ],
    [
      "another cut of known sequences is out of order",
      stateAfter(batch(0, 3)),
      batch(1, 2),
      "out_of_order_sequence_number",
    ],
    ["sequences wrap to 0", stateAfter(batch(top)), batch(0), "append"],
    ["a batch may wrap inside", stateAfter(batch(top - 1, 4)), batch(2), "append"],
    ["a batch that wrapped is known", stateAfter(batch(top - 1, 4)), batch(top - 1, 4), 100],
    [
      "an older epoch is fenced",
      stateAfter(batch(0, 1, 3)),
      batch(1, 1, 2),
      "invalid_producer_epoch",
    ],
    ["a newer epoch begins at 0", stateAfter(batch(5)), batch(0, 1, 1), "append"],
    [
      "a newer epoch begins nowhere else",
      stateAfter(batch(5)),
      batch(6, 1, 1),
      "out_of_order_sequence_number",
    ],
  ];
  for (const [name, state, one, wanted] of rows) {
    test(name, () => expect(verdict(state, one)).toBe(wanted));
  }
});

describe("ProducerTable", () => {
  test("forgets producers after 24 h of entry time, and the oldest beyond the limit", () => {
    const table = new ProducerTable();
    const day = 24 * 3_600_000;
    table.apply({ ...batch(0), producerId: 1 }, { baseOffset: 0, maxTimestamp: 0, time: 1_000 });
    table.apply({ ...batch(0), producerId: 2 }, { baseOffset: 1, maxTimestamp: 0, time: 2_000 });
    table.expire(1_000 + day - 1);
    expect(table.size).toBe(2);
    table.expire(1_000 + day);
    expect([table.get(1), table.get(2)?.time]).toEqual([undefined, 2_000]);
    for (let id = 10; id < 10 + limits.producersPerPartitionMax; id += 1) {
      table.apply(
        { ...batch(0), producerId: id },
        { baseOffset: id, maxTimestamp: 0, time: 3_000 },
      );
    }
    expect(table.size).toBe(limits.producersPerPartitionMax);
    expect(table.get(2)).toBeUndefined();
  });
});

function hash(n: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setFloat64(0, n);
  return bytes;
}

const receipt = (n: number) => ({
  keyHash: hash(n),
  bodyHash: hash(-n),
  baseOffset: n,
  recordCount: 1,
  maxTimestamp: n,
  partitionCount: 3,
});

describe("KeyTable", () => {
  test("keeps 100,000 keys, the oldest out first, also after its ring has wrapped", () => {
    const table = new KeyTable();
    const max = limits.idempotencyKeysPerPartitionMax;
    for (let n = 0; n < max + 1_000; n += 1) table.apply(receipt(n), n);
    expect(table.size).toBe(max);
    expect(table.get(hash(999))).toBeNull();
    expect(table.get(hash(1_000))).toMatchObject({ baseOffset: 1_000, bodyHash: hash(-1_000) });
    const copy = new KeyTable();
    copy.restore(table.columns());
    expect(copy.get(hash(max + 999))).toEqual(table.get(hash(max + 999)));
    expect(copy.columns()).toEqual(table.columns());
  });

  test("equals a naive model under any mix of appends and expiry", () => {
    const age = limits.idempotencyKeyAgeMsMax;
    const steps = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: age / 3 })),
    );
    fc.assert(
      fc.property(steps, (sequence) => {
        const table = new KeyTable();
        const model = new Map<number, number>();
        let now = 0;
        for (const [n, pause] of sequence) {
          now += pause;
          table.expire(now);
          for (const [key, time] of model) if (time + age <= now) model.delete(key);
          if (!model.has(n)) model.set(n, now);
          table.apply(receipt(n), now);
        }
        expect(table.size).toBe(model.size);
        for (let n = 0; n <= 40; n += 1) expect(table.get(hash(n))?.time).toBe(model.get(n));
      }),
      { numRuns: 100 },
    );
  });
});

describe("PartitionFold", () => {
  const producers = fc.record({
    id: fc.integer({ min: 0, max: 3 }),
    count: fc.integer({ min: 1, max: 3 }),
  });
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("data" as const),
      producers: fc.array(producers, { maxLength: 4 }),
      keys: fc.integer({ min: 0, max: 3 }),
      pause: fc.integer({ min: 0, max: 9 * 3_600_000 }),
    }),
    fc.record({
      kind: fc.constant("fence" as const),
      token: fc.option(fc.string({ maxLength: 8 })),
      pause: fc.integer({ min: 0, max: 1_000 }),
    }),
  );

  test("restored at any entry and fed the rest, equals the fold of the whole log", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), fc.nat(), (steps, at) => {
        const log = logOf(steps);
        const whole = new PartitionFold();
        for (const entry of log) whole.apply(entry);
        const cut = at % (log.length + 1);
        const before = new PartitionFold();
        for (const entry of log.slice(0, cut)) before.apply(entry);
        const after = new PartitionFold();
        after.restore(before.snapshot());
        for (const entry of log.slice(cut)) after.apply(entry);
        expect(after.snapshot()).toEqual(whole.snapshot());
      }),
      { numRuns: 100 },
    );
  });

  test("halts at a command of a newer version", () => {
    const fold = new PartitionFold();
    const entry = {
      ...logOf([{ kind: "fence", token: null, pause: 0 }])[0],
      meta: new Uint8Array([1]),
    };
    expect(() => fold.apply(entry)).toThrow("its meta is not what this version writes");
  });
});

type Step =
  | {
      kind: "data";
      producers: readonly { id: number; count: number }[];
      keys: number;
      pause: number;
    }
  | { kind: "fence"; token: string | null; pause: number };

function logOf(steps: readonly Step[]): LogEntry[] {
  let baseOffset = 0;
  let time = 0;
  const sequences = new Map<number, number>();
  return steps.map((one, i) => {
    time += one.pause;
    const columns = {
      index: logIndex(i + 1),
      term: term(1),
      time,
      maxTimestamp: -1,
      baseOffset: offset(baseOffset),
    };
    if (one.kind === "fence") {
      const meta = encodeCommand({ kind: "fence", token: one.token });
      return { ...columns, kind: entryKinds.command, offsetCount: 0, meta, batch: null };
    }
    const first = baseOffset;
    const slices = one.producers.map(({ id, count }) => {
      const baseSequence = sequences.get(id) ?? 0;
      sequences.set(id, baseSequence + count);
      const values = Array.from({ length: count }, () => "v");
      const slice = batchOf({ values, producer: { id, epoch: 0, baseSequence } });
      stampBatch(slice.bytes, 0, { baseOffset, leaderEpoch: 1 });
      baseOffset += count;
      return slice;
    });
    const joined = batchOf({ values: ["x"] });
    const bytes = new Uint8Array(slices.reduce((sum, s) => sum + s.bytes.length, 0));
    slices.reduce((at, s) => (bytes.set(s.bytes, at), at + s.bytes.length), 0);
    const meta = encodeReceipts(
      Array.from({ length: one.keys }, (_, k) => ({
        keyHash: new Uint8Array(16).fill(i * 5 + k),
        bodyHash: new Uint8Array(16),
        baseOffset: first,
        recordCount: 1,
        maxTimestamp: time,
        partitionCount: 1,
      })),
      first,
    );
    const offsetCount = baseOffset - first;
    return { ...columns, kind: entryKinds.data, offsetCount, meta, batch: { ...joined, bytes } };
  });
}
