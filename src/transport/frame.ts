// A frame: what lanes are made of on the wire. A packet is one frame, or several when it is longer than a fragment.
//
//   0      4        5      6       8         12        16        20           24            28
//   | crc  | version| flags| zeros | payload | sequence| packet  | head bytes | packet bytes| payload ...
//   | u32  | u8     | u8   | u16   | u32 len | u32     | u32     | u32        | u32 total   |
//
// crc is CRC-32C of all that follows it, begun with the lane's seed instead of 0. The seed comes from the hello: cluster,
// both nodes, both processes, session and lane. So every frame is tied to them without carrying them: a frame of another
// stream, cluster or process does not verify. The header is binary and not MessagePack because it costs 0.1 us to write
// in place; what is said once (the hello) is MessagePack. The checksum finds accidents and mix-ups; against who can write
// into the connection only TLS helps. `sequence` counts the lane's frames from 1, `packet` its packets; both wrap.

import { crc32c } from "../bytes/crc32c.ts";
import { putInt32, uint32At } from "../bytes/big-endian.ts";
import { limits } from "../limits.ts";

export const frameHeaderBytes = 28;
export const frameVersion = 1;
export const flagFirst = 1;
export const flagLast = 2;
/** An empty frame that asks for an acknowledgement and nothing else. */
export const flagPing = 4;

export interface FrameHeader {
  readonly flags: number;
  /** Of this frame. */
  readonly payloadLength: number;
  readonly sequence: number;
  readonly packet: number;
  /** Bytes of the packet's head. */
  readonly headLength: number;
  /** Bytes of the packet, its head included. */
  readonly packetLength: number;
}

/** Writes all but the checksum. */
export function putFrameHeader(bytes: Uint8Array, at: number, header: FrameHeader): void {
  bytes[at + 4] = frameVersion;
  bytes[at + 5] = header.flags;
  bytes[at + 6] = 0;
  bytes[at + 7] = 0;
  putInt32(bytes, at + 8, header.payloadLength);
  putInt32(bytes, at + 12, header.sequence);
  putInt32(bytes, at + 16, header.packet);
  putInt32(bytes, at + 20, header.headLength);
  putInt32(bytes, at + 24, header.packetLength);
}

export function putFrameChecksum(bytes: Uint8Array, at: number, crc: number): void {
  putInt32(bytes, at, crc);
}

/** Checksum of the header behind its own field. */
export function headerChecksum(bytes: Uint8Array, at: number, seed: number): number {
  return crc32c(bytes.subarray(at + 4, at + frameHeaderBytes), seed);
}

/** Reads a header; what a field may be is the reader's to check. */
export function frameHeaderAt(bytes: Uint8Array, at: number): FrameHeader {
  return {
    flags: bytes[at + 5],
    payloadLength: uint32At(bytes, at + 8),
    sequence: uint32At(bytes, at + 12),
    packet: uint32At(bytes, at + 16),
    headLength: uint32At(bytes, at + 20),
    packetLength: uint32At(bytes, at + 24),
  };
}

/** Checksum and lengths of a whole frame that begins at 0. */
export function frameVerifies(frame: Uint8Array, seed: number): boolean {
  return uint32At(frame, 0) === crc32c(frame.subarray(4), seed);
}

/** What is wrong with a header on its own, or null. */
export function headerFault(bytes: Uint8Array, at: number): string | null {
  const version = bytes[at + 4];
  if (version !== frameVersion) return `version must be ${frameVersion}, got ${version}`;
  const length = uint32At(bytes, at + 8);
  return length > limits.fragmentBytesMax
    ? `payload must be at most ${limits.fragmentBytesMax} bytes, got ${length}`
    : null;
}
