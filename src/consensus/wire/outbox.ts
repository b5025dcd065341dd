// Where the messages of this node's replicas leave: which lane each takes, and what becomes of one that cannot leave.
//
//   control  elections, heartbeats, reads, transfers     never behind anything large
//   append   appends and every acknowledgement
//   bulk     snapshots, and appends to a follower that is being caught up, so that they do not hold up live ones
//
// Promise: messages of one replica to one follower keep their order within a lane; what did not leave is told at once
// (false), so that the leader probes instead of waiting. Left to others: lanes themselves (transport).

import type { Message, MessageType } from "../../../raft/types.ts";
import type { Lane, OutPacket, Transport } from "../../transport/transport.ts";
import type { CatchUp } from "../catch-up.ts";
import { nodeOf } from "../identity.ts";
import { encodeMessage } from "./message-codec.ts";
import { encodeParts } from "./snapshot-parts.ts";
import type { Payload } from "../payload.ts";
import { encodeWelcome, type Welcome } from "./welcome.ts";

const appendLane: ReadonlySet<MessageType> = new Set(["MsgApp", "MsgAppResp"]);

export class Outbox {
  readonly #transport: Transport | null;
  readonly #catchUp: CatchUp;
  readonly counters = { sent: 0, dropped: 0 };

  constructor(transport: Transport | null, catchUp: CatchUp) {
    this.#transport = transport;
    this.#catchUp = catchUp;
  }

  /** False: it did not leave. `catchingUp`: an append goes by the bulk lane. */
  send(groupId: string, message: Message<Payload>, catchingUp: boolean): boolean {
    const packet = encodeMessage(groupId, message);
    const node = nodeOf(message.to);
    const lane = laneOf(message, catchingUp);
    return this.#send(node, lane, lane === "bulk" ? this.#counted(node, packet) : packet);
  }

  /** Goes ahead of the first entry, in the same lane. */
  sendWelcome(groupId: string, welcome: Welcome, catchingUp: boolean): boolean {
    const packet = { head: encodeWelcome(groupId, welcome), body: [], flow: groupId };
    return this.#send(nodeOf(welcome.to), catchingUp ? "bulk" : "append", packet);
  }

  /** A snapshot: `onGone` is called once, when its bytes have left or never will, perhaps within this call. */
  sendSnapshot(groupId: string, message: Message<Payload>, onGone: () => void): boolean {
    const node = nodeOf(message.to);
    for (const part of partsOf(groupId, message)) {
      if (this.#send(node, "bulk", part)) continue;
      onGone();
      return false;
    }
    const packet = { ...encodeMessage(groupId, message), release: onGone };
    return this.#send(node, "bulk", packet);
  }

  #counted(node: number, packet: OutPacket): OutPacket {
    const bytes = packet.body.reduce((sum, part) => sum + part.length, 0);
    const left = this.#catchUp.sending(node, bytes);
    return {
      ...packet,
      release() {
        packet.release?.();
        left();
      },
    };
  }

  #send(node: number, lane: Lane, packet: OutPacket): boolean {
    const left = this.#transport?.send(node, lane, packet) ?? false;
    if (this.#transport === null) packet.release?.();
    if (left) this.counters.sent += 1;
    else this.counters.dropped += 1;
    return left;
  }
}

function partsOf(groupId: string, { from, to, snapshot }: Message<Payload>): OutPacket[] {
  if (snapshot === null || !(snapshot.data instanceof Uint8Array)) return [];
  return encodeParts({ groupId, from, to, index: snapshot.index }, snapshot.data);
}

function laneOf({ type }: Message<Payload>, catchingUp: boolean): Lane {
  if (!appendLane.has(type)) return "control";
  return type === "MsgApp" && catchingUp ? "bulk" : "append";
}
