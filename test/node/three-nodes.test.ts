// Three real nodes, each a process with a folder: what the README promises of them.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { existsSync, readFileSync, rmSync } from "node:fs";
import {
  ClusterProcesses,
  json,
  threeNodes,
  until,
  type ClusterMember,
} from "./cluster-processes.ts";
import { freePort } from "../../src/node/free-port.ts";
import { startNodeProcess } from "../durability/node-process.ts";

const main = join(import.meta.dir, "../../src/main.ts");

/** Writes one record through a node; its value when it was acknowledged. */
async function write({ url }: ClusterMember, value: string, topic = "orders"): Promise<string> {
  const response = await fetch(`${url}/v1/topics/${topic}/records`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": encodeURIComponent(value) },
    body: JSON.stringify({ records: [{ value }] }),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${value}: ${response.status} ${text}`);
  return value;
}

/** Every value of the topic, as the node that is asked has it, or its leader. */
async function values(
  { url }: ClusterMember,
  consistency: "local" | "leader" = "leader",
): Promise<readonly string[]> {
  const headers = { "rivulet-consistency": consistency };
  const path = "/v1/topics/orders/records?maxRecords=10000";
  return (await json(url + path, { headers })).records.map(({ value }) => value);
}

async function leaderOf(cluster: ClusterProcesses, of: ClusterMember): Promise<ClusterMember> {
  const { items } = await json(`${of.url}/v1/cluster/partitions?topic=orders`);
  const { nodes } = await json(`${of.url}/v1/cluster`);
  const row = nodes.find(({ nodeId }) => nodeId === items[0].leader) as unknown as { http: string };
  const member = cluster.members.find(({ url }) => url === row.http);
  if (member === undefined) throw new Error(`Nobody is node ${items[0].leader}`);
  return member;
}

async function run(
  ...args: readonly string[]
): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, main, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, out, err };
}

const isReady = async ({ url }: ClusterMember): Promise<boolean> =>
  (await fetch(`${url}/readyz`)).status === 200;

/** Every node has all of them. */
async function allHave(
  members: readonly ClusterMember[],
  wanted: readonly string[],
): Promise<void> {
  for (const member of members)
    await until(`all records on ${member.url}`, async () =>
      isDeepEqual(await values(member, "local"), wanted),
    );
}

const isDeepEqual = (a: readonly string[], b: readonly string[]): boolean =>
  JSON.stringify(a) === JSON.stringify(b);

describe("three nodes", () => {
  test("take writes through any, outlive kill -9 of the leader, and a node that comes back catches up", async () => {
    await using cluster = await threeNodes();
    const written: string[] = [];
    for (const [i, member] of cluster.members.entries()) written.push(await write(member, `a${i}`));
    const leader = await leaderOf(cluster, cluster.members[0]);
    const [other, third] = cluster.members.filter((member) => member !== leader);
    const watch = Bun.spawn([process.execPath, main, "status", "--watch", "--url", leader.url], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    const watched = { text: "" };
    const reading = (async () => {
      for await (const chunk of watch.stdout) watched.text += Buffer.from(chunk).toString();
    })();
    await until("a first look", async () => watched.text.includes("everything is led"));
    await leader.process.killHard();
    written.push(
      await write(other, "after the death"),
      await write(third, "and through the third"),
    );
    // The watcher was started at the node that died, and goes on at another.
    await until("the watcher to see it", async () =>
      /orders-0 is led by node \d/.test(watched.text),
    );
    await until("the watcher to see the death", async () => watched.text.includes(" is down\n"));
    await cluster.restart(leader);
    await until("the watcher to see the return", async () =>
      watched.text.includes("is up again after"),
    );
    watch.kill();
    await reading;
    expect(await values(leader)).toEqual(written);
    await allHave(cluster.members, written);
  }, 90_000);

  test("lose nothing that was acknowledged when all are killed at once", async () => {
    await using cluster = await threeNodes();
    const written: string[] = [];
    for (let i = 0; i < 30; i++) written.push(await write(cluster.members[i % 3], `v${i}`));
    await Promise.all(cluster.members.map(({ process }) => process.killHard()));
    await Promise.all(cluster.members.map((member) => cluster.restart(member)));
    await until("all to be ready", async () =>
      (await Promise.all(cluster.members.map(isReady))).every(Boolean),
    );
    expect(await values(cluster.members[1])).toEqual(written);
    await allHave(cluster.members, written);
  }, 90_000);

  test("are restarted one after the other under writes, each of which succeeds", async () => {
    await using cluster = await threeNodes();
    const written: string[] = [await write(cluster.members[0], "first")];
    for (const member of cluster.members) {
      const others = cluster.members.filter((one) => one !== member);
      const over = new AbortController();
      const writing = (async () => {
        for (let i = 0; !over.signal.aborted; i++)
          written.push(await write(others[i % 2], `${member.peer}-${i}`));
      })();
      expect(await member.process.stop()).toBe(0);
      await cluster.restart(member);
      over.abort();
      await writing;
    }
    expect(await values(cluster.members[0])).toEqual(written);
    await allHave(cluster.members, written);
  }, 90_000);

  test("say what is missing when most are gone, and go on when they are back", async () => {
    await using cluster = await threeNodes();
    const [first, second, third] = cluster.members;
    await write(first, "before");
    await Promise.all([second.process.killHard(), third.process.killHard()]);
    await until("words about the majority", async () => {
      const { reason } = await json(`${first.url}/readyz`);
      return /1 of its 3 voters can be reached, 2 are needed/.test(reason ?? "");
    });
    // What the node has it still tells.
    expect(await values(first, "local")).toEqual(["before"]);
    await cluster.restart(second);
    expect(await write(first, "after")).toBe("after");
    await allHave([first, second], ["before", "after"]);
  }, 90_000);

  test("find a node again that comes back at another address", async () => {
    await using cluster = await threeNodes();
    const [first, second, moved] = cluster.members;
    await write(first, "before");
    await moved.process.stop();
    await write(second, "meanwhile");
    const elsewhere = `127.0.0.1:${await freePort("127.0.0.1")}`;
    await cluster.restart(moved, "--peer", elsewhere);
    await until("the others to know", async () => {
      const { nodes } = await json(`${first.url}/v1/cluster`);
      return nodes.some((node) => (node as { peer?: string }).peer === elsewhere);
    });
    await allHave(cluster.members, ["before", "meanwhile"]);
    // The address is remembered by those who were away as well.
    await second.process.stop();
    await cluster.restart(second);
    expect(await write(moved, "through it")).toBe("through it");
    await allHave(cluster.members, ["before", "meanwhile", "through it"]);
  }, 90_000);

  test("replace a node that is lost for good; it learns that it was removed", async () => {
    await using cluster = await threeNodes();
    const [first, second, lost] = cluster.members;
    await write(first, "kept");
    await lost.process.killHard();
    const { nodes } = await json(`${first.url}/v1/cluster`);
    const { nodeId } = nodes.find((node) => (node as { http?: string }).http === lost.url)!;
    await until("it to be down", async () => {
      const { nodes: now } = await json(`${first.url}/v1/cluster`);
      return now.find((node) => node.nodeId === nodeId)?.state === "down";
    });
    const removal = await run("cluster", "remove", String(nodeId), "--url", first.url);
    expect(removal.err).toContain(`Removed node ${nodeId}`);
    const added = await cluster.add();
    await until("the new one to have a vote", async () => {
      const { items } = await json(`${second.url}/v1/cluster/partitions?topic=orders`);
      return items[0].members.filter(({ voter }) => voter).length === 3;
    });
    await allHave([first, second, added], ["kept"]);
    const again = await startNodeProcess({
      data: lost.data,
      args: ["--peer", lost.peer],
      until: "/livez",
    });
    lost.process = again;
    await until("the removed one to say so", async () => {
      const { reason } = await json(`${again.url}/readyz`);
      return reason?.includes(`node ${nodeId} was removed from its cluster`) === true;
    });
  }, 90_000);
});

describe("a node that was alone", () => {
  test("becomes the first of a cluster with all that it has; its topics are raised", async () => {
    await using cluster = new ClusterProcesses();
    const data = cluster.folder("data-1");
    {
      await using alone = await startNodeProcess({ data });
      await write({ url: alone.url } as ClusterMember, "from before");
      await alone.stop();
    }
    const first = await cluster.add();
    expect(await values(first)).toEqual(["from before"]);
    const others = await Promise.all([cluster.add(), cluster.add()]);
    await until("the topic on three nodes", async () => {
      const { items } = await json(`${first.url}/v1/cluster/partitions?topic=orders`);
      return items[0].members.filter(({ voter }) => voter).length === 3;
    });
    await allHave([first, ...others], ["from before"]);
    await first.process.killHard();
    await write(others[0], "from then");
    expect(await values(others[1])).toEqual(["from before", "from then"]);
  }, 90_000);
});

describe("what must not join does not", () => {
  test("a node with another secret, of another cluster, at a wrong address, without its peer port", async () => {
    await using cluster = new ClusterProcesses();
    const secret = ["--cluster-secret", "0123456789abcdef"];
    const first = await cluster.add(...secret);
    const start = (data: string, ...args: readonly string[]) =>
      run("start", "--data", cluster.folder(data), "--http", "127.0.0.1:0", ...args);
    const peer = ["--peer", `127.0.0.1:${Number(first.peer.split(":")[1]) + 1}`];

    const stranger = await start("stranger", ...peer, "--join", first.url);
    expect(stranger.err).toContain("--cluster-secret-file");
    expect(stranger.code).toBe(1);
    expect(existsSync(join(cluster.folder("stranger"), "identity.json"))).toBe(false);

    const own = cluster.folder("own");
    await using other = await startNodeProcess({ data: own });
    await other.stop();
    const joining = await start("own", ...peer, ...secret, "--join", first.url);
    expect(joining.err).toContain("the node's data folder belongs to cluster");
    expect(joining.code).toBe(1);

    const wrong = Bun.serve({ port: 0, fetch: () => new Response("no node", { status: 404 }) });
    const lost = await start("lost", ...peer, "--join", `http://127.0.0.1:${wrong.port}`);
    await wrong.stop(true);
    expect(lost.err).toContain("is no Rivulet node that can be joined");
    expect(lost.code).toBe(1);
    expect(existsSync(cluster.folder("lost"))).toBe(false);

    const second = await cluster.add(...secret);
    await second.process.stop();
    const mute = await start("data-2");
    expect(mute.err).toContain("start it with --peer HOST:PORT");
    expect(mute.code).toBe(1);
    // A member has been asked to join before: it just starts, whoever is there.
    const dead = ["--join", "http://127.0.0.1:1"];
    await cluster.restart(second, ...secret, ...dead);

    const taken = await start("taken", "--peer", first.peer);
    expect(taken.err).toContain("Peer port");
    expect(taken.code).toBe(1);
    rmSync(cluster.folder("taken"), { recursive: true, force: true });
    expect(readFileSync(join(first.data, "identity.json"), "utf8")).toContain('"formatVersion":2');
  }, 90_000);
});
