// Zstd data cut at the ends of its frames, however it comes; a stream that breaks off anywhere is told.

import { expect, test } from "bun:test";
import { zstdCompressSync } from "node:zlib";
import { ZstdPieces } from "../../edge/server/zstd-pieces.ts";
import { zstdFrames } from "../../src/records/zstd-frames.ts";

const skippable = Buffer.from([0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
const noise = Buffer.from(
  Array.from({ length: 200_000 }, (_, i) => Math.imul(i, i * 2_654_435_761) >>> 24),
);
const frames = [
  zstdCompressSync(Buffer.from("short\n")),
  skippable,
  zstdCompressSync(Buffer.alloc(300_000, "one byte repeated ")),
  zstdCompressSync(Buffer.alloc(0)),
  zstdCompressSync(noise),
];
const all = Buffer.concat(frames);

/** The ends of frames as they were cut, or null. */
function endsOf(chunks: readonly Uint8Array[]): readonly number[] | null {
  const pieces = new ZstdPieces();
  const ends: number[] = [];
  let at = 0;
  for (const chunk of chunks) {
    const cut = pieces.cut(chunk);
    if (cut === null) return null;
    for (const piece of cut) at += piece.length;
    if (pieces.whole) ends.push(at);
  }
  return pieces.whole ? ends : null;
}

test("whole data is cut exactly where its frames end", () => {
  const lengths = new ZstdPieces().cut(all)?.map(({ length }) => length);
  expect(lengths).toEqual(frames.map(({ length }) => length));
  expect(endsOf([all])).toEqual([all.length]);
});

test("data that comes byte by byte has the same frames", () => {
  const bytes = Array.from(all, (_, i) => all.subarray(i, i + 1));
  expect(endsOf(bytes)).toEqual(zstdFrames(all));
});

test("whatever is cut off anywhere is not whole, unless a frame ends there", () => {
  const ends = new Set(zstdFrames(all));
  const pieces = new ZstdPieces();
  for (let at = 0; at < all.length; at++) {
    if (pieces.whole !== ends.has(at)) throw new Error(`Cut at ${at}: whole is ${pieces.whole}`);
    pieces.cut(all.subarray(at, at + 1));
  }
  expect(pieces.whole).toBe(true);
});

test("what is no frame is told", () => {
  expect(endsOf([])).toBeNull();
  expect(endsOf([Buffer.from("plain text")])).toBeNull();
  expect(endsOf([frames[0], Buffer.from("plain text")])).toBeNull();
  // Its block is of the reserved type.
  expect(endsOf([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 0x07, 0, 0])])).toBeNull();
});
