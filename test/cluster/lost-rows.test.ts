// Replicas that lose rows without a trace while their node is down: found out by the others' knowledge, and replaced.

import { expect, test } from "bun:test";
import { MemoryCluster } from "./memory-cluster.ts";

const words = Array.from({ length: 10 }, (_, i) => `word ${i}`);

test("a partition's replica that lost what it had acknowledged gets a successor on the same node", async () => {
  const cluster = await MemoryCluster.of(3);
  await cluster.members("1 2 3");
  const topicId = await cluster.topic("a");
  const group = `${topicId}/0`;
  for (const word of words) await cluster.say(group, word);
  const leader = cluster.leaderOf(group)!;
  const victim = cluster.living.find((node) => node !== leader)!;
  victim.crashAndLose(group, 4);
  await cluster.world.until(victim.start());
  const successor = () =>
    cluster.any.state
      .topicById(topicId)!
      .assignments[0].find(({ nodeId }) => nodeId === victim.nodeId)!.incarnation;
  await cluster.eventually("a successor", () => successor() > 1, 60_000);
  await cluster.members("1 2 3", group);
  await cluster.eventually("settled", () => cluster.any.state.unsettled === 0, 60_000);
  await cluster.say(group, "and one more");
  await cluster.eventually(
    "all words",
    () => cluster.heard(victim, group).join() === [...words, "and one more"].join(),
  );
  expect(victim.life.host.replica(group)?.damaged).toBe(false);
});
