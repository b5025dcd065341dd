import { expect, test } from "bun:test";
import { Topic } from "../../src/broker/topics.ts";
import { ScriptedLogs } from "./scripted-logs.ts";

test("a deleted topic makes no slot any more, or its log would come back", async () => {
  const logs = new ScriptedLogs();
  const here = [{ nodeId: 1, incarnation: 1 }];
  const assignments = [here, here, here];
  const state = {
    name: "t",
    topicId: "id",
    createdAt: 0,
    assignments,
    configs: {},
    earlierCounts: [],
    factor: null,
    moves: new Map(),
  };
  const topic = new Topic(logs, state, {});
  const used = topic.slot(1)!;
  await used.log();
  const deleting = topic.delete();
  expect(topic.slot(0)).toBeNull();
  expect(topic.slot(1)).toBe(used);
  expect(await used.log()).toMatchObject({ code: "unknown_topic_or_partition" });
  await deleting;
  expect(logs.removed.sort()).toEqual(["id/0", "id/1", "id/2"]);
});
