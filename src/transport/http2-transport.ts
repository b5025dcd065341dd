// The transport between real nodes: HTTP/2 lanes both ways, as transport.ts promises them.
//
//   this node                                         peer
//   PeerLink   --- control | append, call | bulk -->  PeerDoor      each direction has connections of its own
//   PeerDoor   <-- control | append, call | bulk ---  PeerLink
//
// Promise: no event before open() or after close(), none from within send(); onDown() once nothing is open in either
// direction, which after kill -9 of the peer takes as long as its sockets take to close. Without secret and certificates
// only loopback is bound. Left to others: who the peers are (setPeers), which nodes may connect (admit).

import { isLoopback } from "../address.ts";
import { assert } from "../assert.ts";
import { Fault, type Refusal } from "../errors.ts";
import type { Timer, World } from "../world.ts";
import { ChunkPool } from "./chunk-pool.ts";
import { checkedBytesOf } from "./packet.ts";
import { PeerAuth, type PeerTls } from "./peer-auth.ts";
import { defaultPace, type Pace, type Protocol, type Self } from "./peer-connection.ts";
import { PeerDoor } from "./peer-door.ts";
import { PeerLink } from "./peer-link.ts";
import type { PeerLog } from "./peer-log.ts";
import { peerBindRefusal } from "./peer-security.ts";
import { type PeerServer, servePeers } from "./peer-server.ts";
import type {
  InPacket,
  Lane,
  LinkState,
  OutPacket,
  Peer,
  Transport,
  TransportEvents,
} from "./transport.ts";

export interface Http2TransportOptions {
  readonly world: World;
  readonly nodeId: number;
  readonly clusterId: string;
  /** Of this process alone: another one at each start, at most 255 characters. */
  readonly bootId: string;
  /** Port 0: any free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Known to every node of the cluster, at least secretCharsMin characters. */
  readonly secret?: string | null;
  readonly tls?: PeerTls | null;
  readonly log: PeerLog;
  /** Answers a node that wants to become a member: plain data for msgpackr, both ways, at most limits.helloBytesMax. */
  readonly onJoin?: (request: unknown) => Promise<unknown>;
  /** Why a node of the cluster may not connect, e.g. because it was removed; null: it may. Default: every node may. */
  readonly admit?: (nodeId: number) => Refusal | null;
  /** A peer refuses this node for a reason that lasts, e.g. because it was removed: what the peer said, unproven. */
  readonly onRefused?: (peerId: number, why: Fault) => void;
  readonly pace?: Partial<Pace>;
  /** auto: HTTP/1.1 where HTTP/2 does not get through. */
  readonly protocol?: Protocol;
}

/** How often connections are looked after, ms. */
const tickMs = 500;

/** Throws Fault invalid_config where peerBindRefusal() refuses. */
export function createHttp2Transport(options: Http2TransportOptions): Transport {
  return new Http2Transport(options);
}

class Http2Transport implements Transport {
  readonly #options: Http2TransportOptions;
  readonly #tls: PeerTls | null;
  readonly #self: Self;
  readonly #door: PeerDoor;
  readonly #links = new Map<number, PeerLink>();
  readonly #counts = {
    packets_sent: 0,
    packets_received: 0,
    bytes_sent: 0,
    bytes_received: 0,
    lanes_broken: 0,
  };
  /** Nodes that were up or sent something since they were last down: whose end is worth telling. */
  readonly #heard = new Set<number>();
  #events: TransportEvents | null = null;
  #server: PeerServer | null = null;
  #ticker: Timer | null = null;
  #closing: Promise<void> | null = null;

  constructor(options: Http2TransportOptions) {
    const { world, nodeId, clusterId, bootId, log, listen, secret = null, tls = null } = options;
    const { host } = listen;
    const refused = peerBindRefusal({ host, loopback: isLoopback(host), secret, tls });
    if (refused !== null) throw new Fault(refused.code, refused.detail);
    this.#options = options;
    this.#tls = tls;
    const auth = new PeerAuth({ secret, tls }, () => world.now());
    const pace = { ...defaultPace, ...options.pace };
    const protocol = options.protocol ?? "auto";
    const pool = new ChunkPool();
    const onRefused = options.onRefused ?? (() => undefined);
    this.#self = { world, nodeId, clusterId, bootId, auth, log, pool, pace, protocol, onRefused };
    this.#door = new PeerDoor({
      world,
      nodeId,
      clusterId,
      bootId,
      auth,
      log,
      admit: options.admit ?? (() => null),
      onJoin: options.onJoin ?? null,
      onPacket: (packet) => this.#received(packet),
      onProcess: (from, boot) => this.#links.get(from)?.processIs(boot),
      onLanes: (from) => this.#lanesChanged(from),
    });
  }

  get address(): { readonly host: string; readonly port: number } {
    assert(this.#server !== null, "The address of a transport is known once open() has resolved");
    return { host: this.#options.listen.host, port: this.#server.port };
  }

  open(events: TransportEvents): Promise<void> {
    assert(this.#events === null, "Cannot open transport: it was opened");
    this.#events = events;
    const { host, port } = this.#options.listen;
    try {
      this.#server = servePeers({
        host,
        port,
        tls: this.#tls,
        fetch: (request) => this.#answer(request),
      });
    } catch (thrown) {
      const detail = `Cannot open peer port ${host}:${port}: ${(thrown as Error).message}`;
      return Promise.reject(new Fault("invalid_config", detail, { cause: thrown }));
    }
    this.#tick();
    return Promise.resolve();
  }

  /** A bug of those who take packets ends the process, as it does on a long lane; the runtime would answer 500 and go on. */
  #answer(request: Request): Promise<Response> {
    return this.#door.fetch(request).catch((thrown: unknown) => {
      this.#options.world.defer(() => {
        throw thrown;
      });
      return new Response(null, { status: 500 });
    });
  }

  setPeers(peers: readonly Peer[]): void {
    if (this.#closing !== null) return;
    const wanted = new Map(peers.map((peer) => [peer.nodeId, peer]));
    wanted.delete(this.#options.nodeId);
    for (const [nodeId, link] of this.#links) {
      const peer = wanted.get(nodeId);
      if (peer?.host === link.peer.host && peer.port === link.peer.port) continue;
      this.#leave(nodeId, link);
      if (peer === undefined) this.#door.endFrom(nodeId, null);
    }
    for (const [nodeId, peer] of wanted)
      if (!this.#links.has(nodeId)) this.#links.set(nodeId, this.#newLink(peer));
  }

  send(to: number, lane: Lane, packet: OutPacket): boolean {
    const bytes = checkedBytesOf(packet);
    const sender = this.#links.get(to)?.sender(lane);
    if (sender === undefined || sender.room < bytes) {
      packet.release?.();
      return false;
    }
    this.#counts.packets_sent += 1;
    this.#counts.bytes_sent += bytes;
    sender.push(packet, bytes);
    return true;
  }

  room(to: number, lane: Lane): number {
    return this.#links.get(to)?.sender(lane)?.room ?? 0;
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
      lanes_inbound: this.#door.lanes,
      hellos_kept: this.#door.sessions,
      queued_bytes: states.reduce((sum, state) => sum + state.queuedBytes, 0),
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#events = null;
    this.#ticker?.cancel();
    for (const link of this.#links.values()) link.stop();
    this.#links.clear();
    this.#door.close();
    await this.#server?.stop();
  }

  #newLink(peer: Peer): PeerLink {
    const { nodeId } = peer;
    return new PeerLink(this.#self, peer, this.#tls, {
      onConnected: () => {
        this.#heard.add(nodeId);
        this.#events?.onUp(nodeId);
      },
      onBroken: (lanes) => this.#broken(nodeId, lanes),
    });
  }

  /** Not from within setPeers(): its caller does not expect to be called back. */
  #leave(nodeId: number, link: PeerLink): void {
    this.#links.delete(nodeId);
    const lanes = link.stop();
    if (lanes.length > 0) this.#options.world.defer(() => this.#broken(nodeId, lanes));
  }

  #broken(nodeId: number, lanes: readonly Lane[]): void {
    this.#counts.lanes_broken += lanes.length;
    for (const lane of lanes) this.#events?.onBroken(nodeId, lane);
    this.#tellIfDown(nodeId);
  }

  #lanesChanged(nodeId: number): void {
    if (this.#door.lanesFrom(nodeId) === 0) this.#tellIfDown(nodeId);
    else this.#links.get(nodeId)?.hurry();
  }

  /** After something with this node ended. */
  #tellIfDown(nodeId: number): void {
    if (this.#links.get(nodeId)?.isAlive === true || this.#door.lanesFrom(nodeId) > 0) return;
    if (this.#heard.delete(nodeId)) this.#events?.onDown(nodeId);
  }

  #received(packet: InPacket): void {
    if (this.#events === null) return;
    this.#heard.add(packet.from);
    this.#counts.packets_received += 1;
    this.#counts.bytes_received += packet.head.length + packet.body.length;
    this.#events.onPacket(packet);
  }

  #tick(): void {
    this.#ticker = this.#options.world.setTimer(tickMs, () => {
      for (const link of this.#links.values()) link.tick();
      this.#door.tick();
      this.#tick();
    });
  }
}
