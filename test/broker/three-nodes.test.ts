import { describe, expect, test } from "bun:test";
import { BrokerCluster, must } from "./broker-cluster.ts";

describe("three nodes", () => {
  test("create, append and read through any of them", async () => {
    const cluster = await BrokerCluster.of(3);
    const { until } = { until: cluster.until.bind(cluster) };
    must(await until(cluster.broker(3).createTopic({ name: "t", partitions: 3 })));
    for (const nodeId of [1, 2, 3])
      for (const partition of [0, 1, 2])
        must(await until(cluster.append(nodeId, "t", [`${nodeId}`], { partition })));
    for (const nodeId of [1, 2, 3])
      for (const partition of [0, 1, 2])
        expect(await until(cluster.read(nodeId, "t", { partition }))).toEqual(["1", "2", "3"]);
  });
});
