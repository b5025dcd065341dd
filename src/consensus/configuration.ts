// A Raft configuration as the journal's images and snapshots keep it, packed by msgpackr.
//
//   [voters, votersOutgoing, learners, learnersNext, autoLeave]        node ids ascend
//
// Promise: decode(encode(c)) equals c. Left to others: what a configuration means (raft/).

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";

import type { ConfState, NodeId } from "../../raft/types.ts";
import { Fault } from "../errors.ts";

/** The configuration of a group whose only voter is this node. */
export function soleVoter(nodeId: NodeId): ConfState {
  return {
    voters: [nodeId],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
}

export function encodeConfiguration(state: ConfState): Uint8Array {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = state;
  return pack([voters, votersOutgoing, learners, learnersNext, autoLeave]);
}

/** Throws storage_damaged for anything else. */
export function decodeConfiguration(bytes: Uint8Array): ConfState {
  const values: unknown = unpack(bytes);
  if (!Array.isArray(values) || values.length !== 5 || !values.slice(0, 4).every(Array.isArray)) {
    throw new Fault("storage_damaged", "Cannot read Raft configuration: five columns are wanted");
  }
  const [voters, votersOutgoing, learners, learnersNext] = values as NodeId[][];
  return {
    voters,
    votersOutgoing,
    learners,
    learnersNext,
    autoLeave: values[4] === true,
  };
}
