// The bytes of a packet, counted and joined.

import { assert } from "../assert.ts";
import { limits } from "../limits.ts";
import type { OutPacket } from "./transport.ts";

/** Bytes of all pieces. */
export function bytesOf(pieces: readonly Uint8Array[]): number {
  let sum = 0;
  for (const piece of pieces) sum += piece.length;
  return sum;
}

/** A fresh copy of all pieces, one behind the other; owned by the caller. */
export function joinBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(bytesOf(pieces));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

/** Bytes of head and body; a packet beyond the limits is a bug of its sender. */
export function checkedBytesOf({ head, body }: OutPacket): number {
  const bodyBytes = bytesOf(body);
  assert(
    head.length <= limits.packetHeadBytesMax && bodyBytes <= limits.packetBodyBytesMax,
    () =>
      `Cannot send packet: head and body are at most ${limits.packetHeadBytesMax} and ` +
      `${limits.packetBodyBytesMax} bytes, got ${head.length} and ${bodyBytes}`,
  );
  return head.length + bodyBytes;
}
