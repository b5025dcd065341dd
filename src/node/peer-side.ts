// This node among the others: its transport, the calls over it, and who the others are.
//
//   transport --packets--> calls (lane "call"), host (the other lanes)
//   controller's nodes --> the transport's peers, and DIR/peers.json for the next start
//
// Promise: a node that was removed is soon not talked to, and one that learns that it was removed says so once, in words,
// and is not ready any more. Left to others: what packets mean (host, calls), who is a member (cluster/).

import type { CallLane } from "../transport/call-lane.ts";
import type { InPacket, Lane, Peer, Transport, TransportEvents } from "../transport/transport.ts";
import type { HostOptions } from "../consensus/host.ts";
import type { ReplicaHost } from "../consensus/replica.ts";
import type { Change, ClusterState } from "../cluster/cluster-state.ts";
import { renamed } from "../broker/metrics.ts";
import { PeerList } from "../cluster/peer-list.ts";
import { refuse, type Fault, type Refusal } from "../errors.ts";
import type { World } from "../world.ts";
import { isMember, type Identity } from "./data-folder.ts";
import { writePeers } from "./known-peers.ts";
import { isMovedNews, movedFault, tellMoved, type MovedNews } from "./moved.ts";
import type { Log } from "./logs.ts";
import type { PeerNetwork } from "./peering.ts";

export interface PeerSideNeeds {
  readonly world: World;
  readonly log: Log;
  readonly identity: Identity;
  readonly network: PeerNetwork;
  /** Where this node is reached. */
  readonly news: MovedNews;
  /** null: nothing is remembered on disk. */
  readonly dir: string | null;
}

/** The transport's and the calls' own names -> ours. `_total` marks what only grows. */
export const peerMetricNames = {
  packets_sent: "peer_packets_sent_total",
  packets_received: "peer_packets_received_total",
  bytes_sent: "peer_bytes_sent_total",
  bytes_received: "peer_bytes_received_total",
  lanes_broken: "peer_lanes_broken_total",
  links: "peers",
  links_connected: "peers_connected",
  queued_bytes: "peer_queued_bytes",
  append_stalled_ms: "peer_append_stalled_ms",
  calls_made: "peer_calls_made_total",
  calls_failed: "peer_calls_failed_total",
  calls_served: "peer_calls_served_total",
  calls_refused: "peer_calls_refused_total",
  calls_outgoing: "peer_calls_under_way",
} as const;

/** What this side needs of the broker, which comes later. */
export interface Owner {
  state(): ClusterState;
  onChange(listener: (change: Change) => void): void;
  /** Of the controller. */
  leaderKnown(): boolean;
  join(request: unknown): Promise<unknown>;
  /** A member says where it is reached now. */
  moved(news: MovedNews): Promise<unknown>;
  wanted(groupId: string, incarnation: number): void;
}

export class PeerSide {
  readonly transport: Transport;
  readonly calls: CallLane;
  readonly #log: Log;
  readonly #nodeId: number;
  readonly #dir: string | null;
  readonly #world: World;
  readonly #network: PeerNetwork;
  readonly #news: MovedNews;
  #closed = false;
  #owner: Owner | null = null;
  #peers: PeerList | null = null;
  #removed = false;
  /** Why peers refuse this node, by peer; of those that it has not reached since. */
  readonly #refusals = new Map<number, Fault>();
  #known = "";
  /** The other members as they were known before the metadata was. */
  #first: readonly Peer[] = [];

  static async create(needs: PeerSideNeeds): Promise<PeerSide> {
    const { createCalls } = await import("../transport/call-lane.ts");
    return new PeerSide(needs, createCalls);
  }

  private constructor(
    { world, log, identity, network, news, dir }: PeerSideNeeds,
    createCalls: typeof import("../transport/call-lane.ts").createCalls,
  ) {
    const { nodeId, clusterId } = identity;
    if (clusterId === null || !isMember(identity)) throw new Error("A member has a cluster id");
    this.#world = world;
    this.#network = network;
    this.#news = news;
    this.#log = log;
    this.#nodeId = nodeId;
    this.#dir = dir;
    this.transport = network.transport({
      identity: { ...identity, clusterId },
      bootId: Buffer.from(world.randomBytes(16)).toString("hex"),
      onJoin: (request) => this.#onJoin(request),
      admit: (other) => this.#admit(other),
      onRefused: (peerId, why) => this.#onRefused(peerId, why),
    });
    this.calls = createCalls({ world, transport: this.transport, nodeId, log });
  }

  /** Why this node may be cut off from the others; null: nobody has refused it. */
  get trouble(): string | null {
    if (this.#removed) return removedWords(this.#nodeId);
    for (const [peerId, { message }] of this.#refusals)
      return `node ${peerId} refuses this node: ${message}`;
    return null;
  }

  /** Under the names that /metrics shows. */
  metrics(): Readonly<Record<string, number>> {
    const links = this.transport.links();
    const stalled = Math.max(0, ...links.map(({ appendStalledMs }) => appendStalledMs));
    const numbers = {
      ...this.transport.metrics(),
      ...this.calls.metrics(),
      append_stalled_ms: stalled,
    };
    return renamed(numbers, peerMetricNames);
  }

  /** Opens the peer port; from now on packets come in. */
  async open(host: ReplicaHost, peers: readonly Peer[]): Promise<void> {
    const heard = (nodeId: number): void => void this.#refusals.delete(nodeId);
    await this.transport.open(new Fan(this.calls, host, heard));
    this.transport.setPeers(peers);
    this.#first = peers;
  }

  /** The cluster's metadata is known, and who takes in new nodes. */
  follow(owner: Owner): void {
    this.#owner = owner;
    const set = (peers: readonly Peer[]): void => this.#setPeers(peers);
    this.#peers = new PeerList({
      world: this.#world,
      state: () => owner.state(),
      onChange: (listener) => owner.onChange(listener),
      leaderKnown: () => owner.leaderKnown(),
      connected: () => this.#connected(),
      nodeId: this.#nodeId,
      calls: this.calls,
      known: this.#first,
      set,
    });
    void this.#tellMoved(owner);
  }

  /** What the host is made with beside its own. */
  get forHost(): Pick<HostOptions, "onWanted" | "onReach"> & { readonly transport: Transport } {
    return {
      transport: this.transport,
      onWanted: (groupId, incarnation) => this.#owner?.wanted(groupId, incarnation),
      onReach: (nodeId, reached) => this.calls.onReach(nodeId, reached),
    };
  }

  #tellMoved(owner: Owner): Promise<void> {
    return tellMoved({
      world: this.#world,
      log: this.#log,
      network: this.#network,
      news: this.#news,
      peers: this.#first,
      isOver: () => this.#closed || this.#removed || owner.leaderKnown(),
    });
  }

  #connected(): readonly number[] {
    const links = this.transport.links().filter(({ connected }) => connected);
    return links.map(({ nodeId }) => nodeId);
  }

  #setPeers(all: readonly Peer[]): void {
    const state = this.#owner!.state();
    if (state.removedNodes.has(this.#nodeId)) this.#wasRemoved();
    const peers = all.filter(({ nodeId }) => nodeId !== this.#nodeId);
    const known = JSON.stringify(peers);
    // Before its own row is there the state is behind the others that this node was told of.
    if (known === this.#known || !state.nodes.has(this.#nodeId)) return;
    this.#known = known;
    this.transport.setPeers(peers);
    if (this.#dir !== null) writePeers(this.#dir, peers);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#peers?.close();
    this.calls.close();
    await this.transport.close();
  }

  /** By the cluster's own metadata, or by the word of a peer that may have been forged: so it is said, and not acted on. */
  #wasRemoved(): void {
    if (this.#removed) return;
    this.#removed = true;
    this.#log.write("error", removedWords(this.#nodeId));
  }

  #onRefused(peerId: number, why: Fault): void {
    if (why.members.removed === true) this.#wasRemoved();
    this.#refusals.set(peerId, why);
  }

  async #onJoin(request: unknown): Promise<unknown> {
    const owner = this.#owner;
    if (owner === null) return starting;
    if (!isMovedNews(request)) return await owner.join(request);
    return movedFault(request, owner.state()) ?? (await owner.moved(request));
  }

  #admit(nodeId: number): Refusal | null {
    if (this.#owner?.state().removedNodes.has(nodeId) !== true) return null;
    const detail = `Node ${nodeId} was removed from the cluster`;
    return refuse("policy_violation", detail, { members: { nodeId, removed: true } });
  }
}

const removedWords = (nodeId: number): string =>
  `node ${nodeId} was removed from its cluster: stop it; to join anew, start it with an empty data folder and --join`;

const starting = refuse(
  "not_leader_or_follower",
  "Cannot join: the node that was asked is starting",
);

/** What the transport tells goes to both who live on it. */
class Fan implements TransportEvents {
  readonly #ears: readonly TransportEvents[];
  readonly #calls: TransportEvents;
  readonly #host: TransportEvents;
  readonly #heard: (nodeId: number) => void;

  constructor(calls: CallLane, host: ReplicaHost, heard: (nodeId: number) => void) {
    this.#calls = calls;
    this.#host = host;
    this.#ears = [calls, host];
    this.#heard = heard;
  }

  onPacket(packet: InPacket): void {
    (packet.lane === "call" ? this.#calls : this.#host).onPacket(packet);
  }

  onUp(nodeId: number): void {
    this.#heard(nodeId);
    for (const ear of this.#ears) ear.onUp(nodeId);
  }

  onBroken(nodeId: number, lane: Lane): void {
    for (const ear of this.#ears) ear.onBroken(nodeId, lane);
  }

  onDown(nodeId: number): void {
    for (const ear of this.#ears) ear.onDown(nodeId);
  }
}
