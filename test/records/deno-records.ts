// The core of records on whatever runtime runs this file; prints one line of JSON. Started by deno.test.ts.

import { gzipSync } from "node:zlib";
import { decodeUtf8 } from "../../src/bytes/unicode.ts";
import { batchBytes, buildBatch, compressBatch } from "../../src/records/batch-builder.ts";
import {
  batchHeaderBytes,
  checkBatch,
  stampBatch,
  stampLogAppendTime,
  type Codec,
} from "../../src/records/batch-layout.ts";
import { validateBatch } from "../../src/records/batch-validator.ts";
import { decompress } from "../../src/records/compression.ts";
import { anyRules, ascii, plain, readAll, record } from "./samples.ts";

const records = [
  record({
    key: ascii(""),
    headers: [
      ["ключ", null],
      ["", ascii("")],
    ],
  }),
  record({ key: null, value: null, timestamp: -1 }),
  record({ value: ascii("x".repeat(2_000)), timestamp: 5 }),
];

/** A batch in shared memory, through every verb. */
function throughAll(codec: Codec): unknown {
  const compressed = codec === "none" ? null : compressBatch(records, codec);
  const shared = new Uint8Array(new SharedArrayBuffer(compressed?.bytes ?? batchBytes(records)));
  if (compressed === null) buildBatch(shared, records);
  else compressed.writeTo(shared);
  const valid = validateBatch(shared, anyRules).ok;
  stampBatch(shared, 0, { baseOffset: 2 ** 40, leaderEpoch: 3 });
  const read = readAll(shared);
  stampLogAppendTime(shared, 0, 77);
  const same = JSON.stringify(plain(read)) === JSON.stringify(plain(records));
  return { codec, valid, same, first: read[0].offset, crc: checkBatch(shared).ok };
}

/** A byte order mark and an "a" in shared memory: whole, cut, and without the mark. */
const marked = new Uint8Array(new SharedArrayBuffer(4));
marked.set([0xef, 0xbb, 0xbf, 0x61]);
const packed = compressBatch(records, "zstd");
const batch = new Uint8Array(packed.bytes);
packed.writeTo(batch);
const frame = batch.subarray(batchHeaderBytes);
const twice = decompress("zstd", Uint8Array.from([...frame, ...frame]), 1 << 20);
const cut = decompress("zstd", frame.subarray(0, frame.length - 3), 1 << 20);
const bomb = decompress("gzip", new Uint8Array(gzipSync(new Uint8Array(8 << 20))), 1 << 20);
const plainBytes = batchBytes(records) - batchHeaderBytes;
console.log(
  JSON.stringify({
    batches: (["none", "gzip", "zstd"] as const).map(throughAll),
    bomb: "code" in bomb ? bomb.code : "taken",
    cut: "code" in cut ? cut.code : "taken",
    text: [marked, marked.subarray(1), marked.subarray(3)].map(decodeUtf8),
    twoFrames: twice instanceof Uint8Array && twice.length === 2 * plainBytes,
  }),
);
