// The sums over a row: every bit of what they cover counts, and nothing else does.

import { describe, expect, test } from "bun:test";
import {
  batchCrcOf,
  batchDamage,
  groupSeed,
  headDamage,
  rowCrc,
  type RowNumbers,
} from "../../src/journal/row-codec.ts";
import { contentOf } from "./disk-rows.ts";

const numbers: RowNumbers = {
  lsn: 7,
  replica: 3,
  idx: 12,
  term: 2,
  kind: 0,
  baseOffset: 100,
  offsetCount: 5,
  time: 1_795_000_000_000,
  maxTimestamp: 2 ** 53 - 1,
  batchBytes: 400,
};
const rest = { batchCrc: 77, meta: Uint8Array.of(1, 2, 3) };
const seed = groupSeed("topic/0");
const crc = rowCrc(seed, numbers, rest);

const joined = (...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(Buffer.concat(parts));

describe("rowCrc()", () => {
  test("is part of the format: this row has this sum", () => {
    expect(crc).toBe(3708242134);
  });

  test("changes with every column, the group, the batch's sum and the meta", () => {
    for (const column of Object.keys(numbers) as (keyof RowNumbers)[])
      expect([
        column,
        rowCrc(seed, { ...numbers, [column]: numbers[column] - 1 }, rest) === crc,
      ]).toEqual([column, false]);
    expect(rowCrc(groupSeed("topic/1"), numbers, rest)).not.toBe(crc);
    expect(rowCrc(seed, numbers, { ...rest, batchCrc: 78 })).not.toBe(crc);
    expect(rowCrc(seed, numbers, { ...rest, meta: Uint8Array.of(1, 2, 4) })).not.toBe(crc);
  });

  test("tells no meta from an empty one, and 0 from -0 not at all", () => {
    const sums = [null, new Uint8Array(0)].map((meta) => rowCrc(seed, numbers, { ...rest, meta }));
    expect(sums[0]).not.toBe(sums[1]);
    const zero = rowCrc(seed, { ...numbers, idx: 0 }, rest);
    expect(rowCrc(seed, { ...numbers, idx: -0 }, rest)).toBe(zero);
  });

  test("a column that came back as no number is damage, not an exception", () => {
    const broken = { ...numbers, term: Number.NaN };
    expect(headDamage(seed, numbers, { ...rest, crc })).toBeNull();
    expect(headDamage(seed, broken, { ...rest, crc })).toContain("row sums to");
  });
});

describe("batchDamage()", () => {
  const one = contentOf(1, 1, 200);
  const two = joined(one, contentOf(1, 2, 90));
  const raw = contentOf(1, 3, 200);

  test("finds a flip of any bit in a batch, in several batches and in raw bytes", () => {
    for (const batch of [one, two, raw]) {
      const sum = batchCrcOf(batch);
      expect(batchDamage(batch, sum)).toBeNull();
      for (let bit = 0; bit < batch.length * 8; bit++) {
        batch[bit >> 3] ^= 1 << (bit & 7);
        const found = batchDamage(batch, sum);
        batch[bit >> 3] ^= 1 << (bit & 7);
        if (found === null) throw new Error(`a flip of bit ${bit} was not found`);
      }
    }
  });

  test("the sum of headers does not read the records", () => {
    const changed = new Uint8Array(two);
    changed[100] ^= 1;
    expect(batchCrcOf(changed)).toBe(batchCrcOf(two));
    expect(batchDamage(changed, batchCrcOf(two))).toContain("batch 0 sums to");
  });

  test("no batch sums to 0", () => {
    expect(batchCrcOf(null)).toBe(0);
    expect(batchDamage(null, 0)).toBeNull();
    expect(batchDamage(null, 5)).not.toBeNull();
  });
});
