// The data of a snapshot that is too large for one packet: what goes ahead of the MsgSnap, and how it is put together.
//
//   data     |----- part 0 -----|----- part 1 -----|-- rest --|
//   packets  part, part, MsgSnap with the rest                    one lane, one flow: they arrive in this order
//   part     head | packet kind | from | to | index | bytes before | bytes in all | group id |    body | data |
//
// Promise: a snapshot is handed on whole or not at all; what a peer may make this node hold is bounded (a snapshot, and
// all of them together), and is let go when its connection breaks. Left to others: the MsgSnap itself (message-codec.ts);
// sending again what was refused (the leader does, with the next sign of life).

import type { NodeId } from "../../../raft/types.ts";
import { VarintReader, writeVarlong } from "../../bytes/varint.ts";
import { limits } from "../../limits.ts";
import type { InPacket, OutPacket } from "../../transport/transport.ts";
import { groupIdCharsMax, readGroupId, writeGroupId } from "./group-id.ts";
import { nodeOf } from "../identity.ts";
import { packetKinds } from "./packet-kinds.ts";
import { malformed, refusePacket, type PacketRefusal } from "./packet-refusal.ts";

const MiB = 1024 * 1024;
/** Data in one packet. */
export const partBytesMax = limits.packetBodyBytesMax / 4;
/** One snapshot: its packets must fit into the lane together. */
export const snapshotBytesMax = limits.laneQueueBytesMax - 4 * MiB;
/** All snapshots that arrive in parts at a time. */
const arrivingBytesMax = 2 * limits.laneQueueBytesMax;

const headBytesMax = 1 + 5 * 10 + 1 + groupIdCharsMax;

/** Which snapshot: of which group, from whom, to whom. */
export interface SnapshotKey {
  readonly groupId: string;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly index: number;
}

/** Where the part that travels with the MsgSnap itself begins; 0: all of it does. */
export function restOf(data: Uint8Array): number {
  return Math.floor(Math.max(0, data.length - 1) / partBytesMax) * partBytesMax;
}

/** What goes ahead of the MsgSnap; views of the data. */
export function encodeParts(key: SnapshotKey, data: Uint8Array): OutPacket[] {
  const packets: OutPacket[] = [];
  for (let at = 0; at < restOf(data); at += partBytesMax) {
    const head = new Uint8Array(headBytesMax);
    head[0] = packetKinds.snapshotPart;
    let end = 1;
    for (const value of [key.from, key.to, key.index, at, data.length]) {
      end = writeVarlong(head, end, value);
    }
    end = writeGroupId(head, end, key.groupId);
    const body = [data.subarray(at, at + partBytesMax)];
    packets.push({ head: head.slice(0, end), body, flow: key.groupId });
  }
  return packets;
}

interface Arriving {
  readonly key: SnapshotKey;
  readonly data: Uint8Array<ArrayBuffer>;
  filled: number;
}

export class SnapshotParts {
  readonly #nodeId: number;
  /** By sending node and group. */
  readonly #arriving = new Map<string, Arriving>();
  #bytes = 0;

  constructor(nodeId: number) {
    this.#nodeId = nodeId;
  }

  /** Bytes that are held for snapshots under way. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a part; head and body are borrowed. */
  take({ from, head, body }: Pick<InPacket, "from" | "head" | "body">): PacketRefusal | null {
    const reader = new VarintReader(head, Math.min(1, head.length));
    const [sender, to, index] = [reader.varlong(), reader.varlong(), reader.varlong()];
    const [before, total] = [reader.varlong(), reader.varlong()];
    const groupId = reader.failed ? null : readGroupId(reader);
    if (groupId === null || reader.at !== head.length || index < 1) return malformed("part");
    if (nodeOf(sender) !== from) return refusePacket("sender", `a replica of node ${from}`);
    if (nodeOf(to) !== this.#nodeId) return refusePacket("receiver", `node ${this.#nodeId}`);
    if (
      before < 0 ||
      total > snapshotBytesMax ||
      before + body.length >= total ||
      body.length === 0
    )
      return malformed("part");
    const key = { groupId, from: sender, to, index };
    const arriving = before === 0 ? this.#begin(key, total) : this.#of(key);
    if (arriving === null || arriving.filled !== before || arriving.data.length !== total) {
      return refusePacket("order", `part at ${before} of ${groupId} follows none`);
    }
    arriving.data.set(body, before);
    arriving.filled += body.length;
    return null;
  }

  /** The whole data, whose last bytes came with the MsgSnap; null: the parts before are not all here. Owned by the
   *  caller. */
  complete(
    key: SnapshotKey,
    { rest, total }: { rest: Uint8Array; total: number },
  ): Uint8Array | null {
    const arriving = this.#of(key);
    if (arriving === null) return null;
    this.#drop(slotOf(key));
    const { data, filled } = arriving;
    if (data.length !== total || filled + rest.length !== total) return null;
    data.set(rest, filled);
    return data;
  }

  /** The connection with the node broke: the rest will never come. */
  forget(nodeId: number): void {
    for (const [slot, { key }] of this.#arriving) if (nodeOf(key.from) === nodeId) this.#drop(slot);
  }

  #begin(key: SnapshotKey, total: number): Arriving | null {
    this.#drop(slotOf(key));
    if (this.#bytes + total > arrivingBytesMax) return null;
    const arriving = { key, data: new Uint8Array(total), filled: 0 };
    this.#arriving.set(slotOf(key), arriving);
    this.#bytes += total;
    return arriving;
  }

  #of(key: SnapshotKey): Arriving | null {
    const found = this.#arriving.get(slotOf(key));
    const same =
      found?.key.from === key.from && found.key.to === key.to && found.key.index === key.index;
    return same ? found : null;
  }

  #drop(slot: string): void {
    this.#bytes -= this.#arriving.get(slot)?.data.length ?? 0;
    this.#arriving.delete(slot);
  }
}

function slotOf({ from, groupId }: SnapshotKey): string {
  return `${nodeOf(from)} ${groupId}`;
}
