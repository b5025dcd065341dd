// The packets by which two nodes find out where their knowledge of leaders differs (leaderships.ts).
//
//   question   head | packet kind | as of |          body | 256 parts: sum a u32, sum b u32 |            2 KiB
//   page       head | packet kind | as of |          body | parts: count, numbers | rows: count, rows |
//              row  | group id: length, ASCII | leader | member | term |
//
// A page holds whole parts, with all their rows: what it does not name, the sender does not lead. Pages are at most 64 KB
// and one part more. Promise: what is read back equals what was written, anything else is refused; rows name replicas of
// the sending and of the receiving node alone.

import { int64At, putInt64, putInt32, uint32At } from "../../bytes/big-endian.ts";
import { VarintReader, writeVarlong } from "../../bytes/varint.ts";
import type { OutPacket } from "../../transport/transport.ts";
import { readGroupId, writeGroupId } from "../wire/group-id.ts";
import { nodeOf } from "../identity.ts";
import { ledParts, partOf, type Leadership, type PartSums } from "./leaderships.ts";
import { packetKinds } from "../wire/packet-kinds.ts";
import { malformed, type PacketRefusal } from "../wire/packet-refusal.ts";

/** A page is sent when it has at least this many bytes. */
const pageBytesMin = 64 * 1024;
const numberBytesMax = 10;
const questionBytes = ledParts * 8;

export interface Question {
  readonly ok: true;
  readonly asOf: number;
  readonly sums: PartSums;
}

export interface Page {
  readonly ok: true;
  readonly asOf: number;
  readonly parts: ReadonlySet<number>;
  readonly rows: readonly Leadership[];
}

export function encodeQuestion({ asOf, sums }: Omit<Question, "ok">): OutPacket {
  const body = new Uint8Array(questionBytes);
  for (let i = 0; i < sums.length; i += 1) putInt32(body, 4 * i, sums[i]);
  return { head: headOf(packetKinds.question, asOf), body: [body] };
}

export function decodeQuestion(head: Uint8Array, body: Uint8Array): Question | PacketRefusal {
  const asOf = asOfIn(head);
  if (asOf === null || body.length !== questionBytes) return malformed("question");
  const sums = Uint32Array.from({ length: 2 * ledParts }, (_, i) => uint32At(body, 4 * i));
  return { ok: true, asOf, sums };
}

/** The pages of an answer, in the order of sending; none when nothing differs. */
export function encodePages(
  asOf: number,
  differing: ReadonlyMap<number, readonly Leadership[]>,
): OutPacket[] {
  const packets: OutPacket[] = [];
  let parts: number[] = [];
  let rows: Leadership[] = [];
  let bytes = 0;
  const flush = (): void => {
    if (parts.length === 0) return;
    packets.push({ head: headOf(packetKinds.page, asOf), body: [pageBody(parts, rows)] });
    [parts, rows, bytes] = [[], [], 0];
  };
  for (const [part, own] of differing) {
    parts.push(part);
    for (const row of own) {
      rows.push(row);
      bytes += rowBytesMax(row);
    }
    if (bytes >= pageBytesMin) flush();
  }
  flush();
  return packets;
}

export function decodePage(
  { head, body, from }: { head: Uint8Array; body: Uint8Array; from: number },
  nodeId: number,
): Page | PacketRefusal {
  const asOf = asOfIn(head);
  if (asOf === null) return malformed("page");
  const reader = new VarintReader(body);
  const parts = new Set<number>();
  for (let n = reader.varlong(); n > 0 && !reader.failed; n -= 1) {
    const part = reader.varlong();
    if (part < 0 || part >= ledParts) return malformed("page");
    parts.add(part);
  }
  const rows: Leadership[] = [];
  for (let n = reader.varlong(); n > 0 && !reader.failed; n -= 1) {
    const row = readRow(reader);
    if (row === null || !parts.has(partOf(row.groupId))) return malformed("page");
    if (nodeOf(row.leader) !== from || nodeOf(row.member) !== nodeId) return malformed("page");
    rows.push(row);
  }
  if (reader.failed || reader.at !== reader.end) return malformed("page");
  return { ok: true, asOf, parts, rows };
}

function pageBody(parts: readonly number[], rows: readonly Leadership[]): Uint8Array {
  let room = (parts.length + 2) * numberBytesMax;
  for (const row of rows) room += rowBytesMax(row);
  const body = new Uint8Array(room);
  let end = writeVarlong(body, 0, parts.length);
  for (const part of parts) end = writeVarlong(body, end, part);
  end = writeVarlong(body, end, rows.length);
  for (const { groupId, leader, member, term } of rows) {
    end = writeGroupId(body, end, groupId);
    end = writeVarlong(body, end, leader);
    end = writeVarlong(body, end, member);
    end = writeVarlong(body, end, term);
  }
  return body.slice(0, end);
}

function rowBytesMax({ groupId }: Leadership): number {
  return 1 + groupId.length + 3 * numberBytesMax;
}

function readRow(reader: VarintReader): Leadership | null {
  const groupId = readGroupId(reader);
  if (groupId === null) return null;
  const leader = reader.varlong();
  const member = reader.varlong();
  const term = reader.varlong();
  if (reader.failed || leader < 1 || member < 1 || term < 1) return null;
  return { groupId, leader, member, term };
}

function headOf(kind: number, asOf: number): Uint8Array {
  const head = new Uint8Array(9);
  head[0] = kind;
  putInt64(head, 1, asOf);
  return head;
}

function asOfIn(head: Uint8Array): number | null {
  if (head.length !== 9) return null;
  const asOf = int64At(head, 1);
  return asOf >= 0 ? asOf : null;
}
