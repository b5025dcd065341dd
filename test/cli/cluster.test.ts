// rivulet cluster, against a door that answers what a test wants; and amounts as people read them.

import { afterEach, describe, expect, test } from "bun:test";
import { byteText, timeText } from "../../src/cli/amounts.ts";
import { startBroker } from "../../src/testing/index.ts";
import { runLine } from "./memory-terminal.ts";

interface Asked {
  readonly line: string;
  readonly body: unknown;
}

/** So often a removal is answered that it is not over yet. */
let drains = 0;
let door: ReturnType<typeof Bun.serve> | null = null;
afterEach(() => door?.stop(true));

/** A door that tells of these nodes; what else it is asked is kept. */
function openDoor(told: { nodes?: object[]; items?: object[]; leader?: number | null }) {
  const asked: Asked[] = [];
  const members = [
    { nodeId: 1, voter: true, inSync: true, lagEntries: 0, lagMs: 0 },
    { nodeId: 2, voter: true, inSync: false, lagEntries: 20, lagMs: 31_000 },
    { nodeId: 3, voter: false, inSync: false, lagEntries: 5, lagMs: 10 },
  ];
  const { leader = 1, items = [], nodes = [node(1), node(2)] } = told;
  door = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      if (pathname === "/v1/cluster")
        return Response.json({
          clusterId: "c-1",
          nodeId: 1,
          nodes,
          partitions: items.length,
          controller: {
            leader,
            term: 4,
            joint: false,
            members,
          },
        });
      if (pathname === "/v1/cluster/partitions")
        return Response.json({ items, total: items.length });
      const text = await request.text();
      asked.push({
        line: `${request.method} ${pathname}${search}`,
        body: text === "" ? null : JSON.parse(text),
      });
      return Response.json({ state: drains-- > 0 ? "draining" : "removed" });
    },
  });
  return { asked, url: `http://127.0.0.1:${door.port}` };
}

const node = (nodeId: number, more: object = {}) => ({
  nodeId,
  version: "1.0",
  state: "up",
  region: null,
  replicas: 7,
  leads: nodeId,
  http: `http://127.0.0.1:${7479 + nodeId}`,
  peer: `127.0.0.1:${7489 + nodeId}`,
  ...more,
});

describe("cluster status", () => {
  test("shows nodes, the controller and what is not well", async () => {
    const members = [{ nodeId: 2, voter: true, inSync: true, lagEntries: 0, lagMs: 0 }];
    const items = [
      { topic: "a", partition: 0, leader: 2, term: 7, assigned: [2], members },
      { topic: "a", partition: 1, leader: null, term: 7, assigned: [1], members: [] },
    ];
    const { url } = openDoor({ nodes: [node(1), node(2, { state: "down", http: null })], items });
    const { code, out } = await runLine(`cluster status --url ${url}`);
    expect(out).toMatch(/^1 +up +1 +7 +http:\/\/127\.0\.0\.1:7480 +127\.0\.0\.1:7490 +1\.0 +-$/m);
    expect(out).toMatch(/^2 +down +2 +7 +- /m);
    expect(out).toContain(
      "controller  led by node 1 in term 4; members 1, 2 (20 entries behind for 31 s), 3 (learner)",
    );
    expect(out).toContain("partitions  2; 1 without a leader");
    expect(out).toContain("  a-1: NO LEADER");
    expect(out).not.toContain("a-0");
    expect(code).toBe(1);
  });

  test("of a node that is alone is well", async () => {
    await using broker = await startBroker();
    const { code, out } = await runLine(`cluster status --url ${broker.url}`);
    expect(out).toContain("partitions  0, all led");
    expect(code).toBe(0);
    const { out: json } = await runLine(`cluster status --url ${broker.url} --json`);
    expect(JSON.parse(json)).toMatchObject({ nodes: [{ nodeId: 1 }], partitionList: [] });
  });
});

describe("cluster add", () => {
  test("prints the command of the next node on this machine", async () => {
    const { url } = openDoor({});
    const { out, code } = await runLine(`cluster add --url ${url}`);
    expect(out).toBe(
      "rivulet start --data ./rivulet-data-3 --http 127.0.0.1:7482 --peer 127.0.0.1:7492 --join http://127.0.0.1:7480\n",
    );
    expect(code).toBe(0);
  });

  test("leaves places for a node on another machine", async () => {
    const nodes = [node(1, { http: "http://n1.example:7480", peer: "n1.example:7490" })];
    const { url } = openDoor({ nodes });
    const { out } = await runLine(`cluster add --url ${url}`);
    expect(out).toContain(
      "--peer HOST:7490 --cluster-secret-file FILE --join http://n1.example:7480",
    );
  });

  test("says what a node that is alone needs first", async () => {
    const { url } = openDoor({ nodes: [node(1, { peer: null })] });
    const { err, code } = await runLine(`cluster add --url ${url}`);
    expect(err).toContain("rivulet start --peer 127.0.0.1:7490");
    expect(code).toBe(1);
  });
});

describe("cluster remove", () => {
  test("removes a node that is down; one that is up only with --yes", async () => {
    const { url, asked } = openDoor({ nodes: [node(1), node(2, { state: "down" })] });
    const refused = await runLine(`cluster remove 1 --url ${url}`);
    expect(refused.err).toContain("rivulet cluster remove 1 --yes");
    expect(refused.code).toBe(1);
    expect(asked).toEqual([]);
    expect((await runLine(`cluster remove 2 --url ${url}`)).code).toBe(0);
    drains = 1;
    const slow = await runLine(`cluster remove 1 --yes --url ${url}`);
    expect(slow.err).toContain("The replicas of node 1 are being moved ...\nRemoved node 1.");
    expect((await runLine(`cluster remove 1 --force --url ${url}`)).code).toBe(0);
    expect(asked.map(({ line }) => line)).toEqual([
      "DELETE /v1/cluster/nodes/2",
      "DELETE /v1/cluster/nodes/1",
      "DELETE /v1/cluster/nodes/1",
      "DELETE /v1/cluster/nodes/1?force=true",
    ]);
  });

  test("of the only node is refused by the node", async () => {
    await using broker = await startBroker();
    const { err, code } = await runLine(`cluster remove 1 --yes --url ${broker.url}`);
    expect(err).toContain("policy_violation");
    expect(code).toBe(1);
  });
});

describe("cluster transfer", () => {
  test("names a partition or the controller", async () => {
    const { url, asked } = openDoor({});
    await runLine(`cluster transfer 2 --topic orders --partition 3 --url ${url}`);
    await runLine(`cluster transfer 3 --controller --url ${url}`);
    expect(asked).toEqual([
      { line: "POST /v1/cluster/transfer", body: { topic: "orders", partition: 3, to: 2 } },
      { line: "POST /v1/cluster/transfer", body: { controller: true, to: 3 } },
    ]);
  });

  for (const line of [
    "2",
    "2 --topic a",
    "2 --controller --topic a",
    "two --controller",
    "0 --controller",
  ])
    test(`${line} is a wrong command line`, async () => {
      expect((await runLine(`cluster transfer ${line}`)).code).toBe(2);
    });
});

test("amounts are told in units of people", () => {
  expect([0, 999, 1_000, 1_549, 99_949, 123_456_789, 5e12].map(byteText)).toEqual([
    "0 B",
    "999 B",
    "1.0 kB",
    "1.5 kB",
    "99.9 kB",
    "123 MB",
    "5.0 TB",
  ]);
  expect([5, 9_994, 10_000, 119_000, 185_000, 7_500_000].map(timeText)).toEqual([
    "0.01 s",
    "9.99 s",
    "10 s",
    "119 s",
    "3 min 5 s",
    "2 h 5 min",
  ]);
});
