// How a new node becomes a member: from the URL of any node to an identity of its own.
//
//   --join URL  --GET /v1/cluster-->  peer addresses  --POST /peer/v1/join-->  node id, cluster id, incarnation
//
// Promise: nothing is written before a member was found; the request id is kept in the folder until the answer is, so
// that a node that dies in between gets the same id at its next start, and not a second one; nodes that are started
// together find each other, for the first is waited for. Left to others: the question's proof (transport), the answer
// (cluster/).

import { rmSync } from "node:fs";
import { join } from "node:path";
import { parseAddress } from "../address.ts";
import { codes, Fault } from "../errors.ts";
import type { JoinAnswer, JoinRequest } from "../cluster/membership.ts";
import type { World } from "../world.ts";
import { readOrNull, writeWhole } from "./data-folder.ts";
import type { Log } from "./logs.ts";

/** A node that nobody answers gives up after this: the others may be starting beside it, or not be there at all. */
export const joinPatienceMs = 20_000;
const pauseMs = 250;
const askMsMax = 5_000;
/** How often a person is told what is waited for. */
const tellMs = 5_000;

export interface PeerPlace {
  readonly host: string;
  readonly port: number;
}

export interface Joining {
  readonly world: World;
  readonly log: Log;
  /** As given by --join. */
  readonly urls: readonly string[];
  readonly fetch?: typeof fetch;
}

/** Peer addresses of the members, from the first URL that tells them. Rejects with Fault invalid_config for what is no
 *  node, or one without a peer port; node_unreachable when nobody has answered in time. */
export async function findMembers(joining: Joining): Promise<readonly PeerPlace[]> {
  const why = new Map<string, Fault>();
  return await withPatience(joining, async () => {
    for (const url of joining.urls) {
      const found = await askForPeers(joining, url).catch((fault: unknown) => fault);
      if (!(found instanceof Fault)) return found as readonly PeerPlace[];
      why.set(url, found);
    }
    const faults = [...why.values()];
    // Waiting helps only where somebody may still come up.
    throw faults.find(({ retryable }) => retryable) ?? faults[0];
  });
}

/** Asks the members in turn until one lets this node in. Rejects with Fault: what they refused it for. */
export async function askMembers(
  joining: Joining,
  places: readonly PeerPlace[],
  ask: (place: PeerPlace) => Promise<unknown>,
): Promise<JoinAnswer & { readonly ok: true }> {
  return await withPatience(joining, async () => {
    const faults: Fault[] = [];
    for (const place of places) {
      try {
        const answer = (await ask(place)) as JoinAnswer;
        if (answer.ok) return answer;
        faults.push(new Fault(answer.code, answer.detail, { members: answer.members ?? {} }));
      } catch (fault) {
        if (!(fault instanceof Fault)) throw fault;
        faults.push(fault);
      }
    }
    throw faults.find(({ retryable }) => !retryable) ?? faults[0];
  });
}

/** Again and again while it fails retryably, for joinPatienceMs at most. */
async function withPatience<T>({ world, log, urls }: Joining, work: () => Promise<T>): Promise<T> {
  const began = world.monotonic();
  let toldAt = -Infinity;
  for (;;) {
    try {
      return await work();
    } catch (fault) {
      const now = world.monotonic();
      if (!(fault instanceof Fault) || !fault.retryable) throw fault;
      if (now - began > joinPatienceMs) throw gaveUp(fault);
      if (now - toldAt >= tellMs) {
        toldAt = now;
        log.write("info", "Waiting for the cluster", { join: urls, why: fault.message });
      }
      await new Promise<void>((resolve) => void world.setTimer(pauseMs, resolve));
    }
  }
}

function gaveUp(fault: Fault): Fault {
  const detail = `Cannot join within ${joinPatienceMs / 1_000} s: ${fault.message}`;
  return new Fault(fault.code, detail, { cause: fault, members: fault.members });
}

async function askForPeers(joining: Joining, url: string): Promise<readonly PeerPlace[]> {
  const { status, text } = await get(joining, `${url.replace(/\/+$/, "")}/v1/cluster`);
  const nodes = nodesIn(text);
  if (nodes === null) {
    // A node that is starting or stopping says so with a code that passes.
    const code = status === 503 ? "node_unreachable" : "invalid_config";
    throw new Fault(code, `${url} answered ${status} and is no Rivulet node that can be joined`);
  }
  const places = nodes.flatMap(({ peer }) => {
    const address = typeof peer === "string" ? parseAddress(peer) : null;
    return address === null ? [] : [{ host: address.host, port: address.port }];
  });
  if (places.length > 0) return places;
  const detail = `The node at ${url} runs without a peer port; start it with --peer HOST:PORT first, on the same folder`;
  throw new Fault("invalid_config", detail);
}

async function get(
  { world, fetch: get = fetch }: Joining,
  url: string,
): Promise<{ readonly status: number; readonly text: string }> {
  const controller = new AbortController();
  const timer = world.setTimer(askMsMax, () => controller.abort());
  const headers = { accept: "application/json", "rivulet-consistency": "local" };
  try {
    const response = await get(url, { headers, signal: controller.signal });
    return { status: response.status, text: await response.text() };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Fault("node_unreachable", `No answer from ${url} (${why})`, { cause });
  } finally {
    timer.cancel();
  }
}

function nodesIn(text: string): readonly { readonly peer?: unknown }[] | null {
  try {
    const { nodes } = JSON.parse(text) as { readonly nodes?: unknown };
    return Array.isArray(nodes) ? nodes : null;
  } catch {
    return null;
  }
}

const requestFile = (dir: string): string => join(dir, "join.json");

/** The request id of the join under way; a fresh one is on the disk when it returns. */
export function joinRequestId(dir: string, world: World): JoinRequest["requestId"] {
  const text = readOrNull(requestFile(dir));
  const known = text === null ? null : /^\{"requestId":"([0-9a-f]{32})"\}\n$/.exec(text);
  if (known !== null) return known[1];
  const requestId = Buffer.from(world.randomBytes(16)).toString("hex");
  writeWhole(dir, requestFile(dir), `{"requestId":"${requestId}"}\n`);
  return requestId;
}

/** The join is over: it has an identity now, or was refused for good. */
export function forgetRequest(dir: string): void {
  rmSync(requestFile(dir), { force: true });
}

/** What a person reads beside a refusal's own words. */
export function joinAdvice(fault: Fault): string {
  if (fault.code === "peer_authentication_failed")
    return "\nGive this node the --cluster-secret-file, or certificates of the authority, of the others.";
  return codes[fault.code].retryable
    ? "\nDoes a majority of the cluster run (rivulet cluster status --url URL), and do its nodes use --peer-tls-*?"
    : "";
}
