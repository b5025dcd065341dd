// What a replica that joins later is told before its first entry: who takes part, and up to which change.
//
//   head   | packet kind | msgpackr: [group id, from, to, index, voters, outgoing, learners, next, leaves itself] |
//
// A group's first configuration stands in the command that created it and in no entry, so a replica that is sent the log
// from its beginning could not make sense of the changes in it. It is told the outcome of all changes up to `index`
// instead and passes over those when it meets them. Promise: decode(encode(w)) equals w; what is no welcome is null, and
// never throws. Left to others: whether it is believed (hosted-replica.ts).

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";

import type { ConfState } from "../../../raft/types.ts";
import { packetKinds } from "./packet-kinds.ts";

export interface Welcome {
  readonly from: number;
  readonly to: number;
  readonly index: number;
  readonly state: ConfState;
}

export interface DecodedWelcome extends Welcome {
  readonly groupId: string;
}

export function isWelcome(head: Uint8Array): boolean {
  return head[0] === packetKinds.welcome;
}

export function encodeWelcome(groupId: string, { from, to, index, state }: Welcome): Uint8Array {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = state;
  const lists = [voters, votersOutgoing, learners, learnersNext];
  const packed = pack([groupId, from, to, index, ...lists, autoLeave]);
  const head = new Uint8Array(1 + packed.length);
  head[0] = packetKinds.welcome;
  head.set(packed, 1);
  return head;
}

export function decodeWelcome(head: Uint8Array): DecodedWelcome | null {
  let values: unknown;
  try {
    values = unpack(head.slice(1));
  } catch {
    return null;
  }
  if (!Array.isArray(values) || values.length !== 9 || typeof values[0] !== "string") return null;
  if (!values.slice(1, 4).every(isCount) || !values.slice(4, 8).every(isIds)) return null;
  const [groupId, from, to, index] = values as [string, number, number, number];
  const [voters, votersOutgoing, learners, learnersNext] = values.slice(4, 8) as number[][];
  if (voters.length === 0) return null;
  const state = { voters, votersOutgoing, learners, learnersNext, autoLeave: values[8] === true };
  return { groupId, from, to, index, state };
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isIds(value: unknown): boolean {
  return Array.isArray(value) && value.every((id) => isCount(id) && id > 0);
}
