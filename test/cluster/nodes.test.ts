import { expect, test } from "bun:test";
import type { Command } from "../../src/cluster/commands.ts";
import { clusterOf, do_, id } from "./states.ts";

const forgotten = (nodeId: number): Command => ({
  kind: "forgetTopics",
  topicIds: [id(1)],
  nodeId,
});
const ask = (requestId: string): Command => ({
  kind: "joinNode",
  requestId,
  version: "0.1.0",
  peer: { host: "h", port: 1 },
});

test("ids are given once, the same request gets the same one, and a removed node's is never given again", () => {
  const state = clusterOf([null]);
  expect(do_(state, ask("request-a")).change).toMatchObject({
    node: { nodeId: 2 },
    before: null,
  });
  expect(do_(state, ask("request-b")).change).toMatchObject({ node: { nodeId: 3 } });
  expect(do_(state, ask("request-a")).change).toMatchObject({ node: { nodeId: 2 } });
  expect(state.nodes.size).toBe(3);
  do_(state, { kind: "removeNode", nodeId: 3 }, 77);
  expect(state.removedNodes.get(3)).toMatchObject({ nodeId: 3, removedAt: 77 });
  expect(state.apply(ask("request-b"), 0)).toMatchObject({
    members: { nodeId: 3, removed: true },
  });
  expect(do_(state, ask("request-c")).change).toMatchObject({ node: { nodeId: 4 } });
  const back: Command = { kind: "registerNode", nodeId: 3, version: "0.1.0" };
  expect(state.apply(back, 0)).toMatchObject({ code: "policy_violation" });
  expect(do_(state, { kind: "removeNode", nodeId: 3 }).change).toEqual({ kind: "none" });
});

test("the last node, the last that stays, and a wanted voter are not removed", () => {
  const one = clusterOf([null]);
  expect(one.apply({ kind: "removeNode", nodeId: 1 }, 0)).toMatchObject({ ok: false });
  expect(one.apply({ kind: "drainNode", nodeId: 1 }, 0)).toMatchObject({ ok: false });
  const two = clusterOf([null, null]);
  expect(two.apply({ kind: "removeNode", nodeId: 1 }, 0)).toMatchObject({
    members: { voters: [1] },
  });
  do_(two, { kind: "drainNode", nodeId: 1 });
  expect(two.apply({ kind: "drainNode", nodeId: 2 }, 0)).toMatchObject({ ok: false });
});

test("two voters, four, strangers and doubles are refused, and so is a plan for other voters", () => {
  const state = clusterOf([null, null, null, null]);
  const set = (voters: number[], expected = [1]) =>
    state.apply({ kind: "setControllerVoters", voters, expected }, 0);
  for (const voters of [[], [1, 2], [1, 2, 3, 4], [1, 1, 2], [1, 2, 9]])
    expect(set(voters)).toMatchObject({ ok: false, code: "invalid_request" });
  expect(set([1, 2, 3], [2])).toMatchObject({ code: "precondition_failed" });
  expect(set([3, 1, 2])).toMatchObject({ ok: true });
  expect(state.controllerTarget()).toEqual({
    voters: [1, 2, 3].map((nodeId) => ({ nodeId, incarnation: nodeId })),
    learners: [{ nodeId: 4, incarnation: 4 }],
  });
});

test("a deleted topic is remembered until every node that held it has told that it is gone", () => {
  const state = clusterOf([null, null]);
  const assignments = [
    [
      { nodeId: 1, incarnation: 1 },
      { nodeId: 2, incarnation: 1 },
    ],
  ];
  do_(state, { kind: "createTopic", name: "a", topicId: id(1), assignments, configs: {} });
  do_(state, { kind: "deleteTopic", topicId: id(1) });
  do_(state, forgotten(1));
  do_(state, forgotten(1));
  expect(state.deleted.get(id(1))?.holders).toEqual([2]);
  do_(state, { kind: "removeNode", nodeId: 2 });
  expect(state.deleted.size).toBe(0);
});

test("what a node tells of itself has bounds", () => {
  const state = clusterOf([null]);
  const long = "x".repeat(300);
  for (const told of [{ version: long }, { region: long }, { peer: { host: long, port: 1 } }])
    expect(state.apply({ ...ask("request-a"), ...told }, 0)).toMatchObject({
      ok: false,
    });
  expect(state.apply(ask("short"), 0)).toMatchObject({ ok: false });
  expect(state.nodes.size).toBe(1);
});
