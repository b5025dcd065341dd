import { describe, expect, test } from "bun:test";
import { batchOf } from "./batches.ts";
import { BrokerCluster } from "./broker-cluster.ts";
import { must } from "./harness.ts";

/** Each node of the cluster. */
const all = [1, 2, 3];

async function clusterWith(
  topic: { readonly partitions?: number; readonly replicationFactor?: number } = {},
): Promise<BrokerCluster> {
  const cluster = await BrokerCluster.of(3);
  must(await cluster.until(cluster.broker(2).createTopic({ name: "t", ...topic })));
  return cluster;
}

describe("three nodes", () => {
  test("create, append and read through any of them", async () => {
    const cluster = await clusterWith({ partitions: 3 });
    for (const nodeId of all)
      for (const partition of [0, 1, 2])
        must(await cluster.until(cluster.append(nodeId, "t", [`${nodeId}`], { partition })));
    for (const nodeId of all)
      for (const partition of [0, 1, 2])
        expect(await cluster.until(cluster.read(nodeId, "t", { partition }))).toEqual([
          "1",
          "2",
          "3",
        ]);
  });

  test("share the leaderships of a new topic, and each knows who leads", async () => {
    const cluster = await clusterWith({ partitions: 6 });
    const leaders = Array.from({ length: 6 }, (_, p) => cluster.leaderOf("t", p)?.nodeId ?? null);
    expect(leaders.map(String).sort()).toEqual(["1", "1", "2", "2", "3", "3"]);
    for (const nodeId of all) {
      const described = must(await cluster.until(cluster.broker(nodeId).describePartitions("t")));
      expect(described.map(({ leader }) => leader)).toEqual(leaders);
      for (const { replicas, inSyncReplicas } of described) {
        expect(replicas.toSorted((a, b) => a - b)).toEqual(all);
        expect(inSyncReplicas).toEqual(all);
      }
    }
  });

  test("serve a partition of one replica wherever it lies", async () => {
    const cluster = await clusterWith({ partitions: 3, replicationFactor: 1 });
    for (const nodeId of all)
      for (const partition of [0, 1, 2])
        must(await cluster.until(cluster.append(nodeId, "t", ["a", "b"], { partition })));
    for (const nodeId of all)
      expect(await cluster.until(cluster.read(nodeId, "t", { partition: 1 }))).toHaveLength(6);
    const holders = all.map((nodeId) => [...cluster.node(nodeId).host.groupIds()].length);
    expect(holders).toEqual([2, 2, 2]);
  });

  test("go on without the leader: nothing acknowledged is lost, nothing is written twice", async () => {
    const cluster = await clusterWith();
    const leader = cluster.leaderOf("t")!;
    const [one, other] = cluster.living.filter((node) => node !== leader);
    const acked: string[] = [];
    let told = 0;
    let longest = 0;
    const write = async (nodeId: number, isOver: () => boolean): Promise<void> => {
      for (let n = 0; !isOver(); n += 1) {
        const began = cluster.world.monotonic();
        const value = `${nodeId}/${n}`;
        const outcome = await cluster.append(nodeId, "t", [value]);
        longest = Math.max(longest, cluster.world.monotonic() - began);
        if (outcome.ok) acked.push(value);
        else told += 1;
      }
    };
    let isOver = false;
    const writers = [one, other].map((node) => write(node.nodeId, () => isOver));
    await cluster.world.run(200);
    leader.kill();
    const before = acked.length;
    await cluster.eventually("appends after the kill", () => acked.length > before + 50);
    isOver = true;
    await cluster.until(Promise.all(writers));
    const read = await cluster.until(cluster.read(one.nodeId, "t"));
    const held = new Set(read);
    expect(acked.filter((value) => !held.has(value))).toEqual([]);
    expect(held.size).toBe(read.length);
    // What was under way at the kill: one append a writer at most.
    expect(told).toBeLessThanOrEqual(2);
    expect(longest).toBeLessThan(5_000);
    // The killed node comes back and holds the same.
    await cluster.until(leader.start());
    await cluster.eventually("the node's own copy", () => {
      const topicId = leader.broker.topic("t")?.topicId;
      return leader.host.replica(`${topicId}/0`)?.highWatermark === read.length;
    });
    expect(await cluster.until(cluster.read(leader.nodeId, "t", { consistency: "local" }))).toEqual(
      read as string[],
    );
  });

  test("keep a writer waiting for the election alone when the leader falls silent", async () => {
    for (const silence of ["cut off", "paused", "deaf"] as const) {
      const cluster = await clusterWith();
      const leader = cluster.leaderOf("t")!;
      const [one, other] = cluster.living.filter((node) => node !== leader);
      must(await cluster.until(cluster.append(one.nodeId, "t", ["a"])));
      const under = cluster.append(one.nodeId, "t", ["b"]);
      const { network } = cluster;
      if (silence === "cut off") network.isolate(leader.nodeId);
      else for (const { nodeId } of [one, other]) network.clog(nodeId, leader.nodeId);
      if (silence === "paused")
        for (const { nodeId } of [one, other]) network.clog(leader.nodeId, nodeId);
      const began = cluster.world.monotonic();
      await cluster.until(under);
      for (const { nodeId } of [one, other])
        must(await cluster.until(cluster.append(nodeId, "t", ["c"])));
      expect(cluster.world.monotonic() - began).toBeLessThan(2_500);
    }
  });

  test("wait at a follower for what is appended elsewhere, also across a change of leaders", async () => {
    const cluster = await clusterWith();
    const leader = cluster.leaderOf("t")!;
    const [one, other] = cluster.living.filter((node) => node !== leader);
    const waited = cluster.read(one.nodeId, "t", { consistency: "local", maxWaitMs: 20_000 });
    await cluster.world.run(100);
    must(await cluster.until(cluster.append(other.nodeId, "t", ["a"])));
    leader.kill();
    // What is sent before the connections' end is heard has an unknown fate, and says so.
    await cluster.world.run(10);
    must(await cluster.until(cluster.append(other.nodeId, "t", ["b"])));
    expect(await cluster.until(waited)).toEqual(["a", "b"]);
  });

  test("follow a log without a replica of it: one call waits at the leader, also at the next one", async () => {
    const cluster = await BrokerCluster.of(4);
    must(await cluster.until(cluster.broker(1).createTopic({ name: "t" })));
    const topicId = cluster.broker(1).topic("t")!.topicId;
    const outside = cluster.living.find(({ host }) => !host.groupIds().includes(`${topicId}/0`))!;
    const leader = cluster.leaderOf("t")!;
    const writer = cluster.living.find((node) => node !== outside && node !== leader)!;
    const waited = cluster.read(outside.nodeId, "t", { maxWaitMs: 20_000 });
    await cluster.world.run(100);
    const asked = outside.broker.metrics()["forwarded_requests_total"];
    await cluster.world.run(5_000);
    // Nothing is polled while nothing comes.
    expect(outside.broker.metrics()["forwarded_requests_total"]).toBe(asked);
    must(await cluster.until(cluster.append(writer.nodeId, "t", ["a"])));
    await cluster.world.run(50);
    leader.kill();
    await cluster.world.run(10);
    must(await cluster.until(cluster.append(writer.nodeId, "t", ["b"])));
    expect(await cluster.until(waited)).toEqual(["a", "b"]);
    expect(outside.broker.topic("t")).not.toBeNull();
  });

  test("come back together after all were killed, with everything that was acknowledged", async () => {
    const cluster = await clusterWith({ partitions: 2 });
    for (const partition of [0, 1])
      must(await cluster.until(cluster.append(1, "t", ["a", "b"], { partition })));
    for (const nodeId of all) cluster.node(nodeId).kill();
    await cluster.until(Promise.all(all.map((nodeId) => cluster.node(nodeId).start())));
    // Nobody has used them since: asking for their leaders makes them hold their elections. One may take a few rounds,
    // when those that campaign first lack what others have.
    const describe = () => cluster.until(cluster.broker(2).describePartitions("t"));
    must(await describe());
    await cluster.world.run(5_000);
    expect(must(await describe())).toMatchObject([{ highWatermark: 2 }, { highWatermark: 2 }]);
    for (const nodeId of all)
      for (const partition of [0, 1])
        expect(await cluster.until(cluster.read(nodeId, "t", { partition }))).toEqual(["a", "b"]);
    must(await cluster.until(cluster.append(3, "t", ["c"])));
  });

  test("delete a topic everywhere, and forget it when its last replica is gone", async () => {
    const cluster = await clusterWith();
    must(await cluster.until(cluster.append(1, "t", ["a"])));
    const topicId = cluster.broker(1).topic("t")!.topicId;
    must(await cluster.until(cluster.broker(3).deleteTopic("t")));
    await cluster.eventually("the end of every replica", () =>
      cluster.living.every(({ host }) => !host.groupIds().includes(`${topicId}/0`)),
    );
    await cluster.world.run(100);
    for (const { broker } of cluster.living) await cluster.until(broker.runRetention());
    expect([...cluster.node(1).broker.controller.state.deleted.keys()]).toEqual([]);
    expect(await cluster.until(cluster.append(2, "t", ["a"]))).toMatchObject({
      code: "unknown_topic_or_partition",
    });
  });

  test("retention is the leader's, and every copy follows", async () => {
    const cluster = await BrokerCluster.of(3);
    const configs = { "retention.ms": "1000" };
    must(await cluster.until(cluster.broker(1).createTopic({ name: "t", configs })));
    const stamped = [{ value: "old", timestamp: cluster.world.now() }];
    const appends = [{ partition: 0, batch: batchOf(...stamped) }];
    const request = { topic: "t", acks: "all", timeoutMs: 5_000, appends, trusted: false } as const;
    for (const nodeId of all)
      must((await cluster.until(cluster.broker(nodeId).produce(request)))[0]);
    await cluster.world.run(5_000);
    const leader = cluster.leaderOf("t")!;
    for (const node of cluster.living)
      if (node !== leader) await cluster.until(node.broker.runRetention());
    expect(must(leader.broker.bounds("t"))).toMatchObject([{ logStartOffset: 0 }]);
    await cluster.until(leader.broker.runRetention());
    const topicId = leader.broker.topic("t")!.topicId;
    await cluster.eventually("every copy's log start", () =>
      cluster.living.every(
        ({ host }) => host.replica(`${topicId}/0`)!.logStart.offset === all.length,
      ),
    );
  });

  test("hand over leaderships as asked of any of them, and tell the cluster's state", async () => {
    const cluster = await clusterWith();
    must(await cluster.until(cluster.append(1, "t", ["a"])));
    for (const nodeId of all) {
      const asked = (nodeId % 3) + 1;
      const place = { topic: "t", partition: 0 };
      must(await cluster.until(cluster.broker(asked).transferLeadership(place, nodeId)));
      await cluster.eventually("the new leader", () => cluster.leaderOf("t")?.nodeId === nodeId);
      must(await cluster.until(cluster.broker(asked).transferLeadership("controller", nodeId)));
      must(await cluster.until(cluster.append(asked, "t", [`${nodeId}`])));
      const status = must(await cluster.until(cluster.broker(asked).clusterStatus()));
      expect(status.controller).toMatchObject({ leader: nodeId, joint: false });
      expect(status.controller.members.map((one) => one.nodeId)).toEqual(all);
      expect(status.partitions).toMatchObject([{ topic: "t", partition: 0, leader: nodeId }]);
      expect(status.nodes.map(({ state, leads }) => [state, leads])).toEqual(
        all.map((one) => ["up", one === nodeId ? 1 : 0]),
      );
    }
    const refused = cluster.broker(2).transferLeadership({ topic: "t", partition: 0 }, 9);
    expect(await cluster.until(refused)).toMatchObject({ code: "invalid_request" });
  });

  test("acks=all waits for nobody when too few are in sync: it is refused before it is written", async () => {
    const cluster = await BrokerCluster.of(3, {
      settings: { "replica.lag.time.max.ms": "2000" },
    });
    const configs = { "min.insync.replicas": "3" };
    must(await cluster.until(cluster.broker(1).createTopic({ name: "t", configs })));
    must(await cluster.until(cluster.append(1, "t", ["a"])));
    const [follower, other] = cluster.living.filter((node) => node !== cluster.leaderOf("t"));
    follower.kill();
    must(await cluster.until(cluster.append(other.nodeId, "t", ["b"])));
    await cluster.world.run(3_000);
    expect(await cluster.until(cluster.append(other.nodeId, "t", ["c"]))).toMatchObject({
      code: "not_enough_replicas",
      sideEffects: "none",
    });
    expect(await cluster.until(cluster.read(other.nodeId, "t"))).toEqual(["a", "b"]);
  });
});
