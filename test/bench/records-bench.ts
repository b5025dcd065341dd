// Prints how fast batches are built, validated and read, in memory that is shared as a door's is.
//
// Run: bun test/bench/records-bench.ts, or deno run -A --no-lock test/bench/records-bench.ts. Figures are medians of
// several rounds on one thread; they say nothing across machines, so the copy of the same bytes stands beside them.

import { crc32c } from "../../src/bytes/crc32c.ts";
import {
  batchBytes,
  buildBatch,
  compressBatch,
  type NewRecord,
} from "../../src/records/batch-builder.ts";
import { stampBatch, stampLogAppendTime } from "../../src/records/batch-layout.ts";
import { validateBatch, type BatchRules } from "../../src/records/batch-validator.ts";
import { openRecords } from "../../src/records/record-iterator.ts";
import { openReport, type BenchRow } from "./report.ts";

const report = openReport("records");
const rounds = report.smoke ? 1 : 7;
const roundMs = report.smoke ? 2 : 150;
const now = 1_700_000_000_000;

const rules: BatchRules = {
  maxMessageBytes: 2 << 20,
  decodedBytesMax: 64 << 20,
  timestampType: "CreateTime",
  now,
  timestampBeforeMaxMs: Infinity,
  timestampAfterMaxMs: 3_600_000,
  compacted: false,
};

/** Half words, half noise, so that compression has something to do and does not do all. */
function value(length: number, seed: number): Uint8Array {
  let state = seed + 1;
  return Uint8Array.from({ length }, (_, i) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return i % 2 === 0 ? 0x61 + (i % 26) : state >>> 24;
  });
}

function records(count: number, valueBytes: number): NewRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    key: value(8, i),
    value: value(valueBytes, i),
    headers: [["trace", value(16, i)] as const],
    timestamp: now + i,
  }));
}

/** Median calls a second. */
function rate(fn: () => void): number {
  const found: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    let calls = 0;
    let ms = 0;
    for (; ms < roundMs; ms = performance.now() - start) {
      for (let i = 0; i < 16; i++) fn();
      calls += 16;
    }
    found.push((calls * 1_000) / ms);
  }
  return found.sort((a, b) => a - b)[rounds >> 1];
}

function readWhole(bytes: Uint8Array): number {
  const cursor = openRecords(bytes, 0, rules);
  if (!cursor.ok) throw new Error(cursor.detail);
  let length = 0;
  while (cursor.next()) length += cursor.value?.length ?? 0;
  return length;
}

/** A verb and the bytes that it touches; 0 where bytes a second would say nothing. */
type Row = readonly [what: string, bytes: number, fn: () => void];

function print(title: string, rows: readonly Row[]): void {
  const table = rows.map(([what, bytes, fn]): BenchRow => {
    const perSecond = rate(fn);
    const touched = bytes === 0 ? null : Math.round((perSecond * bytes) / 1e6);
    return { "on one thread": what, "calls/s": Math.round(perSecond), "MB/s": touched };
  });
  report.table(`Records in memory: ${title}`, table);
}

function shared(length: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(length));
}

function benchBatch(title: string, list: readonly NewRecord[]): void {
  const bytes = batchBytes(list);
  const target = shared(bytes);
  buildBatch(target, list);
  const copy = target.slice();
  const place = { baseOffset: 42, leaderEpoch: 7 };
  print(`${title}: ${list.length} records, ${bytes} bytes`, [
    ["copy of the batch (the limit)", bytes, () => copy.set(target)],
    ["CRC-32C of the batch", bytes, () => void crc32c(target)],
    ["size and build", bytes, () => buildBatch(target.subarray(0, batchBytes(list)), list)],
    ["validate", bytes, () => void validateBatch(target, rules)],
    ["stamp offset and epoch", 0, () => stampBatch(copy, 0, place)],
    ["stamp append time (new CRC)", bytes, () => stampLogAppendTime(copy, 0, now)],
    // A view is not a touch: bytes a second would flatter large records.
    ["read (a view of each value)", list.length > 1 ? bytes : 0, () => void readWhole(target)],
  ]);
}

function benchCodec(codec: "gzip" | "zstd", list: readonly NewRecord[]): void {
  const bytes = batchBytes(list);
  const target = shared(compressBatch(list, codec).bytes);
  compressBatch(list, codec).writeTo(target);
  const title = `${codec}: ${list.length} records, ${bytes} bytes, ${target.length} compressed`;
  print(title, [
    ["compress and build (plain bytes)", bytes, () => void compressBatch(list, codec)],
    ["decompress and validate (plain bytes)", bytes, () => void validateBatch(target, rules)],
  ]);
}

benchBatch("single record of 200 B", records(1, 200));
benchBatch("1 MB in records of 200 B", records(4_300, 200));
benchBatch("1 MB in one record", records(1, 1_000_000));
benchCodec("gzip", records(4_300, 200));
benchCodec("zstd", records(4_300, 200));
