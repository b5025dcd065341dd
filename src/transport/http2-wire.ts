// A connection to a peer port over HTTP/2, by node:http2's client, which Bun and Deno both have.
//
// Promise: peer-wire.ts. The end of the connection ends its lanes at once (measured 5-10 ms after kill -9 of the peer).
// Left to others: hello and proofs, reconnecting, deadlines.

import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { Fault } from "../errors.ts";
import { limits } from "../limits.ts";
import { AckReader } from "./acks.ts";
import {
  answeredFault,
  type LaneEvents,
  type LaneWire,
  originOf,
  type PeerWire,
  unreachable,
  type WireAnswer,
  type WireTarget,
} from "./peer-wire.ts";
import type { Lane } from "./transport.ts";

type Headers = Readonly<Record<string, string>>;

export class Http2Wire implements PeerWire {
  readonly protocol = "HTTP/2";
  readonly #target: WireTarget;
  readonly #defer: (fn: () => void) => void;
  readonly #session: ClientHttp2Session;
  /** Ends of what is under way, by the connection's end. */
  readonly #ends = new Set<(why: Fault) => void>();
  #ended: Fault | null = null;
  #reached = false;

  constructor(target: WireTarget, defer: (fn: () => void) => void) {
    this.#target = target;
    this.#defer = defer;
    const { tls } = target;
    const session = connect(
      originOf(target),
      tls === null ? {} : { ...tls, rejectUnauthorized: true },
    );
    this.#session = session;
    session.on("connect", () => {
      this.#reached = true;
    });
    session.on("error", (error) => this.#end(unreachable(target, error)));
    session.on("close", () => this.#end(unreachable(target, "the connection ended")));
  }

  get reached(): boolean {
    return this.#reached;
  }

  ask(path: string, headers: Headers, body: Uint8Array): Promise<WireAnswer> {
    return new Promise((resolve, reject) => {
      const stream = this.#request(path, headers, reject);
      if (stream === null) return;
      let status = 0;
      const parts: Uint8Array[] = [];
      let bytes = 0;
      stream.on("response", (answer) => {
        status = answer[":status"] ?? 0;
      });
      stream.on("data", (part: Uint8Array) => {
        bytes += part.length;
        if (bytes <= limits.helloBytesMax) parts.push(Buffer.from(part));
        else
          this.#end(unreachable(this.#target, `an answer is over ${limits.helloBytesMax} bytes`));
      });
      stream.on("end", () => {
        this.#ends.delete(reject);
        if (status === 0) reject(unreachable(this.#target, "the connection ended"));
        else resolve({ status, body: Buffer.concat(parts) });
      });
      stream.end(body);
    });
  }

  openLane(lane: Lane, headers: Headers, events: LaneEvents): Promise<LaneWire> {
    return new Promise((resolve, reject) => {
      let isOpen = false;
      let isOver = false;
      const over = (why: Fault): void => {
        if (isOver) return;
        isOver = true;
        this.#ends.delete(over);
        if (isOpen) events.onEnd(why);
        else reject(why);
      };
      const stream = this.#request(`/peer/v1/lanes/${lane}`, headers, over);
      if (stream === null) return;
      const acks = new AckReader((bytes) => {
        if (!isOver) events.onAck(bytes);
      });
      stream.on("response", (answer) => {
        const status = answer[":status"] ?? 0;
        if (status !== 200) return this.#refused(stream, status, over);
        isOpen = true;
        resolve(new StreamWriter(stream));
        stream.on("data", (part: Uint8Array) => {
          const told = acks.push(part);
          if (told !== null) over(told);
        });
      });
      stream.on("end", () => over(unreachable(this.#target, `lane ${lane} ended`)));
    });
  }

  close(): void {
    this.#end(unreachable(this.#target, "this node ended the connection"));
  }

  /** `onEnd` hears of the end of stream or connection, also at once when that is over. */
  #request(path: string, headers: Headers, onEnd: (why: Fault) => void): ClientHttp2Stream | null {
    if (this.#ended !== null) {
      onEnd(this.#ended);
      return null;
    }
    this.#ends.add(onEnd);
    const stream = this.#session.request({ ":method": "POST", ":path": path, ...headers });
    const end = (why: unknown): void => {
      this.#ends.delete(onEnd);
      onEnd(unreachable(this.#target, why));
    };
    stream.on("error", end);
    stream.on("close", () => end("the stream was closed"));
    return stream;
  }

  /** Reads why a lane was not taken. */
  #refused(stream: ClientHttp2Stream, status: number, over: (why: Fault) => void): void {
    const parts: Uint8Array[] = [];
    stream.on("data", (part: Uint8Array) => {
      if (parts.length < 16) parts.push(Buffer.from(part));
    });
    stream.removeAllListeners("end");
    stream.on("end", () =>
      over(answeredFault(this.#target, { status, body: Buffer.concat(parts) })),
    );
  }

  #end(why: Fault): void {
    if (this.#ended !== null) return;
    this.#ended = why;
    for (const end of this.#ends) end(why);
    this.#ends.clear();
    // Never from within one of its events: on Deno 2.9 that aborts the process (an assertion of nghttp2's, when the
    // event is a GOAWAY).
    this.#defer(() => {
      if (!this.#session.destroyed) this.#session.destroy();
    });
  }
}

/** One write at a time: what a stream holds beyond that, it joins into one piece, which took a fifth of the sender's
 *  CPU time. */
class StreamWriter implements LaneWire {
  readonly #stream: ClientHttp2Stream;
  #waiting: Uint8Array[] = [];
  #isBusy = false;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
  }

  write(bytes: Uint8Array): void {
    if (this.#isBusy) this.#waiting.push(bytes);
    else this.#send(bytes);
  }

  #send(bytes: Uint8Array): void {
    if (this.#stream.destroyed) return;
    this.#isBusy = true;
    this.#stream.write(bytes, () => {
      this.#isBusy = false;
      const next = this.#waiting.shift();
      if (next !== undefined) this.#send(next);
    });
  }
}
