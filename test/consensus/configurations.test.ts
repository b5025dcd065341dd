// What a replica knows of its configuration: stored, cut, told, applied; what joining replicas are told.

import { describe, expect, test } from "bun:test";

import type { Entry } from "../../raft/types.ts";
import { decodeConfiguration, nobody, soleVoter } from "../../src/consensus/configuration.ts";
import { Configurations } from "../../src/consensus/configurations.ts";
import { changeToward, decodeChange, encodeChange } from "../../src/consensus/membership-change.ts";
import { decodeWelcome, encodeWelcome, isWelcome } from "../../src/consensus/wire/welcome.ts";
import { pack } from "msgpackr/pack";
import { VirtualWorld } from "./virtual-world.ts";

const entry = (index: number, type: Entry<null>["type"] = "normal"): Entry<null> => ({
  index,
  term: 1,
  type,
  data: null,
  change: null,
  bytes: 0,
});
const id = (nodeId: number) => ({ nodeId, incarnation: 1 });
const three = { ...nobody, voters: [1, 2, 3] };

describe("Configurations", () => {
  test("are told to the journal once, and again when they changed", () => {
    const known = new Configurations(null, soleVoter(1));
    const first = known.toWrite();
    expect(decodeConfiguration(first!)).toEqual({ state: soleVoter(1), index: 0, changes: [] });
    expect(known.toWrite()).toBeNull();
    known.appended([entry(5), entry(6, "confChange")]);
    expect(decodeConfiguration(known.toWrite()!)).toMatchObject({ index: 0, changes: [6] });
    known.applied(6, three);
    expect(decodeConfiguration(known.toWrite()!)).toEqual({ state: three, index: 6, changes: [] });
    expect(new Configurations(first, three).state).toEqual(soleVoter(1));
  });

  test("forget changes whose entries are replaced, and pass over those whose outcome was told", () => {
    const known = new Configurations(null, three);
    known.appended([entry(5, "confChange"), entry(6), entry(7, "confChange")]);
    expect(known.changes).toEqual([5, 7]);
    known.appended([entry(6), entry(7)]);
    expect(known.changes).toEqual([5]);
    known.told(9, soleVoter(1));
    known.appended([entry(8, "confChange"), entry(10, "confChange")]);
    expect(known.changes).toEqual([10]);
  });

  test("fall back to what the log may hold, and keep what was applied", () => {
    const known = new Configurations(null, three);
    known.appended([entry(5, "confChange")]);
    const stored = known.toWrite()!;
    known.appended([entry(5), entry(6, "confChange")]);
    known.toWrite();
    // The write that replaced entry 5 failed: it is there again, and must be looked at once more.
    known.fellBack(stored, 5);
    expect(known.changes).toEqual([5]);
    expect(known.toWrite()).toBeNull();
    known.applied(5, soleVoter(1));
    known.fellBack(stored, 5);
    expect([known.index, known.changes]).toEqual([5, []]);
    expect(known.toWrite()).not.toBeNull();
  });

  test("of a folder that never had a peer are read", () => {
    const known = new Configurations(pack([[1], [], [], [], false]), nobody);
    expect([known.state, known.index, known.changes]).toEqual([soleVoter(1), 0, []]);
  });
});

describe("a change toward a target", () => {
  test("is nothing when the target is reached, else adds, then removes", () => {
    expect(changeToward(three, { voters: [1, 2, 3].map(id), learners: [] })).toBeNull();
    const change = changeToward(three, { voters: [1, 4].map(id), learners: [id(2)] })!;
    expect(change.steps).toEqual([
      { type: "addLearner", id: 2 },
      { type: "addVoter", id: 4 },
      { type: "remove", id: 3 },
    ]);
    expect(decodeChange(encodeChange(change))).toEqual(change);
  });
});

describe("a welcome", () => {
  const welcome = { from: 1, to: 2, index: 7, state: { ...three, learners: [9] } };

  test("is read back as it was written", () => {
    const head = encodeWelcome("topic/0", welcome);
    expect(isWelcome(head)).toBe(true);
    expect(decodeWelcome(head)).toEqual({ groupId: "topic/0", ...welcome });
  });

  test("that somebody else wrote is none, and never throws", () => {
    const world = new VirtualWorld(21);
    const head = encodeWelcome("topic/0", welcome);
    for (let round = 0; round < 2_000; round += 1) {
      const broken = head.slice(0, 1 + world.below(head.length));
      for (let i = world.below(4); i > 0; i -= 1)
        broken[1 + world.below(broken.length - 1)] = world.below(256);
      const decoded = decodeWelcome(broken);
      if (decoded !== null) expect(decoded.state.voters.every((id) => id > 0)).toBe(true);
    }
  });
});
