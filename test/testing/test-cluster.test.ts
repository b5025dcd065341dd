// rivulet/test's cluster as its users meet it.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCluster, type TestCluster } from "../../src/testing/index.ts";

const values = async (
  from: Pick<TestCluster, "read">,
  consistency?: "local" | "linearizable",
): Promise<readonly unknown[]> => {
  const records = await from.read("t", consistency === undefined ? {} : { consistency });
  return records.map(({ value }) => value);
};

// An election of real nodes on a busy machine.
setDefaultTimeout(30_000);

/** What it fails with. */
const words = (failing: Promise<unknown>): Promise<string> =>
  failing.then(() => "it did not fail", String);

const mine = () => readdirSync(tmpdir()).filter((name) => name.startsWith("rivulet-test-"));

describe("startCluster()", () => {
  test("three nodes, each of which takes any request", async () => {
    await using cluster = await startCluster();
    expect(cluster.nodes.map(({ id }) => id)).toEqual([1, 2, 3]);
    expect(new Set(cluster.urls).size).toBe(3);
    await cluster.createTopic("t", { replicationFactor: 3 });
    for (const { id } of cluster.nodes) await cluster.node(id).send("t", { value: `by ${id}` });
    for (const node of cluster.nodes) expect(await values(node)).toEqual(["by 1", "by 2", "by 3"]);
    for (const node of cluster.nodes) await node.waitFor("t", 3, { consistency: "local" });
  });

  for (const storage of ["memory", "disk"] as const) {
    test(`outlives kill() of the leader, and restart() brings it back, on ${storage}`, async () => {
      await using cluster = await startCluster({ storage });
      await cluster.createTopic("t");
      await cluster.send("t", { value: "before" });
      const leader = await cluster.leaderOf("t", 0);
      const { url } = cluster.node(leader);
      await cluster.kill(leader);
      expect(await fetch(`${url}/livez`).catch(() => "refused")).toBe("refused");
      await cluster.send("t", { value: "after" });
      expect(await cluster.leaderOf("t", 0)).not.toBe(leader);
      await cluster.restart(leader);
      expect(cluster.node(leader).url).toBe(url);
      const records = await cluster.node(leader).waitFor("t", 2, { consistency: "local" });
      expect(records.map(({ value }) => value)).toEqual(["before", "after"]);
    });
  }

  test("keeps what was acknowledged when all are killed at once", async () => {
    await using cluster = await startCluster();
    await cluster.createTopic("t");
    const sent = Array.from({ length: 20 }, (_, i) => `v${i}`);
    for (const value of sent) await cluster.send("t", { value });
    await Promise.all(cluster.nodes.map(({ id }) => cluster.kill(id)));
    expect(await words(cluster.send("t", { value: "to nobody" }))).toContain("No node");
    await Promise.all(cluster.nodes.map(({ id }) => cluster.restart(id)));
    expect(await values(cluster, "linearizable")).toEqual(sent);
  });

  test("a paused leader is deposed, answers nobody meanwhile, and follows when it goes on", async () => {
    await using cluster = await startCluster();
    await cluster.createTopic("t");
    await cluster.send("t", { value: "before" });
    const paused = await cluster.leaderOf("t", 0);
    cluster.pause(paused);
    const signal = AbortSignal.timeout(50);
    const asked = cluster.node(paused).fetch("/livez", { signal });
    expect(await asked.catch((fault: Error) => fault.name)).toBe("TimeoutError");
    expect(await cluster.leaderOf("t", 0)).not.toBe(paused);
    await cluster.send("t", { value: "meanwhile" });
    cluster.resume(paused);
    expect((await cluster.node(paused).fetch("/livez")).status).toBe(200);
    await cluster.node(paused).waitFor("t", 2, { consistency: "local" });
  });

  test("an isolated node has no news, and hears them when the network heals", async () => {
    await using cluster = await startCluster();
    await cluster.createTopic("t");
    await cluster.send("t", { value: "a" });
    const leader = await cluster.leaderOf("t", 0);
    const { id: follower } = cluster.nodes.find(({ id }) => id !== leader)!;
    await cluster.node(follower).waitFor("t", 1, { consistency: "local" });
    cluster.isolate(follower);
    await cluster.node(leader).send("t", { value: "b" });
    expect(await values(cluster.node(follower), "local")).toEqual(["a"]);
    cluster.heal();
    await cluster.node(follower).waitFor("t", 2, { consistency: "local" });
  });

  test("a slow network delays what a majority must have", async () => {
    await using cluster = await startCluster();
    await cluster.createTopic("t");
    await cluster.send("t", { value: "a" });
    const leader = cluster.node(await cluster.leaderOf("t", 0));
    cluster.delay(60);
    const began = performance.now();
    await leader.send("t", { value: "b" });
    expect(performance.now() - began).toBeGreaterThan(115);
    cluster.heal();
  });

  test("one node, or five", async () => {
    await using one = await startCluster({ nodes: 1, settings: { "num.partitions": "2" } });
    await one.send("t", { value: "x" });
    expect(await (await one.fetch("/v1/topics/t")).json()).toMatchObject({ partitions: 2 });
    await using five = await startCluster({ nodes: 5 });
    await five.createTopic("t", { replicationFactor: 5 });
    await five.kill(1);
    await five.kill(2);
    await five.send("t", { value: "x" });
    expect(await values(five)).toEqual(["x"]);
  });

  test("refuses what it cannot be or do", async () => {
    expect(await words(startCluster({ nodes: 0 }))).toContain("1 to 9 nodes, wanted 0");
    const wrong = startCluster({ settings: { "num.partition": "3" } });
    expect(await words(wrong)).toContain("num.partitions");
    await using cluster = await startCluster({ nodes: 2 });
    expect(() => cluster.node(3)).toThrow("The cluster has nodes 1, 2, wanted 3");
  });

  test("leaves no folder of its own behind, and keeps one that it was given", async () => {
    const before = mine();
    const dir = mkdtempSync(join(tmpdir(), "rivulet-kept-"));
    try {
      {
        await using cluster = await startCluster({ storage: "disk", nodes: 1 });
        await using kept = await startCluster({ storage: { dir }, nodes: 1 });
        await kept.send("t", { value: "x" });
        await cluster.send("t", { value: "x" });
      }
      expect(mine().filter((name) => !before.includes(name) && existsSync(name))).toEqual([]);
      expect(existsSync(join(dir, "node-1", "identity.json"))).toBe(true);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
