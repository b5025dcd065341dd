// The routes of the peer port: hello, lanes, batches, join. One function from Request to Response, whatever serves it.
//
// Promise: nothing but a hello is answered to a stranger; no lane is opened without the proof that fits its session, nor
// twice in one session; of several processes of one node the newest is believed, and the former stay out. Refusals have
// stable codes. Left to others: sockets (peer-server.ts), what packets and join requests mean.

import { codes, type Refusal, refuse, refusalOf } from "../errors.ts";
import { limits } from "../limits.ts";
import type { World } from "../world.ts";
import { encodeFault, encodeHead } from "./call-message.ts";
import { unpackFromPeer } from "./message-pack.ts";
import {
  decodeHello,
  decodeProof,
  encodeHelloAnswer,
  type HelloAnswer,
  type HelloRequest,
  nonceBytes,
  seedOf,
  sessionBytes,
  transcriptOf,
} from "./hello.ts";
import { InboundLane } from "./inbound-lane.ts";
import { LaneReceiver } from "./lane-receiver.ts";
import type { PeerAuth } from "./peer-auth.ts";
import type { PeerLog } from "./peer-log.ts";
import { sha256 } from "./sha256.ts";
import { type InPacket, type Lane, lanes } from "./transport.ts";

export const sessionHeader = "rivulet-session";
export const proofHeader = "rivulet-proof";

export interface PeerDoorOptions {
  readonly world: World;
  readonly nodeId: number;
  readonly clusterId: string;
  readonly bootId: string;
  readonly auth: PeerAuth;
  readonly log: PeerLog;
  /** Whether a node may connect; null: yes. */
  readonly admit: (nodeId: number) => Refusal | null;
  /** Answers one who wants to join; null: this node does not take such questions. */
  readonly onJoin: ((request: unknown) => Promise<unknown>) | null;
  readonly onPacket: (packet: InPacket) => void;
  /** A node's process proved who it is. */
  readonly onProcess: (nodeId: number, bootId: string) => void;
  /** A lane of a node began or ended. */
  readonly onLanes: (nodeId: number) => void;
}

/** What a hello began. */
interface Session {
  readonly hello: HelloRequest;
  readonly transcript: Uint8Array;
  readonly bornAt: number;
  readonly opened: Map<Lane, { readonly inbound: InboundLane; readonly batches: boolean }>;
}

/** A session without lanes is forgotten after this. */
const sessionMs = 10_000;
/** A lane of which nothing is heard, not even a ping, is over. Five pings, and above any pause of a machine. */
export const silenceMsMax = 10_000;
/** Processes of one node whose end is remembered. */
const replacedMax = 16;

export class PeerDoor {
  readonly #options: PeerDoorOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #inbound = new Set<InboundLane>();
  /** The process that runs as a node, by node. */
  readonly #processes = new Map<number, string>();
  readonly #replaced = new Map<number, Set<string>>();
  /** Codes of refusals that were logged, by who called itself so. */
  readonly #told = new Map<number, Set<string>>();
  #closed = false;

  constructor(options: PeerDoorOptions) {
    this.#options = options;
  }

  /** Lanes of a node that are open here. */
  lanesFrom(nodeId: number): number {
    let count = 0;
    for (const lane of this.#inbound) if (lane.from === nodeId) count += 1;
    return count;
  }

  get lanes(): number {
    return this.#inbound.size;
  }

  /** Hellos that are kept, those with open lanes among them. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** Ends the lanes of a node. */
  endFrom(nodeId: number, why: Refusal | null): void {
    for (const lane of this.#inbound) if (lane.from === nodeId) lane.end(why);
  }

  /** To be called from time to time: ends silent lanes, forgets sessions that led to nothing. */
  tick(): void {
    for (const lane of this.#inbound)
      if (lane.silentMs > silenceMsMax)
        lane.end(refuse("request_timed_out", `Nothing was heard for ${silenceMsMax} ms`));
    const now = this.#options.world.monotonic();
    for (const [id, session] of this.#sessions)
      if (now - session.bornAt > sessionMs && !isOpen(session)) this.#sessions.delete(id);
  }

  close(): void {
    this.#closed = true;
    for (const lane of this.#inbound) lane.end(null);
    this.#sessions.clear();
  }

  /** Never rejects but for a bug of those who take packets. */
  async fetch(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname;
    if (this.#closed) return problem(refuse("shutting_down", "The node is stopping"));
    if (request.method !== "POST" || !path.startsWith("/peer/v1/"))
      return problem(refuse("not_found", `There is no ${request.method} ${path} on a peer port`));
    const [route = "", name = ""] = path.slice("/peer/v1/".length).split("/");
    const lane = lanes.find((lane) => lane === name);
    if (route === "hello" && name === "") return this.#hello(request);
    if (route === "join" && name === "") return this.#join(request);
    if (route === "lanes" && lane !== undefined) return this.#lane(request, lane);
    if (route === "batches" && lane !== undefined) return this.#batch(request, lane);
    return problem(refuse("not_found", `There is no ${path} on a peer port`));
  }

  async #hello(request: Request): Promise<Response> {
    const bytes = await bodyOf(request);
    const hello = bytes === null ? null : decodeHello(bytes);
    if (hello === null)
      return problem(refuse("invalid_request", "Cannot read hello: it is not of this version"));
    const refused = this.#strange(hello);
    if (refused !== null) {
      this.#logRefused(hello.from, refused);
      return problem(refused);
    }
    const { world, clusterId, nodeId, bootId, auth } = this.#options;
    const answer: HelloAnswer = {
      clusterId,
      nodeId,
      bootId,
      nonce: world.randomBytes(nonceBytes),
      session: world.randomBytes(sessionBytes),
      certificate: auth.certificate,
    };
    const transcript = transcriptOf(hello, answer);
    this.#makeRoom();
    this.#sessions.set(hex(answer.session), {
      hello,
      transcript,
      bornAt: world.monotonic(),
      opened: new Map(),
    });
    return octets(encodeHelloAnswer(answer, auth.prove("callee", transcript)));
  }

  /** Why this node has nothing to say to the caller, or null. */
  #strange({ purpose, clusterId, from, to, bootId }: HelloRequest): Refusal | null {
    const own = this.#options;
    const who = `Cannot take hello of node ${from}`;
    if (purpose === "join")
      return own.onJoin === null ? refuse("not_found", "This node takes no one in") : null;
    if (clusterId !== own.clusterId)
      return refuse(
        "wrong_cluster",
        `${who}: cluster ${own.clusterId} is wanted, got ${clusterId}`,
      );
    if (to !== own.nodeId)
      return refuse("wrong_node", `${who}: it asks for node ${to}, and this is node ${own.nodeId}`);
    if (from === own.nodeId || from === 0)
      return refuse("wrong_node", `${who}: another node is wanted, and this is node ${own.nodeId}`);
    if (this.#replaced.get(from)?.has(bootId) === true)
      return refuse("replaced_process", `${who}: a newer process runs as that node`);
    return own.admit(from);
  }

  async #join(request: Request): Promise<Response> {
    const { onJoin } = this.#options;
    const bytes = await bodyOf(request);
    const session = this.#sessions.get(request.headers.get(sessionHeader) ?? "");
    if (bytes === null || onJoin === null || session?.hello.purpose !== "join")
      return problem(
        refuse("invalid_request", "Cannot join: a hello that says so is wanted first"),
      );
    // The proof covers the question: who changes it on its way does not get it answered.
    const refused = this.#unproven(request, session, `join ${sha256(bytes)}`);
    this.#sessions.delete(request.headers.get(sessionHeader) ?? "");
    if (refused !== null) return problem(refused);
    const asked = unpackFromPeer(bytes);
    if (!asked.ok) return problem(refuse("invalid_request", "Cannot join: MessagePack is wanted"));
    return onJoin(asked.value).then(
      (answer) => octets(encodeHead(answer)),
      (thrown: unknown) => problem(refusalOf(thrown)),
    );
  }

  async #lane(request: Request, lane: Lane): Promise<Response> {
    const opened = this.#open(request, lane, false);
    if ("code" in opened || request.body === null) return this.#refused(request, opened);
    return octets(opened.stream(request.body));
  }

  async #batch(request: Request, lane: Lane): Promise<Response> {
    const opened = this.#going(request, lane) ?? this.#open(request, lane, true);
    if ("code" in opened) return this.#refused(request, opened);
    // Bun has no stream for an empty body.
    const taken = await opened.batch(request.body ?? new Blob([]).stream());
    if (typeof taken !== "number") return problem(taken);
    return octets(encodeHead(taken));
  }

  async #refused(request: Request, opened: Refusal | InboundLane): Promise<Response> {
    await request.body?.cancel().catch(() => undefined);
    if ("code" in opened) return problem(opened);
    opened.end(null);
    return problem(refuse("invalid_request", "A lane has a body"));
  }

  /** The lane of earlier batches of the same session and proof. */
  #going(request: Request, lane: Lane): InboundLane | null {
    const session = this.#sessions.get(request.headers.get(sessionHeader) ?? "");
    const opened = session?.opened.get(lane);
    if (session === undefined || opened?.batches !== true || opened.inbound.ended) return null;
    return this.#unproven(request, session, lane) === null ? opened.inbound : null;
  }

  #open(request: Request, lane: Lane, batches: boolean): InboundLane | Refusal {
    const session = this.#sessions.get(request.headers.get(sessionHeader) ?? "");
    if (session?.hello.purpose !== "lanes")
      return refuse("peer_authentication_failed", "Cannot open lane: a hello is wanted first");
    const refused = this.#unproven(request, session, lane) ?? this.#strange(session.hello);
    if (refused !== null) return refused;
    if (session.opened.has(lane))
      return refuse("peer_authentication_failed", `Cannot open lane ${lane} twice in one session`);
    this.#told.delete(session.hello.from);
    this.#believe(session.hello);
    this.#endFormer(session.hello.from, lane);
    const inbound = this.#inboundLane(session, lane);
    session.opened.set(lane, { inbound, batches });
    this.#inbound.add(inbound);
    this.#options.onLanes(session.hello.from);
    return inbound;
  }

  /** A node has one lane of each kind here. What still comes by the former would be late, behind what the new one brings. */
  #endFormer(from: number, lane: Lane): void {
    for (const inbound of this.#inbound)
      if (inbound.from === from && inbound.lane === lane)
        inbound.end(refuse("invalid_request", `Node ${from} opened lane ${lane} anew`));
  }

  #inboundLane({ hello, transcript }: Session, lane: Lane): InboundLane {
    const { world, log, onPacket, onLanes } = this.#options;
    const { from } = hello;
    const receiver = new LaneReceiver({
      name: `${lane} of node ${from}`,
      seed: seedOf(transcript, lane),
      onPacket: (head, body) => onPacket({ from, lane, head, body }),
    });
    const inbound: InboundLane = new InboundLane({
      world,
      lane,
      from,
      receiver,
      onEnd: (why) => {
        this.#inbound.delete(inbound);
        if (why !== null)
          log.write("warn", "A peer's lane was ended", {
            node: from,
            lane,
            code: why.code,
            detail: why.detail,
          });
        onLanes(from);
      },
    });
    return inbound;
  }

  /** The proof of a session's hello is checked before anything is done in its name. */
  #unproven(request: Request, session: Session, label: string): Refusal | null {
    const refused = this.#options.auth.check({
      label: `caller ${label}`,
      transcript: session.transcript,
      proof: decodeProof(request.headers.get(proofHeader) ?? ""),
      certificate: session.hello.certificate,
    });
    if (refused !== null) this.#logRefused(session.hello.from, refused);
    return refused;
  }

  /** Once until that node is let in: it tries again and again. */
  #logRefused(from: number, { code, detail }: Refusal): void {
    const codes = this.#told.get(from) ?? new Set();
    if (codes.has(code)) return;
    if (this.#told.size >= limits.hellosWaitingMax) this.#told.clear();
    this.#told.set(from, codes.add(code));
    this.#options.log.write("warn", "A peer was refused", { node: from, code, detail });
  }

  /** A process that proved to be a node: the one before it is over. */
  #believe({ from, bootId }: HelloRequest): void {
    const former = this.#processes.get(from);
    if (former === bootId) return;
    this.#processes.set(from, bootId);
    if (former !== undefined) {
      const replaced = this.#replaced.get(from) ?? new Set();
      replaced.add(former);
      for (const oldest of replaced) if (replaced.size > replacedMax) replaced.delete(oldest);
      this.#replaced.set(from, replaced);
      this.endFrom(from, refuse("replaced_process", `A newer process runs as node ${from}`));
    }
    this.#options.onProcess(from, bootId);
  }

  /** Room for one more session: the oldest that led to nothing goes. */
  #makeRoom(): void {
    if (this.#sessions.size < limits.hellosWaitingMax) return;
    for (const [id, session] of this.#sessions)
      if (!isOpen(session)) return void this.#sessions.delete(id);
  }
}

function isOpen({ opened }: Session): boolean {
  for (const { inbound } of opened.values()) if (!inbound.ended) return true;
  return false;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** A short body, or null when it is longer than a hello may be, or breaks off. */
async function bodyOf(request: Request): Promise<Uint8Array | null> {
  if (request.body === null) return new Uint8Array(0);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  const reader = (request.body as ReadableStream<Uint8Array>).getReader();
  for (;;) {
    const read = await reader.read().catch(() => null);
    if (read === null) return null;
    if (read.done) return Buffer.concat(parts);
    bytes += read.value.length;
    parts.push(read.value);
    if (bytes <= limits.helloBytesMax) continue;
    await reader.cancel().catch(() => undefined);
    return null;
  }
}

function octets(body: Uint8Array | ReadableStream<Uint8Array>): Response {
  return new Response(body as BodyInit, {
    headers: { "content-type": "application/octet-stream" },
  });
}

function problem(refusal: Refusal): Response {
  return new Response(encodeFault(refusal) as BodyInit, { status: codes[refusal.code].http });
}
