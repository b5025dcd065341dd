// Placement of keys, against the values that Kafka's own tests name and against a client library's hash.

import { createRequire } from "node:module";
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { murmur2, partitionForKey } from "../../src/bytes/murmur2.ts";

const kafkajs = createRequire(import.meta.url)(
  "kafkajs/src/producer/partitioners/default/murmur2",
) as (key: Buffer) => number;

const ascii = (text: string) => new TextEncoder().encode(text);

describe("murmur2()", () => {
  // Kafka's UtilsTest.testMurmur2.
  const published: readonly (readonly [string, number])[] = [
    ["21", -973932308],
    ["foobar", -790332482],
    ["a-little-bit-long-string", -985981536],
    ["a-little-bit-longer-string", -1486304829],
    ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
    ["abc", 479470107],
    ["", 275646681],
  ];
  for (const [key, hash] of published) {
    test(`gives Kafka's value for "${key}"`, () => expect(murmur2(ascii(key))).toBe(hash));
  }

  test("agrees with kafkajs on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (key) => {
        expect(murmur2(key)).toBe(kafkajs(Buffer.from(key)));
      }),
    );
  });
});

describe("partitionForKey()", () => {
  test("clears the sign bit as Kafka's default partitioner does", () => {
    expect(partitionForKey(ascii("21"), 10)).toBe((-973932308 & 0x7fffffff) % 10);
    expect(partitionForKey(ascii("abc"), 10)).toBe(479470107 % 10);
  });

  test("stays within the partitions", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 10_000 }), (key, partitions) => {
        const partition = partitionForKey(key, partitions);
        expect(partition).toBeGreaterThanOrEqual(0);
        expect(partition).toBeLessThan(partitions);
      }),
    );
  });

  test("asserts that there is a partition", () => {
    expect(() => partitionForKey(ascii("a"), 0)).toThrow("at least 1, got 0");
  });
});
