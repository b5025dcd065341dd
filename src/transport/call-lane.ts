// Questions and answers over the `call` lane of a Transport.
//
//   caller                                     callee
//   call(verb)   -- question(id) ----------->  handler(call)
//                <- answer(id) | fault(id) --
//   time over    -- cancel(id) ------------->  call.signal aborts
//   lane broke   -- lost ------------------->  its questions to us may be unanswerable: they fail; ours are aborted
//
// Promise: calls.ts. Every call settles once. What a broken lane may have swallowed settles at once and not by its
// timeout: the sender of a swallowed question knows it, and the sender of a swallowed answer tells the asker as soon
// as the lane is there again. Ids start at random, so that the answer to a former process' question finds nobody.
// Left to others: the wiring: every event of the transport comes here too, packets of other lanes are passed over.

import { assert } from "../assert.ts";
import { Fault, refusalOf } from "../errors.ts";
import { limits } from "../limits.ts";
import type { World } from "../world.ts";
import {
  type CallMessage,
  decodeCallMessage,
  decodeFault,
  encodeCallMessage,
  encodeFault,
  encodeHead,
} from "./call-message.ts";
import type { CallAnswer, CallHandler, CallRequest, CallResult, Calls } from "./calls.ts";
import { unpackFromPeer } from "./message-pack.ts";
import { bytesOf } from "./packet.ts";
import type { PeerLog } from "./peer-log.ts";
import type { InPacket, Lane, Transport, TransportEvents } from "./transport.ts";

export interface CallsOptions {
  readonly world: World;
  readonly transport: Pick<Transport, "send" | "links">;
  readonly nodeId: number;
  /** Told of what a handler throws that is no Fault. */
  readonly log?: PeerLog;
  /** Default limits.callsUnderWayMax, each way. */
  readonly callsMax?: number;
  /** Default limits.callBytesMax, each way. */
  readonly bytesMax?: number;
}

/** Calls, and what the transport tells them. */
export interface CallLane extends Calls, TransportEvents {
  /** Not reached: the node is silent, or deaf, although its connections stand. Nobody waits for its answers any more, and
   *  nothing is asked of it until it is reached; a node that nothing was told of counts as reached. */
  onReach(nodeId: number, reached: boolean): void;
  /** Fails every call under way with shutting_down, aborts those of others, and refuses new ones. Idempotent. */
  close(): void;
  /** Gauges and counters by name. */
  metrics(): Readonly<Record<string, number>>;
}

export function createCalls(options: CallsOptions): CallLane {
  return new LaneCalls(options);
}

interface Outgoing {
  readonly to: number;
  readonly verb: string;
  readonly bytes: number;
  /** The transport has let go of the borrowed body. */
  released: boolean;
  /** How the call ended while its body was not released yet. */
  ended: (() => void) | null;
  settle(end: () => void): void;
  resolve(answer: CallAnswer): void;
  reject(fault: Fault): void;
}

interface Incoming {
  readonly from: number;
  readonly id: number;
  readonly bytes: number;
  readonly controller: AbortController;
}

class LaneCalls implements CallLane {
  readonly #world: World;
  readonly #transport: Pick<Transport, "send" | "links">;
  readonly #nodeId: number;
  readonly #log: PeerLog | undefined;
  readonly #callsMax: number;
  readonly #bytesMax: number;
  readonly #handlers = new Map<string, CallHandler>();
  readonly #outgoing = new Map<number, Outgoing>();
  readonly #incoming = new Map<string, Incoming>();
  /** Nodes that have yet to be told that something to them was lost. */
  readonly #untold = new Set<number>();
  readonly #counts = { calls_made: 0, calls_failed: 0, calls_served: 0, calls_refused: 0 };
  /** Nodes that are connected and have not been heard for a while. */
  readonly #silent = new Set<number>();
  #nextId: number;
  #outgoingBytes = 0;
  #incomingBytes = 0;
  #closed = false;

  constructor(options: CallsOptions) {
    this.#world = options.world;
    this.#transport = options.transport;
    this.#nodeId = options.nodeId;
    this.#log = options.log;
    this.#callsMax = options.callsMax ?? limits.callsUnderWayMax;
    this.#bytesMax = options.bytesMax ?? limits.callBytesMax;
    this.#nextId = randomStart(options.world);
  }

  serve(verb: string, handler: CallHandler): void {
    assert(/^[a-z-]+$/.test(verb), `A verb is of a-z and -, got ${verb}`);
    assert(!this.#handlers.has(verb), `Cannot serve ${verb}: it has a handler`);
    this.#handlers.set(verb, handler);
  }

  call(request: CallRequest): Promise<CallAnswer> {
    const { to, verb, body = [] } = request;
    assert(to !== this.#nodeId, `Cannot call ${verb} of node ${to}: it is this node`);
    const head = encodeHead(request.head);
    const bytes = head.length + bytesOf(body);
    const refused = this.#refusal(request, bytes);
    if (refused !== null) {
      request.release?.();
      return Promise.reject(refused);
    }
    this.#counts.calls_made += 1;
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const call = this.#begin(id, request, bytes, { resolve, reject });
      const message: CallMessage = { kind: "question", id, verb, headLength: head.length };
      const release = (): void => {
        request.release?.();
        call.released = true;
        call.ended?.();
      };
      if (!this.#send(to, message, [head, ...body], release)) call.reject(this.#unsent(to, verb));
    });
  }

  onPacket(packet: InPacket): void {
    if (packet.lane !== "call" || this.#closed) return;
    const message = decodeCallMessage(packet.head);
    if (message === null || message.headLength > packet.body.length) return;
    switch (message.kind) {
      case "question":
        this.#serve(packet, message);
        break;
      case "answer":
        this.#answered(packet, message);
        break;
      case "fault":
        this.#failed(packet.from, message.id, decodeFault(packet.body));
        break;
      case "cancel":
        this.#incoming.get(keyOf(packet.from, message.id))?.controller.abort();
        break;
      case "lost":
        this.#connectionLost(packet.from, "The other node lost packets of the call lane");
        break;
    }
  }

  onUp(nodeId: number): void {
    if (this.#untold.has(nodeId)) this.#tellLost(nodeId);
  }

  onBroken(nodeId: number, lane: Lane): void {
    if (lane !== "call" || this.#closed) return;
    this.#connectionLost(nodeId, "The connection broke");
    this.#tellLost(nodeId);
  }

  onDown(nodeId: number): void {
    // Its process is gone or will begin anew: it remembers no question of ours, and has forgotten its own.
    this.#connectionLost(nodeId, "Every connection with the node ended");
  }

  onReach(nodeId: number, reached: boolean): void {
    if (reached) this.#silent.delete(nodeId);
    else {
      this.#silent.add(nodeId);
      this.#failAll(nodeId, "It has fallen silent");
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const call of this.#outgoing.values())
      call.reject(
        new Fault("shutting_down", `Call ${call.verb} of node ${call.to}: this node is stopping`, {
          sideEffects: "unknown",
        }),
      );
    for (const { controller } of this.#incoming.values()) controller.abort();
  }

  metrics(): Readonly<Record<string, number>> {
    return {
      ...this.#counts,
      calls_outgoing: this.#outgoing.size,
      calls_incoming: this.#incoming.size,
      calls_outgoing_bytes: this.#outgoingBytes,
      calls_incoming_bytes: this.#incomingBytes,
    };
  }

  // The caller's side.

  #refusal({ to, verb, signal }: CallRequest, bytes: number): Fault | null {
    const what = `Cannot call ${verb} of node ${to}`;
    if (this.#closed) return new Fault("shutting_down", `${what}: this node is stopping`);
    if (signal?.aborted === true)
      return new Fault("request_timed_out", `${what}: the request was given up`);
    if (this.#silent.has(to)) return new Fault("node_unreachable", `${what}: it is silent`);
    if (bytes > limits.packetBodyBytesMax)
      return new Fault("message_too_large", `${what}: ${tooLarge(bytes)}`);
    if (this.#outgoing.size >= this.#callsMax || this.#outgoingBytes + bytes > this.#bytesMax)
      return new Fault(
        "overloaded",
        `${what}: at most ${this.#callsMax} calls and ${this.#bytesMax} bytes may be under way, ` +
          `found ${this.#outgoing.size} and ${this.#outgoingBytes}`,
      );
    return null;
  }

  #begin(
    id: number,
    request: CallRequest,
    bytes: number,
    promise: { resolve(answer: CallAnswer): void; reject(fault: Fault): void },
  ): Outgoing {
    const { to, verb, timeoutMs, signal } = request;
    const giveUp = (why: string): void => {
      this.#send(to, { kind: "cancel", id, verb: "", headLength: 0 }, []);
      const detail = `Call ${verb} of node ${to} was given up: ${why}`;
      call.reject(new Fault("request_timed_out", detail, { sideEffects: "unknown" }));
    };
    const timer = this.#world.setTimer(timeoutMs, () =>
      giveUp(`an answer is wanted within ${timeoutMs} ms`),
    );
    const onAbort = (): void => giveUp("nobody waits for it any more");
    signal?.addEventListener("abort", onAbort, { once: true });
    const call: Outgoing = {
      to,
      verb,
      bytes,
      released: request.body === undefined || request.release !== undefined,
      ended: null,
      settle: (end) => {
        if (!this.#outgoing.delete(id)) return;
        this.#outgoingBytes -= bytes;
        timer.cancel();
        signal?.removeEventListener("abort", onAbort);
        // The body is borrowed until the call settles, and the transport may still be reading it.
        if (call.released) end();
        else call.ended = end;
      },
      resolve: (answer) => call.settle(() => promise.resolve(answer)),
      reject: (fault) => {
        this.#counts.calls_failed += 1;
        call.settle(() => promise.reject(fault));
      },
    };
    this.#outgoing.set(id, call);
    this.#outgoingBytes += bytes;
    return call;
  }

  #answered({ from, body }: InPacket, { id, headLength }: CallMessage): void {
    const call = this.#outgoing.get(id);
    if (call === undefined || call.to !== from) return;
    // One copy for both: what is decoded refers to the bytes that it was decoded from.
    const owned = new Uint8Array(body);
    const head = unpackFromPeer(owned.subarray(0, headLength));
    if (head.ok) call.resolve({ head: head.value, body: owned.subarray(headLength) });
    else call.reject(new Fault("corrupt_message", unreadable(call), { sideEffects: "unknown" }));
  }

  #failed(from: number, id: number, fault: Fault): void {
    const call = this.#outgoing.get(id);
    if (call !== undefined && call.to === from) call.reject(fault);
  }

  // The callee's side.

  #serve(packet: InPacket, { id, verb, headLength }: CallMessage): void {
    const { from, body } = packet;
    const handler = this.#handlers.get(verb);
    const full =
      this.#incoming.size >= this.#callsMax || this.#incomingBytes + body.length > this.#bytesMax;
    if (full) return this.#refuse(packet, id, new Fault("overloaded", busy(this.#nodeId, verb)));
    const owned = new Uint8Array(body);
    const head = unpackFromPeer(owned.subarray(0, headLength));
    if (handler === undefined || !head.ok)
      return this.#refuse(packet, id, new Fault("invalid_request", unknown(this.#nodeId, verb)));
    const call: Incoming = { from, id, bytes: body.length, controller: new AbortController() };
    this.#incoming.set(keyOf(from, id), call);
    this.#incomingBytes += call.bytes;
    this.#counts.calls_served += 1;
    const { signal } = call.controller;
    const asked = { from, head: head.value, body: owned.subarray(headLength), signal };
    void this.#run(call, () => handler(asked));
  }

  async #run(call: Incoming, handle: () => Promise<CallResult>): Promise<void> {
    // Within the promise, so that a handler that throws at once is a fault like any other.
    const handled = new Promise<CallResult>((resolve) => resolve(handle()));
    const answer = await handled.then(
      (result) => () => this.#answer(call, result),
      (thrown: unknown) => () => this.#sendFault(call.from, call.id, thrown),
    );
    this.#incoming.delete(keyOf(call.from, call.id));
    this.#incomingBytes -= call.bytes;
    try {
      answer();
    } catch (thrown) {
      // The answer's head cannot be packed.
      this.#sendFault(call.from, call.id, thrown);
    }
  }

  #answer({ from, id }: Incoming, { head, body = [], release }: CallResult): void {
    let headBytes: Uint8Array;
    try {
      headBytes = encodeHead(head);
    } catch (thrown) {
      release?.();
      throw thrown;
    }
    const bytes = headBytes.length + bytesOf(body);
    if (bytes > limits.packetBodyBytesMax) {
      release?.();
      const fault = new Fault("message_too_large", `Cannot answer: ${tooLarge(bytes)}`, {
        sideEffects: "unknown",
      });
      return this.#sendFault(from, id, fault);
    }
    const message: CallMessage = { kind: "answer", id, verb: "", headLength: headBytes.length };
    // An answer that cannot leave is lost: the asker is told as soon as something can.
    if (!this.#send(from, message, [headBytes, ...body], release)) this.#untold.add(from);
  }

  #refuse({ from }: InPacket, id: number, fault: Fault): void {
    this.#counts.calls_refused += 1;
    this.#sendFault(from, id, fault);
  }

  #sendFault(to: number, id: number, thrown: unknown): void {
    if (!(thrown instanceof Fault))
      this.#log?.write("error", "A call failed", { from: to, cause: thrown });
    const message: CallMessage = { kind: "fault", id, verb: "", headLength: 0 };
    if (!this.#send(to, message, [encodeFault(refusalOf(thrown))])) this.#untold.add(to);
  }

  // Both.

  /** Whether it was queued; `release` is called in either case. */
  #send(
    to: number,
    message: CallMessage,
    body: readonly Uint8Array[],
    release?: () => void,
  ): boolean {
    if (this.#closed || (this.#untold.has(to) && !this.#tellLost(to))) {
      release?.();
      return false;
    }
    // A long call lets others pass, what belongs to it keeps its order.
    const head = encodeCallMessage(message);
    return this.#transport.send(to, "call", { head, body, release, flow: message.id });
  }

  /** Says that packets to this node were lost; kept in mind until it is said. */
  #tellLost(nodeId: number): boolean {
    const head = encodeCallMessage({ kind: "lost", id: 0, verb: "", headLength: 0 });
    const told = this.#transport.send(nodeId, "call", { head, body: [] });
    if (told) this.#untold.delete(nodeId);
    else this.#untold.add(nodeId);
    return told;
  }

  #connectionLost(nodeId: number, why: string): void {
    this.#failAll(nodeId, why);
    for (const { from, controller } of this.#incoming.values())
      if (from === nodeId) controller.abort();
  }

  #failAll(nodeId: number, why: string): void {
    for (const call of this.#outgoing.values()) {
      if (call.to !== nodeId) continue;
      const detail = `Call ${call.verb} of node ${nodeId} failed: ${why.toLowerCase()}`;
      call.reject(new Fault("node_unreachable", detail, { sideEffects: "unknown" }));
    }
  }

  #unsent(to: number, verb: string): Fault {
    const link = this.#transport.links().find(({ nodeId }) => nodeId === to);
    return link?.connected === true
      ? new Fault("overloaded", `Cannot call ${verb} of node ${to}: its queue is full`)
      : new Fault("node_unreachable", `Cannot call ${verb} of node ${to}: it is not connected`);
  }
}

/** Below 2^48, so that counting on stays exact for longer than any process lives. */
function randomStart(world: World): number {
  return world.randomBytes(6).reduce((sum, byte) => sum * 256 + byte, 0) + 1;
}

const keyOf = (from: number, id: number): string => `${from}:${id}`;

const tooLarge = (bytes: number): string =>
  `head and body are at most ${limits.packetBodyBytesMax} bytes, got ${bytes}`;
const unreadable = ({ verb, to }: Outgoing): string =>
  `Cannot read the answer to ${verb} of node ${to}: its head is no MessagePack`;
const busy = (nodeId: number, verb: string): string =>
  `Cannot serve ${verb}: node ${nodeId} has as many calls under way as it takes`;
const unknown = (nodeId: number, verb: string): string =>
  `Cannot serve ${verb}: node ${nodeId} knows no such verb with such a head`;
