// Why a peer's packet is not believed: returned by the codecs, counted and logged by the host, never thrown.

/** Stable names. */
export type PacketFault =
  | "version" // a layout that this version does not know
  | "type" // nothing that travels between nodes
  | "malformed" // cut off, too long, a number out of its range
  | "sender" // its raft id is not of the node that the packet came from
  | "receiver" // its raft id is not of this node
  | "kind" // an entry kind that this version does not know
  | "order" // terms fall, or lie beyond the message's
  | "members"; // a configuration that cannot be

export interface PacketRefusal {
  readonly ok: false;
  readonly fault: PacketFault;
  /** Wanted, found; for the log. */
  readonly detail: string;
}

export function refusePacket(fault: PacketFault, detail: string): PacketRefusal {
  return { ok: false, fault, detail: `Cannot read packet: ${detail}` };
}

export function malformed(part: string): PacketRefusal {
  return refusePacket("malformed", `its ${part} cannot be read`);
}
