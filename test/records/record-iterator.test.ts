// Building and reading back: what went in comes out, null and empty apart, from any offset, and never short in silence.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { putInt32, putInt64 } from "../../src/bytes/big-endian.ts";
import { Fault } from "../../src/errors.ts";
import { batchBytes, buildBatch } from "../../src/records/batch-builder.ts";
import { eachBatch, field, stampBatch } from "../../src/records/batch-layout.ts";
import { openRecords, type RecordCursor } from "../../src/records/record-iterator.ts";
import {
  anyRecords,
  ascii,
  batchOf,
  codecs,
  decodedBytesMax,
  plain,
  readAll,
  record,
} from "./samples.ts";

function open(bytes: Uint8Array, fromOffset = 0): RecordCursor {
  const cursor = openRecords(bytes, 0, { decodedBytesMax, fromOffset });
  if (!cursor.ok) throw new Error(cursor.detail);
  return cursor;
}

describe("a batch built and read", () => {
  test("gives back any records, for every codec", () => {
    const roundTrip = fc.property(anyRecords, fc.constantFrom(...codecs), (records, codec) => {
      const read = readAll(batchOf(records, { codec }));
      expect(plain(read)).toEqual(plain(records));
      expect(read.map((one) => one.offset)).toEqual(records.map((_, i) => i));
    });
    fc.assert(roundTrip);
  });

  test("gives back several batches that lie side by side", () => {
    const any = fc.property(fc.array(anyRecords, { minLength: 1, maxLength: 4 }), (lists) => {
      let baseOffset = 1_000;
      const batches = lists.map((list, i) => {
        const bytes = batchOf(list, { codec: codecs[i % codecs.length] });
        stampBatch(bytes, 0, { baseOffset, leaderEpoch: 1 });
        baseOffset += list.length;
        return bytes;
      });
      const bytes = Uint8Array.from(batches.flatMap((batch) => [...batch]));
      const read = [...eachBatch(bytes)].flatMap((batch) =>
        batch.ok ? readAll(bytes, batch.at) : [],
      );
      expect(plain(read)).toEqual(plain(lists.flat()));
      expect(read.map((one) => one.offset)).toEqual(lists.flat().map((_, i) => 1_000 + i));
    });
    fc.assert(any, { numRuns: 30 });
  });

  test("keeps null and empty apart in key, value and header value", () => {
    for (const bytes of [null, ascii("")]) {
      for (const codec of codecs) {
        const one = record({ key: bytes, value: bytes, headers: [["h", bytes]] });
        expect(plain(readAll(batchOf([one], { codec })))).toEqual(plain([one]));
      }
    }
  });

  test("keeps headers in order, names repeated, empty or far beyond ASCII", () => {
    const names = ["b", "a", "b", "", "ключ", "😀".repeat(40), "x".repeat(5_000)];
    const headers = names.map((name, i) => [name, ascii(String(i))] as const);
    expect(readAll(batchOf([record({ headers })]))[0].headers).toEqual(
      headers.map(([...one]) => one),
    );
  });

  test("holds times far apart in both directions", () => {
    const times = [0, 2 ** 53 - 1, -(2 ** 53) + 1, -1, 1];
    const records = times.map((timestamp) => record({ timestamp }));
    expect(readAll(batchOf(records)).map((one) => one.timestamp)).toEqual(times);
  });
});

describe("batchBytes() and buildBatch()", () => {
  test("are exact: one byte more or less is a bug of the caller's", () => {
    const records = [record()];
    for (const off of [-1, 1]) {
      const target = new Uint8Array(batchBytes(records) + off);
      expect(() => buildBatch(target, records)).toThrow("bytes are wanted");
    }
  });

  test("assert timestamps that one batch cannot hold", () => {
    const far = [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
    for (const timestamps of [far, [Number.NaN], [5, 4.5], [2 ** 53]]) {
      const records = timestamps.map((timestamp) => record({ timestamp }));
      expect(() => batchOf(records)).toThrow("a safe integer is wanted");
    }
  });

  test("want at least one record", () => {
    expect(() => batchBytes([])).toThrow("got none");
  });
});

describe("RecordCursor", () => {
  test("starts at a wanted offset", () => {
    for (const codec of codecs) {
      const bytes = batchOf(
        Array.from({ length: 10 }, () => record()),
        { codec },
      );
      stampBatch(bytes, 0, { baseOffset: 100, leaderEpoch: 0 });
      const offsets = (from: number) => readAll(bytes, 0, from).map((one) => one.offset);
      expect(offsets(0)).toHaveLength(10);
      expect(offsets(107)).toEqual([107, 108, 109]);
      expect(offsets(110)).toEqual([]);
    }
  });

  test("reads a compacted batch, whose offsets have holes", () => {
    const bytes = batchOf([record(), record()]);
    putInt32(bytes, field.lastOffsetDelta, 9);
    stampBatch(bytes, 0, { baseOffset: 100, leaderEpoch: 0 });
    bytes[bytes.length - 9] = 2 * 7;
    expect(readAll(bytes).map((one) => one.offset)).toEqual([100, 107]);
  });

  test("reads a batch that compaction has emptied", () => {
    const bytes = batchOf([record()]).slice(0, field.records);
    putInt32(bytes, field.length, bytes.length - 12);
    putInt32(bytes, field.recordCount, 0);
    expect(readAll(bytes)).toEqual([]);
  });

  test("gives views, not copies", () => {
    const bytes = batchOf([record({ value: ascii("abc") })]);
    const cursor = open(bytes);
    cursor.next();
    expect(cursor.value?.buffer).toBe(bytes.buffer);
    bytes[bytes.length - 2] = 0x7a;
    expect(cursor.value).toEqual(ascii("abz"));
  });

  test("gives plain arrays whatever the codec, not Buffers", () => {
    for (const codec of codecs) {
      const cursor = open(batchOf([record()], { codec }));
      cursor.next();
      expect(Object.getPrototypeOf(cursor.value)).toBe(Uint8Array.prototype);
    }
  });

  test("says lengths without a view, and stays at the end", () => {
    const cursor = open(batchOf([record({ key: null, value: ascii("four") })]));
    expect(cursor.next()).toBe(true);
    expect([cursor.keyLength, cursor.valueLength, cursor.headerCount]).toEqual([-1, 4, 0]);
    expect([cursor.next(), cursor.next(), cursor.problem]).toEqual([false, false, null]);
  });

  test("throws a fault that names the batch when stored records are broken", () => {
    const bytes = batchOf([record(), record()]);
    stampBatch(bytes, 0, { baseOffset: 77, leaderEpoch: 0 });
    bytes[bytes.length - 1] = 2;
    const cursor = open(bytes);
    expect(cursor.next()).toBe(true);
    expect(() => cursor.next()).toThrow(Fault);
    // It does not recover: what is asked again is told again.
    expect(() => cursor.next()).toThrow("offset 77");
    expect(cursor.problem).not.toBeNull();
  });

  test("throws at an offset delta beyond the batch's last, and at a time beyond 2^53", () => {
    const beyond = batchOf([record()]);
    beyond[field.records + 3] = 2;
    expect(() => open(beyond).next()).toThrow("offset delta 0 to 0 is wanted, got 1");
    const late = batchOf([record({ timestamp: 0 }), record({ timestamp: 5 })]);
    putInt64(late, field.baseTimestamp, Number.MAX_SAFE_INTEGER);
    const cursor = open(late);
    expect(cursor.next()).toBe(true);
    expect(() => cursor.next()).toThrow("record 1 has a timestamp beyond 2^53");
  });

  test("throws when the batch holds more than its count says", () => {
    const bytes = batchOf([record(), record()]);
    putInt32(bytes, field.recordCount, 1);
    const cursor = open(bytes);
    expect(cursor.next()).toBe(true);
    expect(() => cursor.next()).toThrow("left behind the last record");
  });
});

describe("openRecords()", () => {
  test("refuses what is no batch, a codec that it does not know, and more than the limit", () => {
    const options = { decodedBytesMax: 10 };
    expect(openRecords(new Uint8Array(5), 0, options)).toMatchObject({ code: "corrupt_message" });
    const bytes = batchOf([record({ value: new Uint8Array(50) })]);
    expect(openRecords(bytes, 0, options)).toMatchObject({ code: "message_too_large" });
    bytes[field.attributes + 1] = 6;
    expect(openRecords(bytes, 0, options)).toMatchObject({ code: "unsupported_compression_type" });
  });
});
