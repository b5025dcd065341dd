// Zigzag varints, with BigInt arithmetic as the naive model.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  sizeOfVarint,
  sizeOfVarlong,
  VarintReader,
  writeVarint,
  writeVarlong,
} from "../../src/bytes/varint.ts";

/** The format as its definition says it, for signed 64-bit values. */
function model(value: bigint): number[] {
  let raw = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  const bytes: number[] = [];
  for (; raw >= 0x80n; raw >>= 7n) bytes.push(Number(raw & 0x7fn) | 0x80);
  return [...bytes, Number(raw)];
}

/** Every power of two and its neighbours: where a size changes. */
function edges(bits: number): number[] {
  const powers = Array.from({ length: bits + 1 }, (_, i) => 2 ** i);
  const near = powers.flatMap((p) => [p - 1, p, p + 1, -p - 1, -p, -p + 1]);
  const max = 2 ** bits;
  return near.filter((n) => Number.isSafeInteger(n) && n < max && n >= -max);
}

function roundTripVarint(value: number): void {
  const bytes = new Uint8Array(5);
  const end = writeVarint(bytes, 0, value);
  expect([...bytes.subarray(0, end)]).toEqual(model(BigInt(value)));
  expect(sizeOfVarint(value)).toBe(end);
  const reader = new VarintReader(bytes, 0, end);
  expect(reader.varint()).toBe(value);
  expect([reader.at, reader.failed]).toEqual([end, false]);
}

function roundTripVarlong(value: number): void {
  const bytes = new Uint8Array(10);
  const end = writeVarlong(bytes, 0, value);
  expect([...bytes.subarray(0, end)]).toEqual(model(BigInt(value)));
  expect(sizeOfVarlong(value)).toBe(end);
  const reader = new VarintReader(bytes, 0, end);
  expect(reader.varlong()).toBe(value);
  expect([reader.at, reader.failed]).toEqual([end, false]);
}

/** Reads one value and says what became of it. */
function read(kind: "varint" | "varlong", bytes: readonly number[]): number | "failed" {
  const reader = new VarintReader(Uint8Array.from(bytes));
  const value = reader[kind]();
  return reader.failed ? "failed" : value;
}

function readAsModel(value: bigint): void {
  const safe = value < 2n ** 53n && value > -(2n ** 53n);
  expect(read("varlong", model(value))).toBe(safe ? Number(value) : "failed");
}

describe("varint (32 bits)", () => {
  test("round trips at every edge of a size", () => edges(31).forEach(roundTripVarint));
  test("round trips any value", () => fc.assert(fc.property(fc.integer(), roundTripVarint)));

  test("is told when it is cut off, too long, or holds more than 32 bits", () => {
    expect(read("varint", [])).toBe("failed");
    expect(read("varint", [0x80])).toBe("failed");
    expect(read("varint", [0xff, 0xff, 0xff, 0xff, 0x0f])).toBe(-(2 ** 31));
    expect(read("varint", [0xff, 0xff, 0xff, 0xff, 0x1f])).toBe("failed");
    expect(read("varint", [0x80, 0x80, 0x80, 0x80, 0x80, 0x00])).toBe("failed");
  });

  test("may be written longer than needed, as Kafka reads it", () => {
    expect(read("varint", [0x82, 0x00])).toBe(1);
    expect(read("varint", [0x82, 0x80, 0x80, 0x80, 0x00])).toBe(1);
  });
});

describe("varlong (64 bits)", () => {
  test("round trips at every edge of a size", () => edges(53).forEach(roundTripVarlong));
  test("round trips any safe integer", () =>
    fc.assert(fc.property(fc.maxSafeInteger(), roundTripVarlong)));

  test("is read as BigInt arithmetic reads it, and told when a number cannot hold it", () => {
    const anyLong = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)].forEach(readAsModel);
    fc.assert(fc.property(anyLong, readAsModel));
  });

  test("is told when it is cut off or longer than 64 bits", () => {
    expect(
      read(
        "varlong",
        Array.from({ length: 9 }, () => 0x80),
      ),
    ).toBe("failed");
    expect(
      read(
        "varlong",
        Array.from({ length: 11 }, () => 0x80),
      ),
    ).toBe("failed");
    expect(read("varlong", [...Array.from({ length: 9 }, () => 0x80), 0x02])).toBe("failed");
  });

  test("is not written inexactly", () => {
    expect(() => writeVarlong(new Uint8Array(10), 0, 2 ** 53)).toThrow("a safe integer");
  });
});

describe("VarintReader", () => {
  test("does not read beyond its end, though the bytes go on", () => {
    const reader = new VarintReader(Uint8Array.of(2, 4, 6), 0, 1);
    expect(reader.varint()).toBe(1);
    expect(reader.varint()).toBe(0);
    expect([reader.failed, reader.at]).toEqual([true, 1]);
  });

  test("skip() refuses to go back or beyond the end", () => {
    for (const length of [-1, 4, 2 ** 31 - 1]) {
      const reader = new VarintReader(new Uint8Array(3));
      reader.skip(length);
      expect([reader.failed, reader.at]).toEqual([true, 0]);
    }
    const reader = new VarintReader(new Uint8Array(3));
    expect([reader.skip(3), reader.at, reader.failed]).toEqual([0, 3, false]);
  });

  test("asserts its bounds", () => {
    expect(() => new VarintReader(new Uint8Array(3), 2, 4)).toThrow("[2, 4) of 3 bytes");
  });
});
