// Cursors: where a reader goes on, opaque to it, the same in reads, the tail and the SDK.
//
//   | version 1 | flags 1 | topic id 16 | murmur2 4 | filter 4? | n | n times: partition delta, next offset |
//     n and what follows it are varints
//   base64url, without padding
//
// flags bit 0: the reader follows every partition, so that new ones join at offset 0. Bit 1: the sum of a filter is there:
// records were passed over on the way, so the positions are for that filter alone. The checksum covers what stands
// around it: a cut or edited cursor is refused instead of reading from somewhere else. It guards against accidents, as
// nothing in a cursor is secret; in plain JavaScript it costs less than a call out.

import { Buffer } from "node:buffer";
import { murmur2 } from "../../src/bytes/murmur2.ts";
import { limits } from "../../src/limits.ts";

export interface Position {
  readonly partition: number;
  /** Next offset. */
  readonly offset: number;
}

export interface Cursor {
  readonly topicId: string;
  /** Every partition of the topic, the ones that do not exist yet included. */
  readonly all: boolean;
  /** Sum of the filter (record-filter.ts) under which the positions were reached; null: no record was passed over. */
  readonly filter: number | null;
  /** In order of partition. */
  readonly positions: readonly Position[];
}

const version = 1;
const headBytes = 22;
const sumAt = 18;
const allFlag = 1;
const filterFlag = 2;

/** Where cursors are laid out: one at a time, so that none costs memory of its own. */
let scratch = Buffer.alloc(1_024);

/** Cursors of one topic. */
export class CursorWriter {
  readonly #topicId: Uint8Array;
  readonly #flags: number;
  readonly #filter: number | null;

  /** `filter`: its sum, or nothing. */
  constructor(topicId: string, follows: "all" | "some", filter: number | null = null) {
    this.#topicId = idBytes(topicId);
    this.#flags = (follows === "all" ? allFlag : 0) | (filter === null ? 0 : filterFlag);
    this.#filter = filter;
  }

  /** Positions in order of partition. Cost: a few bytes a partition. */
  write(positions: readonly Position[]): string {
    const room = headBytes + 12 + positions.length * 16;
    if (scratch.length < room) scratch = Buffer.alloc(room * 2);
    const bytes = scratch;
    bytes[0] = version;
    bytes[1] = this.#flags;
    bytes.set(this.#topicId, 2);
    // Four stores: fill() is a call out, which takes longer than the sum itself.
    bytes[sumAt] = bytes[sumAt + 1] = bytes[sumAt + 2] = bytes[sumAt + 3] = 0;
    const bodyAt = this.#filter === null ? headBytes : bytes.writeInt32BE(this.#filter, headBytes);
    let at = putNumber(bytes, bodyAt, positions.length);
    let previous = 0;
    for (const { partition, offset } of positions) {
      at = putNumber(bytes, at, partition - previous);
      at = putNumber(bytes, at, offset);
      previous = partition;
    }
    bytes.writeInt32BE(murmur2(bytes.subarray(0, at)), sumAt);
    return bytes.toString("base64url", 0, at);
  }
}

/** The last id asked for: requests come in runs of one topic. */
let lastId = { text: "", bytes: new Uint8Array(0) };

function idBytes(text: string): Uint8Array {
  if (lastId.text !== text) {
    lastId = { text, bytes: Uint8Array.from(Buffer.from(text.replaceAll("-", ""), "hex")) };
  }
  return lastId.bytes;
}

/** The cursor of a text, or null when it is none of ours or was damaged. */
export function readCursor(text: string): Cursor | null {
  if (text.length > 4 * limits.partitionsPerTopicMax * 4 || !/^[A-Za-z0-9_-]+$/.test(text))
    return null;
  const bytes = Buffer.from(text, "base64url");
  if (bytes.length <= headBytes || bytes[0] !== version || bytes[1] > (allFlag | filterFlag))
    return null;
  const sum = bytes.readInt32BE(sumAt);
  bytes.writeInt32BE(0, sumAt);
  if (murmur2(bytes) !== sum) return null;
  const filtered = (bytes[1] & filterFlag) !== 0;
  if (filtered && bytes.length < headBytes + 4) return null;
  const positions = readPositions(bytes, filtered ? headBytes + 4 : headBytes);
  if (positions === null) return null;
  return {
    topicId: uuidText(bytes.toString("hex", 2, sumAt)),
    all: (bytes[1] & allFlag) !== 0,
    filter: filtered ? bytes.readInt32BE(headBytes) : null,
    positions,
  };
}

function readPositions(bytes: Buffer, start: number): Position[] | null {
  const place = { at: start };
  const count = takeNumber(bytes, place);
  if (count > limits.partitionsPerTopicMax) return null;
  const positions: Position[] = [];
  let partition = 0;
  for (let i = 0; i < count; i++) {
    partition += takeNumber(bytes, place);
    positions.push({ partition, offset: takeNumber(bytes, place) });
  }
  return place.at === bytes.length ? positions : null;
}

/** Unsigned LEB128 of a number below 2^53. */
function putNumber(bytes: Buffer, start: number, value: number): number {
  let at = start;
  let left = value;
  while (left > 0x7f) {
    bytes[at++] = (left % 0x80) | 0x80;
    left = Math.floor(left / 0x80);
  }
  bytes[at] = left;
  return at + 1;
}

/** NaN beyond the end, which no check of the caller lets through. */
function takeNumber(bytes: Buffer, place: { at: number }): number {
  let value = 0;
  for (let scale = 1; ; scale *= 0x80) {
    const byte = bytes[place.at++];
    if (byte === undefined || scale > 2 ** 49) return Number.NaN;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
}

function uuidText(hex: string): string {
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return `${parts.join("-")}-${hex.slice(20)}`;
}
