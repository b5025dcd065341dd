import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { limits } from "../../src/limits.ts";
import { CursorWriter } from "../../edge/server/cursor.ts";
import { EventReader } from "./events.ts";
import { openDoor, type Answered, type DoorUnderTest } from "./harness.ts";

let node: DoorUnderTest;
const open: EventReader[] = [];

beforeEach(async () => {
  node = await openDoor();
  await node.ask("POST /v1/topics", { name: "t", partitions: 2 });
});

afterEach(async () => {
  for (const events of open.splice(0)) await events.cancel();
  await scrape();
  expect(page === "" || metrics().includes("rivulet_http_waiting 0")).toBe(true);
  await node.close();
});

let page = "";
const metrics = (): string[] => page.split("\n");
const scrape = async (): Promise<void> => {
  const answer = await node.ask("GET /metrics");
  // A door that is closed tells nothing.
  page = answer.status === 200 ? answer.text : "";
};

async function tail(query = "", headers: Record<string, string> = {}): Promise<EventReader> {
  const response = await node.send(`GET /v1/topics/t/tail${query}`, { headers });
  expect([response.status, response.headers.get("content-type")]).toEqual([
    200,
    "text/event-stream",
  ]);
  const reader = new EventReader(response);
  open.push(reader);
  return reader;
}

const write = (partition: number, ...values: string[]): Promise<Answered> =>
  node.ask(`POST /v1/topics/t/partitions/${partition}/records`, {
    records: values.map((value) => ({ value })),
  });

describe("GET .../tail", () => {
  test("begins at the end with a checkpoint, then sends what is written", async () => {
    await write(0, "before");
    const events = await tail();
    const checkpoint = await events.next();
    expect([checkpoint?.type, checkpoint?.data]).toEqual(["checkpoint", ""]);
    await write(1, "after");
    const { id, json } = await events.record();
    expect([json["value"], json["partition"], json["offset"]]).toEqual(["after", 1, 0]);
    expect(id).not.toBe(checkpoint?.id ?? "");
  });

  test("resumes exactly behind the last event, whichever it was", async () => {
    const written: string[] = [];
    for (let i = 0; i < 10; i++) {
      await write(i % 2, `v${i}`, `w${i}`);
      written.push(`v${i}`, `w${i}`);
    }
    const seen: unknown[] = [];
    let id = (await (await tail("?from=earliest")).next())?.id ?? "";
    for (let i = 0; i < written.length; i++) {
      // The query says otherwise: Last-Event-ID wins.
      const record = await (await tail("?from=earliest", { "last-event-id": id })).record();
      seen.push(record.json["value"]);
      id = record.id;
    }
    expect(new Set(seen)).toEqual(new Set(written));
    const { json } = await node.ask(`GET /v1/topics/t/records?cursor=${id}`);
    expect(json.records).toEqual([]);
  });

  test("new partitions join at offset 0", async () => {
    const events = await tail();
    await events.next();
    await node.ask("PATCH /v1/topics/t", { partitions: 3 });
    await write(2, "joined");
    expect((await events.record()).json["value"]).toBe("joined");
  });

  test("keeps to the partitions that were named", async () => {
    const events = await tail("?partition=1");
    await write(0, "zero");
    await write(1, "one");
    expect((await events.record()).json["value"]).toBe("one");
  });

  test("tells a gap when retention has passed the position, and goes on", async () => {
    await write(0, "a", "b", "c");
    const cursor = (await (await tail("?from=earliest&partition=0")).next())?.id ?? "";
    await node.ask("DELETE /v1/topics/t/partitions/0/records?before=2");
    const events = await tail("", { "last-event-id": cursor });
    await events.next();
    const gap = await events.next();
    expect([gap?.type, gap?.data]).toEqual([
      "gap",
      '{"partition":0,"wanted":0,"logStartOffset":2}',
    ]);
    expect((await events.record()).json["offset"]).toBe(2);
  });

  test("a position beyond the log's end is a problem, and the end", async () => {
    const topicId = node.broker.topic("t")?.topicId ?? "";
    const ahead = new CursorWriter(topicId, "some").write([{ partition: 0, offset: 99 }]);
    const events = await tail(`?cursor=${ahead}`);
    await events.next();
    const problem = await events.next();
    expect(problem?.type).toBe("problem");
    expect(JSON.parse(problem?.data ?? "")).toMatchObject({
      code: "offset_out_of_range",
      partition: 0,
      logEndOffset: 0,
    });
    expect(await events.next()).toBeNull();
  });

  test("a deleted topic sends end and answers the reconnect with 204", async () => {
    const events = await tail();
    const { id = "" } = (await events.next()) ?? {};
    await node.ask("DELETE /v1/topics/t");
    expect((await events.next())?.type).toBe("end");
    expect(await events.next()).toBeNull();
    const again = await node.ask("GET /v1/topics/t/tail", undefined, { "last-event-id": id });
    expect([again.status, again.text]).toEqual([204, ""]);
    expect((await node.ask("GET /v1/topics/t/tail")).status).toBe(404);
    await node.ask("POST /v1/topics", { name: "t" });
    const anew = await node.ask("GET /v1/topics/t/tail", undefined, { "last-event-id": id });
    expect([anew.status, anew.json.code]).toEqual([410, "topic_recreated"]);
  });

  test("a reader that lingers on a deleted topic does not keep a new one of its name asleep", async () => {
    // Never read: its first event fills its buffer, and it asks for no more.
    await tail();
    await node.ask("DELETE /v1/topics/t");
    await node.ask("POST /v1/topics", { name: "t", partitions: 1 });
    const events = await tail();
    await events.next();
    await write(0, "anew");
    expect((await events.record()).json["value"]).toBe("anew");
  });

  test("a comment comes after 15 s of silence, each time", async () => {
    const events = await tail();
    await events.next();
    for (let i = 0; i < 2; i++) {
      node.world.advance(14_000);
      const comment = events.bytes();
      node.world.advance(3_000);
      expect(await comment).toMatch(/^:.*\n\n$/);
    }
  });

  test("line ends inside stored JSON do not break the frame", async () => {
    await write(0, '{\r\n"a":\n1\r}');
    const events = await tail("?from=earliest&as=json");
    expect((await events.record()).json["valueJson"]).toEqual({ a: 1 });
  });

  test("a record is encoded once for all tailers", async () => {
    const tails = await Promise.all(Array.from({ length: 5 }, () => tail()));
    for (const events of tails) await events.next();
    await write(0, "a", "b", "c");
    for (const events of tails) {
      for (let i = 0; i < 3; i++) await events.record();
    }
    await scrape();
    expect(metrics()).toContain("rivulet_http_records_tailed_total 15");
    expect(metrics()).toContain("rivulet_http_records_encoded_total 3");
  });

  test("a tailer that does not read holds back no one and buffers little", async () => {
    const slow = await tail("?from=earliest");
    const quick = await tail("?from=earliest");
    const value = "x".repeat(10_000);
    for (let i = 0; i < 60; i++) await write(0, value);
    for (let i = 0; i < 60; i++) await quick.record();
    await scrape();
    const sent = metrics().find((line) => line.startsWith("rivulet_http_records_tailed_total"));
    const forSlow = Number(sent?.split(" ")[1]) - 60;
    expect(forSlow * value.length).toBeLessThan(limits.tailBufferBytesMax);
    for (let i = 0; i < 60; i++) expect((await slow.record()).json["offset"]).toBe(i);
  });

  test("more partitions than one tail follows is 400", async () => {
    await node.ask("PATCH /v1/topics/t", { partitions: limits.tailPartitionsMax + 1 });
    expect((await node.ask("GET /v1/topics/t/tail")).status).toBe(400);
    await (await tail("?partition=200")).next();
  });

  test("HEAD opens no tail", async () => {
    const response = await node.send("HEAD /v1/topics/t/tail");
    expect([response.status, response.body]).toEqual([200, null]);
  });

  test("the door's close ends it", async () => {
    const events = await tail();
    await events.next();
    node.door.close();
    expect(await events.next()).toBeNull();
  });
});
