// A cluster within one process: nodes that meet on a network in memory, with all of its faults (memory-network.ts).
//
//   const meeting = new MemoryMeeting(network);
//   startNode({ ..., peer: meeting.place(1), network: meeting.at(1) })               the first
//   startNode({ ..., peer: meeting.place(2, first.url), network: meeting.at(2) })    joins it by its HTTP door
//
// Promise: the same node as in a process of its own, but for the sockets between nodes. Left to others: proofs of who a
// node is, which a process needs no more than TLS.

import { Fault } from "../errors.ts";
import type { MemoryNetwork } from "../transport/memory-network.ts";
import type { PeerNetwork, PeerOptions, PeerSelf } from "./peering.ts";

export class MemoryMeeting {
  readonly #network: MemoryNetwork;
  /** Who answers at a place, by its number. */
  readonly #doors = new Map<number, PeerSelf["onJoin"]>();

  constructor(network: MemoryNetwork) {
    this.#network = network;
  }

  /** A place at which a node is to be: any number from 1, not yet its node id. `join`: URL of a member. */
  place(place: number, join?: string): PeerOptions {
    return {
      listen: { host: "memory", port: place, loopback: true },
      join: join === undefined ? [] : [join],
      advertisePeer: null,
      advertiseHttp: null,
      region: null,
      secret: null,
      tls: null,
    };
  }

  at(place: number): PeerNetwork {
    return {
      transport: ({ identity, onJoin }) => {
        this.#doors.set(place, onJoin);
        return this.#network.transport(identity.nodeId);
      },
      join: async ({ port }, request) => {
        const door = this.#doors.get(port);
        if (door !== undefined) return await door(request);
        throw new Fault("node_unreachable", `Nobody is at place ${port} of this process`);
      },
    };
  }
}
