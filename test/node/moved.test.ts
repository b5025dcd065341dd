// News of a member that is reached elsewhere: what counts as such, and for whom it is.

import { expect, test } from "bun:test";
import { ClusterState } from "../../src/cluster/cluster-state.ts";
import { Fault, refuse } from "../../src/errors.ts";
import { silentLog } from "../../src/node/logs.ts";
import { isMovedNews, movedFault, tellMoved, type MovedNews } from "../../src/node/moved.ts";
import type { PeerPlace } from "../../src/node/joining.ts";
import { VirtualWorld } from "../broker/virtual-world.ts";

const moved = { nodeId: 2, clusterId: "c-1", version: "1", peer: { host: "b", port: 2 } };

for (const [what, request] of [
  ["nothing", null],
  ["a wish to join", { requestId: "12345678", version: "1", peer: { host: "b", port: 2 } }],
  ["no object", { moved: "there" }],
  ["a node without a number", { moved: { ...moved, nodeId: "2" } }],
  ["a port that is none", { moved: { ...moved, peer: { host: "b", port: "2" } } }],
  ["a host that is none", { moved: { ...moved, peer: { host: 7, port: 2 } } }],
  ["a URL that is none", { moved: { ...moved, http: 7 } }],
] as const)
  test(`${what} is no such news`, () => {
    expect(isMovedNews(request)).toBe(false);
  });

test("the news of a member is taken; of a stranger, of one that was removed and of another cluster it is not", () => {
  const state = new ClusterState();
  state.apply({ kind: "formatCluster", clusterId: "c-1" }, 1);
  for (const nodeId of [1, 2]) state.apply({ kind: "registerNode", nodeId, version: "1" }, 2);
  const news: MovedNews = { moved };
  expect(isMovedNews(news)).toBe(true);
  expect(movedFault(news, state)).toBeNull();
  const of = (more: object): MovedNews => ({ moved: { ...moved, ...more } });
  expect(movedFault(of({ clusterId: "c-2" }), state)?.code).toBe("wrong_cluster");
  expect(movedFault(of({ nodeId: 3 }), state)?.detail).toContain("it is no member");
  state.apply({ kind: "removeNode", nodeId: 2 }, 3);
  expect(movedFault(news, state)?.members).toEqual({ nodeId: 2, removed: true });
});

test("the peers are told in turn until a leader is heard, whatever they answer", async () => {
  const world = new VirtualWorld();
  const asked: PeerPlace[] = [];
  const answers = [
    () => {
      throw new Fault("node_unreachable", "Gone");
    },
    () => refuse("request_timed_out", "Nobody leads"),
    () => ({ ok: true }),
  ];
  const state = { over: false };
  const telling = tellMoved({
    world,
    log: silentLog,
    network: {
      transport: () => {
        throw new Error("Not to be opened");
      },
      async join(place) {
        asked.push(place);
        return answers[asked.length - 1]();
      },
    },
    news: { moved },
    peers: [
      { nodeId: 1, host: "a", port: 1 },
      { nodeId: 3, host: "c", port: 3 },
    ],
    isOver: () => asked.length === 3,
  }).finally(() => (state.over = true));
  while (!state.over) {
    await new Promise((resolve) => setImmediate(resolve));
    world.advance(500);
  }
  await telling;
  expect(asked.map(({ host }) => host)).toEqual(["a", "c", "a"]);
});

test("where a leader is heard nobody is asked", async () => {
  const world = new VirtualWorld();
  const network = {
    transport: () => {
      throw new Error("Not to be opened");
    },
    join: () => {
      throw new Error("Not to be asked");
    },
  };
  const peers = [{ nodeId: 1, host: "a", port: 1 }];
  const telling = tellMoved({
    world,
    log: silentLog,
    network,
    news: { moved },
    peers,
    isOver: () => true,
  });
  world.advance(2_000);
  expect(await telling).toBeUndefined();
});
