// Becoming a member of a cluster and leaving it: what a node that wants to join asks, and what it is told.
//
// Promise: types and bounds alone; joining the same cluster by the same request gives the same node id. Left to others:
// carrying the question (the transport's peer port), answering it (member-service.ts).

import type { Refusal } from "../errors.ts";
import type { Peer } from "../transport/transport.ts";
import type { NodeTold, PeerAddress } from "./commands.ts";

export interface JoinRequest extends NodeTold {
  /** Chosen once by the joining node and kept in its data folder, 8 to 255 characters: a retry gets the same node id. */
  readonly requestId: string;
  readonly peer: PeerAddress;
  /** The cluster that the node's data folder belongs to; null: to none yet. */
  readonly clusterId: string | null;
}

export interface Joined {
  readonly ok: true;
  readonly clusterId: string;
  readonly nodeId: number;
  /** Of the new node's replica of the controller's group; it is born with no voters and is told its configuration. */
  readonly incarnation: number;
  /** The other members. */
  readonly peers: readonly Peer[];
}

export type JoinAnswer = Joined | Refusal;

/** What became of a wish to remove a node. */
export interface Removing {
  readonly ok: true;
  /** draining: its replicas are being moved; it is removed when nothing is left on it. */
  readonly state: "draining" | "removed";
}
