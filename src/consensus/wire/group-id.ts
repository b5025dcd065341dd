// A group id in a packet: its length in one byte, then printable ASCII.

import { assert } from "../../assert.ts";
import type { VarintReader } from "../../bytes/varint.ts";

export const groupIdCharsMax = 255;

/** Writes 1 + length bytes and returns the position behind them. The caller has made room. */
export function writeGroupId(bytes: Uint8Array, at: number, groupId: string): number {
  const { length } = groupId;
  assert(
    length > 0 && length <= groupIdCharsMax,
    () => `Group id must have 1 to ${groupIdCharsMax} characters, got ${length}`,
  );
  let end = at;
  bytes[end++] = length;
  for (let i = 0; i < length; i += 1) {
    const char = groupId.charCodeAt(i);
    assert(isPrintable(char), () => `Group id must be printable ASCII, got ${groupId}`);
    bytes[end++] = char;
  }
  return end;
}

/** Null: there is none; the reader stays where it was. */
export function readGroupId(reader: VarintReader): string | null {
  const { bytes, at } = reader;
  const length = at < reader.end ? bytes[at] : 0;
  if (length === 0 || length > reader.end - at - 1) return null;
  let groupId = "";
  for (let i = at + 1; i <= at + length; i += 1) {
    if (!isPrintable(bytes[i])) return null;
    groupId += String.fromCharCode(bytes[i]);
  }
  reader.skip(length + 1);
  return groupId;
}

function isPrintable(char: number): boolean {
  return char > 0x20 && char < 0x7f;
}
