// Bun with Bun, Bun with Deno, Deno with Deno: the same lanes, in processes that can really be killed.

import { afterEach, describe, expect, test } from "bun:test";
import { until } from "../broker/virtual-world.ts";
import { ChildNode, type Runtime } from "./child-node.ts";
import { tlsOf } from "./certificates.ts";
import { startNode } from "./http2-nodes.ts";

const nodes: ChildNode[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.end();
});

async function pair(a: Runtime, b: Runtime, options: object = {}): Promise<[ChildNode, ChildNode]> {
  const own = [
    new ChildNode(a, { nodeId: 1, ...options }),
    new ChildNode(b, { nodeId: 2, ...options }),
  ];
  nodes.push(...own);
  for (const node of own) await node.ready();
  for (const node of own) node.setPeers(own.map(({ peer }) => peer));
  for (const node of own)
    await until(() => node.events.length > 0, `node ${node.nodeId} to be connected`);
  return [own[0], own[1]];
}

const pairs: readonly (readonly [Runtime, Runtime])[] = [
  ["bun", "bun"],
  ["bun", "deno"],
  ["deno", "bun"],
  ["deno", "deno"],
];

describe.each(pairs)("a node on %s beside one on %s", (a, b) => {
  test("moves hundreds of MB through one stream, in order", async () => {
    const [one, two] = await pair(a, b);
    // 1 MB packets are cut into fragments; the other lanes' small ones pass beside them.
    const bulk = { count: 200, size: 1_000_000 };
    const small = { count: 2_000, size: 200 };
    await Promise.all([one.send(2, "bulk", bulk), one.send(2, "append", small)]);
    const got = await two.received(bulk.count + small.count);
    expect(got).toMatchObject({ packets: 2_200, bytes: 200_400_000, wrong: 0 });
    expect(one.events).toEqual(["up 2"]);
  }, 60_000);

  test("hears of the other's kill -9 in both directions, and of its return", async () => {
    const [one, two] = await pair(a, b);
    two.kill();
    const killedAt = performance.now();
    await until(() => one.events.includes("down 2"), "node 2 to be down");
    // Its watchdog would take seconds: the end of the sockets is what was heard.
    expect(performance.now() - killedAt).toBeLessThan(2_000);
    expect(one.events.slice(1).sort()).toEqual(
      ["append", "bulk", "call", "control"].map((lane) => `broken 2 ${lane}`).concat("down 2"),
    );
    const again = new ChildNode(b, { nodeId: 2 });
    nodes.push(again);
    await again.ready();
    one.setPeers([again.peer]);
    again.setPeers([one.peer]);
    await until(() => one.events.at(-1) === "up 2", "node 2 to be up");
    await one.send(2, "control", { count: 1, size: 10 });
    expect(await again.received(1)).toMatchObject({ packets: 1, wrong: 0 });
  }, 60_000);

  test("speaks TLS with certificates of the cluster", async () => {
    const [one, two] = await pair(a, b, { tls: tlsOf("cluster") });
    await one.send(2, "append", { count: 100, size: 100_000 });
    expect(await two.received(100)).toMatchObject({ packets: 100, wrong: 0 });
    await two.send(1, "bulk", { count: 20, size: 1_000_000 });
    expect(await one.received(20)).toMatchObject({ packets: 20, wrong: 0 });
  }, 60_000);

  test("falls back to HTTP/1.1, over TLS too", async () => {
    const [one, two] = await pair(a, b, { protocol: "http1", tls: tlsOf("cluster") });
    await one.send(2, "bulk", { count: 50, size: 1_000_000 });
    expect(await two.received(50)).toMatchObject({ packets: 50, wrong: 0 });
    await two.send(1, "control", { count: 100, size: 200 });
    expect(await one.received(100)).toMatchObject({ packets: 100, wrong: 0 });
  }, 60_000);
});

describe.each(["bun", "deno"] as const)("a node on %s", (runtime) => {
  // On Deno a connection that was destroyed from within its GOAWAY event took the process with it, now and then.
  test("outlives the ends of its peer's processes, one after the other", async () => {
    const node = await new ChildNode(runtime, { nodeId: 1 }).ready();
    nodes.push(node);
    for (let round = 1; round <= 10; round += 1) {
      const { transport, told } = await startNode(2);
      transport.setPeers([node.peer]);
      node.setPeers([{ nodeId: 2, ...transport.address }]);
      const told2 = () => node.events.filter((event) => event === "up 2").length;
      await until(() => told.events.includes("up 1") && told2() === round, "both to be up");
      await transport.close();
      await until(() => node.events.at(-1) === "down 2", "node 2 to be down");
    }
  }, 60_000);
});
