// Server-side filters: what comes, where reading goes on, what a cursor says of it.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readCursor } from "../../edge/server/cursor.ts";
import { tailTimes } from "../../edge/contract/names.ts";
import { limits } from "../../src/limits.ts";
import { EventReader, type TailEvent } from "./events.ts";
import { openDoor, type DoorUnderTest } from "./harness.ts";

let node: DoorUnderTest;
let topic = "";
let topics = 0;

beforeAll(async () => {
  node = await openDoor();
});
afterAll(() => node.close());
beforeEach(async () => {
  topic = `t${topics++}`;
  await node.ask("POST /v1/topics", { name: topic, partitions: 1 });
});

const records = [
  { key: "order-1", value: "a", headers: [["type", "paid"]] },
  { key: "order-2", value: "b", headers: [["type", "sent"]] },
  { key: "user-1", value: "c", headers: [["type", null]] },
  { value: "d", headers: [["Type", "paid"]] },
  { key: "", value: "e" },
  {
    key: "order-1",
    value: "f",
    headers: [
      ["type", "sent"],
      ["type", "paid"],
      ["by", "a:b"],
    ],
  },
];

async function read(query: string): Promise<string> {
  const { json, status } = await node.ask(`GET /v1/topics/${topic}/records?${query}`);
  return status === 200
    ? json.records.map(({ value }) => String(value)).join("")
    : `${status} ${json.code}`;
}

describe("a filtered read", () => {
  test("gives the records that are wanted, and no others", async () => {
    await node.ask(`POST /v1/topics/${topic}/records`, { records });
    for (const [query, wanted] of [
      ["key=order-1", "af"],
      ["key=order", ""],
      ["key=", "e"],
      ["keyPrefix=order-", "abf"],
      ["keyPrefix=", "abcef"],
      ["header=type", "abcf"],
      ["header=type:paid", "af"],
      ["header=type:", ""],
      ["header=by:a:b", "f"],
      ["header=type:paid&header=type:sent", "f"],
      ["keyPrefix=order-&header=type:sent", "bf"],
      ["key=order-1&maxRecords=1", "a"],
      ["key=order-1&last=1", "f"],
      ["key=order-1&keyPrefix=o", "400 invalid_request"],
      ["header=:paid", "400 invalid_request"],
      ["header=", "400 invalid_request"],
      ["headers=type", "400 invalid_request"],
      ["key=a&key=b", "400 invalid_request"],
    ] as const) {
      expect([query, await read(query)]).toEqual([query, wanted]);
    }
  });

  test("goes on at its cursor, which is for the same filter alone", async () => {
    await node.ask(`POST /v1/topics/${topic}/records`, { records });
    const path = `GET /v1/topics/${topic}/records`;
    const first = await node.ask(`${path}?keyPrefix=order-&maxRecords=2`);
    const { cursor } = first.json;
    expect(readCursor(cursor)?.filter).not.toBeNull();
    expect(await read(`keyPrefix=order-&cursor=${cursor}`)).toBe("f");
    for (const other of ["", "key=order-1&", "header=type&"]) {
      const refused = await node.ask(`${path}?${other}cursor=${cursor}`);
      expect([other, refused.status, refused.json.code]).toEqual([other, 400, "invalid_request"]);
    }
    const tail = await node.ask(`GET /v1/topics/${topic}/tail`, undefined, {
      "last-event-id": cursor,
    });
    expect(tail.status).toBe(400);
    const plain = await node.ask(`${path}?maxRecords=3`);
    expect(await read(`key=order-1&cursor=${plain.json.cursor}`)).toBe("f");
  });

  test("passes over what is not wanted up to the end, so that nothing is looked through twice", async () => {
    await node.ask(`POST /v1/topics/${topic}/records`, { records });
    const { json } = await node.ask(`GET /v1/topics/${topic}/records?key=nobody`);
    expect([json.records.length, json.partitions[0]?.["nextOffset"]]).toEqual([0, 6]);
  });

  test("looks through a bounded part of the log and goes on at its cursor", async () => {
    const value = "x".repeat(1_000_000);
    const count = Math.ceil(limits.scannedBytesMax / value.length) + 4;
    for (let i = 0; i < count; i++) {
      await node.ask(`POST /v1/topics/${topic}/records`, { records: [{ value }] });
    }
    await node.ask(`POST /v1/topics/${topic}/records`, { records: [{ key: "k", value: "found" }] });
    const first = await node.ask(`GET /v1/topics/${topic}/records?key=k&waitMs=30000`);
    expect(first.json.records).toHaveLength(0);
    const next = first.json.partitions[0]?.["nextOffset"] ?? 0;
    expect(next > 0 && next < count).toBe(true);
    expect(await read(`key=k&cursor=${first.json.cursor}`)).toBe("found");
  });

  test("waits for a record that is wanted, not for any", async () => {
    const waiting = node.ask(`GET /v1/topics/${topic}/records?key=k&waitMs=30000`);
    await node.ask(`POST /v1/topics/${topic}/records`, { records: [{ key: "j", value: "no" }] });
    await node.ask(`POST /v1/topics/${topic}/records`, { records: [{ key: "k", value: "yes" }] });
    expect((await waiting).json.records.map(({ value }) => value)).toEqual(["yes"]);
  });
});

describe("a filtered tail", () => {
  test("sends what is wanted and tells where it is now and then", async () => {
    const tail = new EventReader(await node.send(`GET /v1/topics/${topic}/tail?key=k`));
    expect((await tail.next())?.type).toBe("checkpoint");
    await node.ask(`POST /v1/topics/${topic}/records`, { records: [{ key: "k", value: "one" }] });
    expect((await tail.record()).json["value"]).toBe("one");
    for (let i = 0; i < 3; i++) await node.ask(`POST /v1/topics/${topic}/records`, { records });
    let offset: number | undefined = 0;
    let told: TailEvent | null = null;
    while (offset !== 19) {
      told = await nextAsTimePasses(tail);
      expect(told?.type).toBe("checkpoint");
      offset = readCursor(told?.id ?? "")?.positions[0]?.offset;
    }
    await tail.cancel();
    await node.ask(`POST /v1/topics/${topic}/records`, { records: [{ key: "k", value: "two" }] });
    const headers = { "last-event-id": told?.id ?? "" };
    const again = new EventReader(
      await node.send(`GET /v1/topics/${topic}/tail?key=k`, { headers }),
    );
    expect((await again.record()).json["offset"]).toBe(19);
    await again.cancel();
  });
});

/** The next event, the clock moved on turn by turn until it comes. */
async function nextAsTimePasses(tail: EventReader): Promise<TailEvent | null> {
  const event = tail.next();
  const state = { come: false };
  void event.finally(() => (state.come = true));
  while (!state.come) {
    node.world.advance(tailTimes.checkpointMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return event;
}
