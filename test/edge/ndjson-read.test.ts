// Reading lines: all that is there, made as it is read, the end told.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { overriding, openDoor, type DoorUnderTest } from "./harness.ts";

let node: DoorUnderTest;
let fetches = 0;

beforeAll(async () => {
  node = await openDoor({}, (broker) =>
    overriding(broker, {
      fetch(request) {
        fetches++;
        return broker.fetch(request);
      },
    }),
  );
  await node.ask("POST /v1/topics", { name: "t", partitions: 2 });
  for (let i = 0; i < 10; i++) {
    const records = Array.from({ length: 100 }, (_, j) => ({
      key: `k${j % 7}`,
      value: `${i * 100 + j} ${"x".repeat(1_000)}`,
    }));
    await node.ask("POST /v1/topics/t/records", { records });
  }
});
afterAll(() => node.close());

const accept = { accept: "application/x-ndjson" };

interface Line {
  readonly [name: string]: unknown;
  readonly key?: string;
  readonly value?: string;
  readonly cursor?: string;
}

async function lines(query = "", topic = "t"): Promise<Line[]> {
  const { text } = await node.ask(`GET /v1/topics/${topic}/records${query}`, undefined, accept);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

describe("NDJSON out", () => {
  test("gives every record once, then where to go on", async () => {
    const all = await lines();
    const end = all.pop();
    expect(end).toMatchObject({ done: true, count: 1_000 });
    const numbers = all.map(({ value = "" }) => Number(value.split(" ")[0])).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
    expect(await lines(`?cursor=${end?.cursor}`)).toMatchObject([{ done: true, count: 0 }]);
  });

  test("stops at maxRecords or maxBytes when they are given, and goes on at the cursor", async () => {
    const first = await lines("?maxRecords=300");
    expect(first).toHaveLength(301);
    const rest = await lines(`?cursor=${first.at(-1)?.cursor}`);
    expect(rest).toHaveLength(701);
    const bytes = await lines("?maxBytes=300000");
    const text = bytes.slice(0, -1).map((line) => JSON.stringify(line).length + 1);
    const sum = text.reduce((a, b) => a + b, 0);
    expect(sum <= 300_000 && sum > 290_000).toBe(true);
    expect(await lines("?maxBytes=1")).toHaveLength(2);
  });

  test("takes filters", async () => {
    const found = await lines("?key=k3");
    expect(found.slice(0, -1).every(({ key }) => key === "k3")).toBe(true);
    expect(found.at(-1)?.["count"]).toBe(found.length - 1);
    expect(await lines("?key=none")).toMatchObject([{ done: true, count: 0 }]);
  });

  test("is made no faster than it is read", async () => {
    const response = await node.send("GET /v1/topics/t/records", { headers: accept });
    const reader = response.body!.getReader();
    await reader.read();
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    const before = fetches;
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(fetches).toBe(before);
    await reader.cancel();
  });

  test("ends where the log ended, however fast others write", async () => {
    await node.ask("POST /v1/topics", { name: "busy", partitions: 1 });
    await node.ask("POST /v1/topics/busy/records", { records: [{ value: "before" }] });
    const response = await node.send("GET /v1/topics/busy/records", { headers: accept });
    await node.ask("POST /v1/topics/busy/records", { records: [{ value: "after" }] });
    expect(await response.text()).not.toContain("after");
  });

  test("a stored text with line ends stays one line", async () => {
    await node.ask("POST /v1/topics", { name: "json", partitions: 1 });
    const stored = '{\n "a": 1.0,\r\n "b": "x\\ny" }';
    await node.ask("POST /v1/topics/json/records", `{"records":[{"valueJson":${stored}}]}`);
    const [line] = await lines("?as=json", "json");
    expect(line?.["valueJson"]).toEqual({ a: 1, b: "x\ny" });
    expect((await lines("", "json"))[0]?.value).toBe(stored);
  });

  test("is encoded for those who ask, and flushed page by page", async () => {
    const headers = { ...accept, "accept-encoding": "gzip" };
    const coded = await node.send("GET /v1/topics/t/records", { headers });
    expect(coded.headers.get("content-encoding")).toBe("gzip");
    const text = gunzipSync(await coded.bytes()).toString();
    expect(text.trimEnd().split("\n")).toHaveLength(1_001);
  });

  test("what is refused at once is an ordinary problem", async () => {
    for (const [target, status] of [
      ["/v1/topics/none/records", 404],
      ["/v1/topics/t/records?offset=1", 400],
      ["/v1/topics/t/records?waitMs=5", 400],
      ["/v1/topics/t/partitions/0/records?offset=99999", 416],
    ] as const) {
      const answer = await node.ask(`GET ${target}`, undefined, accept);
      expect([target, answer.status]).toEqual([target, status]);
    }
  });

  test("HEAD opens no stream", async () => {
    const head = await node.send("HEAD /v1/topics/t/records", { headers: accept });
    expect([head.status, head.body]).toEqual([200, null]);
  });
});
