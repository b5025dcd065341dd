import { expect, test } from "bun:test";
import { encodeState } from "../../src/cluster/cluster-snapshot.ts";
import { MemoryCluster, membersOf, type MemoryNode } from "./memory-cluster.ts";

const leaderOf = (cluster: MemoryCluster): MemoryNode | null => cluster.leaderOf("controller");

/** Runs until the controller's group has these members, as its leader sees it. */
async function controllerIs(cluster: MemoryCluster, members: string): Promise<void> {
  const found = () => {
    const leader = leaderOf(cluster);
    return leader === null ? "no leader" : membersOf(leader, "controller");
  };
  try {
    await cluster.eventually("members", () => found() === members);
  } catch {
    throw new Error(`The controller's members must be ${members}, found ${found()}`);
  }
}

/** Runs until every living member's state is the same. */
async function agreed(cluster: MemoryCluster): Promise<void> {
  const members = () => cluster.living.filter(({ nodeId, state }) => state.nodes.has(nodeId));
  await cluster.eventually("one state everywhere", () => {
    const states = members().map(({ state }) => Buffer.from(encodeState(state)).toString("hex"));
    return new Set(states).size === 1;
  });
}

test("the first node forms the cluster, the second learns, with the third all three vote", async () => {
  const cluster = await MemoryCluster.of(1);
  await controllerIs(cluster, "1");
  await cluster.join();
  await controllerIs(cluster, "1 | 2");
  await cluster.join();
  await controllerIs(cluster, "1 2 3");
  await agreed(cluster);
  expect([...cluster.node(3).state.nodes.keys()].sort()).toEqual([1, 2, 3]);
});
