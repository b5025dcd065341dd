// Quorums against counting by hand.

import { expect, test } from "bun:test";
import { jointCommitted, jointVote, unbounded, voterIds } from "../../raft/quorum.ts";
import { Random } from "../../raft/random.ts";
import { bruteForce } from "./quorum-script.ts";

function randomVoters(random: Random): number[] {
  return [1, 2, 3, 4, 5, 6, 7, 8, 9].filter(() => random.below(2) === 0);
}

test("jointCommitted() equals trying every index, for random configurations", () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = new Random(seed);
    const voters = { incoming: randomVoters(random), outgoing: randomVoters(random) };
    const acked = new Map<number, number>();
    for (const id of voterIds(voters)) if (random.below(4) > 0) acked.set(id, random.below(12));
    const lookup = (id: number) => acked.get(id);
    const found = jointCommitted(voters, { ackedIndex: lookup });
    expect({ seed, found }).toEqual({ seed, found: bruteForce(voters, lookup) });
  }
});

test("jointVote() is won or lost exactly when no missing vote could change it", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    const voters = {
      incoming: randomVoters(random).slice(0, 4),
      outgoing: [1, 2, 3].slice(random.below(3)),
    };
    const ids = voterIds(voters);
    const votes = new Map<number, boolean>();
    for (const id of ids) if (random.below(3) > 0) votes.set(id, random.below(2) === 0);
    const wins = (all: ReadonlyMap<number, boolean>) =>
      [voters.incoming, voters.outgoing].every(
        (half) => half.length === 0 || half.filter((id) => all.get(id)).length * 2 > half.length,
      );
    const missing = ids.filter((id) => !votes.has(id));
    const best = wins(new Map([...votes, ...missing.map((id) => [id, true] as const)]));
    const worst = wins(new Map([...votes, ...missing.map((id) => [id, false] as const)]));
    const wanted = worst ? "won" : best ? "pending" : "lost";
    expect({ seed, result: jointVote(voters, votes) }).toEqual({ seed, result: wanted });
  }
});

test("a configuration without voters has committed everything and wins every vote", () => {
  const nobody = { incoming: [], outgoing: [] };
  expect(jointCommitted(nobody, { ackedIndex: () => undefined })).toBe(unbounded);
  expect(jointVote(nobody, new Map())).toBe("won");
});
