// Majorities, single and joint, as pure functions over ascending lists of voters.
//
// Promise: an empty half of a joint configuration agrees with anything, so that (voters, []) behaves like voters
// alone. Cost: committedIndex sorts at most a handful of numbers in a scratch array, without allocating.

import type { NodeId } from "./types.ts";

/** Voters of the incoming and, while joint, the outgoing configuration; a decision needs both majorities. */
export interface Voters {
  readonly incoming: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
}

export type VoteResult = "pending" | "lost" | "won";

/** Looks up what a voter acknowledged; undefined when it has not reported. */
export interface Acknowledged {
  ackedIndex(id: NodeId): number | undefined;
}

/** "Committed" by a configuration that has no voters: everything. */
export const unbounded = Number.POSITIVE_INFINITY;

const scratch: number[] = [];

/** The highest index that a majority of `voters` has acknowledged. */
export function majorityCommitted(voters: readonly NodeId[], acked: Acknowledged): number {
  const n = voters.length;
  if (n === 0) return unbounded;
  // Insertion sort, ascending; silent voters count as 0.
  for (let i = 0; i < n; i++) {
    const index = acked.ackedIndex(voters[i]) ?? 0;
    let at = i;
    while (at > 0 && scratch[at - 1] > index) {
      scratch[at] = scratch[at - 1]!;
      at--;
    }
    scratch[at] = index;
  }
  return scratch[n - majoritySize(n)];
}

export function jointCommitted(voters: Voters, acked: Acknowledged): number {
  const incoming = majorityCommitted(voters.incoming, acked);
  return Math.min(incoming, majorityCommitted(voters.outgoing, acked));
}

export function majorityVote(
  voters: readonly NodeId[],
  votes: ReadonlyMap<NodeId, boolean>,
): VoteResult {
  if (voters.length === 0) return "won";
  let granted = 0;
  let missing = 0;
  for (const id of voters) {
    const vote = votes.get(id);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  const needed = majoritySize(voters.length);
  if (granted >= needed) return "won";
  return granted + missing >= needed ? "pending" : "lost";
}

export function jointVote(voters: Voters, votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  const incoming = majorityVote(voters.incoming, votes);
  const outgoing = majorityVote(voters.outgoing, votes);
  if (incoming === outgoing) return incoming;
  return incoming === "lost" || outgoing === "lost" ? "lost" : "pending";
}

/** All voters of both halves, ascending, each once. */
export function voterIds(voters: Voters): NodeId[] {
  return [...new Set([...voters.incoming, ...voters.outgoing])].sort((a, b) => a - b);
}

function majoritySize(n: number): number {
  return (n >>> 1) + 1;
}
