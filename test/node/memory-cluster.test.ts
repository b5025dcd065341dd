// Three whole nodes in this process, on disks and a network in memory.

import { expect, test } from "bun:test";
import { parseAddress } from "../../src/address.ts";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import { MemoryMeeting } from "../../src/node/memory-peers.ts";
import { startNode, type RunningNode } from "../../src/node/node.ts";
import { MemoryNetwork } from "../../src/transport/memory-network.ts";
import { systemWorld } from "../../src/world.ts";
import { json, until } from "./cluster-processes.ts";

const http = parseAddress("127.0.0.1:0")!;

class MemoryNodes implements AsyncDisposable {
  readonly network = new MemoryNetwork(systemWorld);
  readonly #meeting = new MemoryMeeting(this.network);
  readonly nodes: RunningNode[] = [];

  async add(): Promise<RunningNode> {
    const place = this.nodes.length + 1;
    const node = await startNode({
      storage: { memory: createMemoryDisk() },
      http,
      peer: this.#meeting.place(place, this.nodes[0]?.url),
      network: this.#meeting.at(place),
      version: "0.1.0",
    });
    if ("heldBy" in node) throw new Error("A disk in memory is nobody else's");
    this.nodes.push(node);
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop({ graceMs: 0 })));
  }
}

const write = (url: string, value: string, headers: Readonly<Record<string, string>> = {}) =>
  fetch(`${url}/v1/topics/t/records`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ records: [{ value }] }),
    redirect: "manual",
    // What is under way to a node that is cut off hangs until the stall is noticed: it is given up, and sent again.
    signal: AbortSignal.timeout(1_000),
  });

test("three nodes in one process agree, lose one, and say who leads", async () => {
  await using cluster = new MemoryNodes();
  const [first, second, third] = [await cluster.add(), await cluster.add(), await cluster.add()];
  expect(cluster.nodes.map(({ identity }) => identity.nodeId)).toEqual([1, 2, 3]);
  expect(new Set(cluster.nodes.map(({ identity }) => identity.clusterId)).size).toBe(1);
  const answer = await write(second.url, "a");
  expect(answer.status).toBe(200);
  expect(answer.headers.get("rivulet-node")).toBe("2");
  const leader = Number(answer.headers.get("rivulet-leader"));
  const led = cluster.nodes[leader - 1];
  const others = cluster.nodes.filter((node) => node !== led);

  // Who does not want to be carried is sent to the leader itself, and can write there.
  const sent = await write(others[0].url, "b", { "rivulet-forward": "false" });
  expect(sent.status).toBe(307);
  expect(sent.headers.get("location")).toBe(`${led.url}/v1/topics/t/records`);
  expect((await write(led.url, "b", { "rivulet-forward": "false" })).status).toBe(200);

  cluster.network.isolate(leader);
  const once = { "idempotency-key": "c" };
  const goesOn = async () => (await write(others[1].url, "c", once)).status === 200;
  await until("the others to go on", goesOn);
  const { records } = await json(`${others[0].url}/v1/topics/t/records`);
  expect(records.map(({ value }) => value)).toEqual(["a", "b", "c"]);
  cluster.network.heal();
  const local = { "rivulet-consistency": "local" };
  for (const { url } of [first, second, third])
    await until("all records everywhere", async () => {
      const all = await json(`${url}/v1/topics/t/records`, { headers: local });
      return all.records.length === 3;
    });
}, 30_000);
