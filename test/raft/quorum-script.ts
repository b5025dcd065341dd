// Runs the quorum scripts: `committed cfg=(1,2) cfgj=(3) idx=(10,_,12)` and `vote cfg=(1,2) votes=(y,_)`.
//
// Each case is computed a second way as well; a disagreement is printed into the output, where no script expects it.

import { describeQuorum } from "../../raft/describe.ts";
import {
  jointCommitted,
  jointVote,
  majorityCommitted,
  voterIds,
  type Voters,
} from "../../raft/quorum.ts";
import { valuesOf, type Stanza } from "./datadriven.ts";

export function quorumHandler(stanza: Stanza): string {
  const ids = (key: string) =>
    sorted(
      valuesOf(stanza, key)
        .filter((v) => v !== "zero")
        .map(Number),
    );
  const voters: Voters = { incoming: ids("cfg"), outgoing: ids("cfgj") };
  const joint = stanza.args.some(({ key }) => key === "cfgj");
  const values = valuesOf(stanza, stanza.command === "vote" ? "votes" : "idx");
  const order = inOrderOfMention(stanza);
  if (voterIds(voters).length !== values.length) {
    const found = values.map((v) => (v === "_" ? "0" : v)).join(" ");
    const wanted = voterIds(voters).map((id) => `${id}:{}`);
    return `error: mismatched input (explicit or _) for voters map[${wanted.join(" ")}]: [${found}]`;
  }
  const known = new Map<number, string>();
  order.forEach((id, at) => {
    if (values[at] !== "_") known.set(id, values[at]);
  });
  return stanza.command === "vote" ? vote(voters, known) : committed(voters, known, joint);
}

function committed(voters: Voters, known: ReadonlyMap<number, string>, joint: boolean): string {
  const acked = {
    ackedIndex(this: void, id: number): number | undefined {
      const value = known.get(id);
      return value === undefined ? undefined : Number(value);
    },
  };
  const index = jointCommitted(voters, acked);
  const swapped = { incoming: voters.outgoing, outgoing: voters.incoming };
  let text = describeQuorum(voters, acked);
  if (jointCommitted(swapped, acked) !== index) text += "differs by symmetry\n";
  if (!joint && majorityCommitted(voters.incoming, acked) !== index) text += "differs alone\n";
  if (bruteForce(voters, acked.ackedIndex) !== index) text += "differs by brute force\n";
  return text + (Number.isFinite(index) ? String(index) : "∞");
}

/** The largest index that more than half of each half has reached, found by trying them all. */
export function bruteForce(voters: Voters, acked: (id: number) => number | undefined): number {
  const halves = [voters.incoming, voters.outgoing].filter((half) => half.length > 0);
  if (halves.length === 0) return Number.POSITIVE_INFINITY;
  const candidates = [0, ...halves.flat().map((id) => acked(id) ?? 0)];
  const reached = (index: number) =>
    halves.every((half) => half.filter((id) => (acked(id) ?? 0) >= index).length * 2 > half.length);
  return Math.max(...candidates.filter(reached));
}

function vote(voters: Voters, known: ReadonlyMap<number, string>): string {
  const votes = new Map([...known].map(([id, value]) => [id, value === "y"]));
  const result = jointVote(voters, votes);
  const swapped = { incoming: voters.outgoing, outgoing: voters.incoming };
  const names = { won: "VoteWon", lost: "VoteLost", pending: "VotePending" } as const;
  if (jointVote(swapped, votes) !== result) return `${names[result]} differs by symmetry`;
  return names[result];
}

/** Values are given for the voters in the order in which cfg and cfgj name them first. */
function inOrderOfMention(stanza: Stanza): number[] {
  const mentioned = [...valuesOf(stanza, "cfg"), ...valuesOf(stanza, "cfgj")];
  return [...new Set(mentioned.filter((v) => v !== "zero").map(Number))];
}

function sorted(ids: number[]): number[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}
