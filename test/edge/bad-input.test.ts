// What a caller may send that lies: cursors that are well made and untrue, ids of another topic, header values that no
// header can carry, and readers that come and go.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CursorWriter } from "../../edge/server/cursor.ts";
import { EventReader } from "./events.ts";
import { openDoor, type DoorUnderTest } from "./harness.ts";

let node: DoorUnderTest;
let topicId = "";
let otherId = "";

beforeAll(async () => {
  node = await openDoor();
  topicId = String(
    (await node.ask("POST /v1/topics", { name: "t", partitions: 2 })).json["topicId"],
  );
  otherId = String(
    (await node.ask("POST /v1/topics", { name: "u", partitions: 2 })).json["topicId"],
  );
  await node.ask("POST /v1/topics/t/partitions/0/records", { records: [{ value: "a" }] });
});
afterAll(() => node.close());

type Positions = readonly { readonly partition: number; readonly offset: number }[];
const made = (id: string, positions: Positions, follows: "all" | "some" = "some"): string =>
  new CursorWriter(id, follows).write(positions);

describe("a cursor that lies", () => {
  test("is refused, never read from elsewhere", async () => {
    const huge = Number.MAX_SAFE_INTEGER;
    const cases: readonly (readonly [string, number, string])[] = [
      [made(otherId, [{ partition: 0, offset: 0 }]), 410, "topic_recreated"],
      [made(topicId, [{ partition: 9, offset: 0 }]), 400, "invalid_request"],
      [made(topicId, [{ partition: 0, offset: 2 }]), 416, "offset_out_of_range"],
      [made(topicId, [{ partition: 0, offset: huge }]), 416, "offset_out_of_range"],
      [made(topicId, [{ partition: 1, offset: 1 }], "all"), 416, "offset_out_of_range"],
      [`${made(topicId, [{ partition: 0, offset: 0 }])}=`, 400, "invalid_request"],
      [topicId, 400, "invalid_request"],
      ["0", 400, "invalid_request"],
    ];
    for (const [cursor, status, code] of cases) {
      const path = `/v1/topics/t/records?cursor=${encodeURIComponent(cursor)}`;
      for (const accept of ["application/json", "application/x-ndjson"]) {
        const answer = await node.ask(`GET ${path}`, undefined, { accept });
        expect([cursor, answer.status, answer.json.code]).toEqual([cursor, status, code]);
      }
    }
  });

  test("with a partition twice gives no record twice", async () => {
    const cursor = made(topicId, [
      { partition: 0, offset: 0 },
      { partition: 0, offset: 0 },
    ]);
    const answer = await node.ask(`GET /v1/topics/t/records?cursor=${cursor}`);
    expect(answer.status === 400 || answer.json.records.length === 1).toBe(true);
  });

  test("as Last-Event-ID of another topic is 410, of nothing 400", async () => {
    for (const [id, status] of [
      [made(otherId, [{ partition: 0, offset: 0 }]), 410],
      ["17", 400],
      ["../../etc/passwd", 400],
    ] as const) {
      const tail = await node.ask("GET /v1/topics/t/tail", undefined, { "last-event-id": id });
      expect([id, tail.status]).toEqual([id, status]);
    }
  });

  test("beyond the log's end tells a problem on the tail, and ends it", async () => {
    const cursor = made(topicId, [{ partition: 0, offset: 99 }]);
    const tail = new EventReader(await node.send(`GET /v1/topics/t/tail?cursor=${cursor}`));
    expect((await tail.next())?.type).toBe("checkpoint");
    const problem = await tail.next();
    expect([problem?.type, JSON.parse(problem?.data ?? "{}")]).toMatchObject([
      "problem",
      { code: "offset_out_of_range" },
    ]);
    expect(await tail.next()).toBeNull();
  });
});

test("record headers hold what no header of HTTP can carry, and come back as they were", async () => {
  const headers = [
    ["line\r\nbreak", "a\r\nset-cookie: b"],
    ["", "\u0000"],
    ["ключ", "значение"],
    ["x", { base64: "/wA=" }],
    ["x", null],
  ];
  const path = "/v1/topics/t/partitions/1/records";
  await node.ask(`POST ${path}`, { records: [{ value: "v", headers }] });
  const list = Buffer.from(JSON.stringify(headers)).toString("base64url");
  const raw = { "content-type": "text/plain", "rivulet-headers": list };
  expect((await node.ask(`POST ${path}`, "v", raw)).status).toBe(200);
  const { json } = await node.ask(`GET ${path}`);
  expect(json.records.map((record) => record["headers"])).toEqual([headers, headers]);
  const found = await node.ask(`GET ${path}?header=${encodeURIComponent("ключ:значение")}`);
  expect(found.json.records).toHaveLength(2);
  for (const bad of ["W10=", "e30", "WzFd", "Wwo", "!"]) {
    const refused = await node.ask(`POST ${path}`, "v", { ...raw, "rivulet-headers": bad });
    expect([bad, refused.status]).toEqual([bad, 400]);
  }
});

test("a storm of readers that come and leave at once leaves nothing behind", async () => {
  const storm = Array.from({ length: 300 }, async (_, i) => {
    if (i % 2 === 0) {
      const tail = await node.send("GET /v1/topics/t/tail?from=earliest&key=none");
      await tail.body?.cancel();
      return;
    }
    const leaving = new AbortController();
    const poll = node.send("GET /v1/topics/t/records?from=latest&waitMs=30000", {
      signal: leaving.signal,
    });
    leaving.abort();
    await poll.then((response) => response.body?.cancel());
  });
  await Promise.all(storm);
  const { text } = await node.ask("GET /metrics");
  expect(text).toContain("\nrivulet_http_waiting 0\n");
});
