import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { openDoor, type Answered, type DoorUnderTest } from "./harness.ts";

let node: DoorUnderTest;

beforeEach(async () => {
  node = await openDoor();
  await node.ask("POST /v1/topics", { name: "t", partitions: 2 });
});

afterEach(() => node.close());

const write = (partition: number, ...values: (string | null)[]): Promise<Answered> =>
  node.ask(`POST /v1/topics/t/partitions/${partition}/records`, {
    records: values.map((value) => ({ value })),
  });

const valuesOf = ({ json }: Answered): unknown[] => json.records.map(({ value }) => value);
const get = (rest: string): Promise<Answered> => node.ask(`GET /v1/topics/t${rest}`);

describe("GET .../records", () => {
  test("says where to go on, and going on there reads each record once", async () => {
    await write(0, "a", "b", "c");
    await write(1, "d", "e");
    const seen: unknown[] = [];
    let answer = await get("/records?maxRecords=2");
    for (let i = 0; i < 10 && answer.json.records.length > 0; i++) {
      seen.push(...valuesOf(answer));
      answer = await get(`/records?maxRecords=2&cursor=${answer.json.cursor}`);
    }
    expect(new Set(seen)).toEqual(new Set(["a", "b", "c", "d", "e"]));
    expect(seen).toHaveLength(5);
    await write(1, "f");
    expect(valuesOf(await get(`/records?cursor=${answer.json.cursor}`))).toEqual(["f"]);
  });

  test("tells next offset, high watermark and log start of each partition", async () => {
    await write(0, "a", "b", "c");
    const { json } = await get("/partitions/0/records?offset=1&maxRecords=1");
    expect(json.records.map(({ offset }) => offset)).toEqual([1]);
    expect(json.partitions).toEqual([
      { partition: 0, nextOffset: 2, highWatermark: 3, logStartOffset: 0 },
    ]);
  });

  test.each([
    ["/partitions/0/records", ["a", "b", "c"]],
    ["/partitions/0/records?from=earliest", ["a", "b", "c"]],
    ["/partitions/0/records?from=latest", []],
    ["/partitions/0/records?offset=2", ["c"]],
    ["/partitions/0/records?offset=3", []],
    ["/partitions/0/records?last=2", ["b", "c"]],
    ["/partitions/0/records?last=99", ["a", "b", "c"]],
    ["/partitions/0/records?timestamp=2000", ["b", "c"]],
    ["/partitions/0/records?timestamp=1970-01-01T00:00:02.500Z", ["c"]],
    ["/partitions/0/records?timestamp=9999", []],
    ["/partitions/0/records?maxBytes=1", ["a"]],
    ["/records?partition=0", ["a", "b", "c"]],
    ["/records?partition=1&partition=0&last=1", ["c"]],
  ])("%s starts where it says", async (path, wanted) => {
    await node.ask("POST /v1/topics/t/partitions/0/records", {
      records: ["a", "b", "c"].map((value, i) => ({ value, timestamp: (i + 1) * 1_000 })),
    });
    expect(valuesOf(await get(path))).toEqual(wanted);
  });

  test("one record always comes, however small maxBytes is", async () => {
    await write(0, "x".repeat(100_000), "y");
    expect((await get("/partitions/0/records?maxBytes=1")).json.records).toHaveLength(1);
  });

  test("a busy partition does not starve the others", async () => {
    await write(0, ...Array.from({ length: 50 }, () => "busy"));
    await write(1, "quiet");
    expect(valuesOf(await get("/records?maxRecords=10"))).toContain("quiet");
  });

  test("416 tells both ends", async () => {
    await write(0, "a", "b");
    await node.ask("DELETE /v1/topics/t/partitions/0/records?before=1");
    for (const offset of [0, 3]) {
      const { status, json } = await get(`/partitions/0/records?offset=${offset}`);
      expect([status, json.code]).toEqual([416, "offset_out_of_range"]);
      expect([json["logStartOffset"], json["logEndOffset"], json["highWatermark"]]).toEqual([
        1, 2, 2,
      ]);
    }
  });

  test("shows bytes as text, base64 or JSON, and nothing is lost", async () => {
    await node.ask("POST /v1/topics/t/partitions/0/records", {
      records: [
        { value: "\ufefftext", key: "k" },
        { valueBase64: "/w==", keyBase64: "/w==" },
        { value: null },
        { value: '{"n":1.0}' },
        { value: "" },
      ],
    });
    const shown = async (as: string): Promise<unknown[]> => {
      const { json } = await get(`/partitions/0/records?as=${as}`);
      return json.records.map(({ key, keyBase64, value, valueBase64, valueJson }) =>
        Object.fromEntries(
          Object.entries({ key, keyBase64, value, valueBase64, valueJson }).filter(
            ([, member]) => member !== undefined,
          ),
        ),
      );
    };
    expect(await shown("auto")).toEqual([
      { key: "k", value: "\ufefftext" },
      { keyBase64: "/w==", valueBase64: "/w==" },
      { key: null, value: null },
      { key: null, value: '{"n":1.0}' },
      { key: null, value: "" },
    ]);
    expect(await shown("base64")).toEqual([
      { keyBase64: "aw==", valueBase64: "77u/dGV4dA==" },
      { keyBase64: "/w==", valueBase64: "/w==" },
      { keyBase64: null, valueBase64: null },
      { keyBase64: null, valueBase64: "eyJuIjoxLjB9" },
      { keyBase64: null, valueBase64: "" },
    ]);
    expect(await shown("json")).toEqual([
      { key: "k", value: "\ufefftext" },
      { keyBase64: "/w==", valueBase64: "/w==" },
      { key: null, value: null },
      { key: null, valueJson: { n: 1 } },
      { key: null, value: "" },
    ]);
    expect((await get("/partitions/0/records?as=json")).text).toContain('"valueJson":{"n":1.0}');
  });

  test("timestampType is told only of LogAppendTime", async () => {
    await write(0, "a");
    await node.ask("PATCH /v1/topics/t/configs", { "message.timestamp.type": "LogAppendTime" });
    const receipt = (await write(0, "b")).json.receipts[0];
    const { json } = await get("/partitions/0/records");
    expect(json.records.map(({ timestampType }) => timestampType)).toEqual([
      undefined,
      "LogAppendTime",
    ]);
    expect(json.records[1]["timestamp"]).toBe(receipt["timestamp"]);
  });

  test.each([
    "/records?offset=1",
    "/records?from=earliest&last=1",
    "/records?from=first",
    "/records?cursor=abc",
    "/records?timestamp=yesterday",
    "/records?maxRecords=0",
    "/records?maxRecords=1e3",
    "/records?waitMs=30001",
    "/records?waitMs=1&waitMs=2",
    "/records?waitms=1",
    "/records?as=text",
    "/records?partition=01",
    "/records?cursor=%ff",
    "/records?ticket=x",
    "/partitions/0/records?partition=0",
    "/partitions/00/records",
    "/partitions/x/records",
    "/partitions/-1/records",
  ])("%s is 400", async (path) => {
    expect((await get(path)).status).toBe(400);
  });

  test("an unknown partition or topic is 404, the topic's with the command that makes it", async () => {
    expect((await get("/partitions/9/records")).status).toBe(404);
    expect((await get("/records?partition=2")).status).toBe(404);
    const { status, json } = await node.ask("GET /v1/topics/none/records");
    expect(status).toBe(404);
    expect(json.detail).toContain(`curl --json '{"name":"none"}' http://127.0.0.1:7480/v1/topics`);
    expect((await node.ask("GET /v1/topics/no%2Fne/records")).status).toBe(404);
  });
});

describe("a long poll", () => {
  test("returns on the first record", async () => {
    const waiting = get("/records?from=latest&waitMs=30000");
    await write(1, "now");
    expect(valuesOf(await waiting)).toEqual(["now"]);
  });

  test("is freed at once when the caller leaves", async () => {
    const caller = new AbortController();
    const url = "http://127.0.0.1:7480/v1/topics/t/records?from=latest&waitMs=30000";
    const waiting = node.door.fetch(new Request(url, { signal: caller.signal }));
    await until(() => node.broker.metrics()["fetch_waiters"] === 1);
    caller.abort();
    const answer = await waiting;
    expect(answer.status).toBe(200);
    expect(node.broker.metrics()["fetch_waiters"]).toBe(0);
  });

  test("ends when the door closes", async () => {
    const waiting = get("/records?from=latest&waitMs=30000");
    await until(() => node.broker.metrics()["fetch_waiters"] === 1);
    node.door.close();
    expect((await waiting).json.records).toEqual([]);
    expect((await get("/records")).status).toBe(503);
  });
});

describe("a cursor", () => {
  test("of a topic deleted and made anew is 410", async () => {
    await write(0, "a");
    const { cursor } = (await get("/records")).json;
    await node.ask("DELETE /v1/topics/t");
    await node.ask("POST /v1/topics", { name: "t", partitions: 2 });
    const { status, json } = await get(`/records?cursor=${cursor}`);
    expect([status, json.code]).toEqual([410, "topic_recreated"]);
  });

  test("of all partitions takes in new ones from their first record", async () => {
    const { cursor } = (await get("/records")).json;
    await node.ask("PATCH /v1/topics/t", { partitions: 3 });
    await write(2, "new");
    expect(valuesOf(await get(`/records?cursor=${cursor}`))).toEqual(["new"]);
  });

  test("of some partitions goes on with those alone", async () => {
    const { cursor } = (await get("/records?partition=1")).json;
    await write(0, "zero");
    await write(1, "one");
    expect(valuesOf(await get(`/records?cursor=${cursor}`))).toEqual(["one"]);
    expect((await get(`/records?cursor=${cursor}&partition=0`)).status).toBe(400);
  });
});

/** Turns of the event loop until it holds; the test's own time limit bounds it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => setImmediate(resolve));
}
