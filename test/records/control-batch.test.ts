// Markers of transactions: written, told apart from data, read back.

import { describe, expect, test } from "bun:test";
import {
  buildControlBatch,
  controlBatchBytes,
  readMarker,
} from "../../src/records/control-batch.ts";
import { checkBatch } from "../../src/records/batch-layout.ts";
import { validateBatch } from "../../src/records/batch-validator.ts";
import { openRecords } from "../../src/records/record-iterator.ts";
import { anyRules, decodedBytesMax } from "./samples.ts";

const marker = { coordinatorEpoch: 12, producerId: 2 ** 40, producerEpoch: 3, timestamp: 1_000 };

function built(type: "commit" | "abort"): Uint8Array {
  const target = new Uint8Array(controlBatchBytes);
  buildControlBatch(target, { ...marker, type });
  return target;
}

describe("buildControlBatch()", () => {
  for (const type of ["commit", "abort"] as const) {
    test(`writes a ${type} that reads back as one`, () => {
      const bytes = built(type);
      expect(checkBatch(bytes)).toMatchObject({
        ok: true,
        control: true,
        transactional: true,
        recordCount: 1,
        producerId: 2 ** 40,
        producerEpoch: 3,
        baseSequence: -1,
      });
      const cursor = openRecords(bytes, 0, { decodedBytesMax });
      if (!cursor.ok) throw new Error(cursor.detail);
      expect([cursor.next(), cursor.control]).toEqual([true, true]);
      expect(readMarker(cursor)).toEqual({ type, coordinatorEpoch: 12 });
    });
  }

  test("is refused when a client sends it", () => {
    expect(validateBatch(built("commit"), anyRules)).toMatchObject({
      code: "invalid_record",
      detail: expect.stringContaining("control"),
    });
  });

  test("asserts a producer", () => {
    const target = new Uint8Array(controlBatchBytes);
    const nobody = { ...marker, producerId: -1, type: "commit" } as const;
    expect(() => buildControlBatch(target, nobody)).toThrow("a producer is wanted");
  });
});

describe("readMarker()", () => {
  const value = Uint8Array.of(0, 0, 0, 0, 0, 5);
  test("reads later versions, which only add fields", () => {
    const later = { key: Uint8Array.of(0, 3, 0, 0), value: Uint8Array.of(0, 1, 0, 0, 0, 5, 9, 9) };
    expect(readMarker(later)).toEqual({ type: "abort", coordinatorEpoch: 5 });
  });

  const others: readonly (readonly [string, number[] | null, Uint8Array | null])[] = [
    ["no key", null, value],
    ["no value", [0, 0, 0, 1], null],
    ["a short key", [0, 0, 0], value],
    ["a short value", [0, 0, 0, 1], value.subarray(0, 5)],
    ["another type (snapshot header)", [0, 0, 0, 3], value],
    ["a negative version", [0xff, 0xff, 0, 1], value],
  ];
  for (const [what, key, bytes] of others) {
    test(`is null for ${what}`, () => {
      const record = { key: key === null ? null : Uint8Array.from(key), value: bytes };
      expect(readMarker(record)).toBeNull();
    });
  }
});
