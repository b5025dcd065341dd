// Where the frames of zstd data end, read from their headers without decompressing (RFC 8878, section 3.1.1).
//
// Promise: data that is cut off, or followed by bytes that begin no frame, is told. The runtimes' own decoders tell
// neither: they return what they have. Left to others: whether the blocks can be decoded (compression).
//
//   frame   | magic 4 | descriptor 1 | window 0-1 | dictionary 0-4 | content size 0-8 | block ... | checksum 0/4 |
//   block   | 24 bits, little endian: size 21, type 2, last 1 | content |

import { int32At } from "../bytes/big-endian.ts";

const frameMagic = 0x28b52ffd;
/** 0x184d2a50 to 0x184d2a5f, little endian on the wire: only the first byte's low half varies. */
const skippableMagic = 0x502a4d18;
const skippableMask = 0xf0ffffff | 0;

/** Kafka's producers write one frame. More than a few are refused, since each costs a call to the decoder. */
const framesMax = 16;

const dictionaryBytes = [0, 1, 2, 4] as const;
const contentSizeBytes = [0, 2, 4, 8] as const;
const blockType = { raw: 0, rle: 1, compressed: 2, reserved: 3 } as const;

/** End (exclusive) of each frame, in order; null when the data is not a row of 1 to 16 whole frames. */
export function zstdFrames(bytes: Uint8Array): readonly number[] | null {
  const ends: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = frameEnd(bytes, at);
    if (end > bytes.length || ends.length === framesMax) return null;
    ends.push(end);
    at = end;
  }
  return ends.length === 0 ? null : ends;
}

/** What begins with these (4 or more) bytes. */
export function zstdMagic(bytes: Uint8Array, start = 0): "frame" | "skippable" | null {
  const mark = int32At(bytes, start);
  if (mark === frameMagic) return "frame";
  return (mark & skippableMask) === skippableMagic ? "skippable" : null;
}

/** Infinity when the frame is cut off or none begins here. */
function frameEnd(bytes: Uint8Array, start: number): number {
  const kind = bytes.length - start < 8 ? null : zstdMagic(bytes, start);
  if (kind === "skippable") return start + 8 + littleEndian(bytes, start + 4, 4);
  if (kind === null) return Infinity;
  const descriptor = bytes[start + 4];
  const checksumBytes = (descriptor & 0x04) === 0 ? 0 : 4;
  return blocksEnd(bytes, start + 5 + frameHeaderRest(descriptor)) + checksumBytes;
}

/** Bytes of the frame header behind its descriptor. */
export function frameHeaderRest(descriptor: number): number {
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >>> 6;
  // A single segment has no window byte, and says its size in one byte when the flag is 0.
  const sizeBytes = singleSegment && sizeFlag === 0 ? 1 : contentSizeBytes[sizeFlag];
  return (singleSegment ? 0 : 1) + dictionaryBytes[descriptor & 0x03] + sizeBytes;
}

function blocksEnd(bytes: Uint8Array, start: number): number {
  for (let at = start; at + 3 <= bytes.length;) {
    const head = littleEndian(bytes, at, 3);
    const type = (head >>> 1) & 3;
    if (type === blockType.reserved) return Infinity;
    at += 3 + (type === blockType.rle ? 1 : head >>> 3);
    if ((head & 1) === 1) return at;
  }
  return Infinity;
}

function littleEndian(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 256 + bytes[at + i];
  return value;
}
