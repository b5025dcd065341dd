// MessagePack from another machine: read only after a look at its lengths.
//
// Why: a decoder makes room for what a length says before it sees that nothing follows, and a hello is read before anybody
// has proved anything. What that costs is the engine's affair: arrays of 10^7 announced items, 200 deep, cost neither Bun
// 1.4 nor Deno 2.9 any memory to speak of, and 55 ms at most; we do not want to depend on it. Promise: what is read takes
// room in proportion to its own bytes; what cannot be read is told, never thrown.

import { unpack } from "msgpackr/unpack";

import { uint32At } from "../bytes/big-endian.ts";

export type Unpacked = { readonly ok: true; readonly value: unknown } | { readonly ok: false };

/** What a peer sent; its shape is the reader's to check. Refers to the bytes. */
export function unpackFromPeer(bytes: Uint8Array): Unpacked {
  if (!lengthsFit(bytes)) return { ok: false };
  try {
    return { ok: true, value: unpack(bytes) as unknown };
  } catch {
    return { ok: false };
  }
}

/** One value that ends where the bytes end, and no length in it beyond them. Cost: O(values). */
export function lengthsFit(bytes: Uint8Array): boolean {
  let at = 0;
  // Values that are announced and have yet to come: each takes a byte at least.
  let awaited = 1;
  while (awaited > 0) {
    if (awaited > bytes.length - at) return false;
    const type = bytes[at];
    const [header, follows, items] = extentOf(bytes, at, type);
    at += header + follows;
    awaited += items - 1;
    if (!(at <= bytes.length)) return false;
  }
  return at === bytes.length;
}

/** Of the value at `at`: bytes of its type and length, raw bytes behind them, values in it. */
function extentOf(
  bytes: Uint8Array,
  at: number,
  type: number,
): readonly [header: number, follows: number, items: number] {
  if (type <= 0x7f || type >= 0xe0) return [1, 0, 0];
  if (type <= 0x8f) return [1, 0, 2 * (type & 15)];
  if (type <= 0x9f) return [1, 0, type & 15];
  if (type <= 0xbf) return [1, type & 31, 0];
  const { size, kind, fixed } = rows[type - 0xc0];
  const length = size === 0 ? 0 : lengthAt(bytes, at + 1, size);
  if (kind === "array") return [1 + size, 0, length];
  if (kind === "map") return [1 + size, 0, 2 * length];
  return [1 + size, fixed + length, 0];
}

function lengthAt(bytes: Uint8Array, at: number, size: number): number {
  if (size === 1) return bytes[at];
  if (size === 2) return (bytes[at] << 8) | bytes[at + 1];
  return uint32At(bytes, at);
}

interface TypeRow {
  readonly kind: "raw" | "array" | "map";
  /** Bytes of the length that is told. */
  readonly size: number;
  /** Raw bytes that follow beside what the length tells. */
  readonly fixed: number;
}

const raw = (size: number, fixed = 0): TypeRow => ({ kind: "raw", size, fixed });
const told = (...sizes: readonly number[]): TypeRow[] => sizes.map((size) => raw(size));
const fixed = (...lengths: readonly number[]): TypeRow[] => lengths.map((one) => raw(0, one));

/** 0xc0 to 0xdf, as the specification lists them. */
const rows: readonly TypeRow[] = [
  fixed(0, 0, 0, 0), // nil, never used, false, true
  told(1, 2, 4), // bin
  [raw(1, 1), raw(2, 1), raw(4, 1)], // ext: a type behind the length
  fixed(4, 8), // float
  fixed(1, 2, 4, 8), // uint
  fixed(1, 2, 4, 8), // int
  fixed(2, 3, 5, 9, 17), // fixext
  told(1, 2, 4), // str
  [
    { kind: "array", size: 2, fixed: 0 } as const,
    { kind: "array", size: 4, fixed: 0 } as const,
    { kind: "map", size: 2, fixed: 0 } as const,
    { kind: "map", size: 4, fixed: 0 } as const,
  ],
].flat();
