// What a node needs of a connection to a peer port: ask a short question, send a lane's bytes. Over HTTP/2 (http2-wire.ts)
// or, where that does not get through, over HTTP/1.1 (http1-wire.ts).

import { Fault, type Refusal } from "../errors.ts";
import { readFault } from "./call-message.ts";
import type { PeerTls } from "./peer-auth.ts";
import type { Lane } from "./transport.ts";

export interface WireTarget {
  readonly host: string;
  readonly port: number;
  readonly tls: PeerTls | null;
}

export interface WireAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

export interface LaneEvents {
  /** The peer has taken this many bytes of the lane. */
  onAck(bytes: number): void;
  /** The lane is over. Called once. */
  onEnd(why: Fault): void;
}

export interface LaneWire {
  /** Takes bytes that stay as they are until they are acknowledged. */
  write(bytes: Uint8Array): void;
}

export interface PeerWire {
  readonly protocol: "HTTP/2" | "HTTP/1.1";
  /** Something takes connections there, whatever it speaks. */
  readonly reached: boolean;
  /** The whole answer, at most limits.helloBytesMax of it. Rejects with a Fault alone. */
  ask(
    path: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
  ): Promise<WireAnswer>;
  /** Resolves once the peer took the lane. Rejects with a Fault alone. */
  openLane(
    lane: Lane,
    headers: Readonly<Record<string, string>>,
    events: LaneEvents,
  ): Promise<LaneWire>;
  /** Ends everything. Idempotent. */
  close(): void;
}

/** The origin of a peer port. */
export function originOf({ host, port, tls }: WireTarget): string {
  return `${tls === null ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

export function unreachable(target: WireTarget, why: unknown): Fault {
  const reason = why instanceof Error ? why.message : String(why);
  const detail = `Cannot reach peer port ${originOf(target)}: ${reason}`;
  return new Fault("node_unreachable", detail, { cause: why, sideEffects: "unknown" });
}

/** The fault that an answer other than 200 tells. */
export function answeredFault(target: WireTarget, { status, body }: WireAnswer): Fault {
  const told = readFault(body);
  if (told !== null) return told;
  return new Fault(
    "node_unreachable",
    `Cannot talk to ${originOf(target)}: a peer port is wanted, got HTTP status ${status}`,
  );
}

export function faultOf({ code, detail, sideEffects, members }: Refusal): Fault {
  return new Fault(code, detail, { sideEffects, members });
}
