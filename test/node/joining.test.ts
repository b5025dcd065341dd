// A node that wants to join: whom it finds, how long it waits, what it keeps; and what a member remembers of the others.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault, refuse } from "../../src/errors.ts";
import {
  askMembers,
  findMembers,
  forgetRequest,
  joinPatienceMs,
  joinRequestId,
  type Joining,
} from "../../src/node/joining.ts";
import { readPeers, writePeers } from "../../src/node/known-peers.ts";
import type { Log } from "../../src/node/logs.ts";
import { VirtualWorld } from "../broker/virtual-world.ts";

let dir = "";
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), "rivulet-joining-"))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const url = "http://127.0.0.1:7480";
const member = (peer: string | null) => ({ nodeId: 1, peer });

/** A join whose doors answer what `answers` gives, one after the other; the last one for ever. */
function setting(...answers: readonly (() => Response)[]) {
  const world = new VirtualWorld();
  const asked: string[] = [];
  const lines: string[] = [];
  const log: Log = { level: "info", write: (_level, line) => void lines.push(line) };
  const ask = async (input: unknown): Promise<Response> => {
    asked.push(String(input));
    return (answers[asked.length - 1] ?? answers[answers.length - 1])();
  };
  const joining: Joining = { world, log, urls: [url], fetch: ask as typeof fetch };
  return { joining, world, asked, lines };
}

/** Lets time pass until the work is over. */
async function settle<T>(world: VirtualWorld, work: Promise<T>): Promise<T | Fault> {
  const state = { over: false };
  const outcome = work.then(
    (value) => ((state.over = true), value),
    (fault: unknown) => {
      state.over = true;
      if (fault instanceof Fault) return fault;
      throw fault;
    },
  );
  while (!state.over) {
    await new Promise((resolve) => setImmediate(resolve));
    world.advance(50);
  }
  return await outcome;
}

const nobody = (): Response => {
  throw new Error("ECONNREFUSED");
};
const cluster =
  (...peers: readonly (string | null)[]) =>
  () =>
    Response.json({ clusterId: "c", nodes: peers.map(member) });

describe("findMembers()", () => {
  test("tells the peer addresses of all nodes", async () => {
    const { joining, world, asked } = setting(cluster("n1.example:7490", null, "[::1]:9"));
    expect(await settle(world, findMembers(joining))).toEqual([
      { host: "n1.example", port: 7490 },
      { host: "::1", port: 9 },
    ]);
    expect(asked).toEqual([`${url}/v1/cluster`]);
  });

  test("waits for a node that is started beside it, and says so", async () => {
    const { joining, world, lines } = setting(nobody, nobody, cluster("a:1"));
    expect(await settle(world, findMembers(joining))).toEqual([{ host: "a", port: 1 }]);
    expect(lines).toEqual(["Waiting for the cluster"]);
  });

  test("gives up in the end", async () => {
    const { joining, world } = setting(nobody);
    const fault = await settle(world, findMembers(joining));
    expect(fault).toMatchObject({ code: "node_unreachable" });
    expect((fault as Fault).message).toContain(`No answer from ${url}`);
    expect(world.monotonic()).toBeGreaterThan(joinPatienceMs);
    expect(world.monotonic()).toBeLessThan(joinPatienceMs + 2_000);
  });

  for (const [what, answer, words] of [
    ["no Rivulet node", () => new Response("<html>", { status: 404 }), "is no Rivulet node"],
    ["a node without a peer port", cluster(null), "start it with --peer HOST:PORT first"],
  ] as const)
    test(`does not wait for ${what}`, async () => {
      const { joining, world, asked } = setting(answer);
      const fault = await settle(world, findMembers(joining));
      expect(fault).toMatchObject({ code: "invalid_config" });
      expect((fault as Fault).message).toContain(words);
      expect(asked).toHaveLength(1);
    });

  test("takes the next URL when one does not answer", async () => {
    const { joining, world, asked } = setting(nobody, cluster("a:1"));
    const urls = [url, "http://127.0.0.1:7481/"];
    expect(await settle(world, findMembers({ ...joining, urls }))).toEqual([
      { host: "a", port: 1 },
    ]);
    expect(asked[1]).toBe("http://127.0.0.1:7481/v1/cluster");
  });
});

describe("askMembers()", () => {
  const places = [
    { host: "a", port: 1 },
    { host: "b", port: 2 },
  ];
  const joined = { ok: true, clusterId: "c", nodeId: 4, incarnation: 9, peers: [] } as const;

  test("asks the next one when one cannot answer now", async () => {
    const { joining, world } = setting(nobody);
    const outcome = askMembers(joining, places, async ({ host }) =>
      host === "a" ? refuse("not_leader_or_follower", "No leader") : joined,
    );
    expect(await settle(world, outcome)).toEqual(joined);
  });

  test("ends at a refusal that will not change", async () => {
    const { joining, world } = setting(nobody);
    const outcome = askMembers(joining, places, async ({ host }) => {
      if (host === "a") throw new Fault("node_unreachable", "Gone");
      return refuse("policy_violation", "The folder is of another cluster");
    });
    expect(await settle(world, outcome)).toMatchObject({ code: "policy_violation" });
    expect(world.monotonic()).toBeLessThan(1_000);
  });

  test("waits for a majority, but not for ever", async () => {
    const { joining, world } = setting(nobody);
    const outcome = askMembers(joining, places, async () => {
      throw new Fault("request_timed_out", "Nobody leads");
    });
    const fault = (await settle(world, outcome)) as Fault;
    expect(fault.message).toBe(`Cannot join within ${joinPatienceMs / 1_000} s: Nobody leads`);
  });
});

test("the request id stays until the join is over", () => {
  const world = new VirtualWorld();
  const first = joinRequestId(dir, world);
  expect(first).toMatch(/^[0-9a-f]{32}$/);
  expect(joinRequestId(dir, world)).toBe(first);
  forgetRequest(dir);
  expect(existsSync(join(dir, "join.json"))).toBe(false);
  expect(joinRequestId(dir, world)).not.toBe(first);
});

test("a damaged request id is replaced", () => {
  writeFileSync(join(dir, "join.json"), "{");
  expect(joinRequestId(dir, new VirtualWorld())).toMatch(/^[0-9a-f]{32}$/);
});

test("known peers are found again; what is damaged is no peer", () => {
  expect(readPeers(dir)).toEqual([]);
  const peers = [{ nodeId: 2, host: "b", port: 7490 }];
  writePeers(dir, peers);
  expect(readPeers(dir)).toEqual(peers);
  writeFileSync(join(dir, "peers.json"), '[{"nodeId":2},null,7]');
  expect(readPeers(dir)).toEqual([]);
  writeFileSync(join(dir, "peers.json"), "[");
  expect(readPeers(dir)).toEqual([]);
  writePeers(dir, []);
  expect(() => readFileSync(join(dir, "peers.json"))).toThrow();
  writePeers(join(dir, "nowhere"), peers);
});
