import { afterEach, describe, expect, test } from "bun:test";
import { must, scriptedBroker } from "./harness.ts";
import { startNode, stopNodes } from "./whole-node.ts";

describe("the cluster of one node", () => {
  afterEach(stopNodes);

  test("names itself as the leader of everything, in sync with itself", async () => {
    const { broker } = await startNode({ settings: { "num.partitions": "2" } });
    must(await broker.createTopic({ name: "t" }));
    must(await broker.createTopic({ name: "other" }));
    const member = { nodeId: 1, incarnation: 1, voter: true, inSync: true, lagMs: 0 };
    const group = { leader: 1, joint: false, members: [member] };
    expect(must(await broker.clusterStatus({ topic: "t" }))).toMatchObject({
      nodeId: 1,
      clusterId: broker.status().clusterId,
      nodes: [{ nodeId: 1, version: "0.1.0", state: "up", replicas: 4, leads: 4 }],
      controller: group,
      partitions: [
        { topic: "t", partition: 0, assigned: [1], ...group },
        { topic: "t", partition: 1, assigned: [1], ...group },
      ],
      partitionsTotal: 2,
    });
    expect(must(await broker.clusterStatus()).partitionsTotal).toBe(4);
    expect(broker.leaderOf("t", 1)).toEqual({ nodeId: 1, http: null });
    expect(broker.leaderOf("t", 2)).toBeNull();
    expect(broker.leaderOf("nope", 0)).toBeNull();
    expect(await broker.clusterStatus({ topic: "nope" })).toMatchObject({ ok: false });
  });

  test("has nobody to hand over to, and keeps its last node", async () => {
    const { broker } = await scriptedBroker();
    must(await broker.createTopic({ name: "t" }));
    expect(await broker.transferLeadership("controller", 1)).toEqual({ ok: true });
    expect(await broker.transferLeadership({ topic: "t", partition: 0 }, 2)).toMatchObject({
      code: "invalid_request",
    });
    expect(await broker.transferLeadership({ topic: "t", partition: 9 }, 1)).toMatchObject({
      code: "unknown_topic_or_partition",
    });
    expect(await broker.removeNode(1)).toMatchObject({ code: "policy_violation" });
    expect(await broker.removeNode(2)).toMatchObject({ code: "invalid_request" });
  });
});
