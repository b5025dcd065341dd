import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { ClusterState } from "../../src/cluster/cluster-state.ts";
import type { Command } from "../../src/cluster/commands.ts";
import { place, reassignments, soleHoldings, type Silence } from "../../src/cluster/placement.ts";
import { votersPlan, votersWanted } from "../../src/cluster/voters.ts";
import { clusterOf, do_, id, join } from "./states.ts";

const nobody: ReadonlySet<number> = new Set();
const nodesOf = (assignments: readonly (readonly { nodeId: number }[])[]): string[] =>
  assignments.map((replicas) => replicas.map(({ nodeId }) => nodeId).join(" "));

describe("place()", () => {
  const table: readonly [string, (string | null)[], number, number, string[]][] = [
    ["one node holds everything", [null], 3, 1, ["1", "1", "1"]],
    ["a factor beyond the nodes takes all of them", [null, null], 1, 3, ["1 2"]],
    [
      "each node leads as much as the others",
      [null, null, null],
      3,
      3,
      ["1 2 3", "2 3 1", "3 1 2"],
    ],
    ["replicas and leaders are spread", [null, null, null, null], 4, 1, ["1", "2", "3", "4"]],
    ["regions come first", ["a", "a", "b"], 2, 2, ["1 3", "2 3"]],
    ["three regions get one replica each", ["a", "a", "b", "b", "c"], 1, 3, ["1 3 5"]],
  ];
  for (const [what, regions, partitions, factor, wanted] of table)
    test(what, () => {
      const placed = nodesOf(place(clusterOf(regions), { partitions, factor }));
      expect(placed.map((one) => one.split(" ").sort().join(" "))).toEqual(
        wanted.map((one) => one.split(" ").sort().join(" ")),
      );
      expect(placed.map((one) => one.split(" ")[0])).toEqual(
        wanted.map((one) => one.split(" ")[0]),
      );
    });

  test("a node that is down is the last choice, and never leads by wish", () => {
    const state = clusterOf([null, null, null, null]);
    const avoid = new Set([1, 2]);
    expect(nodesOf(place(state, { partitions: 1, factor: 2, avoid }))).toEqual(["3 4"]);
    expect(nodesOf(place(state, { partitions: 1, factor: 3, avoid }))[0]).toStartWith("3");
  });

  test("a node that drains gets nothing", () => {
    const state = clusterOf([null, null, null]);
    do_(state, { kind: "drainNode", nodeId: 2 });
    expect(nodesOf(place(state, { partitions: 1, factor: 3 }))).toEqual(["1 3"]);
  });
});

/** Does the whole plan, as the planner does, and confirms nothing. */
function carryOut(state: ClusterState, silence?: Silence): number {
  let steps = 0;
  for (const { topicId, changes } of reassignments(state, 1_000, silence)) {
    do_(state, { kind: "assignReplicas", topicId, changes });
    steps += changes.length;
  }
  return steps;
}

function create(state: ClusterState, n: number, partitions: number, factor: number | null): void {
  const assignments = place(state, { partitions, factor: factor ?? 3 });
  const of = { name: `t${n}`, topicId: id(n), assignments, configs: {} };
  do_(state, { kind: "createTopic", ...of, explicitFactor: factor !== null });
}

test("a topic for which nobody chose a factor is raised as nodes join; a chosen factor stays", () => {
  const state = clusterOf([null]);
  create(state, 1, 4, null);
  create(state, 2, 1, 1);
  join(state, 2);
  expect(carryOut(state)).toBe(4);
  join(state, 3);
  expect(carryOut(state)).toBe(4);
  join(state, 4);
  expect(carryOut(state)).toBe(0);
  expect(state.topic("t1")?.assignments.every((a) => a.length === 3)).toBe(true);
  expect(nodesOf(state.topic("t2")!.assignments)).toEqual(["1"]);
  const leads = [1, 2, 3].map((nodeId) => state.load(nodeId).leads);
  expect(Math.max(...leads) - Math.min(...leads)).toBeLessThanOrEqual(1);
});

test("a replica that is added has an incarnation that was never given", () => {
  const state = clusterOf([null]);
  create(state, 1, 2, null);
  join(state, 2);
  const before = state.nextIncarnation;
  carryOut(state);
  const added = state.topic("t1")!.assignments.map((a) => a.find((r) => r.nodeId === 2)!);
  expect(added.map(({ incarnation }) => incarnation)).toEqual([before, before + 1]);
  expect(state.topic("t1")?.moves.get(0)).toMatchObject({
    born: [{ nodeId: 1, incarnation: 1 }],
    leaving: [],
    settled: false,
  });
});

test("what lies on a draining node moves to one that has none; the old replica is leaving", () => {
  const state = clusterOf([null, null, null, null]);
  create(state, 1, 1, 3);
  const [{ nodeId }] = state.topic("t1")!.assignments[0];
  do_(state, { kind: "drainNode", nodeId });
  expect(carryOut(state)).toBe(1);
  const after = state.topic("t1")!;
  expect(after.assignments[0]).toHaveLength(3);
  expect(after.assignments[0].some((replica) => replica.nodeId === nodeId)).toBe(false);
  expect(after.moves.get(0)?.leaving).toEqual([{ nodeId, incarnation: 1 }]);
});

test("with nowhere to go the factor falls, and rises again with the next node", () => {
  const state = clusterOf([null, null, null]);
  create(state, 1, 1, 3);
  do_(state, { kind: "drainNode", nodeId: 3 });
  carryOut(state);
  expect(state.topic("t1")?.assignments[0]).toHaveLength(2);
  join(state, 4);
  carryOut(state);
  expect(state.topic("t1")?.assignments[0]).toHaveLength(3);
});

test("a partition whose every holder was removed stays as it is: nobody has its records", () => {
  const state = clusterOf([null, null]);
  create(state, 1, 1, 1);
  const [{ nodeId }] = state.topic("t1")!.assignments[0];
  expect(soleHoldings(state, nodeId)).toEqual([{ topic: "t1", partition: 0 }]);
  do_(state, { kind: "setControllerVoters", voters: [3 - nodeId], expected: [1] });
  do_(state, { kind: "removeNode", nodeId });
  expect(carryOut(state)).toBe(0);
});

test("a factor is raised by nodes that are up; what leaves a node waits for others a while", () => {
  const state = clusterOf([null]);
  create(state, 1, 1, null);
  join(state, 2);
  join(state, 3);
  const silent = new Set([3]);
  const plan = (silence: Silence) =>
    reassignments(state, 9, silence).flatMap(({ changes }) =>
      changes.map(({ nodes }) => nodes.toSorted((a, b) => a - b).join(" ")),
    );
  expect(plan({ silent })).toEqual(["1 2"]);
  carryOut(state, { silent });
  expect(plan({ silent })).toEqual([]);
  do_(state, { kind: "drainNode", nodeId: 2 });
  expect(plan({})).toEqual(["1 3"]);
  expect(plan({ silent })).toEqual([]);
  expect(plan({ silent, down: silent })).toEqual(["1"]);
});

test("a plan holds no more partitions than asked for", () => {
  const state = clusterOf([null]);
  create(state, 1, 5, null);
  create(state, 2, 5, null);
  join(state, 2);
  const sizes = reassignments(state, 7).map(({ changes }) => changes.length);
  expect(sizes).toEqual([5, 2]);
});

const region = fc.constantFrom(null, "a", "b", "c");
const topics = fc.array(
  fc.record({ partitions: fc.integer({ min: 1, max: 6 }), factor: fc.constantFrom(null, 1, 2, 3) }),
  { maxLength: 4 },
);

test("plans put no two replicas on one node, are done in one pass, and balance what is new", () => {
  fc.assert(
    fc.property(
      fc.array(region, { minLength: 1, maxLength: 6 }),
      topics,
      fc.array(region, { maxLength: 3 }),
      fc.array(fc.nat(8), { maxLength: 3 }),
      (regions, wishes, joining, leaving) => {
        const state = clusterOf(regions);
        wishes.forEach(({ partitions, factor }, n) => create(state, n, partitions, factor));
        for (const label of joining) join(state, state.nodes.size + 1, label);
        for (const nodeId of leaving) state.apply({ kind: "drainNode", nodeId }, 0);
        carryOut(state);
        expect(reassignments(state, 1_000)).toEqual([]);
        const staying = [...state.nodes.values()].filter((node) => !node.draining).length;
        for (const name of state.names) {
          const topic = state.topic(name)!;
          for (const assignment of topic.assignments) {
            const nodes = assignment.map(({ nodeId }) => nodeId);
            expect(new Set(nodes).size).toBe(nodes.length);
            expect(nodes.some((nodeId) => state.nodes.get(nodeId)!.draining)).toBe(false);
            expect(nodes.length).toBeGreaterThanOrEqual(Math.min(topic.factor ?? 3, staying));
          }
        }
      },
    ),
    { numRuns: 200 },
  );
});

const spread = (of: readonly number[]): number => Math.max(...of) - Math.min(...of);

test("new partitions alone differ by at most one replica and one leadership a node", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 5 }),
      (nodes, partitions, factor) => {
        const state = clusterOf(Array.from({ length: nodes }, () => null));
        create(state, 1, partitions, factor);
        const loads = [...state.nodes.keys()].map((nodeId) => state.load(nodeId));
        expect(spread(loads.map(({ replicas }) => replicas))).toBeLessThanOrEqual(1);
        expect(spread(loads.map(({ leads }) => leads))).toBeLessThanOrEqual(1);
      },
    ),
    { numRuns: 200 },
  );
});

describe("votersPlan()", () => {
  const table: readonly [string, number, number[], number[], number, number[] | null][] = [
    // what                                     nodes  drains   down   leader  voters
    ["one node votes alone", 1, [], [], 1, null],
    ["two nodes have one voter", 2, [], [], 1, null],
    ["three nodes vote", 3, [], [], 1, [1, 2, 3]],
    ["a fourth node learns", 4, [], [], 1, [1, 2, 3]],
    ["five nodes vote", 5, [], [], 1, [1, 2, 3, 4, 5]],
    ["a sixth node learns", 6, [], [], 1, [1, 2, 3, 4, 5]],
    ["a node that is down waits while others can vote", 4, [], [2], 1, [1, 3, 4]],
    ["a draining node is replaced", 4, [2], [], 1, [1, 3, 4]],
    ["two that stay of three have one voter: the leader", 3, [1], [], 2, [2]],
  ];
  for (const [what, nodes, drains, down, leader, voters] of table)
    test(what, () => {
      const state = clusterOf(Array.from({ length: nodes }, () => null));
      for (const nodeId of drains) do_(state, { kind: "drainNode", nodeId });
      expect(votersPlan(state, { down: new Set(down), silent: new Set(down), leader })).toEqual(
        voters,
      );
    });

  test("a node that never came keeps nobody from voting, and does not vote itself", () => {
    const state = clusterOf([null, null, null, null, null]);
    const silent = new Set([5]);
    expect(votersPlan(state, { down: nobody, silent, leader: 1 })).toEqual([1, 2, 3]);
  });

  test("voters come from different regions", () => {
    const state = clusterOf(["a", "a", "a", "b", "c"].slice(0, 4));
    expect(votersPlan(state, { down: nobody, silent: nobody, leader: 1 })).toEqual([1, 2, 4]);
  });

  test("from any state it gives 1, 3 or 5, is done in one pass, and never an even number on the way", () => {
    const step = fc.oneof(
      fc.constant("join" as const),
      fc.record({ drain: fc.nat(9) }),
      fc.record({ down: fc.nat(9) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const state = clusterOf([null]);
        const down = new Set<number>();
        for (const one of steps) {
          if (one === "join") join(state, state.nodes.size + 1);
          else if ("drain" in one) state.apply({ kind: "drainNode", nodeId: one.drain }, 0);
          else if (!down.delete(one.down)) down.add(one.down);
          const view = { down, silent: down, leader: state.controllerVoters[0] };
          const voters = votersPlan(state, view);
          if (voters === null) continue;
          const expected = state.controllerVoters;
          const command: Command = { kind: "setControllerVoters", voters, expected };
          do_(state, command);
          expect(votersPlan(state, view)).toBeNull();
          const staying = [...state.nodes.values()].filter((node) => !node.draining).length;
          expect([1, 3, 5]).toContain(state.controllerVoters.length);
          if (down.size === 0) expect(state.controllerVoters).toHaveLength(votersWanted(staying));
        }
      }),
      { numRuns: 200 },
    );
  });
});
