// One node's end of the network in memory: its links to the peers, and the packets that wait on them.
//
// Promise: transport.ts, to the letter: lanes in order, release() once, onBroken() before onDown(), no event after
// close() or kill(). Left to others: faults and the other ends (memory-network.ts).

import { assert } from "../assert.ts";
import { limits } from "../limits.ts";
import { checkedBytesOf, joinBytes } from "./packet.ts";
import type { MemoryNetwork } from "./memory-network.ts";
import {
  type InPacket,
  type Lane,
  lanes,
  type LinkState,
  type OutPacket,
  type Peer,
  type Transport,
  type TransportEvents,
} from "./transport.ts";

export class MemoryTransport implements Transport {
  readonly nodeId: number;
  readonly address: { readonly host: string; readonly port: number };
  readonly #network: MemoryNetwork;
  readonly #links = new Map<number, MemoryLink>();
  /** Processes whose connection to this one is open, by node. */
  readonly #inbound = new Map<number, Inbound>();
  readonly #counts = { packets_sent: 0, packets_received: 0, bytes_sent: 0, lanes_broken: 0 };
  #events: TransportEvents | null = null;
  #state: "new" | "open" | "closed" = "new";

  constructor(network: MemoryNetwork, nodeId: number) {
    this.#network = network;
    this.nodeId = nodeId;
    this.address = { host: "memory", port: nodeId };
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  open(events: TransportEvents): Promise<void> {
    assert(this.#state === "new", `Cannot open transport of node ${this.nodeId}: it was opened`);
    this.#events = events;
    this.#state = "open";
    this.#network.changed();
    return Promise.resolve();
  }

  setPeers(peers: readonly Peer[]): void {
    const wanted = new Set(peers.map((peer) => peer.nodeId));
    wanted.delete(this.nodeId);
    for (const [nodeId, link] of this.#links) {
      if (wanted.has(nodeId)) continue;
      this.#links.delete(nodeId);
      link.end();
      this.#inbound.get(nodeId)?.sender.connectionEnds(this);
    }
    for (const nodeId of wanted)
      if (!this.#links.has(nodeId))
        this.#links.set(nodeId, new MemoryLink(this.#network, this, nodeId));
    this.look();
  }

  send(to: number, lane: Lane, packet: OutPacket): boolean {
    const size = checkedBytesOf(packet);
    const link = this.#links.get(to);
    if (this.isOpen && link !== undefined && link.room(lane) >= size) {
      this.#counts.packets_sent += 1;
      this.#counts.bytes_sent += size;
      link.push(lane, packet, size);
      return true;
    }
    packet.release?.();
    return false;
  }

  room(to: number, lane: Lane): number {
    return this.isOpen ? (this.#links.get(to)?.room(lane) ?? 0) : 0;
  }

  links(): readonly LinkState[] {
    return [...this.#links.values()].map((link) => link.state());
  }

  metrics(): Readonly<Record<string, number>> {
    const states = this.links();
    return {
      ...this.#counts,
      links: states.length,
      links_connected: states.filter((state) => state.connected).length,
      queued_bytes: states.reduce((sum, state) => sum + state.queuedBytes, 0),
    };
  }

  close(): Promise<void> {
    this.kill();
    return Promise.resolve();
  }

  /** Ends without a word to the own side; the others hear that the connections ended. Idempotent. */
  kill(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#events = null;
    for (const link of this.#links.values()) link.end();
    for (const { sender } of this.#inbound.values()) sender.connectionEnds(this);
    this.#inbound.clear();
  }

  breakLink(to: number): void {
    this.#links.get(to)?.end();
  }

  breakLane(to: number, lane: Lane): void {
    this.#links.get(to)?.endLane(lane);
  }

  /** Something changed in the network: connects what can be connected, delivers what may pass. */
  look(): void {
    if (!this.isOpen) return;
    for (const link of this.#links.values()) link.look();
  }

  // From the links and from the other ends:

  /** This process is open and the link is still one of its own. */
  owns(link: unknown, to: number): boolean {
    return this.isOpen && this.#links.get(to) === link;
  }

  /** The process `sender` connected to this one; what it is called when it ends. */
  accept(sender: MemoryTransport): Inbound {
    const inbound = { sender };
    this.#inbound.set(sender.nodeId, inbound);
    return inbound;
  }

  /** The other side ended that connection to this one; the news travels, and finds perhaps a newer connection. */
  inboundEnds(inbound: Inbound): void {
    const { sender } = inbound;
    this.#later(sender.nodeId, () => {
      if (this.#inbound.get(sender.nodeId) !== inbound) return;
      this.#inbound.delete(sender.nodeId);
      this.tellIfDown(sender.nodeId);
    });
  }

  /** `remote`, to which this one is connected, ended the connection; the news travels. */
  connectionEnds(remote: MemoryTransport): void {
    this.#later(remote.nodeId, () => this.#links.get(remote.nodeId)?.endIfTo(remote));
  }

  receive(packet: InPacket): void {
    if (this.#events === null) return;
    this.#counts.packets_received += 1;
    this.#events.onPacket(packet);
  }

  tellUp(nodeId: number): void {
    this.#events?.onUp(nodeId);
  }

  tellBroken(nodeId: number, lane: Lane): void {
    this.#counts.lanes_broken += 1;
    this.#events?.onBroken(nodeId, lane);
  }

  tellIfDown(nodeId: number): void {
    if (this.#inbound.has(nodeId) || this.#links.get(nodeId)?.connected === true) return;
    this.#events?.onDown(nodeId);
  }

  /** The end of a connection arrives as fast as a packet; through a cut it is noticed by the watchdog. */
  #later(from: number, fn: () => void): void {
    const { cut } = this.#network.faults(from, this.nodeId);
    const delayMs = cut ? this.#network.stallMs : this.#network.travelMs(from, this.nodeId);
    this.#network.after(delayMs, fn);
  }
}

/** One connection from another process, until it ends. */
interface Inbound {
  readonly sender: MemoryTransport;
}

interface Waiting {
  readonly packet: OutPacket;
  readonly size: number;
  readonly sentAt: number;
  readonly dueAt: number;
  readonly lost: boolean;
}

interface LaneQueue {
  readonly waiting: Waiting[];
  bytes: number;
  pumpAt: number;
}

const empty = (): LaneQueue => ({ waiting: [], bytes: 0, pumpAt: Infinity });

/** The connection from one node to another. */
class MemoryLink {
  readonly #network: MemoryNetwork;
  readonly #owner: MemoryTransport;
  readonly #to: number;
  readonly #queues: Readonly<Record<Lane, LaneQueue>>;
  /** The process at the other end while connected. */
  #remote: MemoryTransport | null = null;
  #inbound: Inbound | null = null;
  #connecting = false;
  #watched = false;

  constructor(network: MemoryNetwork, owner: MemoryTransport, to: number) {
    this.#network = network;
    this.#owner = owner;
    this.#to = to;
    this.#queues = { control: empty(), append: empty(), call: empty(), bulk: empty() };
  }

  get connected(): boolean {
    return this.#remote !== null;
  }

  room(lane: Lane): number {
    return this.connected ? limits.laneQueueBytesMax - this.#queues[lane].bytes : 0;
  }

  state(): LinkState {
    const oldest = this.#queues.append.waiting[0] as Waiting | undefined;
    return {
      nodeId: this.#to,
      connected: this.connected,
      queuedBytes: lanes.reduce((sum, lane) => sum + this.#queues[lane].bytes, 0),
      appendStalledMs: oldest === undefined ? 0 : this.#now() - oldest.sentAt,
    };
  }

  look(): void {
    if (!this.connected) this.#connect();
    else for (const lane of lanes) this.#pump(lane);
  }

  push(lane: Lane, packet: OutPacket, size: number): void {
    const queue = this.#queues[lane];
    const { nodeId } = this.#owner;
    const { loss } = this.#network.faults(nodeId, this.#to);
    const sentAt = this.#now();
    // Not before those ahead of it, whenever it is due: the queue is emptied from its front.
    const dueAt = sentAt + this.#network.travelMs(nodeId, this.#to);
    const lost = loss > 0 && this.#network.world.random() < loss;
    queue.waiting.push({ packet, size, sentAt, dueAt, lost });
    queue.bytes += size;
    this.#schedule(lane);
  }

  /** The connection ends: everything that waits is lost, and both ends hear of it. */
  end(): void {
    const remote = this.#remote;
    if (remote === null) return;
    this.#remote = null;
    for (const lane of lanes) this.#drop(lane);
    if (this.#inbound !== null) remote.inboundEnds(this.#inbound);
    for (const lane of lanes) this.#owner.tellBroken(this.#to, lane);
    this.#owner.tellIfDown(this.#to);
    this.#network.after(this.#network.reconnectMs, () => this.#owner.look());
  }

  endIfTo(remote: MemoryTransport): void {
    if (this.#remote === remote) this.end();
  }

  endLane(lane: Lane): void {
    if (!this.connected) return;
    this.#drop(lane);
    this.#owner.tellBroken(this.#to, lane);
  }

  #connect(): void {
    const { nodeId } = this.#owner;
    if (this.#connecting || !this.#network.canConnect(nodeId, this.#to)) return;
    this.#connecting = true;
    const roundTripMs =
      this.#network.travelMs(nodeId, this.#to) + this.#network.travelMs(this.#to, nodeId);
    this.#network.after(roundTripMs, () => {
      this.#connecting = false;
      const remote = this.#network.at(this.#to);
      if (!this.#owner.owns(this, this.#to) || remote === undefined) return;
      if (!this.#network.canConnect(nodeId, this.#to)) return;
      this.#remote = remote;
      this.#inbound = remote.accept(this.#owner);
      this.#owner.tellUp(this.#to);
    });
  }

  #schedule(lane: Lane): void {
    const queue = this.#queues[lane];
    const dueAt = queue.waiting[0]?.dueAt ?? Infinity;
    if (dueAt >= queue.pumpAt) return;
    queue.pumpAt = dueAt;
    this.#network.after(dueAt - this.#now(), () => {
      queue.pumpAt = Infinity;
      this.#pump(lane);
    });
  }

  /** Delivers what is due, unless it is held. */
  #pump(lane: Lane): void {
    const { waiting } = this.#queues[lane];
    while (waiting.length > 0 && this.#remote !== null) {
      if (this.#isHeld()) return this.#watch();
      if (waiting[0].dueAt > this.#now()) return this.#schedule(lane);
      this.#deliver(lane, this.#remote);
    }
  }

  #deliver(lane: Lane, remote: MemoryTransport): void {
    const { packet, lost } = this.#take(lane);
    if (lost) {
      packet.release?.();
      this.#owner.tellBroken(this.#to, lane);
      return;
    }
    const head = new Uint8Array(packet.head);
    const body = joinBytes(packet.body);
    packet.release?.();
    remote.receive({ from: this.#owner.nodeId, lane, head, body });
    head.fill(poison);
    body.fill(poison);
  }

  #take(lane: Lane): Waiting {
    const queue = this.#queues[lane];
    const taken = queue.waiting.shift();
    assert(taken !== undefined, "A packet is taken from a queue that has one");
    queue.bytes -= taken.size;
    return taken;
  }

  #drop(lane: Lane): void {
    while (this.#queues[lane].waiting.length > 0) this.#take(lane).packet.release?.();
  }

  #isHeld(): boolean {
    const { cut, clogged } = this.#network.faults(this.#owner.nodeId, this.#to);
    return cut || clogged;
  }

  /** While packets are held: the connection breaks when the oldest has been held for stallMs. */
  #watch(): void {
    if (this.#watched) return;
    this.#watched = true;
    const breaksAt = this.#oldest() + this.#network.stallMs;
    this.#network.after(Math.max(breaksAt - this.#now(), 0), () => {
      this.#watched = false;
      if (!this.connected || !this.#isHeld()) return;
      if (this.#oldest() + this.#network.stallMs <= this.#now()) this.end();
      else if (this.#oldest() < Infinity) this.#watch();
    });
  }

  /** When the oldest packet was sent; Infinity when none waits. */
  #oldest(): number {
    return Math.min(...lanes.map((lane) => this.#queues[lane].waiting[0]?.sentAt ?? Infinity));
  }

  #now(): number {
    return this.#network.world.monotonic();
  }
}

/** What a delivered packet's borrowed bytes turn into. */
const poison = 0xdb;
