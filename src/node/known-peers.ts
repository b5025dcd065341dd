// DIR/peers.json: where the other members were when this node last heard of it.
//
// A member that starts must find the others before it can ask anybody where they are. Promise: only a hint: who answers
// there proves to be the node that was asked for (transport), and a lost or damaged file costs what the controller's own
// log does not tell. Left to others: the truth (the controller's state).

import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Peer } from "../transport/transport.ts";
import { readOrNull, writeWhole } from "./data-folder.ts";

const peersFile = (dir: string): string => join(dir, "peers.json");

/** The other members as they were known; empty when nothing is. */
export function readPeers(dir: string): readonly Peer[] {
  const text = readOrNull(peersFile(dir));
  if (text === null) return [];
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter(isPeer) : [];
  } catch {
    return [];
  }
}

/** Best effort: a disk that is full must not end a node for the sake of a hint. */
export function writePeers(dir: string, peers: readonly Peer[]): void {
  try {
    if (peers.length === 0) rmSync(peersFile(dir), { force: true });
    else writeWhole(dir, peersFile(dir), `${JSON.stringify(peers)}\n`);
  } catch {
    // What stands there is as good as before.
  }
}

function isPeer(value: unknown): value is Peer {
  const { nodeId, host, port } = (value ?? {}) as Partial<Record<keyof Peer, unknown>>;
  return Number.isSafeInteger(nodeId) && typeof host === "string" && Number.isSafeInteger(port);
}
