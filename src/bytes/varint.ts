// Zigzag variable-length integers as Kafka's records use them: varint (32 bits) and varlong (64 bits).
//
// Promise: a read never leaves its bounds and never throws; a value that is cut off, too long or too large for a plain
// number sets `failed`, which stays set, so that a walk may check it once a record. Nothing is allocated.
//
//   zigzag   0 -> 0, -1 -> 1, 1 -> 2, -2 -> 3 ...   then seven bits a byte, lowest first
//   byte     | more | 7 bits |                      `more` is set on all but the last

import { assert } from "../assert.ts";

const two32 = 0x1_0000_0000;
const int32Max = 0x7fff_ffff;

/** Reads varints from bytes[at, end). One is made for many reads: set the fields anew to use it elsewhere. */
export class VarintReader {
  /** Borrowed. */
  bytes: Uint8Array;
  /** Position of the next byte. */
  at: number;
  /** Exclusive; never beyond bytes.length. */
  end: number;
  /** A read met its bounds or a malformed value. What was read since the last check is worthless. */
  failed = false;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    assert(
      0 <= at && at <= end && end <= bytes.length,
      () => `Cannot read varints in [${at}, ${end}) of ${bytes.length} bytes`,
    );
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** A signed 32-bit value; 0 after a failure. At most five bytes. */
  varint(): number {
    const first = this.#byte();
    if (first < 0x80) return (first >>> 1) ^ -(first & 1);
    let raw = first & 0x7f;
    for (let shift = 7; shift < 35; shift += 7) {
      const byte = this.#byte();
      raw |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        // The fifth byte holds the last four bits: more would be lost in the shift.
        if (shift === 28 && byte > 0x0f) break;
        return (raw >>> 1) ^ -(raw & 1);
      }
    }
    this.failed = true;
    return 0;
  }

  /** A signed 64-bit value within +-(2^53 - 1); 0 after a failure. At most ten bytes. */
  varlong(): number {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      const bits = byte & 0x7f;
      if (shift < 32) low |= bits << shift;
      if (shift === 28) high = bits >>> 4;
      if (shift > 28) high |= bits << (shift - 32);
      if (byte < 0x80) {
        if (shift === 63 && byte > 0x01) break;
        return this.#unzigzag(low, high);
      }
    }
    this.failed = true;
    return 0;
  }

  /** Passes over `length` bytes and returns where they began. */
  skip(length: number): number {
    const start = this.at;
    if (length < 0 || length > this.end - start) this.failed = true;
    else this.at = start + length;
    return start;
  }

  #unzigzag(low: number, high: number): number {
    const half = (high >>> 1) * two32 + (((low >>> 1) | (high << 31)) >>> 0);
    const value = (low & 1) === 0 ? half : -half - 1;
    if (Number.isSafeInteger(value)) return value;
    this.failed = true;
    return 0;
  }

  #byte(): number {
    if (this.at < this.end) return this.bytes[this.at++];
    this.failed = true;
    return 0;
  }
}

/** Bytes that writeVarint takes for a signed 32-bit value: 1 to 5. */
export function sizeOfVarint(value: number): number {
  const raw = ((value << 1) ^ (value >> 31)) >>> 0;
  if (raw < 0x80) return 1;
  if (raw < 0x4000) return 2;
  if (raw < 0x20_0000) return 3;
  return raw < 0x1000_0000 ? 4 : 5;
}

/** Bytes that writeVarlong takes for a safe integer: 1 to 8. */
export function sizeOfVarlong(value: number): number {
  if (isInt32(value)) return sizeOfVarint(value);
  // 2 * |value| may pass 2^53, so compare the half that was zigzagged instead: it is exact.
  const half = value < 0 ? -(value + 1) : value;
  let size = 5;
  for (let limit = 2 ** 34; half >= limit; limit *= 128) size++;
  return size;
}

/** Writes a signed 32-bit value and returns the position behind it. The caller has made room. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let raw = ((value << 1) ^ (value >> 31)) >>> 0;
  while (raw >= 0x80) {
    bytes[at++] = raw | 0x80;
    raw >>>= 7;
  }
  bytes[at] = raw;
  return at + 1;
}

/** Writes a safe integer and returns the position behind it. The caller has made room. */
export function writeVarlong(bytes: Uint8Array, at: number, value: number): number {
  if (isInt32(value)) return writeVarint(bytes, at, value);
  assert(
    Number.isSafeInteger(value),
    () => `Cannot write a varlong: a safe integer is wanted, got ${value}`,
  );
  // The first byte carries the sign and the low six bits; the rest needs no zigzag any more and stays exact.
  const half = value < 0 ? -(value + 1) : value;
  let rest = Math.floor(half / 64);
  bytes[at++] = 0x80 | ((half & 0x3f) << 1) | (value < 0 ? 1 : 0);
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80;
    rest = Math.floor(rest / 128);
  }
  bytes[at] = rest;
  return at + 1;
}

function isInt32(value: number): boolean {
  return value <= int32Max && value >= -int32Max - 1;
}
