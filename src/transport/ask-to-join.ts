// The question of a node that is no member yet: may I be one?

import { Fault } from "../errors.ts";
import type { World } from "../world.ts";
import { encodeHead } from "./call-message.ts";
import { unpackFromPeer } from "./message-pack.ts";
import { faultIn, greet } from "./greeting.ts";
import { Http1Wire } from "./http1-wire.ts";
import { Http2Wire } from "./http2-wire.ts";
import { PeerAuth, type PeerTls } from "./peer-auth.ts";
import { answeredFault, type PeerWire, type WireTarget } from "./peer-wire.ts";
import { sha256 } from "./sha256.ts";

export interface JoinQuestion {
  readonly world: World;
  /** A peer port of any member. */
  readonly address: { readonly host: string; readonly port: number };
  readonly secret?: string | null;
  readonly tls?: PeerTls | null;
  /** Plain data for msgpackr. */
  readonly request: unknown;
  /** Default 10,000. */
  readonly timeoutMs?: number;
}

/** What the member's onJoin() answered. Throws Fault: what it threw, peer_authentication_failed, node_unreachable,
 *  request_timed_out. The question is safe to repeat as far as its request is. */
export async function askToJoin(question: JoinQuestion): Promise<unknown> {
  const { world, address, tls = null } = question;
  const target: WireTarget = { ...address, tls };
  const wire = new Http2Wire(target, (fn) => world.defer(fn));
  try {
    return await ask(wire, target, question);
  } catch (thrown) {
    const fault = faultIn(thrown);
    if (fault.code !== "node_unreachable" || !wire.reached) throw fault;
  } finally {
    wire.close();
  }
  const other = new Http1Wire(target);
  try {
    return await ask(other, target, question);
  } finally {
    other.close();
  }
}

async function ask(
  wire: PeerWire,
  target: WireTarget,
  { world, secret = null, tls = null, request, timeoutMs = 10_000 }: JoinQuestion,
): Promise<unknown> {
  const auth = new PeerAuth({ secret, tls }, () => world.now());
  const who = { purpose: "join", clusterId: "", from: 0, to: 0, bootId: "" } as const;
  let isLate = false;
  const timer = world.setTimer(timeoutMs, () => {
    isLate = true;
    wire.close();
  });
  try {
    const greeting = await greet(wire, who, { world, auth, target });
    const body = encodeHead(request);
    const headers = greeting.headersFor(`join ${sha256(body)}`);
    const answer = await wire.ask("/peer/v1/join", headers, body);
    const read = unpackFromPeer(answer.body);
    if (answer.status !== 200 || !read.ok) throw answeredFault(target, answer);
    return read.value;
  } catch (thrown) {
    if (!isLate) throw thrown;
    const detail = `Asked to join in vain: an answer is wanted within ${timeoutMs} ms`;
    throw new Fault("request_timed_out", detail, { cause: thrown, sideEffects: "unknown" });
  } finally {
    timer.cancel();
  }
}
