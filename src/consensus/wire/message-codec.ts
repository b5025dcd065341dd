// Raft messages of one group as packets between nodes.
//
//   head   | packet kind | type | fields u16 | from | to | fields that are not 0 ... | group id: length, ASCII |
//          and for MsgApp      | entries | first offset | columns' bytes |
//          and for MsgSnap     | description's bytes | data's bytes, with those that came ahead (snapshot-parts.ts) |
//   body   MsgApp: columns of the entries (entry-columns.ts), then their batches back to back
//          MsgSnap: index, term and members of the snapshot, then its data
//
// Numbers are varlongs (bytes/varint.ts). Laid out by hand and not by msgpackr, because what msgpackr may yield (maps,
// dates, cycles, huge arrays) would have to be refused again afterwards; it is also quicker: an acknowledgement takes
// 0.18 us to write and 0.31 us to read instead of 0.33 and 0.46, an append of one entry 0.4 and 0.9 us (one core).
//
// Promise: batches leave without a copy (views of their slices, which are retained until release()) and are copied once
// on arrival, into slabs. Everything that arrives is checked: a packet that this codec did not write is a returned
// refusal, never a throw, and costs no memory beyond its own size. Indexes and offsets of entries are not on the wire:
// they follow from the entry before, so a hole cannot be said. Left to others: whether the bytes arrived whole (the
// frame's checksum), what a batch holds, whether the group is here and the first offset fits its log (host).

import { newMessage } from "../../../raft/index.ts";
import type { Message, MessageType, Snapshot } from "../../../raft/types.ts";
import { assert } from "../../assert.ts";
import type { SlabPool } from "../../bytes/slab.ts";
import { VarintReader, writeVarlong } from "../../bytes/varint.ts";
import { offset, type Offset } from "../../quantities.ts";
import type { InPacket, OutPacket } from "../../transport/transport.ts";
import { batchPieces, columnsOf, readEntries, releaseBatches } from "./entry-columns.ts";
import { groupIdCharsMax, readGroupId, writeGroupId } from "./group-id.ts";
import { nodeOf } from "../identity.ts";
import { packetKinds } from "./packet-kinds.ts";
import { malformed, refusePacket, type PacketRefusal } from "./packet-refusal.ts";
import type { Payload } from "../payload.ts";
import { describeSnapshot, readSnapshot } from "./snapshot-columns.ts";
import { restOf, type SnapshotParts } from "./snapshot-parts.ts";

export interface DecodedMessage {
  readonly ok: true;
  readonly groupId: string;
  /** Entries' batches are slices of the given pool, each held once by the receiver. */
  readonly message: Message<Payload>;
  /** MsgApp with entries: the offset at which the leader's entry `message.index` ends. The follower's must be the same
   *  (DESIGN section 4); null where nothing tells. */
  readonly nextOffset: Offset | null;
}

/** Types that travel, by their number on the wire. Proposals are forwarded by calls, never by Raft. */
const wireTypes: readonly (MessageType | null)[] = [
  null,
  "MsgApp",
  "MsgAppResp",
  "MsgHeartbeat",
  "MsgHeartbeatResp",
  "MsgVote",
  "MsgVoteResp",
  "MsgPreVote",
  "MsgPreVoteResp",
  "MsgSnap",
  "MsgTransferLeader",
  "MsgTimeoutNow",
  "MsgReadIndex",
  "MsgReadIndexResp",
];
const wireNumbers = new Map(wireTypes.map((type, number) => [type, number]));
/** Passed on by a follower without a term of its own, or answered by one that has none yet. */
const termless: ReadonlySet<MessageType> = new Set([
  "MsgTransferLeader",
  "MsgReadIndex",
  "MsgVoteResp",
  "MsgPreVoteResp",
  "MsgAppResp",
  "MsgHeartbeatResp",
]);

/** A bit of `fields` each, in the order in which they are written. */
const bit = {
  term: 1,
  logTerm: 2,
  index: 4,
  commit: 8,
  vote: 16,
  rejectHint: 32,
  context: 64,
  priority: 128,
  known: 256,
  knownTerm: 512,
  reject: 1024,
  all: 2047,
} as const;

/** Fixed part, 12 numbers of at most 10 bytes, the group id, 3 more numbers. */
const headBytesMax = 4 + 15 * 10 + 1 + groupIdCharsMax;
/** Where heads are written before they are cut to length. */
const scratch = new Uint8Array(headBytesMax);
let end = 0;

/** The packet of a message; a large snapshot's parts go ahead of it (snapshot-parts.ts). Its entries' batches are retained until release(); an entry without payload, or one that
 *  does not follow the entry before, is a bug. Cost: O(entries), two small allocations and no copy of a batch. */
export function encodeMessage(groupId: string, message: Message<Payload>): OutPacket {
  writeFields(message);
  end = writeGroupId(scratch, end, groupId);
  // Long packets of one group let those of the others pass, and its own keep their order.
  const flow = groupId;
  if (message.type === "MsgSnap") return { ...snapshotPacket(message.snapshot), flow };
  const { entries } = message;
  if (message.type !== "MsgApp") return { head: scratch.slice(0, end), body: [], flow };
  put(entries.length);
  if (entries.length === 0) return { head: scratch.slice(0, end), body: [], flow };
  const { columns, firstOffset } = columnsOf(entries, message);
  put(firstOffset);
  put(columns.length);
  const body = batchPieces(columns, entries);
  return { head: scratch.slice(0, end), body, release: () => releaseBatches(entries), flow };
}

/** Where the packet comes from and goes to, and where its batches are copied. */
export interface DecodeContext {
  readonly nodeId: number;
  readonly slabs: SlabPool;
  /** Data of snapshots that went ahead; left out: one that needs any is refused. */
  readonly parts?: SnapshotParts;
}

/** Reads a packet; head and body are borrowed for the call. Cost: O(entries), one copy of each batch. */
export function decodeMessage(
  { from, head, body }: Pick<InPacket, "from" | "head" | "body">,
  { nodeId, slabs, parts }: DecodeContext,
): DecodedMessage | PacketRefusal {
  if (head[0] !== packetKinds.message) {
    return refusePacket("version", `layout ${packetKinds.message} is wanted, got ${head[0]}`);
  }
  const type = wireTypes[head[1]] ?? null;
  if (type === null) return refusePacket("type", `type ${head[1]} is unknown`);
  if (head.length < 4) return malformed("head");
  const reader = new VarintReader(head, 4);
  const message = readFields(reader, type, (head[2] << 8) | head[3]);
  if (message === null) return malformed("fields");
  if (nodeOf(message.from) !== from) {
    return refusePacket("sender", `a replica of node ${from} is wanted, got ${message.from}`);
  }
  if (nodeOf(message.to) !== nodeId) {
    return refusePacket("receiver", `a replica of node ${nodeId} is wanted, got ${message.to}`);
  }
  const groupId = readGroupId(reader);
  if (groupId === null) return malformed("group id");
  if (type === "MsgSnap") return readSnapMessage({ groupId, message, reader, body }, parts);
  if (type === "MsgApp") return readAppMessage({ groupId, message, reader, body }, slabs);
  if (reader.at !== head.length || body.length > 0) return malformed("end");
  return { ok: true, groupId, message, nextOffset: null };
}

interface Parts {
  readonly groupId: string;
  readonly message: ReturnType<typeof newMessage<Payload>>;
  readonly reader: VarintReader;
  readonly body: Uint8Array;
}

function readAppMessage(parts: Parts, slabs: SlabPool): DecodedMessage | PacketRefusal {
  const { groupId, message, reader, body } = parts;
  if (message.logTerm > message.term || (message.index === 0) !== (message.logTerm === 0)) {
    return refusePacket("order", `entry ${message.index} cannot be of term ${message.logTerm}`);
  }
  const count = reader.varlong();
  const firstOffset = count === 0 ? 0 : reader.varlong();
  const columnBytes = count === 0 ? 0 : reader.varlong();
  const cut = reader.failed || reader.at !== reader.end || count < 0 || firstOffset < 0;
  if (cut || columnBytes < 0 || columnBytes > body.length) return malformed("entries");
  if (count === 0) {
    return body.length > 0 ? malformed("end") : { ok: true, groupId, message, nextOffset: null };
  }
  const { index, logTerm, term } = message;
  const read = readEntries(
    { body, columnBytes, count },
    { index, logTerm, term, firstOffset },
    slabs,
  );
  if (!read.ok) return read;
  message.entries = read.entries;
  return { ok: true, groupId, message, nextOffset: offset(firstOffset) };
}

function readSnapMessage(
  { groupId, message, reader, body }: Parts,
  parts: SnapshotParts | undefined,
): DecodedMessage | PacketRefusal {
  const bytes = reader.varlong();
  const total = reader.varlong();
  if (reader.failed || reader.at !== reader.end || bytes < 0 || bytes > body.length) {
    return malformed("snapshot");
  }
  const snapshot = readSnapshot(body.subarray(0, bytes));
  if (!("index" in snapshot)) return snapshot;
  if (snapshot.term > message.term) {
    return refusePacket("order", `a term up to ${message.term} is wanted, got ${snapshot.term}`);
  }
  const rest = body.subarray(bytes);
  const { from, to } = message;
  const key = { groupId, from, to, index: snapshot.index };
  const data =
    total === rest.length ? rest.slice() : (parts?.complete(key, { rest, total }) ?? null);
  if (data === null) return refusePacket("order", `${total} bytes of data are not all here`);
  message.snapshot = { ...snapshot, data };
  return { ok: true, groupId, message, nextOffset: null };
}

function snapshotPacket(snapshot: Snapshot | null): OutPacket {
  assert(snapshot !== null, "A MsgSnap must carry a snapshot");
  const { data } = snapshot;
  assert(data instanceof Uint8Array, "A snapshot's data must be bytes to travel");
  const description = describeSnapshot(snapshot);
  put(description.length);
  put(data.length);
  const rest = data.subarray(restOf(data));
  return { head: scratch.slice(0, end), body: [description, rest] };
}

function put(value: number): void {
  end = writeVarlong(scratch, end, value);
}

function writeFields(message: Message<Payload>): void {
  const number = wireNumbers.get(message.type);
  assert(number !== undefined, () => `${message.type} does not travel between nodes`);
  scratch[0] = packetKinds.message;
  scratch[1] = number;
  end = 4;
  put(message.from);
  put(message.to);
  let fields: number = message.reject ? bit.reject : 0;
  fields |= putUnlessZero(message.term, bit.term);
  fields |= putUnlessZero(message.logTerm, bit.logTerm);
  fields |= putUnlessZero(message.index, bit.index);
  fields |= putUnlessZero(message.commit, bit.commit);
  fields |= putUnlessZero(message.vote, bit.vote);
  fields |= putUnlessZero(message.rejectHint, bit.rejectHint);
  fields |= putUnlessZero(message.context, bit.context);
  fields |= putUnlessZero(message.priority, bit.priority);
  fields |= putUnlessZero(message.known, bit.known);
  fields |= putUnlessZero(message.knownTerm, bit.knownTerm);
  scratch[2] = fields >> 8;
  scratch[3] = fields & 0xff;
}

function putUnlessZero(value: number, field: number): number {
  if (value === 0) return 0;
  put(value);
  return field;
}

/** Null: something is cut off, negative, or a term is missing. */
function readFields(
  reader: VarintReader,
  type: MessageType,
  fields: number,
): ReturnType<typeof newMessage<Payload>> | null {
  const from = reader.varlong();
  const to = reader.varlong();
  const message = newMessage<Payload>(type, to, from);
  const next = (field: number): number => ((fields & field) === 0 ? 0 : reader.varlong());
  message.term = next(bit.term);
  message.logTerm = next(bit.logTerm);
  message.index = next(bit.index);
  message.commit = next(bit.commit);
  message.vote = next(bit.vote);
  message.rejectHint = next(bit.rejectHint);
  message.context = next(bit.context);
  message.priority = next(bit.priority);
  message.known = next(bit.known);
  message.knownTerm = next(bit.knownTerm);
  message.reject = (fields & bit.reject) !== 0;
  if (reader.failed || fields > bit.all || from <= 0 || to <= 0) return null;
  if (message.term === 0 && !termless.has(type)) return null;
  return someNegative(message) ? null : message;
}

function someNegative(message: Message<Payload>): boolean {
  const { term, logTerm, index, commit, vote, rejectHint, context, known, knownTerm } = message;
  return Math.min(term, logTerm, index, commit, vote, rejectHint, context, known, knownTerm) < 0;
}
