// The bytes of a call's packets.
//
//   packet head   msgpack [kind, id, verb, length of the call's head]
//   packet body   the call's head (msgpack) | raw bytes          a fault: msgpack [code, detail, sideEffects, members]
//
// Promise: decode(encode(x)) equals x; what cannot be read is null, or a fault that says so, never a throw.

import { pack } from "msgpackr/pack";

import { codes, Fault, type Refusal } from "../errors.ts";
import { unpackFromPeer } from "./message-pack.ts";

export const callKinds = ["question", "answer", "fault", "cancel", "lost"] as const;

export interface CallMessage {
  readonly kind: (typeof callKinds)[number];
  /** The question's, given by its asker; 0 of "lost". */
  readonly id: number;
  /** Of a question; else "". */
  readonly verb: string;
  /** Bytes of the call's head at the front of the packet's body. */
  readonly headLength: number;
}

export function encodeCallMessage({ kind, id, verb, headLength }: CallMessage): Uint8Array {
  return pack([callKinds.indexOf(kind), id, verb, headLength]);
}

export function decodeCallMessage(bytes: Uint8Array): CallMessage | null {
  const read = unpackFromPeer(bytes);
  if (!read.ok || !Array.isArray(read.value)) return null;
  const [number, id, verb, headLength] = read.value as unknown[];
  const kind = callKinds[number as number] as CallMessage["kind"] | undefined;
  if (kind === undefined || !isCount(id) || !isCount(headLength) || typeof verb !== "string")
    return null;
  return { kind, id, verb, headLength };
}

export function encodeHead(head: unknown): Uint8Array {
  return pack(head);
}

export function encodeFault({ code, detail, sideEffects, members = {} }: Refusal): Uint8Array {
  return pack([code, detail, sideEffects, members]);
}

/** A fault that says so when the bytes are none. */
export function decodeFault(bytes: Uint8Array): Fault {
  const detail = "The other node's fault cannot be read";
  return readFault(bytes) ?? new Fault("unknown_server_error", detail, { sideEffects: "unknown" });
}

/** Null when the bytes are no fault. */
export function readFault(bytes: Uint8Array): Fault | null {
  const read = unpackFromPeer(bytes);
  if (!read.ok || !Array.isArray(read.value)) return null;
  const [code, detail, sideEffects, members] = read.value as unknown[];
  if (typeof code !== "string" || !Object.hasOwn(codes, code) || typeof detail !== "string")
    return null;
  return new Fault(code as keyof typeof codes, detail, {
    sideEffects: sideEffects === "none" ? "none" : "unknown",
    members: isRecord(members) ? members : {},
  });
}

const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
