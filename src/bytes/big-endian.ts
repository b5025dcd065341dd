// Big-endian integers in bytes, Kafka's order, read and written without a DataView: nothing is allocated.
//
// Promise: 64-bit fields are plain numbers; one outside +-(2^53 - 1) reads as NaN, so that it cannot be taken for a
// neighbour. Positions are not checked here: the caller has compared them with the length. (Out of bounds a typed
// array reads undefined and ignores a write.)

import { assert } from "../assert.ts";

const two32 = 0x1_0000_0000;

export function int16At(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) >> 16) | bytes[at + 1];
}

export function int32At(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

export function uint32At(bytes: Uint8Array, at: number): number {
  return int32At(bytes, at) >>> 0;
}

/** A signed 64-bit integer, or NaN when it is outside +-(2^53 - 1). */
export function int64At(bytes: Uint8Array, at: number): number {
  const value = int32At(bytes, at) * two32 + uint32At(bytes, at + 4);
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

export function putInt16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

/** Signed or unsigned: the low 32 bits are written. */
export function putInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 24;
  bytes[at + 1] = value >> 16;
  bytes[at + 2] = value >> 8;
  bytes[at + 3] = value;
}

/** A safe integer as 64 bits, two's complement. */
export function putInt64(bytes: Uint8Array, at: number, value: number): void {
  assert(
    Number.isSafeInteger(value),
    () => `Cannot write a 64-bit field: a safe integer is wanted, got ${value}`,
  );
  putInt32(bytes, at, Math.floor(value / two32));
  putInt32(bytes, at + 4, value);
}
