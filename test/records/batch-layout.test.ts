// The header of a batch: read without touching records, stamped in place, split where batches lie side by side.

import { describe, expect, test } from "bun:test";
import { putInt32 } from "../../src/bytes/big-endian.ts";
import {
  batchBytesAt,
  baseOffsetAt,
  batchHeaderBytes,
  checkBatch,
  eachBatch,
  field,
  inspectBatch,
  leaderEpochAt,
  maxTimestampAt,
  nextOffsetAt,
  recordCountAt,
  stampBatch,
  stampCrc,
  stampLogAppendTime,
  stampMaxTimestamp,
} from "../../src/records/batch-layout.ts";
import { anyRules, batchOf, codecs, readAll, record } from "./samples.ts";

const three = () =>
  batchOf([record({ timestamp: 50 }), record({ timestamp: 90 }), record({ timestamp: 70 })]);

/** Batches side by side, in memory with other bytes around them. */
function joined(...batches: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(batches.flatMap((batch) => [...batch]));
}

describe("inspectBatch()", () => {
  test("reads every field of the header", () => {
    const producer = { id: 2 ** 52 + 1, epoch: 32_767, baseSequence: 2 ** 31 - 1 };
    const bytes = batchOf([record({ timestamp: -1 }), record({ timestamp: 2 ** 52 })], {
      producer,
      transactional: true,
      codec: "zstd",
    });
    stampBatch(bytes, 0, { baseOffset: 2 ** 52 + 3, leaderEpoch: 2 ** 31 - 1 });
    expect(inspectBatch(bytes)).toEqual({
      ok: true,
      at: 0,
      totalBytes: bytes.length,
      baseOffset: 2 ** 52 + 3,
      leaderEpoch: 2 ** 31 - 1,
      magic: 2,
      crc: expect.any(Number),
      attributes: 0x14,
      codec: "zstd",
      timestampType: "CreateTime",
      transactional: true,
      control: false,
      lastOffsetDelta: 1,
      baseTimestamp: -1,
      maxTimestamp: 2 ** 52,
      producerId: 2 ** 52 + 1,
      producerEpoch: 32_767,
      baseSequence: 2 ** 31 - 1,
      recordCount: 2,
    });
  });

  test("does not decompress: it reads a batch whose records are rubbish", () => {
    const bytes = batchOf([record()], { codec: "gzip" });
    bytes.fill(0xff, batchHeaderBytes);
    expect(inspectBatch(bytes)).toMatchObject({ ok: true, codec: "gzip", recordCount: 1 });
    expect(checkBatch(bytes)).toMatchObject({ ok: false, code: "corrupt_message" });
  });

  test("reads at a position, and single fields there without an object", () => {
    const one = batchOf([record()]);
    const bytes = joined(one, three(), one);
    const at = one.length;
    stampBatch(bytes, at, { baseOffset: 1_000, leaderEpoch: 4 });
    expect(inspectBatch(bytes, at)).toMatchObject({ at, baseOffset: 1_000, recordCount: 3 });
    expect(batchBytesAt(bytes, at)).toBe(three().length);
    expect([baseOffsetAt(bytes, at), nextOffsetAt(bytes, at)]).toEqual([1_000, 1_003]);
    expect([leaderEpochAt(bytes, at), recordCountAt(bytes, at)]).toEqual([4, 3]);
    expect(maxTimestampAt(bytes, at)).toBe(90);
  });

  test("refuses a position outside the bytes", () => {
    for (const at of [-1, 1, 10_000]) {
      expect(inspectBatch(batchOf([record()]), at)).toMatchObject({ ok: false });
    }
  });

  test("refuses numbers that it cannot give: negative offsets and counts, and beyond 2^53", () => {
    const changes: readonly ((bytes: Uint8Array) => void)[] = [
      (bytes) => bytes.fill(0xff, field.baseOffset, field.baseOffset + 8),
      (bytes) => putInt32(bytes, field.recordCount, -1),
      (bytes) => putInt32(bytes, field.lastOffsetDelta, -1),
      (bytes) => bytes.fill(0x7f, field.producerId, field.producerId + 8),
    ];
    for (const change of changes) {
      const bytes = batchOf([record()], { producer: { id: 1, epoch: 0, baseSequence: 0 } });
      change(bytes);
      expect(inspectBatch(bytes)).toMatchObject({ ok: false, code: "invalid_record" });
    }
  });

  test("refuses an offset whose batch would pass 2^53", () => {
    const bytes = three();
    stampBatch(bytes, 0, { baseOffset: Number.MAX_SAFE_INTEGER - 2, leaderEpoch: 0 });
    expect(inspectBatch(bytes)).toMatchObject({ ok: false, code: "invalid_record" });
  });
});

describe("stampBatch()", () => {
  test("leaves the CRC valid, for every codec", () => {
    for (const codec of codecs) {
      const bytes = batchOf([record()], { codec });
      stampBatch(bytes, 0, { baseOffset: 123, leaderEpoch: 9 });
      expect(checkBatch(bytes)).toMatchObject({ ok: true, baseOffset: 123, leaderEpoch: 9 });
      expect(readAll(bytes)[0].offset).toBe(123);
    }
  });

  test("asserts what cannot be an offset or an epoch", () => {
    const bad = [
      { baseOffset: -1, leaderEpoch: 0 },
      { baseOffset: 2 ** 53, leaderEpoch: 0 },
      { baseOffset: 0, leaderEpoch: 2 ** 31 },
      { baseOffset: Number.NaN, leaderEpoch: 0 },
    ];
    for (const place of bad) expect(() => stampBatch(three(), 0, place)).toThrow();
  });
});

describe("stampLogAppendTime()", () => {
  test("gives every record the append time, with a valid CRC", () => {
    for (const codec of codecs) {
      const bytes = batchOf([record({ timestamp: 5 }), record({ timestamp: 9_999 })], { codec });
      stampLogAppendTime(bytes, 0, anyRules.now);
      expect(checkBatch(bytes)).toMatchObject({ ok: true, timestampType: "LogAppendTime" });
      expect(readAll(bytes).map((one) => one.timestamp)).toEqual([anyRules.now, anyRules.now]);
      expect(maxTimestampAt(bytes, 0)).toBe(anyRules.now);
    }
  });

  test("touches no neighbour", () => {
    const bytes = joined(three(), three(), three());
    stampLogAppendTime(bytes, three().length, 7);
    const types = [...eachBatch(bytes)].map((batch) => batch.ok && batch.timestampType);
    expect(types).toEqual(["CreateTime", "LogAppendTime", "CreateTime"]);
    for (let at = 0; at < bytes.length; at += three().length) {
      expect(checkBatch(bytes, at)).toMatchObject({ ok: true });
    }
  });
});

describe("stampMaxTimestamp()", () => {
  test("sets the field, with a valid CRC, and leaves the records' own times", () => {
    const bytes = three();
    stampMaxTimestamp(bytes, 0, 60);
    expect(checkBatch(bytes)).toMatchObject({ ok: true, maxTimestamp: 60 });
    expect(readAll(bytes).map((one) => one.timestamp)).toEqual([50, 90, 70]);
  });
});

describe("eachBatch()", () => {
  test("gives each batch and its place, none for no bytes", () => {
    const batches = [batchOf([record()]), three(), batchOf([record()], { codec: "gzip" })];
    const found = [...eachBatch(joined(...batches))];
    expect(found.map((batch) => batch.ok && batch.totalBytes)).toEqual(
      batches.map((b) => b.length),
    );
    expect([...eachBatch(new Uint8Array(0))]).toEqual([]);
  });

  test("ends with a refusal where the bytes are cut off", () => {
    const bytes = joined(three(), three());
    for (let cut = 1; cut < three().length; cut++) {
      const found = [...eachBatch(bytes.subarray(0, bytes.length - cut))];
      expect(found.map((batch) => batch.ok)).toEqual([true, false]);
    }
  });

  test("does not stand still at a length that says nothing", () => {
    for (const length of [0, -1, -12, -(2 ** 31), 48]) {
      const bytes = joined(three(), three());
      putInt32(bytes, field.length, length);
      expect([...eachBatch(bytes)].map((batch) => batch.ok)).toEqual([false]);
    }
  });
});

describe("checkBatch()", () => {
  test("does not judge a damaged field before the CRC", () => {
    const bytes = three();
    bytes[field.maxTimestamp] = 0x7f;
    expect(checkBatch(bytes)).toMatchObject({ code: "corrupt_message" });
    stampCrc(bytes, 0);
    expect(checkBatch(bytes)).toMatchObject({ code: "invalid_timestamp" });
  });
});
