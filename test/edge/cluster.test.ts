// The cluster at the door: what it shows, what an operator may ask, and who is sent to the leader.

import { afterEach, expect, test } from "bun:test";
import type { Broker, FetchRequest, GroupPlace } from "../../src/broker/broker.ts";
import { refuse } from "../../src/errors.ts";
import { openDoor, overriding, type DoorUnderTest } from "./harness.ts";

let open: DoorUnderTest | null = null;
afterEach(async () => {
  await open?.close();
  open = null;
});

/** A door over a broker of which some verbs are replaced. */
async function door(verbs: (broker: Broker) => Partial<Broker> = () => ({})) {
  open = await openDoor({}, (broker) => overriding(broker, verbs(broker)));
  return open;
}

/** Partition 0 of every topic is led by node 2, partition 1 by this one, 2 by nobody. */
const ledElsewhere = (): Partial<Broker> => ({
  leaderOf(_topic, partition) {
    if (partition > 1) return null;
    return { nodeId: 2 - partition, http: `http://node-${2 - partition}.example:7480` };
  },
});

const unforwarded = { "rivulet-forward": "false" };
const elsewhere = (path: string): string => `http://node-2.example:7480${path}`;

test("GET /v1/cluster shows a node that is alone as its own cluster", async () => {
  const node = await door();
  const { json, status } = await node.ask("GET /v1/cluster");
  expect(status).toBe(200);
  expect(json).toMatchObject({
    nodeId: 1,
    nodes: [{ nodeId: 1, state: "up" }],
    controller: { leader: 1, members: [{ nodeId: 1, voter: true, lagEntries: 0 }] },
    partitions: 0,
  });
});

test("GET /v1/cluster/partitions shows leaders, terms and members, of one topic if wanted", async () => {
  const node = await door();
  await node.ask("POST /v1/topics", { name: "a", partitions: 2 });
  await node.ask("POST /v1/topics", { name: "b" });
  const all = await node.ask("GET /v1/cluster/partitions");
  expect(all.json).toMatchObject({
    items: [
      { topic: "a", partition: 0, leader: 1, assigned: [1] },
      { topic: "a", partition: 1, leader: 1 },
      { topic: "b", partition: 0, leader: 1 },
    ],
    total: 3,
  });
  const one = await node.ask("GET /v1/cluster/partitions?topic=b");
  expect(one.json).toMatchObject({ items: [{ topic: "b" }], total: 1 });
  expect((await node.ask("GET /v1/cluster/partitions?topic=none")).status).toBe(404);
});

test("GET /v1/cluster/partitions goes page by page", async () => {
  const node = await door();
  await node.ask("POST /v1/topics", { name: "a", partitions: 2 });
  await node.ask("POST /v1/topics", { name: "b", partitions: 2 });
  const seen: unknown[] = [];
  let next: string | null = null;
  do {
    const after: string = next === null ? "" : `&after=${encodeURIComponent(next)}`;
    const { json } = await node.ask(`GET /v1/cluster/partitions?limit=3${after}`);
    expect(json["total"]).toBe(4);
    seen.push(json.items.map(({ topic, partition }) => `${String(topic)}-${String(partition)}`));
    next = json["next"] as string | null;
  } while (next !== null);
  expect(seen).toEqual([["a-0", "a-1", "b-0"], ["b-1"]]);
  const { json } = await node.ask("GET /v1/cluster/partitions?topic=a&limit=1&after=a/0");
  expect(json).toMatchObject({ items: [{ partition: 1 }], next: null, total: 2 });
  for (const after of ["a", "a/", "a/b/1", "a/-1"])
    expect((await node.ask(`GET /v1/cluster/partitions?after=${after}`)).status).toBe(400);
});

test("Rivulet-Consistency: local asks nobody but the node itself", async () => {
  const asked: unknown[] = [];
  const node = await door((broker) => ({
    clusterStatus(of) {
      asked.push(of);
      return broker.clusterStatus(of);
    },
  }));
  await node.broker.createTopic({ name: "t" });
  const local = { "rivulet-consistency": "local" };
  for (const line of ["GET /v1/cluster", "GET /v1/cluster/partitions?topic=t"])
    for (const headers of [local, {}]) await node.ask(line, undefined, headers);
  expect(asked).toEqual([
    { local: true, limit: 0 },
    { limit: 0 },
    { local: true, topic: "t", limit: 101 },
    { topic: "t", limit: 101 },
  ]);
});

test("DELETE /v1/cluster/nodes/{node} removes a node, or says why not", async () => {
  const removed: unknown[] = [];
  const node = await door((broker) => ({
    async removeNode(nodeId, options) {
      removed.push([nodeId, options?.force]);
      if (nodeId === 1) return broker.removeNode(nodeId);
      return { ok: true, state: options?.force === true ? "removed" : "draining" };
    },
  }));
  const draining = await node.ask("DELETE /v1/cluster/nodes/3");
  expect(draining.json).toMatchObject({ nodeId: 3, state: "draining" });
  const forced = await node.ask("DELETE /v1/cluster/nodes/3?force=true");
  expect(forced.json).toMatchObject({ state: "removed" });
  const last = await node.ask("DELETE /v1/cluster/nodes/1");
  expect([last.status, last.json.code]).toEqual([409, "policy_violation"]);
  for (const id of ["0", "x", "01", "1048576", "99999999999"])
    expect((await node.ask(`DELETE /v1/cluster/nodes/${id}`)).status).toBe(400);
  expect(removed).toEqual([
    [3, false],
    [3, true],
    [1, false],
  ]);
});

test("POST /v1/cluster/transfer names a partition or the controller, and not both", async () => {
  const asked: [GroupPlace, number][] = [];
  const node = await door(() => ({
    async transferLeadership(of, to) {
      asked.push([of, to]);
      return to === 9 ? refuse("invalid_request", "No voter there") : { ok: true };
    },
  }));
  const transfer = (body: unknown) => node.ask("POST /v1/cluster/transfer", body);
  expect((await transfer({ controller: true, to: 2 })).json).toMatchObject({ leader: 2 });
  expect((await transfer({ topic: "a", partition: 1, to: 3 })).json).toMatchObject({ leader: 3 });
  expect((await transfer({ topic: "a", partition: 1, to: 9 })).status).toBe(400);
  for (const wrong of [
    { to: 2 },
    { topic: "a", to: 2 },
    { partition: 0, to: 2 },
    { controller: true, topic: "a", partition: 1, to: 2 },
    { controller: true, to: 0 },
    { controller: true },
    { controller: true, to: 2, by: "me" },
  ])
    expect((await transfer(wrong)).status).toBe(400);
  expect(asked).toEqual([
    ["controller", 2],
    [{ topic: "a", partition: 1 }, 3],
    [{ topic: "a", partition: 1 }, 9],
  ]);
});

for (const [method, path] of [
  ["POST", "/v1/topics/t/partitions/0/records?acks=all"],
  ["GET", "/v1/topics/t/partitions/0/records?offset=7&as=json"],
  ["POST", "/v1/topics/one/records"],
  ["GET", "/v1/topics/one/records"],
  ["PUT", "/v1/topics/t/partitions/0/fence"],
  ["DELETE", "/v1/topics/t/partitions/0/fence"],
  ["DELETE", "/v1/topics/t/partitions/0/records?before=1"],
] as const)
  test(`${method} ${path} is sent to the leader when the caller wants that`, async () => {
    const node = await door(ledElsewhere);
    await node.broker.createTopic({ name: "t", partitions: 3 });
    await node.broker.createTopic({ name: "one" });
    const body = method === "POST" ? { records: [{ value: "a" }] } : undefined;
    const headers = { ...unforwarded, "content-length": "25" };
    const { status, headers: answered, json } = await node.ask(`${method} ${path}`, body, headers);
    expect(status).toBe(307);
    expect(answered.get("location")).toBe(elsewhere(path));
    expect(answered.get("rivulet-leader")).toBe("2");
    expect(json).toMatchObject({ leader: 2, location: elsewhere(path) });
    expect(node.broker.bounds("t")).toMatchObject([{ logEndOffset: 0 }, {}, {}]);
  });

test("the way by a topic's id is kept in the Location", async () => {
  const node = await door(ledElsewhere);
  await node.broker.createTopic({ name: "one" });
  const path = `/v1/topic-ids/${node.broker.topic("one")?.topicId}/records`;
  const { headers } = await node.ask(`GET ${path}`, undefined, unforwarded);
  expect(headers.get("location")).toBe(elsewhere(path));
});

for (const [what, line, headers] of [
  ["its leader is this node", "POST /v1/topics/t/partitions/1/records", unforwarded],
  ["its leader is not known", "POST /v1/topics/t/partitions/2/records", unforwarded],
  ["it is for several partitions", "POST /v1/topics/t/records", unforwarded],
  ["nobody asked for it", "POST /v1/topics/t/partitions/0/records", {}],
  ["forwarding is wanted", "POST /v1/topics/t/partitions/0/records", { "rivulet-forward": "true" }],
  [
    "its body is a stream of lines",
    "POST /v1/topics/t/partitions/0/records",
    { ...unforwarded, "content-type": "application/x-ndjson" },
  ],
  [
    "it reads what this node has",
    "GET /v1/topics/t/partitions/0/records",
    { ...unforwarded, "rivulet-consistency": "local" },
  ],
  ["it is no leader's to do", "GET /v1/topics/t", unforwarded],
] as const)
  test(`a request is not sent elsewhere when ${what}`, async () => {
    const node = await door(ledElsewhere);
    await node.broker.createTopic({ name: "t", partitions: 3 });
    const lines = "content-type" in headers;
    const body = lines ? '{"value":"a"}\n' : { records: [{ value: "a" }] };
    const sent = line.startsWith("GET") ? undefined : body;
    const answered = await node.ask(line, sent, { "content-length": "25", ...headers });
    expect(answered.status).toBe(200);
  });

test("a body of unknown length is a stream and is not sent elsewhere", async () => {
  const node = await door(ledElsewhere);
  await node.broker.createTopic({ name: "one" });
  const body = { records: [{ value: "a" }] };
  expect((await node.ask("POST /v1/topics/one/records", body, unforwarded)).status).toBe(200);
});

test("Rivulet-Forward takes true and false alone", async () => {
  const node = await door();
  const { status } = await node.ask("GET /v1/topics", undefined, { "rivulet-forward": "no" });
  expect(status).toBe(400);
});

test("a read's consistency reaches the broker, whichever way it reads", async () => {
  const asked: FetchRequest["consistency"][] = [];
  const node = await door((broker) => ({
    fetch(request) {
      asked.push(request.consistency);
      return broker.fetch(request);
    },
    listOffsets(topic, wanted, options) {
      asked.push(options?.consistency);
      return broker.listOffsets(topic, wanted, options);
    },
  }));
  await node.broker.createTopic({ name: "t" });
  const lines = { accept: "application/x-ndjson", "rivulet-consistency": "linearizable" };
  await node.ask("GET /v1/topics/t/records", undefined, lines);
  const local = { "rivulet-consistency": "local" };
  await node.ask("GET /v1/topics/t/partitions/0/records", undefined, local);
  await node.ask("GET /v1/topics/t/offsets?at=latest", undefined, local);
  await node.ask("GET /v1/topics/t/records?timestamp=5", undefined, local);
  await node.ask("GET /v1/topics/t/records");
  expect(asked).toEqual(["linearizable", "local", "local", "local", "local", undefined]);
});

test("an answer about one partition says who led it, in which term", async () => {
  const node = await door((broker) => ({
    leaderOf: () => ({ nodeId: 3, http: null }),
    async produce(request) {
      const outcomes = await broker.produce(request);
      return outcomes.map((one) => (one.ok ? { ...one, leaderEpoch: 77 } : one));
    },
  }));
  const { headers } = await node.ask("POST /v1/topics/t/records", { records: [{ value: "a" }] });
  const told = ["rivulet-node", "rivulet-leader", "rivulet-term"].map((name) => headers.get(name));
  expect(told).toEqual(["1", "3", "77"]);
  const read = await node.ask("GET /v1/topics/t/records");
  expect(read.headers.get("rivulet-leader")).toBe("3");
  expect((await node.ask("GET /v1/topics/t")).headers.get("rivulet-leader")).toBeNull();
});

test("a log's bounds are told as the node that refused knows them", async () => {
  const members = { logStartOffset: 40, highWatermark: 90 };
  const node = await door(() => ({
    async fetch() {
      const refused = refuse("offset_out_of_range", "Below the log start", { members });
      return { partitions: [{ ...refused, partition: 0 }], release: () => undefined };
    },
  }));
  await node.broker.createTopic({ name: "t" });
  const { json } = await node.ask("GET /v1/topics/t/partitions/0/records?offset=7");
  expect(json).toMatchObject({ code: "offset_out_of_range", ...members, logEndOffset: 90 });
});
