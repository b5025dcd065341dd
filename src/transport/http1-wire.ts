// A connection to a peer port over HTTP/1.1, for where HTTP/2 does not get through (a proxy between).
//
//   lane   POST /peer/v1/batches/{lane}  all bytes that wait  ->  the answer is the acknowledgement  -> the next POST
//
// Promise: peer-wire.ts. One request of a lane is under way at a time, over connections that are kept alive: correct, and
// slower by a round trip a batch. The peer notices the end of this process only by its silence.

import { Agent as HttpAgent, type ClientRequest, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { Fault } from "../errors.ts";
import { limits } from "../limits.ts";
import { unpackFromPeer } from "./message-pack.ts";
import { faultIn } from "./greeting.ts";
import { bytesOf } from "./packet.ts";
import {
  answeredFault,
  type LaneEvents,
  type LaneWire,
  type PeerWire,
  unreachable,
  type WireAnswer,
  type WireTarget,
} from "./peer-wire.ts";
import type { Lane } from "./transport.ts";

type Headers = Readonly<Record<string, string>>;

const batchBytesMax = 1024 * 1024;

export class Http1Wire implements PeerWire {
  readonly protocol = "HTTP/1.1";
  readonly #target: WireTarget;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #requests = new Set<ClientRequest>();
  readonly #lanes = new Set<(why: Fault) => void>();
  #closed = false;
  #reached = false;

  constructor(target: WireTarget) {
    this.#target = target;
    this.#agent =
      target.tls === null
        ? new HttpAgent({ keepAlive: true })
        : new HttpsAgent({ ...target.tls, keepAlive: true, rejectUnauthorized: true });
  }

  get reached(): boolean {
    return this.#reached;
  }

  ask(path: string, headers: Headers, body: Uint8Array): Promise<WireAnswer> {
    return this.#post(path, headers, [body]);
  }

  async openLane(lane: Lane, headers: Headers, events: LaneEvents): Promise<LaneWire> {
    const batches = new Batches((parts) => this.#batch(lane, headers, parts), events);
    await this.#batch(lane, headers, []);
    this.#lanes.add((why) => batches.end(why));
    return batches;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const why = unreachable(this.#target, "this node ended the connection");
    for (const request of this.#requests) request.destroy();
    this.#agent.destroy();
    for (const end of this.#lanes) end(why);
  }

  /** Bytes of the lane that the peer has taken. */
  async #batch(lane: Lane, headers: Headers, parts: readonly Uint8Array[]): Promise<number> {
    const answer = await this.#post(`/peer/v1/batches/${lane}`, headers, parts);
    const read = unpackFromPeer(answer.body);
    if (answer.status !== 200 || !read.ok || typeof read.value !== "number")
      throw answeredFault(this.#target, answer);
    return read.value;
  }

  #post(path: string, headers: Headers, parts: readonly Uint8Array[]): Promise<WireAnswer> {
    const { host, port, tls } = this.#target;
    if (this.#closed) return Promise.reject(unreachable(this.#target, "the connection ended"));
    return new Promise((resolve, reject) => {
      const post = tls === null ? httpRequest : httpsRequest;
      const length = { "content-length": String(bytesOf(parts)) };
      const options = { host, port, path, method: "POST", agent: this.#agent };
      const request = post({ ...options, headers: { ...headers, ...length } });
      const fail = (why: unknown): void => {
        this.#requests.delete(request);
        reject(unreachable(this.#target, why));
      };
      this.#requests.add(request);
      request.on("error", fail);
      request.on("close", () => fail("the connection ended"));
      request.on("response", (response) => {
        this.#reached = true;
        const got: Uint8Array[] = [];
        response.on("data", (part: Uint8Array) => {
          got.push(Buffer.from(part));
          if (bytesOf(got) > limits.helloBytesMax) request.destroy();
        });
        response.on("error", fail);
        response.on("end", () => {
          this.#requests.delete(request);
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(got) });
        });
      });
      for (const part of parts) request.write(part);
      request.end();
    });
  }
}

/** A lane's bytes, one batch after the other. */
class Batches implements LaneWire {
  readonly #send: (parts: readonly Uint8Array[]) => Promise<number>;
  readonly #events: LaneEvents;
  #waiting: Uint8Array[] = [];
  #busy = false;
  #ended = false;

  constructor(send: (parts: readonly Uint8Array[]) => Promise<number>, events: LaneEvents) {
    this.#send = send;
    this.#events = events;
  }

  write(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#waiting.push(bytes);
    if (!this.#busy) void this.#run();
  }

  end(why: Fault): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#waiting = [];
    this.#events.onEnd(why);
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#waiting.length > 0 && !this.#ended) {
      const taken = await this.#send(this.#nextBatch()).catch((thrown: unknown) => faultIn(thrown));
      if (taken instanceof Fault) this.end(taken);
      else if (!this.#ended) this.#events.onAck(taken);
    }
    this.#busy = false;
  }

  #nextBatch(): Uint8Array[] {
    const batch: Uint8Array[] = [];
    for (let bytes = 0; bytes < batchBytesMax && this.#waiting.length > 0;) {
      const [part] = this.#waiting.splice(0, 1);
      batch.push(part);
      bytes += part.length;
    }
    return batch;
  }
}
