// From the members of a group to those that are wanted: the steps of one change, and its form in an entry's meta.
//
//   meta   [transition, [type, raft id, type, raft id, ...]]        packed by msgpackr; the empty "auto" leaves a joint one
//
// Promise: one voter more or less is one step and applies at once; everything else goes through a joint configuration
// that the leader leaves by itself. decode(encode(c)) equals c. Left to others: whether the change is wise (cluster).

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";

import type {
  ConfChange,
  ConfChangeStep,
  ConfChangeType,
  ConfState,
  Transition,
} from "../../raft/types.ts";
import { Fault } from "../errors.ts";
import { nodeOf, raftIdOf } from "./identity.ts";
import type { MembersTarget } from "./replica.ts";

/** Leaves a joint configuration. */
export const leaveJoint: ConfChange = { transition: "auto", steps: [] };

/** The change that makes the target of a configuration that is not joint; null: it is the target. */
export function changeToward(state: ConfState, target: MembersTarget): ConfChange | null {
  const voters = new Set(target.voters.map(raftIdOf));
  const learners = new Set(target.learners.map(raftIdOf));
  const steps: ConfChangeStep[] = [];
  for (const id of learners)
    if (!state.learners.includes(id)) steps.push({ type: "addLearner", id });
  for (const id of voters) if (!state.voters.includes(id)) steps.push({ type: "addVoter", id });
  for (const id of [...state.voters, ...state.learners])
    if (!voters.has(id) && !learners.has(id)) steps.push({ type: "remove", id });
  return steps.length === 0 ? null : { transition: "auto", steps };
}

/** Why no group can have these members, or null. */
export function impossible({ voters, learners }: MembersTarget): string | null {
  if (voters.length === 0) return "at least one voter is wanted";
  // A replica that takes the place of another one on its node learns beside it until it votes.
  const nodes = voters.map(({ nodeId }) => nodeId);
  const crowded = nodes.find((node, at) => nodes.indexOf(node) !== at);
  if (crowded !== undefined) return `node ${crowded} has two voters`;
  const ids = [...voters, ...learners].map(raftIdOf);
  const twice = ids.find((id, at) => ids.indexOf(id) !== at);
  return twice === undefined ? null : `a replica of node ${nodeOf(twice)} is named twice`;
}

export function encodeChange({ transition, steps }: ConfChange): Uint8Array {
  return pack([transition, steps.flatMap(({ type, id }) => [type, id])]);
}

/** Throws storage_damaged. */
export function decodeChange(meta: Uint8Array | null): ConfChange {
  const values: unknown = meta === null ? null : unpack(meta);
  if (!Array.isArray(values) || values.length !== 2 || !Array.isArray(values[1])) {
    throw new Fault(
      "storage_damaged",
      "Cannot read change of configuration: two columns are wanted",
    );
  }
  const [transition, flat] = values as [Transition, (ConfChangeType | number)[]];
  const steps: ConfChangeStep[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    steps.push({ type: flat[i] as ConfChangeType, id: flat[i + 1] as number });
  }
  return { transition, steps };
}
