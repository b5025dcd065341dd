// Everything that this node keeps to reach one peer: three connections, so that nothing large stands before a beat.
//
//   control            beats, votes
//   append, call       appends and questions: two streams of one connection
//   bulk               catching up
//
// Promise: connected means that every lane is open, and to the same process of the peer. What is wrong is logged once for
// the peer until something else is wrong; that a peer is not there yet, only after a while. Left to others: what comes
// from the peer (peer-door.ts), telling the events to the node (http2-transport.ts).

import { Fault } from "../errors.ts";
import { type ConnectionEvents, isLasting, PeerConnection, type Self } from "./peer-connection.ts";
import type { LaneSender } from "./lane-sender.ts";
import type { PeerTls } from "./peer-auth.ts";
import { type Lane, lanes, type LinkState, type Peer } from "./transport.ts";

const connections: readonly (readonly Lane[])[] = [["control"], ["append", "call"], ["bulk"]];

/** Nodes of a cluster start one after the other: for so long nobody wonders that one does not answer. */
const patienceMs = 2_000;

export interface LinkEvents {
  /** Every lane is open. */
  onConnected(): void;
  /** These lanes lost what was on its way. */
  onBroken(lanes: readonly Lane[]): void;
}

export class PeerLink {
  readonly peer: Peer;
  readonly #connections: readonly PeerConnection[];
  readonly #events: LinkEvents;
  readonly #self: Self;
  readonly #bornAt: number;
  /** The code of what was logged since it was last connected. */
  #logged: string | null = null;

  constructor(self: Self, peer: Peer, tls: PeerTls | null, events: LinkEvents) {
    this.peer = peer;
    this.#self = self;
    this.#events = events;
    this.#bornAt = self.world.monotonic();
    const target = { host: peer.host, port: peer.port, tls };
    this.#connections = connections.map((lanes) => {
      const connection: PeerConnection = new PeerConnection(
        self,
        { nodeId: peer.nodeId, target, lanes },
        this.#eventsOf(() => connection),
      );
      return connection;
    });
    for (const connection of this.#connections) connection.start();
  }

  get connected(): boolean {
    return this.#connections.every((connection) => connection.isOpen);
  }

  /** Some lane is open. */
  get isAlive(): boolean {
    return this.#connections.some((connection) => connection.isOpen);
  }

  sender(lane: Lane): LaneSender | undefined {
    for (const connection of this.#connections) {
      const sender = connection.sender(lane);
      if (sender !== undefined) return sender;
    }
    return undefined;
  }

  state(): LinkState {
    const senders = lanes.map((lane) => this.sender(lane));
    return {
      nodeId: this.peer.nodeId,
      connected: this.connected,
      queuedBytes: senders.reduce((sum, sender) => sum + (sender?.queuedBytes ?? 0), 0),
      appendStalledMs: Math.round(this.sender("append")?.waitingMs ?? 0),
    };
  }

  tick(): void {
    for (const connection of this.#connections) connection.tick();
  }

  /** The peer is there: connections that wait to be tried again are tried now. */
  hurry(): void {
    for (const connection of this.#connections) connection.hurry();
  }

  /** A process of the peer showed itself: connections with another one are over, whether it says so or not. */
  processIs(bootId: string): void {
    for (const connection of this.#connections)
      if (connection.bootId !== null && connection.bootId !== bootId)
        connection.end(
          new Fault("replaced_process", `A newer process runs as node ${this.peer.nodeId}`),
        );
  }

  /** Ends every connection. Answers the lanes that were open. */
  stop(): readonly Lane[] {
    const open = this.#connections.filter((one) => one.isOpen).flatMap((one) => one.lanes);
    for (const connection of this.#connections) connection.stop();
    return open;
  }

  #eventsOf(connection: () => PeerConnection): ConnectionEvents {
    return {
      onOpen: (bootId) => {
        this.processIs(bootId);
        if (!this.connected) return;
        this.#logConnected(connection().protocol);
        this.#events.onConnected();
      },
      onBroken: (why) => {
        this.#log(why);
        this.#events.onBroken(connection().lanes);
      },
      onFailed: (why) => {
        const isEarly = this.#self.world.monotonic() - this.#bornAt < patienceMs;
        if (!isEarly || isLasting(why)) this.#log(why);
      },
    };
  }

  #log({ code, message }: Fault): void {
    if (this.#logged === code) return;
    this.#logged = code;
    const fields = { node: this.peer.nodeId, code, detail: message };
    this.#self.log.write("warn", "No connection to a peer", fields);
  }

  #logConnected(protocol: string | null): void {
    const level = this.#logged === null ? "debug" : "info";
    this.#logged = null;
    this.#self.log.write(level, "Connected to a peer", { node: this.peer.nodeId, protocol });
  }
}
