// How this node exchanges packets with the other nodes of its cluster: what the consensus host and the calls (calls.ts)
// see of the network.
//
//   control  beats, votes: never behind anything large          one connection
//   append   appends and their answers, calls                   one connection
//   bulk     catching up, snapshots                             a connection of its own
//
// Promise: packets of one lane to one node arrive in the order of send(), each once or not at all; what a broken
// connection swallowed is told by onBroken(), never sent twice; every queue has a bound. Identity of both ends
// (cluster, node, incarnation of the process) was checked before onPacket(). Left to others: what a packet means.

export const lanes = ["control", "append", "call", "bulk"] as const;
export type Lane = (typeof lanes)[number];

/** Another node of the cluster, and where its peer port is. */
export interface Peer {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

export interface OutPacket {
  /** Small: at most limits.packetHeadBytesMax. Owned by the transport from send() on. */
  readonly head: Uint8Array;
  /** Raw bytes behind the head, in pieces, at most limits.packetBodyBytesMax together; borrowed until release(). The
   *  transport cuts them into fragments and lets other packets pass between them. */
  readonly body: readonly Uint8Array[];
  /** Called exactly once: the bytes have left, or never will. */
  readonly release?: () => void;
  /** Packets of one flow keep their order; those of another may pass between the fragments of a long one (over
   *  limits.fragmentBytesMax). Left out: the packets of the lane without a flow are one flow. */
  readonly flow?: number | string;
}

export interface InPacket {
  /** Node id of the sender. */
  readonly from: number;
  readonly lane: Lane;
  /** Both borrowed for the time of the call. */
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

export interface LinkState {
  readonly nodeId: number;
  /** Packets can be sent now: this node's lanes to it are open. */
  readonly connected: boolean;
  /** Bytes of all lanes that wait here. */
  readonly queuedBytes: number;
  /** How long the oldest packet of the append lane waits for the peer's acknowledgement, ms; 0: none waits. */
  readonly appendStalledMs: number;
}

export interface TransportEvents {
  onPacket(packet: InPacket): void;
  /** The peer can be reached and was heard. Comes again after lanes broke and all are open, with or without an onDown()
   *  between. */
  onUp(nodeId: number): void;
  /** Packets on this lane may have been lost (connection broken, stalled); comes before onDown(). */
  onBroken(nodeId: number, lane: Lane): void;
  /** Every connection with the peer has ended, in both directions: its process is gone, or the path to it. */
  onDown(nodeId: number): void;
}

export interface Transport {
  /** Begins to listen and to connect. Called once. */
  open(events: TransportEvents): Promise<void>;
  /** Where the peers reach this node, once open() has resolved. */
  readonly address: { readonly host: string; readonly port: number };
  /** The nodes to keep connections with; those left out are disconnected. This node itself is passed over. */
  setPeers(peers: readonly Peer[]): void;
  /** Queues a packet. False: there is no connection, or the lane's queue is full; nothing is sent, release() was called.
   *  Never calls back into the caller but for release(). */
  send(to: number, lane: Lane, packet: OutPacket): boolean;
  /** Bytes that the lane's queue to this node takes now; 0 without a connection. */
  room(to: number, lane: Lane): number;
  links(): readonly LinkState[];
  /** Gauges and counters by name. */
  metrics(): Readonly<Record<string, number>>;
  /** Ends every connection and stops listening. Idempotent. */
  close(): Promise<void>;
}
