// What a client may append and what it may not: one line a rule, the table of Kafka's LogValidator and of what we add.

import { describe, expect, test } from "bun:test";
import { limits } from "../../src/limits.ts";
import * as fc from "fast-check";
import { putInt16, putInt32, putInt64 } from "../../src/bytes/big-endian.ts";
import type { Code } from "../../src/errors.ts";
import { attribute, field, stampCrc } from "../../src/records/batch-layout.ts";
import { validateBatch, type BatchRules } from "../../src/records/batch-validator.ts";
import { anyRecords, anyRules, ascii, batchOf, codecs, record } from "./samples.ts";

const { now } = anyRules;
const kafkaDefaults: BatchRules = { ...anyRules, timestampAfterMaxMs: 3_600_000 };

/** A valid batch of three records, changed behind the builder's back; the CRC holds again. */
function forged(change: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = batchOf([record(), record({ key: ascii("k") }), record()]);
  change(bytes);
  stampCrc(bytes, 0);
  return bytes;
}

function judge(bytes: Uint8Array, rules: Partial<BatchRules> = {}): Code | "ok" {
  const outcome = validateBatch(bytes, { ...kafkaDefaults, ...rules });
  return outcome.ok ? "ok" : outcome.code;
}

const hour = 3_600_000;
const timed = (timestamp: number) => batchOf([record({ timestamp })]);

/** Changes one byte of the records section; 0 is its first. */
const recordByte = (at: number, value: number) => (bytes: Uint8Array) => {
  bytes[field.records + at] = value;
};

/** As many headers without a value. */
const headers = (count: number) => Array.from({ length: count }, () => ["h", null] as const);

describe("validateBatch() of what is no batch", () => {
  test("refuses nothing, less than a header, and less than its length says", () => {
    const whole = batchOf([record()]);
    for (let length = 0; length < whole.length; length++) {
      expect(judge(whole.subarray(0, length))).toBe("corrupt_message");
    }
    expect(judge(whole)).toBe("ok");
  });

  test("refuses every flipped bit that the CRC covers", () => {
    const bytes = batchOf([record()]);
    for (let bit = field.crc * 8; bit < bytes.length * 8; bit++) {
      bytes[bit >> 3] ^= 1 << (bit & 7);
      expect(judge(bytes)).toBe("corrupt_message");
      bytes[bit >> 3] ^= 1 << (bit & 7);
    }
  });

  test("refuses the formats before v2 and those that are not yet", () => {
    for (const magic of [0, 1]) {
      expect(judge(forged((b) => void (b[field.magic] = magic)))).toBe("invalid_record");
    }
    for (const magic of [3, 0x7f, 0xff]) {
      expect(judge(forged((b) => void (b[field.magic] = magic)))).toBe("corrupt_message");
    }
  });

  test("refuses bytes behind the batch, a second batch included", () => {
    const one = batchOf([record()]);
    expect(judge(Uint8Array.from([...one, 0]))).toBe("invalid_record");
    expect(judge(Uint8Array.from([...one, ...one]))).toBe("invalid_record");
  });
});

describe("validateBatch() of a header", () => {
  const rows: readonly (readonly [string, (bytes: Uint8Array) => void, Code])[] = [
    ["a base offset", (b) => putInt64(b, field.baseOffset, 1), "invalid_record"],
    ["a negative base offset", (b) => putInt64(b, field.baseOffset, -1), "invalid_record"],
    ["no records", (b) => putInt32(b, field.recordCount, 0), "invalid_record"],
    ["a negative count", (b) => putInt32(b, field.recordCount, -1), "invalid_record"],
    ["more records than offsets", (b) => putInt32(b, field.recordCount, 4), "invalid_record"],
    ["fewer records than offsets", (b) => putInt32(b, field.recordCount, 2), "invalid_record"],
    ["a lower last delta", (b) => putInt32(b, field.lastOffsetDelta, 1), "invalid_record"],
    ["a negative last delta", (b) => putInt32(b, field.lastOffsetDelta, -1), "invalid_record"],
    ["codec 5", (b) => putInt16(b, field.attributes, 5), "unsupported_compression_type"],
    ["codec 7", (b) => putInt16(b, field.attributes, 7), "unsupported_compression_type"],
    ["snappy", (b) => putInt16(b, field.attributes, 2), "unsupported_compression_type"],
    ["lz4", (b) => putInt16(b, field.attributes, 3), "unsupported_compression_type"],
    ["gzip where there is none", (b) => putInt16(b, field.attributes, 1), "invalid_record"],
    ["zstd where there is none", (b) => putInt16(b, field.attributes, 4), "invalid_record"],
    ["a control batch", (b) => putInt16(b, field.attributes, attribute.control), "invalid_record"],
    ["LogAppendTime", (b) => putInt16(b, field.attributes, 8), "invalid_timestamp"],
    ["a delete horizon", (b) => putInt16(b, field.attributes, 0x40), "invalid_record"],
    ["an unknown attribute", (b) => putInt16(b, field.attributes, 0x8000), "invalid_record"],
    ["a transaction of nobody", (b) => putInt16(b, field.attributes, 0x10), "invalid_record"],
    ["a producer without sequence", (b) => putInt64(b, field.producerId, 5), "invalid_record"],
    ["producer -2", (b) => putInt64(b, field.producerId, -2), "invalid_record"],
    ["a producer beyond 2^53", (b) => void (b[field.producerId] = 0x7f), "invalid_record"],
    ["a base time beyond 2^53", (b) => void (b[field.baseTimestamp] = 0x7f), "invalid_timestamp"],
    ["a max time beyond 2^53", (b) => void (b[field.maxTimestamp] = 0x80), "invalid_timestamp"],
  ];
  for (const [what, change, code] of rows) {
    test(`refuses ${what} as ${code}`, () => expect(judge(forged(change))).toBe(code));
  }

  test("refuses a producer without epoch", () => {
    const producer = { id: 5, epoch: -1, baseSequence: 0 };
    expect(judge(batchOf([record()], { producer }))).toBe("invalid_record");
  });

  test("takes any leader epoch, a producer with a sequence, and a sequence without producer", () => {
    expect(judge(forged((b) => putInt32(b, field.leaderEpoch, 12_345)))).toBe("ok");
    expect(judge(batchOf([record()], { producer: { id: 0, epoch: 0, baseSequence: 0 } }))).toBe(
      "ok",
    );
    // kafkajs sends epoch 0 and sequence 0 with producer -1.
    expect(judge(batchOf([record()], { producer: { id: -1, epoch: 0, baseSequence: 0 } }))).toBe(
      "ok",
    );
  });
});

describe("validateBatch() of records", () => {
  // The first record: length, attributes, time delta, offset delta, key -1, value length 5, "value", 0 headers.
  const rows: readonly (readonly [string, (bytes: Uint8Array) => void])[] = [
    ["a record longer than the batch", recordByte(0, 0x7e)],
    ["a record shorter than its parts", recordByte(0, 20)],
    ["a record longer than its parts", recordByte(0, 24)],
    ["a negative length", recordByte(0, 1)],
    ["a length of 0", recordByte(0, 0)],
    ["offset delta 1 first", recordByte(3, 2)],
    ["a negative offset delta", recordByte(3, 1)],
    ["an offset delta beyond the last", recordByte(3, 6)],
    ["key length -2", recordByte(4, 3)],
    ["a key longer than the record", recordByte(4, 0x7e)],
    ["value length -2", recordByte(5, 3)],
    ["a value longer than the record", recordByte(5, 0x7e)],
    ["a negative number of headers", recordByte(11, 1)],
    ["headers that are not there", recordByte(11, 2)],
  ];
  for (const [what, change] of rows) {
    test(`refuses ${what}`, () => expect(judge(forged(change))).toBe("invalid_record"));
  }

  test("takes record attributes, which Kafka reads over", () => {
    expect(judge(forged(recordByte(1, 0xff)))).toBe("ok");
  });

  test("refuses a header without a name, and takes one with an empty name", () => {
    const bytes = batchOf([record({ headers: [["", null]] })]);
    expect(judge(bytes)).toBe("ok");
    bytes[bytes.length - 2] = 1;
    stampCrc(bytes, 0);
    expect(judge(bytes)).toBe("invalid_record");
  });

  test("takes as many headers on a record as the HTTP door, and no more", () => {
    const { headersPerRecordMax } = limits;
    expect(judge(batchOf([record({ headers: headers(headersPerRecordMax) })]))).toBe("ok");
    expect(judge(batchOf([record({ headers: headers(headersPerRecordMax + 1) })]))).toBe(
      "invalid_record",
    );
  });

  test("refuses records left behind the last one", () => {
    const bytes = forged((b) => {
      putInt32(b, field.recordCount, 2);
      putInt32(b, field.lastOffsetDelta, 1);
    });
    expect(judge(bytes)).toBe("invalid_record");
  });

  test("refuses counts and lengths far beyond the bytes at once", () => {
    const counts = forged((b) => {
      putInt32(b, field.recordCount, 2 ** 31 - 1);
      putInt32(b, field.lastOffsetDelta, 2 ** 31 - 2);
    });
    expect(validateBatch(counts, anyRules)).toMatchObject({ code: "invalid_record" });
    expect(judge(forged((b) => putInt32(b, field.length, 2 ** 31 - 1)))).toBe("corrupt_message");
    expect(judge(forged((b) => putInt32(b, field.length, -1)))).toBe("corrupt_message");
  });

  test("takes any record that can be built, with every codec, and says the largest timestamp", () => {
    const any = fc.property(anyRecords, fc.constantFrom(...codecs), (records, codec) => {
      expect(validateBatch(batchOf(records, { codec }), anyRules)).toMatchObject({
        ok: true,
        maxTimestamp: Math.max(-1, ...records.map((one) => one.timestamp)),
      });
    });
    fc.assert(any, { numRuns: 60 });
  });
});

describe("validateBatch() by the topic's rules", () => {
  test("counts the stored bytes, header included, before anything else", () => {
    const bytes = batchOf([record()]);
    expect(judge(bytes, { maxMessageBytes: bytes.length })).toBe("ok");
    bytes[field.crc] ^= 1;
    const tooLarge = validateBatch(bytes, { ...anyRules, maxMessageBytes: bytes.length - 1 });
    expect(tooLarge).toMatchObject({
      code: "message_too_large",
      members: { maxMessageBytes: bytes.length - 1 },
    });
  });

  test("counts the decompressed bytes", () => {
    for (const codec of codecs) {
      const bytes = batchOf([record({ value: new Uint8Array(5_000) })], { codec });
      expect(judge(bytes, { decodedBytesMax: 5_009 })).toBe("ok");
      expect(judge(bytes, { decodedBytesMax: 5_008 })).toBe("message_too_large");
    }
  });

  test("bounds timestamps on both sides, inclusive, and exempts -1", () => {
    const rules = { timestampBeforeMaxMs: 1_000, timestampAfterMaxMs: hour };
    expect(judge(timed(now - 1_000), rules)).toBe("ok");
    expect(judge(timed(now - 1_001), rules)).toBe("invalid_timestamp");
    expect(judge(timed(now + hour), rules)).toBe("ok");
    expect(judge(timed(now + hour + 1), rules)).toBe("invalid_timestamp");
    expect(judge(timed(-1), rules)).toBe("ok");
  });

  test("does not bound the timestamps of a LogAppendTime topic", () => {
    const rules = { timestampBeforeMaxMs: 0, timestampAfterMaxMs: 0 } as const;
    expect(judge(timed(5), { ...rules, timestampType: "LogAppendTime" })).toBe("ok");
  });

  test("wants a key of every record of a compacted topic; an empty key is one", () => {
    const keyed = [record({ key: ascii("") }), record({ key: ascii("k") })];
    expect(judge(batchOf(keyed), { compacted: true })).toBe("ok");
    expect(judge(batchOf([...keyed, record()]), { compacted: true })).toBe("invalid_record");
  });

  test("names each record that is wrong; a timestamp decides the code", () => {
    const late = now + hour + 1;
    const records = [
      record(),
      record({ key: ascii("k") }),
      record({ key: ascii("k"), timestamp: late }),
    ];
    const rules = { ...kafkaDefaults, compacted: true };
    expect(validateBatch(batchOf(records), rules)).toMatchObject({
      code: "invalid_timestamp",
      members: { recordErrors: [{ index: 0 }, { index: 2 }] },
    });
  });

  test("tells at most 100 of them, and how many there are", () => {
    const records = Array.from({ length: 300 }, () => record({ timestamp: now + 2 * hour }));
    const outcome = validateBatch(batchOf(records), kafkaDefaults);
    const { recordErrors } = outcome.ok ? {} : (outcome.members as { recordErrors: unknown[] });
    expect(recordErrors).toHaveLength(100);
    expect(outcome).toMatchObject({ detail: expect.stringContaining("300 of its records") });
  });
});
