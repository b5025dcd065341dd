// A replica's Raft configuration as the journal remembers it, packed by msgpackr.
//
//   [voters, votersOutgoing, learners, learnersNext, autoLeave, index, changes]        raft ids ascend
//
//   index     the configuration holds what the change at this index made of it; a change at or below it, met again in the
//             log (a replica that joined later was told the outcome first), is history
//   changes   indexes of the configuration entries behind it that the log holds: found again at a start without a scan
//
// Promise: decode(encode(c)) equals c; the five columns of a folder that never had a peer are read too. Left to others:
// what a configuration means (raft/), when it is written (configurations.ts).

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";

import type { ConfState, NodeId } from "../../raft/types.ts";
import { Fault } from "../errors.ts";
import { raftIdOf, replicaOf } from "./identity.ts";
import type { Birth, Members } from "./replica.ts";

export interface KnownConfiguration {
  readonly state: ConfState;
  readonly index: number;
  readonly changes: readonly number[];
}

/** The configuration of a group whose only voter is this replica. */
export function soleVoter(raftId: NodeId): ConfState {
  return { ...nobody, voters: [raftId] };
}

/** A replica that waits to be told a configuration. */
export const nobody: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** What the command that created the group says. */
export function bornWith({ voters, learners = [] }: Birth): ConfState {
  return {
    ...nobody,
    voters: ascending(voters.map(raftIdOf)),
    learners: ascending(learners.map(raftIdOf)),
  };
}

export function membersOf(state: ConfState): Members {
  const { voters, votersOutgoing, learners } = state;
  const voting = ascending([...new Set([...voters, ...votersOutgoing])]);
  return {
    voters: voting.map(replicaOf),
    learners: learners.map(replicaOf),
    joint: votersOutgoing.length > 0,
  };
}

/** Every raft id that takes part, each once. */
export function participants(state: ConfState): NodeId[] {
  const { voters, votersOutgoing, learners } = state;
  return [...new Set([...voters, ...votersOutgoing, ...learners])];
}

export function encodeConfiguration({ state, index, changes }: KnownConfiguration): Uint8Array {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = state;
  return pack([voters, votersOutgoing, learners, learnersNext, autoLeave, index, changes]);
}

/** Throws storage_damaged for anything else. */
export function decodeConfiguration(bytes: Uint8Array): KnownConfiguration {
  const values: unknown = unpack(bytes);
  if (!Array.isArray(values) || values.length < 5 || !values.slice(0, 4).every(Array.isArray)) {
    throw new Fault("storage_damaged", "Cannot read Raft configuration: seven columns are wanted");
  }
  const [voters, votersOutgoing, learners, learnersNext] = values as NodeId[][];
  const state = { voters, votersOutgoing, learners, learnersNext, autoLeave: values[4] === true };
  const [index = 0, changes = []] = values.slice(5) as [number?, number[]?];
  return { state, index, changes };
}

function ascending(ids: NodeId[]): NodeId[] {
  return ids.toSorted((a, b) => a - b);
}
