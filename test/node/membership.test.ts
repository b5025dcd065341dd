// Who a node is from a start on: the table of membership.ts, row by row, and joins that break off.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAddress } from "../../src/address.ts";
import type { JoinRequest } from "../../src/cluster/membership.ts";
import { Fault, refuse } from "../../src/errors.ts";
import {
  becomeMember,
  confirmCluster,
  openIdentity,
  readIdentity,
} from "../../src/node/data-folder.ts";
import { joinPatienceMs } from "../../src/node/joining.ts";
import { readPeers, writePeers } from "../../src/node/known-peers.ts";
import { silentLog } from "../../src/node/logs.ts";
import { settleMembership, type MembershipNeeds } from "../../src/node/membership.ts";
import type { PeerNetwork, PeerOptions } from "../../src/node/peering.ts";
import type { Opened } from "../../src/node/storage.ts";
import { VirtualWorld } from "../broker/virtual-world.ts";

let dir = "";
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), "rivulet-membership-"))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const places = [{ host: "a", port: 1 }];
const joined = { ok: true, clusterId: "c-9", nodeId: 4, incarnation: 9, peers: [] } as const;
const other = { nodeId: 2, host: "b", port: 7490 };
const peer: PeerOptions = {
  listen: parseAddress("127.0.0.1:7490")!,
  join: [],
  advertisePeer: null,
  advertiseHttp: null,
  region: "eu",
  secret: null,
  tls: null,
};

/** A start on the folder; `answer` is what the cluster says to the request. */
async function start(
  how: { readonly peer: boolean; readonly join?: boolean },
  answer: (request: JoinRequest) => unknown = () => joined,
) {
  const world = new VirtualWorld(Math.floor(Math.random() * 1e9));
  const network: PeerNetwork = {
    transport: () => {
      throw new Error("Not to be opened");
    },
    join: async (_place, request) => answer(request as JoinRequest),
  };
  const needs: MembershipNeeds = {
    world,
    log: silentLog,
    version: "1",
    http: "http://127.0.0.1:7480",
    ...(how.peer ? { peer, network } : { peer: null, network: null }),
  };
  const known = { identity: readIdentity(dir), peers: readPeers(dir) };
  const opened = { dir, ...known, disk: null, lock: null };
  const state = { over: false };
  const settled = settleMembership(
    opened as unknown as Opened,
    how.join === true ? places : null,
    needs,
  ).finally(() => (state.over = true));
  settled.catch(() => undefined);
  while (!state.over) {
    await new Promise((resolve) => setImmediate(resolve));
    world.advance(100);
  }
  return await settled;
}

const nobody = (): never => {
  throw new Error("Not to be asked");
};

const hasRequest = (): boolean => existsSync(join(dir, "join.json"));

test("a new folder is node 1, alone", async () => {
  const { identity, joined: isNew } = await start({ peer: false });
  expect(identity).toMatchObject({ formatVersion: 1, nodeId: 1, clusterId: null });
  expect(isNew).toBe(false);
});

test("a new folder with --peer is the first of a cluster, whose id it gives and remembers", async () => {
  const { identity } = await start({ peer: true });
  expect(identity).toMatchObject({ formatVersion: 2, nodeId: 1, controllerIncarnation: 1 });
  expect(identity.clusterId).toMatch(/^[0-9a-f-]{36}$/);
  expect((await start({ peer: true })).identity).toEqual(identity);
});

test("a new folder with --peer and --join is what the cluster says", async () => {
  const asked: JoinRequest[] = [];
  const membership = await start({ peer: true, join: true }, (request) => {
    asked.push(request);
    return { ...joined, peers: [other] };
  });
  expect(membership).toEqual({
    identity: { formatVersion: 2, nodeId: 4, clusterId: "c-9", controllerIncarnation: 9 },
    joined: true,
    peers: [other],
  });
  expect(asked).toMatchObject([
    {
      version: "1",
      http: "http://127.0.0.1:7480",
      peer: { host: "127.0.0.1", port: 7490 },
      region: "eu",
      clusterId: null,
    },
  ]);
  expect(hasRequest()).toBe(false);
});

test("a node that was alone keeps its cluster's id as the first of it", async () => {
  confirmCluster(dir, openIdentity(dir), "c-1");
  const { identity } = await start({ peer: true });
  expect(identity).toMatchObject({ formatVersion: 2, nodeId: 1, clusterId: "c-1" });
});

test("a node that was alone tells whom it asks to join which cluster it has", async () => {
  confirmCluster(dir, openIdentity(dir), "c-1");
  const refused = start({ peer: true, join: true }, ({ clusterId }) =>
    refuse("policy_violation", `It belongs to cluster ${clusterId}`),
  );
  expect(refused).rejects.toThrow("It belongs to cluster c-1");
  await refused.catch(() => undefined);
  expect(readIdentity(dir)).toMatchObject({ formatVersion: 1, clusterId: "c-1" });
});

test("a member that comes back is itself, with the peers that it knew; nobody is asked", async () => {
  becomeMember(dir, { nodeId: 3, clusterId: "c-1", controllerIncarnation: 5 });
  writePeers(dir, [other]);
  const { identity, peers, joined: isNew } = await start({ peer: true, join: true }, nobody);
  expect(identity).toMatchObject({ nodeId: 3, controllerIncarnation: 5 });
  expect([peers, isNew]).toEqual([[other], false]);
});

test("a member of several does not start without --peer; the only one does", async () => {
  becomeMember(dir, { nodeId: 3, clusterId: "c-1", controllerIncarnation: 5 });
  expect((await start({ peer: false })).identity.nodeId).toBe(3);
  writePeers(dir, [other]);
  const refused = start({ peer: false });
  expect(refused).rejects.toThrow("This folder is node 3 of cluster c-1, which has other nodes");
  await refused.catch(() => undefined);
});

test("a join that was refused leaves nothing behind", async () => {
  const refused = start({ peer: true, join: true }, () => {
    throw new Fault("peer_authentication_failed", "Another secret");
  });
  expect(refused).rejects.toThrow("Give this node the --cluster-secret-file");
  await refused.catch(() => undefined);
  expect([readIdentity(dir), hasRequest()]).toEqual([null, false]);
});

test("a join that nobody answered is asked for again by the same request", async () => {
  const ids = new Set<string>();
  const late = start({ peer: true, join: true }, ({ requestId }) => {
    ids.add(requestId);
    throw new Fault("request_timed_out", "Nobody leads");
  });
  expect(late).rejects.toThrow(`Cannot join within ${joinPatienceMs / 1_000} s: Nobody leads`);
  await late.catch(() => undefined);
  expect([readIdentity(dir), hasRequest()]).toEqual([null, true]);
  const { identity } = await start({ peer: true, join: true }, ({ requestId }) => {
    ids.add(requestId);
    return joined;
  });
  expect(identity.nodeId).toBe(4);
  expect([ids.size, hasRequest()]).toEqual([1, false]);
});
