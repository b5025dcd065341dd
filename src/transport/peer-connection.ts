// One connection to a peer and the lanes on it: made, watched, made again.
//
//   idle -> connecting -> open -> broken -> (back-off) -> connecting ...            stop(): from anywhere, for good
//
// Promise: while it is open each lane has a sender; when it breaks, everything that waited is released before onBroken().
// Broken by: the connection's or a lane's end, a fault that the peer told, acknowledgements that make no sense, or none
// for stallMs. Back-off doubles, with jitter. Left to others: which connections there are, and what their state means
// for the node and for who reads its log (peer-link.ts).

import { Fault } from "../errors.ts";
import type { Timer, World } from "../world.ts";
import type { ChunkPool } from "./chunk-pool.ts";
import { faultIn, greet, type Greeter, type Greeting } from "./greeting.ts";
import { seedOf } from "./hello.ts";
import { Http1Wire } from "./http1-wire.ts";
import { Http2Wire } from "./http2-wire.ts";
import { LaneSender } from "./lane-sender.ts";
import type { PeerAuth } from "./peer-auth.ts";
import type { PeerLog } from "./peer-log.ts";
import type { LaneWire, PeerWire, WireTarget } from "./peer-wire.ts";
import type { Lane } from "./transport.ts";

export interface Pace {
  /** No acknowledgement for so long while something is under way: broken. Outlives a pause of the machine. */
  readonly stallMs: number;
  /** A silent lane says something after so long. */
  readonly pingMs: number;
  /** Connecting and hello take at most this. */
  readonly connectMsMax: number;
  readonly backOffMsMin: number;
  readonly backOffMsMax: number;
  /** After what will not change soon: another cluster, a wrong secret. */
  readonly refusedMs: number;
  /** On HTTP/1.1 for want of HTTP/2, it is looked so often whether HTTP/2 gets through now. */
  readonly probeMs: number;
}

export const defaultPace: Pace = {
  stallMs: 5_000,
  pingMs: 2_000,
  connectMsMax: 5_000,
  backOffMsMin: 50,
  backOffMsMax: 2_000,
  refusedMs: 5_000,
  probeMs: 60_000,
};

export type Protocol = "auto" | "http2" | "http1";

/** What all connections of a node share. */
export interface Self {
  readonly world: World;
  readonly nodeId: number;
  readonly clusterId: string;
  readonly bootId: string;
  readonly auth: PeerAuth;
  readonly log: PeerLog;
  readonly pool: ChunkPool;
  readonly pace: Pace;
  readonly protocol: Protocol;
  /** A peer does not take this node's connection, for a reason that lasts. */
  readonly onRefused: (peerId: number, why: Fault) => void;
}

export interface ConnectionEvents {
  /** Its lanes are open, to this process of the peer. */
  onOpen(bootId: string): void;
  /** Its lanes are no longer open. */
  onBroken(why: Fault): void;
  /** They could not be opened. */
  onFailed(why: Fault): void;
}

export class PeerConnection {
  readonly lanes: readonly Lane[];
  readonly #self: Self;
  readonly #peerId: number;
  readonly #target: WireTarget;
  readonly #events: ConnectionEvents;
  readonly #senders = new Map<Lane, LaneSender>();
  #wire: PeerWire | null = null;
  #state: "idle" | "connecting" | "open" | "stopped" = "idle";
  #failures = 0;
  /** Why it is not open; null: it is, or was never tried. */
  #trouble: Fault | null = null;
  #timer: Timer | null = null;
  /** Attempts in a row in which something was reached that did not speak HTTP/2 to the end. */
  #deaf = 0;
  #bootId: string | null = null;
  /** When HTTP/2 was last tried. */
  #probedAt = 0;
  /** Why a lane ended before all were open. */
  #early: Fault | null = null;

  constructor(
    self: Self,
    peer: { readonly nodeId: number; readonly target: WireTarget; readonly lanes: readonly Lane[] },
    events: ConnectionEvents,
  ) {
    this.#self = self;
    this.#peerId = peer.nodeId;
    this.#target = peer.target;
    this.lanes = peer.lanes;
    this.#events = events;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get protocol(): string | null {
    return this.#wire?.protocol ?? null;
  }

  /** The peer's process at the other end; null while not open. */
  get bootId(): string | null {
    return this.#bootId;
  }

  sender(lane: Lane): LaneSender | undefined {
    return this.#senders.get(lane);
  }

  start(): void {
    void this.#connect();
  }

  /** Ends it without a word to the owner. Idempotent. */
  stop(): void {
    this.#state = "stopped";
    this.#timer?.cancel();
    this.#wire?.close();
    this.#dropLanes();
  }

  /** Ends it as a fault does. */
  end(why: Fault): void {
    if (this.#state === "open") this.#broken(why);
  }

  /** There is reason to believe that the peer is there: does not wait any longer to try again. */
  hurry(): void {
    if (this.#state !== "idle" || this.#timer === null || isLasting(this.#trouble)) return;
    this.#timer.cancel();
    this.start();
  }

  /** To be called several times a second: watches and keeps alive. */
  tick(): void {
    const { stallMs, pingMs } = this.#self.pace;
    for (const [lane, sender] of this.#senders) {
      if (sender.stalledMs > stallMs) {
        const detail = `Lane ${lane} stalled: an acknowledgement is wanted within ${stallMs} ms`;
        return this.#broken(new Fault("request_timed_out", detail));
      }
      if (sender.silentMs > pingMs) sender.ping();
    }
    const { protocol, world } = this.#self;
    const isFallback = protocol === "auto" && this.#wire?.protocol === "HTTP/1.1";
    if (isFallback && world.monotonic() - this.#probedAt > this.#self.pace.probeMs)
      void this.#probe();
  }

  /** Goes back to HTTP/2 where it gets through: a peer that stood still may have made it look as if it did not. */
  async #probe(): Promise<void> {
    const { world, auth, pace } = this.#self;
    this.#probedAt = world.monotonic();
    const http1 = this.#wire;
    const wire = new Http2Wire(this.#target, (fn) => world.defer(fn));
    const late = world.setTimer(pace.connectMsMax, () => wire.close());
    const answered = await greet(wire, this.#who, { world, auth, target: this.#target }).then(
      () => true,
      () => false,
    );
    late.cancel();
    wire.close();
    if (answered && this.#wire === http1)
      this.end(new Fault("node_unreachable", "HTTP/2 gets through: HTTP/1.1 is left"));
  }

  get #who(): Greeter {
    const { clusterId, nodeId, bootId } = this.#self;
    return { purpose: "lanes", clusterId, from: nodeId, to: this.#peerId, bootId };
  }

  async #connect(): Promise<void> {
    const { world, auth, pace } = this.#self;
    this.#state = "connecting";
    this.#timer = null;
    this.#early = null;
    const wire = this.#newWire();
    this.#wire = wire;
    const late = world.setTimer(pace.connectMsMax, () => wire.close());
    try {
      const greeting = await greet(wire, this.#who, { world, auth, target: this.#target });
      await this.#openLanes(wire, greeting);
      if (this.#wire !== wire || this.#state !== "connecting") return wire.close();
      if (this.#early !== null) throw this.#early;
      this.#opened(greeting.answer.bootId);
    } catch (thrown) {
      wire.close();
      if (this.#wire === wire) this.#failed(wire, faultIn(thrown));
    } finally {
      late.cancel();
    }
  }

  #newWire(): PeerWire {
    const { protocol, world } = this.#self;
    const http1 = protocol === "http1" || (protocol === "auto" && this.#deaf >= deafMax);
    return http1
      ? new Http1Wire(this.#target)
      : new Http2Wire(this.#target, (fn) => world.defer(fn));
  }

  async #openLanes(wire: PeerWire, greeting: Greeting): Promise<void> {
    const { world, pool } = this.#self;
    const opened = await Promise.all(
      this.lanes.map(async (lane) => {
        // Between the answer's head and the sender there may be an acknowledgement: of nothing.
        let sender: LaneSender | null = null;
        const laneWire: LaneWire = await wire.openLane(lane, greeting.headersFor(lane), {
          onAck: (bytes) => {
            if (sender !== null && !sender.acked(bytes))
              this.#laneEnded(
                wire,
                new Fault("corrupt_message", `Lane ${lane}: no such acknowledgement`),
              );
          },
          onEnd: (why) => this.#laneEnded(wire, why),
        });
        sender = new LaneSender({
          seed: seedOf(greeting.transcript, lane),
          pool,
          now: () => world.monotonic(),
          defer: (fn) => world.defer(fn),
          write: (bytes) => laneWire.write(bytes),
        });
        return [lane, sender] as const;
      }),
    );
    if (this.#wire !== wire) return;
    for (const [lane, sender] of opened) this.#senders.set(lane, sender);
  }

  #laneEnded(wire: PeerWire, why: Fault): void {
    if (this.#wire !== wire) return;
    if (this.#state === "open") return this.#broken(why);
    this.#early ??= why;
    wire.close();
  }

  #opened(bootId: string): void {
    this.#state = "open";
    this.#bootId = bootId;
    this.#probedAt = this.#self.world.monotonic();
    this.#failures = 0;
    this.#deaf = 0;
    this.#trouble = null;
    this.#events.onOpen(bootId);
  }

  #broken(why: Fault): void {
    const wire = this.#wire;
    this.#retreat(why);
    // Only now: the end of the wire is the end of its other lanes, and each would tell.
    wire?.close();
    this.#dropLanes();
    this.#events.onBroken(why);
  }

  #failed(wire: PeerWire, why: Fault): void {
    if (this.#state === "stopped") return;
    this.#dropLanes();
    // Something is there that HTTP/2 does not get through: then HTTP/1.1 has its turn, once, and so on.
    const isDeaf = wire.reached && why.code === "node_unreachable" && this.#deaf < deafMax;
    this.#deaf = isDeaf ? this.#deaf + 1 : 0;
    this.#retreat(why);
    this.#events.onFailed(why);
  }

  #retreat(why: Fault): void {
    const { world, pace } = this.#self;
    this.#state = "idle";
    this.#wire = null;
    this.#bootId = null;
    const doubled = Math.min(pace.backOffMsMin * 2 ** this.#failures, pace.backOffMsMax);
    const longest = isLasting(why) ? pace.refusedMs : doubled;
    this.#failures += 1;
    if (isLasting(why)) this.#self.onRefused(this.#peerId, why);
    this.#trouble = why;
    const waitMs = longest * (0.5 + world.random() / 2);
    this.#timer = world.setTimer(waitMs, () => this.start());
  }

  #dropLanes(): void {
    for (const sender of this.#senders.values()) sender.close();
    this.#senders.clear();
  }
}

/** So often HTTP/2 is tried; more than once, because a peer that is just starting or ending fails like that too. */
const deafMax = 3;

/** What a new attempt at once would not change. */
const lasting: ReadonlySet<string> = new Set([
  "wrong_cluster",
  "wrong_node",
  "replaced_process",
  "peer_authentication_failed",
  // A node that was removed.
  "policy_violation",
]);

export const isLasting = (why: Fault | null): boolean => why !== null && lasting.has(why.code);
