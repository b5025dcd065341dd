import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { openDoor, type Answered, type DoorUnderTest } from "./harness.ts";

let node: DoorUnderTest;

beforeEach(async () => {
  node = await openDoor();
});

afterEach(() => node.close());

const statusAndCode = async (answer: Promise<Answered>): Promise<[number, string]> => {
  const { status, json } = await answer;
  return [status, json?.code];
};

describe("topics", () => {
  test("are created, described, found by id, and deleted", async () => {
    const created = await node.ask("POST /v1/topics", {
      name: "orders",
      partitions: 2,
      configs: { "retention.ms": 60_000, "cleanup.policy": "delete" },
    });
    expect([created.status, created.headers.get("location")]).toEqual([201, "/v1/topics/orders"]);
    expect(created.json).toMatchObject({ name: "orders", partitions: 2, replicationFactor: 1 });
    expect(created.json["configs"]).toMatchObject({ "retention.ms": "60000" });
    const byName = await node.ask("GET /v1/topics/orders");
    expect(byName.json).toEqual(created.json);
    const topicId = String(created.json["topicId"]);
    const byId = await node.ask(`GET /v1/topic-ids/${topicId.toUpperCase()}`);
    expect(byId.json).toEqual(created.json);
    const written = await node.ask(`POST /v1/topic-ids/${topicId}/records`, {
      records: [{ value: "by id" }],
    });
    expect(written.status).toBe(200);
    expect((await node.ask("DELETE /v1/topics/orders")).json).toMatchObject({ deleted: true });
    expect(await statusAndCode(node.ask("GET /v1/topics/orders"))).toEqual([
      404,
      "unknown_topic_or_partition",
    ]);
    expect(await statusAndCode(node.ask(`GET /v1/topic-ids/${topicId}`))).toEqual([
      404,
      "unknown_topic_id",
    ]);
    expect(await statusAndCode(node.ask("DELETE /v1/topics/orders"))).toEqual([
      404,
      "unknown_topic_or_partition",
    ]);
  });

  test("that are there already are 409, with PUT only when they differ", async () => {
    await node.ask("POST /v1/topics", { name: "t", partitions: 2 });
    expect(await statusAndCode(node.ask("POST /v1/topics", { name: "t" }))).toEqual([
      409,
      "topic_already_exists",
    ]);
    expect((await node.ask("PUT /v1/topics/t")).status).toBe(200);
    expect((await node.ask("PUT /v1/topics/t", { partitions: 2 })).status).toBe(200);
    const other = await node.ask("PUT /v1/topics/t", {
      partitions: 3,
      configs: { "retention.ms": 5 },
    });
    expect(other.status).toBe(409);
    expect(other.json.detail).toContain("partitions is 2, wanted 3");
    expect(other.json.detail).toContain("retention.ms is 604800000, wanted 5");
    expect((await node.ask("PUT /v1/topics/u", { partitions: 3 })).status).toBe(201);
  });

  test("are listed by page and prefix, internal ones when asked for", async () => {
    for (const name of ["b2", "a", "b1", "b3"]) await node.ask("POST /v1/topics", { name });
    const page = await node.ask("GET /v1/topics?prefix=b&limit=2");
    expect(page.json.items.map(({ name }) => name)).toEqual(["b1", "b2"]);
    const next = await node.ask(
      `GET /v1/topics?prefix=b&limit=2&after=${String(page.json["next"])}`,
    );
    expect([next.json.items.map(({ name }) => name), next.json["next"]]).toEqual([["b3"], null]);
    expect((await node.ask("GET /v1/topics?internal=true")).status).toBe(200);
  });

  test("gain partitions, never lose them", async () => {
    await node.ask("POST /v1/topics", { name: "t", partitions: 2 });
    expect((await node.ask("PATCH /v1/topics/t", { partitions: 4 })).json).toMatchObject({
      partitions: 4,
    });
    expect(await statusAndCode(node.ask("PATCH /v1/topics/t", { partitions: 3 }))).toEqual([
      400,
      "invalid_partitions",
    ]);
    const page = await node.ask("GET /v1/topics/t/partitions?limit=3");
    expect(page.json.items.map(({ partition }) => partition)).toEqual([0, 1, 2]);
    const next = await node.ask(`GET /v1/topics/t/partitions?after=${String(page.json["next"])}`);
    expect(next.json.items).toEqual([
      {
        partition: 3,
        leader: 1,
        leaderEpoch: expect.any(Number),
        replicas: [1],
        inSyncReplicas: [1],
        logStartOffset: 0,
        highWatermark: 0,
        bytes: 0,
      },
    ]);
  });

  test("have configs that are set, reset and explained", async () => {
    await node.ask("POST /v1/topics", { name: "t" });
    const set = await node.ask("PATCH /v1/topics/t/configs", {
      "retention.ms": "1000",
      "message.timestamp.type": "LogAppendTime",
    });
    expect(set.json["configs"]).toMatchObject({ "retention.ms": "1000" });
    const list = await node.ask("GET /v1/topics/t/configs");
    const row = (name: string): unknown => list.json.items.find((item) => item["name"] === name);
    expect(row("retention.ms")).toMatchObject({ value: "1000", source: "topic", effect: "works" });
    expect(row("flush.ms")).toMatchObject({ effect: "no_effect", note: expect.any(String) });
    const reset = await node.ask("PATCH /v1/topics/t/configs", { "retention.ms": null });
    expect(reset.json["configs"]).toMatchObject({ "retention.ms": "604800000" });
    const typo = await node.ask("PATCH /v1/topics/t/configs", { "retention.mss": 1 });
    expect([typo.status, typo.json.code]).toEqual([400, "invalid_config"]);
    expect(typo.json.detail).toContain("retention.ms");
  });

  test("tell offsets by time, start and end, and lose records from the front", async () => {
    await node.ask("POST /v1/topics", { name: "t", partitions: 2 });
    await node.ask("POST /v1/topics/t/partitions/0/records", {
      records: [1_000, 2_000].map((timestamp) => ({ value: "v", timestamp })),
    });
    const at = async (when: string): Promise<unknown> => {
      const { json } = await node.ask(`GET /v1/topics/t/offsets?at=${when}`);
      return json.items.map(({ offset, timestamp }) => [offset, timestamp]);
    };
    expect(await at("earliest")).toEqual([
      [0, null],
      [0, null],
    ]);
    expect(await at("latest")).toEqual([
      [2, null],
      [0, null],
    ]);
    expect(await at("1500")).toEqual([
      [1, 2_000],
      [null, null],
    ]);
    expect(await at("1970-01-01T00:00:01Z")).toEqual([
      [0, 1_000],
      [null, null],
    ]);
    expect((await node.ask("GET /v1/topics/t/offsets")).status).toBe(400);
    expect((await node.ask("GET /v1/topics/t/offsets?at=noon")).status).toBe(400);
    const gone = await node.ask("DELETE /v1/topics/t/partitions/0/records?before=1");
    expect(gone.json).toMatchObject({ partition: 0, logStartOffset: 1 });
    expect(await at("earliest")).toEqual([
      [1, null],
      [0, null],
    ]);
    const beyond = node.ask("DELETE /v1/topics/t/partitions/0/records?before=9");
    expect(await statusAndCode(beyond)).toEqual([416, "offset_out_of_range"]);
    expect((await node.ask("DELETE /v1/topics/t/partitions/0/records")).status).toBe(400);
  });

  test.each([
    ["", "a"],
    ["{", "a"],
    ["[]", "a"],
    ['{"name":"t","partitons":1}', "partitions"],
    ['{"name":"t","partitions":"1"}', "partitions must be integer"],
    ['{"name":"t","partitions":0}', "partitions must be 1"],
    ['{"name":"t","name":"u"}', "name"],
    ['{"partitions":1}', "name is missing"],
    ['{"name":"t","configs":{"retention.ms":[1]}}', "configs.retention.ms"],
    ['{"name":"\\ud800"}', "Unicode"],
    ['{"name":"a/b"}', "a/b"],
    ['{"name":".."}', ".."],
    [`{"name":"${"x".repeat(250)}"}`, "249"],
  ])("body %s is 400", async (body, hint) => {
    const { status, json } = await node.ask("POST /v1/topics", body);
    expect(status).toBe(400);
    expect(json.detail).toContain(hint);
  });
});
