import { expect, test } from "bun:test";
import { birthOf, isGone } from "../../src/cluster/birth.ts";
import type { ClusterState } from "../../src/cluster/cluster-state.ts";
import type { Assignment, Command } from "../../src/cluster/commands.ts";
import { clusterOf, do_, id } from "./states.ts";

const create = (assignment: Assignment): Command => ({
  kind: "createTopic",
  name: "a",
  topicId: id(1),
  assignments: [assignment],
  configs: {},
});
const two = [
  { nodeId: 1, incarnation: 1 },
  { nodeId: 2, incarnation: 1 },
];
function moved(): ClusterState {
  const state = clusterOf([null, null, null]);
  do_(state, create(two));
  const changes = [{ partition: 0, nodes: [1, 3], expected: [1, 2] }];
  do_(state, { kind: "assignReplicas", topicId: id(1), changes });
  return state;
}
const confirm = (revision: number, voters: Assignment): Command => ({
  kind: "confirmReplicas",
  topicId: id(1),
  partition: 0,
  revision,
  voters,
  learners: [],
});
const three = { nodeId: 3, incarnation: 4 };
const groupId = `${id(1)}/0`;

test("a node that hears late of a topic begins with the voters that the others began with", () => {
  const state = moved();
  expect(birthOf(state, groupId, 1)).toEqual({ incarnation: 1, voters: two });
  expect(birthOf(state, groupId, 2)).toEqual({ incarnation: 1, voters: two });
  expect(birthOf(state, groupId, 3)).toEqual({ incarnation: 4, voters: [] });
  expect(birthOf(state, groupId, 4)).toBeNull();
  expect(birthOf(state, `${id(1)}/1`, 1)).toBeNull();
  expect(birthOf(state, "controller", 1)).toBeNull();
});

test("a replica is gone when the leader has told so, and not before", () => {
  const state = moved();
  const second = { nodeId: 2, incarnation: 1 };
  do_(state, confirm(1, two));
  expect(isGone(state, groupId, second)).toBe(false);
  do_(state, confirm(1, [two[0], three]));
  expect(isGone(state, groupId, second)).toBe(true);
  expect(birthOf(state, groupId, 2)).toBeNull();
  expect(isGone(state, groupId, two[0])).toBe(false);
  // From this fold's future, or of a group that it does not know: it may be behind.
  expect(isGone(state, groupId, { nodeId: 9, incarnation: 99 })).toBe(false);
  expect(isGone(state, `${id(7)}/0`, second)).toBe(false);
  expect(state.unsettled).toBe(0);
});

test("a leader that looked before the assignment changed again is not believed", () => {
  const state = moved();
  const changes = [{ partition: 0, nodes: [1, 2], expected: [1, 3] }];
  do_(state, { kind: "assignReplicas", topicId: id(1), changes });
  expect(state.apply(confirm(1, [two[0]]), 0)).toMatchObject({ code: "precondition_failed" });
  expect(birthOf(state, groupId, 2)).toEqual({ incarnation: 5, voters: [] });
  expect(state.topic("a")?.moves.get(0)?.leaving).toEqual([two[1], three]);
});

test("a damaged replica comes back under a fresh incarnation, and only once", () => {
  const state = moved();
  const damaged: Command = {
    kind: "replaceReplica",
    topicId: id(1),
    partition: 0,
    replica: two[0],
  };
  do_(state, damaged);
  expect(do_(state, damaged).change).toEqual({ kind: "none" });
  expect(state.topic("a")?.assignments[0]).toEqual([{ nodeId: 1, incarnation: 5 }, three]);
  expect(birthOf(state, groupId, 1)).toEqual({ incarnation: 5, voters: [] });
});

test("another order alone moves nothing", () => {
  const state = clusterOf([null, null]);
  do_(state, create(two));
  const changes = [{ partition: 0, nodes: [2, 1], expected: [1, 2] }];
  do_(state, { kind: "assignReplicas", topicId: id(1), changes });
  expect(state.topic("a")?.assignments[0]).toEqual([two[1], two[0]]);
  expect(state.unsettled).toBe(0);
});
