import { expect, test } from "bun:test";
import { encodeState } from "../../src/cluster/cluster-snapshot.ts";
import type { Change } from "../../src/cluster/cluster-state.ts";
import { Controller, controllerGroupId } from "../../src/cluster/controller.ts";
import { refuse } from "../../src/errors.ts";
import { ScriptedHost } from "../broker/scripted-host.ts";

const here = [{ nodeId: 1, incarnation: 1 }];
const create = (name: string, topicId = `id-of-${name}`) => ({
  kind: "createTopic" as const,
  name,
  topicId,
  assignments: [here],
  configs: {},
});

async function open(host = new ScriptedHost()) {
  const changes: Change[] = [];
  const controller = await Controller.open(host, (change) => changes.push(change));
  const replica = host.replicas.get(controllerGroupId)!;
  return { host, controller, changes, replica };
}

test("submit() settles with what the command did, after the listener heard of it", async () => {
  const { controller, changes } = await open();
  const applied = await controller.submit(create("a"));
  expect(applied).toMatchObject({ ok: true, change: { kind: "topicCreated" } });
  expect(changes).toHaveLength(1);
  expect(controller.state.topic("a")?.createdAt).toBe(1_000);
});

test("of two racing creations the log decides, and the loser hears why", async () => {
  const { controller } = await open();
  const both = await Promise.all([
    controller.submit(create("a")),
    controller.submit(create("a", "other")),
  ]);
  expect(both.map((applied) => applied.ok)).toEqual([true, false]);
  expect(both[1]).toMatchObject({ code: "topic_already_exists" });
});

test("a restart replays the log to the same state", async () => {
  const first = await open();
  for (const name of ["b", "a", "c"]) await first.controller.submit(create(name));
  await first.controller.submit({ kind: "deleteTopic", topicId: "id-of-b" });
  const second = await open(new ScriptedHost(first.host.logs));
  expect(encodeState(second.controller.state)).toEqual(encodeState(first.controller.state));
  expect(second.controller.state.names).toEqual(["a", "c"]);
});

test("restore() takes a snapshot and goes on from there", async () => {
  const first = await open();
  await first.controller.submit(create("a"));
  const second = await open();
  second.controller.restore(second.replica.appliedIndex, first.controller.snapshot());
  expect(second.controller.state.topic("a")?.topicId).toBe("id-of-a");
});

test("a refused proposal is answered as it was refused", async () => {
  const { host, controller } = await open();
  host.refusal = refuse("storage_full", "no room");
  expect(await controller.submit(create("a"))).toMatchObject({
    code: "storage_full",
    sideEffects: "none",
  });
});

test("a lost proposal has unknown side effects", async () => {
  const { host, controller, replica } = await open();
  host.held = true;
  const pending = controller.submit(create("a"));
  replica.lose(refuse("not_leader_or_follower", "deposed"));
  expect(await pending).toMatchObject({
    code: "not_leader_or_follower",
    sideEffects: "unknown",
  });
});

test("the log is cut every thousand commands, one cut at a time", async () => {
  const { controller, replica } = await open();
  for (let i = 0; i < 2_001; i += 1)
    await controller.submit({ kind: "allocateProducerIds", count: 1 });
  expect(replica.cuts).toBe(2);
});
