// The checkers themselves: each planted fault is named.

import { describe, expect, test } from "bun:test";
import {
  checkState,
  checkTransition,
  MemoryStorage,
  noMembers,
  observe,
  RawNode,
  type Observation,
} from "../../raft/index.ts";

function follower(): RawNode<string> {
  const confState = { ...noMembers, voters: [1, 2, 3] };
  const storage = new MemoryStorage<string>({ index: 5, term: 1, confState, data: null });
  storage.hardState = { term: 1, vote: 0, commit: 5 };
  return new RawNode({ id: 1, seed: 1, applied: 5 }, storage);
}

describe("checkState() finds", () => {
  const faults: [string, (node: RawNode<string>) => void, string][] = [
    [
      "a commit beyond the log",
      ({ core }) => void (core.log.committed = 9),
      "committed 9 > last 5",
    ],
    [
      "applying beyond the commit",
      ({ core }) => void (core.log.applying = 9),
      "applying 9 > committed 5",
    ],
    ["a leader that follows", ({ core }) => void (core.role = "leader"), "role leader, lead 0"],
    [
      "a candidate that voted for another",
      ({ core }) => {
        core.role = "candidate";
        core.vote = 2;
      },
      "role candidate, vote 2",
    ],
    [
      "a message to itself that would not wait",
      ({ core }) => {
        core.messages.push(core.draft("MsgApp", 1));
      },
      "MsgApp to itself",
    ],
    [
      "a gap in the tail",
      ({ core }) => {
        const entry = {
          index: 8,
          term: 1,
          type: "normal",
          data: null,
          change: null,
          bytes: 0,
        } as const;
        core.log.unstable.entries.push(entry);
      },
      "entry 8 lies at place 6",
    ],
    [
      "a learner that votes",
      ({ core }) => {
        const { configuration, members } = core.tracker;
        core.tracker.replace({ ...configuration, learners: [3] }, members);
      },
      "3 is in Learners and Voters[0]",
    ],
  ];
  for (const [name, plant, message] of faults) {
    test(name, () => {
      const node = follower();
      expect(() => checkState(node)).not.toThrow();
      plant(node);
      expect(() => checkState(node)).toThrow(message);
    });
  }
});

describe("checkTransition() finds", () => {
  const before: Observation = { ...observe(follower()), term: 4, vote: 2, lead: 2, committed: 7 };
  const faults: [string, Partial<Observation>, Partial<Observation>, string][] = [
    ["a term that falls", {}, { term: 3 }, "term fell from 4 to 3"],
    ["a commit that falls", {}, { committed: 6 }, "committed fell from 7 to 6"],
    ["a second vote", {}, { vote: 3 }, "vote of term 4 changed from 2 to 3"],
    ["a second leader", {}, { lead: 3 }, "leader of term 4 changed from 2 to 3"],
    [
      "a leader that was never elected",
      {},
      { role: "leader" },
      "a follower of term 4 became its leader",
    ],
    [
      "a commit by counting an older term",
      { role: "leader" },
      { role: "leader", committed: 8, committedTerm: 3 },
      "leader of term 4 committed an entry of term 3",
    ],
  ];
  for (const [name, was, is, message] of faults) {
    test(name, () => {
      expect(() => checkTransition({ ...before, ...was }, { ...before, ...is })).toThrow(message);
    });
  }

  test("nothing wrong with a new term, vote and leader", () => {
    const after: Observation = { ...before, term: 5, vote: 3, lead: 3 };
    expect(() => checkTransition(before, after)).not.toThrow();
  });
});
