// The words with which two nodes meet, before any packet.
//
//   caller                                        callee
//   POST /peer/v1/hello   HelloRequest  ------->  is this my cluster, am I that node, is that process not replaced?
//                         <-----------  HelloAnswer with its proof
//   POST /peer/v1/lanes/{lane}  proof   ------->  frames ...          (or /batches/{lane}, or /join)
//
// Both sides take the transcript: a hash of all that both said, fresh random bytes included. Proofs are over it, and the
// seed of each lane's checksums comes from it. Promise: decode(encode(x)) equals x; what cannot be read is null.

import { createHash } from "node:crypto";
import { pack } from "msgpackr/pack";
import { crc32c } from "../bytes/crc32c.ts";
import { unpackFromPeer } from "./message-pack.ts";
import type { Proof } from "./peer-auth.ts";

export const helloVersion = 1;
export const nonceBytes = 16;
export const sessionBytes = 16;

export interface HelloRequest {
  readonly purpose: "lanes" | "join";
  /** "" of a node that has none yet (join). */
  readonly clusterId: string;
  /** Node id of the caller; 0 of a node that has none yet (join). */
  readonly from: number;
  /** Whom the caller believes to be asking; 0: whoever it is (join). */
  readonly to: number;
  /** Which of the caller's processes this is. */
  readonly bootId: string;
  readonly nonce: Uint8Array;
  readonly certificate: string;
}

export interface HelloAnswer {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly bootId: string;
  readonly nonce: Uint8Array;
  /** Names the lanes that follow. */
  readonly session: Uint8Array;
  readonly certificate: string;
}

export function encodeHello(hello: HelloRequest): Uint8Array {
  const { purpose, clusterId, from, to, bootId, nonce, certificate } = hello;
  return pack([helloVersion, purpose, clusterId, from, to, bootId, nonce, certificate]);
}

export function decodeHello(bytes: Uint8Array): HelloRequest | null {
  const [version, purpose, clusterId, from, to, bootId, nonce, certificate] = listIn(bytes);
  if (version !== helloVersion || (purpose !== "lanes" && purpose !== "join")) return null;
  if (!isName(clusterId) || !isId(from) || !isId(to) || !isName(bootId)) return null;
  if (!isBytes(nonce, nonceBytes) || typeof certificate !== "string") return null;
  return { purpose, clusterId, from, to, bootId, nonce, certificate };
}

export function encodeHelloAnswer(answer: HelloAnswer, proof: Proof): Uint8Array {
  const { clusterId, nodeId, bootId, nonce, session, certificate } = answer;
  return pack([
    helloVersion,
    clusterId,
    nodeId,
    bootId,
    nonce,
    session,
    certificate,
    proof.mac,
    proof.signature,
  ]);
}

export function decodeHelloAnswer(
  bytes: Uint8Array,
): { readonly answer: HelloAnswer; readonly proof: Proof } | null {
  const [version, clusterId, nodeId, bootId, nonce, session, certificate, mac, signature] =
    listIn(bytes);
  if (version !== helloVersion || !isName(clusterId) || !isId(nodeId) || !isName(bootId))
    return null;
  if (!isBytes(nonce, nonceBytes) || !isBytes(session, sessionBytes)) return null;
  if (typeof certificate !== "string" || !isBytes(mac) || !isBytes(signature)) return null;
  return {
    answer: { clusterId, nodeId, bootId, nonce, session, certificate },
    proof: { mac, signature },
  };
}

/** What both sides said, as 32 bytes. */
export function transcriptOf(request: HelloRequest, answer: HelloAnswer): Uint8Array {
  const none = { mac: new Uint8Array(0), signature: new Uint8Array(0) };
  const said = [encodeHello(request), encodeHelloAnswer(answer, none)];
  const hash = createHash("sha256");
  // Lengths first, so that no other two texts have the same hash.
  for (const bytes of said) hash.update(`${bytes.length}\n`).update(bytes);
  return hash.digest();
}

/** Where the checksums of a lane begin: cluster, nodes, processes, session and lane in one number. */
export function seedOf(transcript: Uint8Array, lane: string): number {
  return crc32c(Buffer.from(lane), crc32c(transcript));
}

/** A proof as the value of one header. */
export function encodeProof({ mac, signature }: Proof): string {
  return `${Buffer.from(mac).toString("base64")},${Buffer.from(signature).toString("base64")}`;
}

export function decodeProof(text: string): Proof {
  const [mac = "", signature = ""] = text.split(",");
  return { mac: Buffer.from(mac, "base64"), signature: Buffer.from(signature, "base64") };
}

function listIn(bytes: Uint8Array): readonly unknown[] {
  // A copy, because what is read refers to the bytes and is kept.
  const read = unpackFromPeer(new Uint8Array(bytes));
  return read.ok && Array.isArray(read.value) ? (read.value as unknown[]) : [];
}

const isName = (value: unknown): value is string =>
  typeof value === "string" && value.length <= 255;
const isId = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const isBytes = (value: unknown, length?: number): value is Uint8Array =>
  value instanceof Uint8Array && (length === undefined || value.length === length);
