// What a leader makes of a follower's answers, row by row.

import { describe, expect, test } from "bun:test";
import { Progress, type ProgressState } from "../../raft/progress.ts";

function progress(state: ProgressState, match: number, next: number): Progress {
  const made = Progress.fresh(next, { maxMessages: 4, maxBytes: 1000 });
  made.match = match;
  made.state = state;
  if (state === "snapshot") made.pendingSnapshot = next - 1;
  return made;
}

describe("maybeDecrease()", () => {
  //      state        match next rejected hint  moves  next
  const rows: [ProgressState, number, number, number, number, boolean, number][] = [
    ["replicate", 5, 10, 5, 5, false, 10], // at or below match: stale
    ["replicate", 5, 10, 4, 4, false, 10],
    ["replicate", 5, 10, 9, 9, true, 6], // back to the last agreement
    ["probe", 0, 10, 9, 9, true, 9], // one back
    ["probe", 0, 10, 9, 2, true, 3], // to the hint
    ["probe", 4, 10, 9, 2, true, 5], // never below match + 1
    ["probe", 0, 10, 8, 2, false, 10], // not the probe that is under way: stale
    ["probe", 0, 1, 0, 0, true, 1], // next never falls below 1
    ["snapshot", 0, 10, 9, 2, false, 10], // older than the snapshot
  ];
  for (const [state, match, next, rejected, hint, moves, wanted] of rows) {
    test(`${state}: match ${match}, next ${next}, rejected ${rejected}, hint ${hint}`, () => {
      const follower = progress(state, match, next);
      expect(follower.maybeDecrease(rejected, hint)).toBe(moves);
      expect(follower.next).toBe(wanted);
      expect(follower.match).toBeLessThan(follower.next);
    });
  }
});

test("an acknowledgement moves match, keeps next ahead of it, and ends a pause", () => {
  const follower = progress("probe", 3, 5);
  follower.flowPaused = true;
  expect(follower.maybeUpdate(3)).toBe(false);
  expect(follower.flowPaused).toBe(true);
  expect(follower.maybeUpdate(8)).toBe(true);
  expect([follower.match, follower.next, follower.flowPaused]).toEqual([8, 9, false]);
});

test("after a snapshot that arrived, probing goes on behind it; after one that failed, behind match", () => {
  const arrived = progress("replicate", 3, 8);
  arrived.becomeSnapshot(20);
  expect([arrived.state, arrived.next, arrived.isPaused()]).toEqual(["snapshot", 21, true]);
  arrived.becomeProbe();
  expect([arrived.state, arrived.next]).toEqual(["probe", 21]);
  const failed = progress("replicate", 3, 8);
  failed.becomeSnapshot(20);
  failed.pendingSnapshot = 0;
  failed.becomeProbe();
  expect([failed.state, failed.next]).toEqual(["probe", 4]);
});

test("streaming appends moves next and pauses when the window is full; an empty one is always allowed", () => {
  const follower = progress("replicate", 0, 1);
  for (let i = 0; i < 4; i++) follower.sentEntries(2, 10);
  expect([follower.next, follower.flowPaused]).toEqual([9, true]);
  follower.sentEntries(0, 0);
  expect(follower.next).toBe(9);
});

test("a commit index is told eagerly only while it can move the follower", () => {
  const follower = progress("replicate", 5, 6);
  follower.sentCommit = 4;
  expect(follower.canBumpCommit(5)).toBe(true);
  expect(follower.canBumpCommit(4)).toBe(false);
  follower.sentCommit = 5;
  expect(follower.canBumpCommit(9)).toBe(false);
});
