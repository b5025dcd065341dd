// Changes of configuration against the plain meaning of their steps.

import { expect, test } from "bun:test";
import {
  applyChange,
  enterJoint,
  leaveJoint,
  restoreConfiguration,
  simpleChange,
  type Base,
  type Changed,
  type ChangeResult,
} from "../../raft/confchange.ts";
import { Random } from "../../raft/random.ts";
import { emptyConfiguration, Tracker } from "../../raft/tracker.ts";
import type { ConfChangeStep } from "../../raft/types.ts";

const window = { maxMessages: 10, maxBytes: 1000 };
const empty: Base = { configuration: emptyConfiguration, members: new Map(), lastIndex: 9, window };

function after(base: Base, result: ChangeResult): Base {
  if (!result.ok) throw new Error(result.reason);
  return { ...base, configuration: result.configuration, members: result.members };
}

/** A random configuration with at least one voter that never leaves: id 1. */
function randomBase(random: Random): Base {
  let base = after(empty, simpleChange(empty, [{ type: "addVoter", id: 1 }]));
  for (const step of randomSteps(random, 6)) base = after(base, simpleChange(base, [step]));
  return base;
}

/** At most one step for each node: what a person means by a change. */
function randomSteps(random: Random, max: number): ConfChangeStep[] {
  const types = ["addVoter", "addVoter", "addLearner", "remove", "update"] as const;
  const ids = [2, 3, 4, 5, 6, 7].filter(() => random.below(2) === 0);
  return ids
    .slice(0, 1 + random.below(max))
    .map((id) => ({ type: types[random.below(types.length)], id }));
}

function memberIds(base: Base): number[] {
  return [...base.members.keys()].sort((a, b) => a - b);
}

/** Whether the result is joint, and left automatically. */
function shape(result: ChangeResult): [boolean, boolean] {
  const { voters, autoLeave } = (result as Changed).configuration;
  return [voters.outgoing.length > 0, autoLeave];
}

test("entering and leaving a joint configuration ends where single steps end, and keeps its invariants", () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = new Random(seed);
    const base = randomBase(random);
    const steps = randomSteps(random, 6);
    let single = base;
    for (const step of steps) single = after(single, simpleChange(single, [step]));
    const joint = after(base, enterJoint(base, { autoLeave: random.below(2) === 0 }, steps));
    expect(joint.configuration.voters.outgoing).toEqual(base.configuration.voters.incoming);
    const left = after(joint, leaveJoint(joint));
    expect({ seed, configuration: left.configuration }).toEqual({
      seed,
      configuration: single.configuration,
    });
    expect({ seed, ids: memberIds(left) }).toEqual({ seed, ids: memberIds(single) });
  }
});

test("a configuration survives being stored as ConfState and restored, joint or not", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    let base = randomBase(random);
    if (random.below(2) === 0) {
      base = after(base, enterJoint(base, { autoLeave: true }, randomSteps(random, 6)));
    }
    const tracker = new Tracker(window);
    tracker.replace(base.configuration, base.members);
    const restored = after(empty, restoreConfiguration(empty, tracker.confState()));
    expect({ seed, restored: restored.configuration }).toEqual({
      seed,
      restored: base.configuration,
    });
  }
});

test("a refused change leaves what it started from untouched", () => {
  const base = after(empty, simpleChange(empty, [{ type: "addVoter", id: 1 }]));
  const before = structuredClone(base.configuration);
  const steps: ConfChangeStep[] = [
    { type: "addVoter", id: 2 },
    { type: "addVoter", id: 3 },
  ];
  expect(simpleChange(base, steps).ok).toBe(false);
  expect(base.configuration).toEqual(before);
  expect([...base.members.keys()]).toEqual([1]);
});

test("the transition decides which way a change goes", () => {
  const base = after(empty, simpleChange(empty, [{ type: "addVoter", id: 1 }]));
  const one: ConfChangeStep[] = [{ type: "addVoter", id: 2 }];
  const two: ConfChangeStep[] = [...one, { type: "addVoter", id: 3 }];
  expect(shape(applyChange(base, { transition: "auto", steps: one }))).toEqual([false, false]);
  expect(shape(applyChange(base, { transition: "auto", steps: two }))).toEqual([true, true]);
  expect(shape(applyChange(base, { transition: "implicit", steps: one }))).toEqual([true, true]);
  expect(shape(applyChange(base, { transition: "explicit", steps: one }))).toEqual([true, false]);
});
