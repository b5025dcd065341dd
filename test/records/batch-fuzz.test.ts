// Mutated batches: whatever the bytes are, the answer is a refusal or a batch that a Kafka client reads as we do; never
// a crash, a hang, or memory by what a number claims.
//
// A seed names the whole run: RIVULET_FUZZ_SEED=7 bun test test/records/batch-fuzz replays seed 7 alone.

import { describe, expect, test } from "bun:test";
import { putInt32 } from "../../src/bytes/big-endian.ts";
import { codes } from "../../src/errors.ts";
import { batchHeaderBytes, eachBatch, field, stampCrc } from "../../src/records/batch-layout.ts";
import { validateBatch } from "../../src/records/batch-validator.ts";
import { openRecords } from "../../src/records/record-iterator.ts";
import { fromKafkajs, kafkajsDecode } from "./kafkajs-batch.ts";
import {
  anyRules,
  ascii,
  batchOf,
  codecs,
  decodedBytesMax,
  plain,
  readAll,
  record,
} from "./samples.ts";

const given = process.env["RIVULET_FUZZ_SEED"];
const seeds = given === undefined ? [1, 2, 3, 4] : [Number(given)];
const mutantsPerSeed = 4_000;

type Random = (below: number) => number;

/** A small generator of even quality (splitmix32): integers from 0 to below - 1. */
function randomOf(seed: number): Random {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x9e3779b9) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) % below;
  };
}

const headers = [
  ["a", null],
  ["long name of a header", ascii("v")],
  ["", ascii("")],
] as const;
const samples: readonly Uint8Array[] = codecs.flatMap((codec) => [
  batchOf([record()], { codec }),
  batchOf([record({ key: ascii("k"), headers }), record({ value: null, timestamp: 0 })], { codec }),
  batchOf(
    Array.from({ length: 40 }, (_, i) => record({ timestamp: i * 1_000 })),
    { codec },
  ),
  batchOf([record({ value: new Uint8Array(3_000) })], {
    codec,
    transactional: true,
    producer: { id: 9, epoch: 0, baseSequence: 3 },
  }),
]);

const extremes = [0, 1, -1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x10000, 2 ** 31 - 1, -(2 ** 31)];
const fields = Object.values(field);

/** One change to the bytes in place. */
type Mutation = (bytes: Uint8Array, random: Random) => void;
const mutations: readonly Mutation[] = [
  (bytes, random) => void (bytes[random(bytes.length)] ^= 1 << random(8)),
  (bytes, random) => void (bytes[random(bytes.length)] = random(256)),
  (bytes, random) =>
    putInt32(bytes, fields[random(fields.length)], extremes[random(extremes.length)]),
  (bytes, random) => void bytes.fill(random(2) * 0xff, random(bytes.length), random(bytes.length)),
  (bytes, random) =>
    void bytes.copyWithin(random(bytes.length), random(bytes.length), random(bytes.length)),
  // Behind the header, where a length or a count may stand.
  (bytes, random) =>
    void (bytes[batchHeaderBytes + random(Math.max(1, bytes.length - batchHeaderBytes))] =
      random(256)),
];

/** A changed copy; three of four times its length and CRC hold again, so that the change is looked at. */
function mutantOf(random: Random): Uint8Array {
  const sample = samples[random(samples.length)];
  const length = random(8) === 0 ? random(sample.length + 40) : sample.length;
  const bytes = new Uint8Array(length);
  bytes.set(sample.subarray(0, length));
  if (length === 0) return bytes;
  for (let changes = random(3); changes >= 0; changes--) {
    mutations[random(mutations.length)](bytes, random);
  }
  if (length >= batchHeaderBytes && random(4) > 0) {
    putInt32(bytes, field.length, length - field.leaderEpoch);
    bytes[field.magic] = 2;
    stampCrc(bytes, 0);
  }
  return bytes;
}

/** Every reader once. Says whether the batch may be appended. */
function readEvery(bytes: Uint8Array): boolean {
  for (const batch of eachBatch(bytes)) if (!batch.ok) expect(codes).toHaveProperty(batch.code);
  const cursor = openRecords(bytes, 0, { decodedBytesMax });
  if (!cursor.ok) expect(codes).toHaveProperty(cursor.code);
  else while (cursor.advance()) cursor.record();
  const valid = validateBatch(bytes, anyRules);
  if (!valid.ok) expect(codes).toHaveProperty(valid.code);
  return valid.ok;
}

describe("mutated batches", () => {
  for (const seed of seeds) {
    test(`are refused or read as kafkajs reads them (seed ${seed})`, async () => {
      const random = randomOf(seed);
      const before = process.memoryUsage().rss;
      let taken = 0;
      for (let i = 0; i < mutantsPerSeed; i++) {
        const bytes = mutantOf(random);
        if (!readEvery(bytes)) continue;
        taken++;
        const theirs = await kafkajsDecode(bytes);
        expect(plain(theirs.records.map(fromKafkajs)), `mutant ${i}`).toEqual(
          plain(readAll(bytes)),
        );
      }
      // Both kinds were tried, and nothing was allocated by what a count said.
      expect(taken).toBeGreaterThan(mutantsPerSeed / 100);
      expect(taken).toBeLessThan(mutantsPerSeed / 2);
      expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20);
    });
  }
});
