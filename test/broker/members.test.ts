import { expect, test } from "bun:test";
import { BrokerCluster } from "./broker-cluster.ts";
import { must } from "./harness.ts";

/** Node ids where the metadata wants partition 0 of "t", ascending. */
function assigned(cluster: BrokerCluster): readonly number[] {
  const state = cluster.living[0].broker.controller.state.topic("t");
  return (state?.assignments[0] ?? []).map(({ nodeId }) => nodeId).toSorted((a, b) => a - b);
}

/** Until the group's own configuration is the assignment and everybody has everything. */
async function settled(cluster: BrokerCluster, wanted: readonly number[]): Promise<void> {
  await cluster.eventually(`replicas on ${wanted.join(", ")}`, () => {
    const leader = cluster.leaderOf("t");
    if (leader === null || String(assigned(cluster)) !== String(wanted)) return false;
    const topicId = leader.broker.topic("t")!.topicId;
    const replica = leader.host.replica(`${topicId}/0`)!;
    const { voters, learners, joint } = replica.members;
    const nodes = voters.map(({ nodeId }) => nodeId).toSorted((a, b) => a - b);
    // A member that has not heard yet that a change is committed decides by the former members.
    const isHeld = wanted.every((nodeId) => {
      const copy = cluster.node(nodeId).host.replica(replica.groupId);
      return copy?.commitIndex === replica.commitIndex;
    });
    return String(nodes) === String(wanted) && isHeld && learners.length === 0 && !joint;
  });
}

test("a node alone becomes three: its topic is raised, and its records survive the first node", async () => {
  const cluster = await BrokerCluster.of(1);
  must(await cluster.until(cluster.broker(1).createTopic({ name: "t" })));
  must(await cluster.until(cluster.append(1, "t", ["a", "b"])));
  await cluster.join();
  must(await cluster.until(cluster.append(2, "t", ["c"])));
  await cluster.join();
  must(await cluster.until(cluster.append(3, "t", ["d"])));
  await settled(cluster, [1, 2, 3]);
  cluster.node(1).kill();
  await cluster.world.run(10);
  must(await cluster.until(cluster.append(2, "t", ["e"])));
  for (const nodeId of [2, 3])
    expect(await cluster.until(cluster.read(nodeId, "t"))).toEqual(["a", "b", "c", "d", "e"]);
});

test("a node that is lost for good is replaced while writers go on", async () => {
  const cluster = await BrokerCluster.of(3);
  must(await cluster.until(cluster.broker(1).createTopic({ name: "t" })));
  const lost = cluster.leaderOf("t")!;
  const [one, other] = cluster.living.filter((node) => node !== lost);
  const acked: string[] = [];
  const writing = { isOver: false };
  const write = async (nodeId: number): Promise<void> => {
    for (let n = 0; !writing.isOver; n += 1) {
      const value = `${nodeId}/${n}`;
      if ((await cluster.append(nodeId, "t", [value])).ok) acked.push(value);
      await new Promise<void>((resolve) => void cluster.world.setTimer(20, resolve));
    }
  };
  const writers = [one, other].map(({ nodeId }) => write(nodeId));
  await cluster.world.run(300);
  lost.kill();
  await cluster.world.run(3_000);
  const fourth = await cluster.join();
  const removing = one.broker.removeNode(lost.nodeId);
  expect(must(await cluster.until(removing)).ok).toBe(true);
  const wanted = [one.nodeId, other.nodeId, fourth.nodeId].toSorted((a, b) => a - b);
  await cluster.eventually(
    "the new assignment",
    () => String(assigned(cluster)) === String(wanted),
  );
  writing.isOver = true;
  await cluster.until(Promise.all(writers));
  await settled(cluster, wanted);
  const log = await cluster.until(cluster.read(fourth.nodeId, "t", { consistency: "local" }));
  expect(log).toEqual((await cluster.until(cluster.read(one.nodeId, "t"))) as string[]);
  expect(acked.length).toBeGreaterThan(100);
  expect(acked.filter((value) => !log.includes(value))).toEqual([]);
  expect(new Set(log).size).toBe(log.length);
  await cluster.eventually("the removal", () => {
    return !other.broker.controller.state.nodes.has(lost.nodeId);
  });
  const status = must(await cluster.until(other.broker.clusterStatus()));
  expect(status.nodes.map(({ nodeId, state }) => [nodeId, state])).toEqual(
    wanted.map((nodeId) => [nodeId, "up"]),
  );
}, 60_000);

test("a node that is drained keeps nothing, and still takes any request", async () => {
  const cluster = await BrokerCluster.of(4);
  must(await cluster.until(cluster.broker(1).createTopic({ name: "t", replicationFactor: 3 })));
  must(await cluster.until(cluster.append(1, "t", ["a"])));
  const drained = cluster.leaderOf("t")!;
  const { topicId } = drained.broker.topic("t")!;
  must(
    await cluster.until(
      cluster.living.find((node) => node !== drained)!.broker.removeNode(drained.nodeId),
    ),
  );
  const wanted = [1, 2, 3, 4].filter((nodeId) => nodeId !== drained.nodeId);
  await settled(cluster, wanted);
  await cluster.eventually("the end of its replica", () => {
    return !drained.host.groupIds().includes(`${topicId}/0`);
  });
  must(await cluster.until(cluster.append(wanted[0], "t", ["b"])));
  expect(await cluster.until(cluster.read(wanted[1], "t"))).toEqual(["a", "b"]);
});
