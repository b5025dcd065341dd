// Fences and sequences: who may write, and what a writer that was replaced hears.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { limits } from "../../src/limits.ts";
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
  await node.ask("POST /v1/topics", { name: topic, partitions: 2 });
});

const body = { records: [{ value: "a" }] };

async function fence(
  method: "PUT" | "DELETE",
  sent?: unknown,
  headers: Record<string, string> = {},
): Promise<string> {
  const path = `/v1/topics/${topic}/partitions/0/fence`;
  const { status, json } = await node.ask(`${method} ${path}`, sent, headers);
  return status === 200 ? `${status} ${String(json["token"])}` : `${status} ${json.code}`;
}

async function write(headers: Record<string, string>, partition = 0): Promise<string> {
  const path = `/v1/topics/${topic}/partitions/${partition}/records`;
  const { status, json } = await node.ask(`POST ${path}`, body, headers);
  return status === 200 ? `${status} ${json.receipts[0]?.offset}` : `${status} ${json.code}`;
}

describe("a fence", () => {
  test("keeps out a writer that shows another token, lets in who shows none", async () => {
    expect(await write({ "rivulet-fence": "one" })).toBe("412 fence_mismatch");
    expect(await fence("PUT", { token: "one" })).toBe("200 one");
    expect(await write({ "rivulet-fence": "one" })).toBe("200 0");
    expect(await fence("PUT", { token: "two" })).toBe("200 two");
    expect(await write({ "rivulet-fence": "one" })).toBe("412 fence_mismatch");
    expect(await write({ "rivulet-fence": "two" })).toBe("200 1");
    expect(await write({})).toBe("200 2");
    expect(await write({ "rivulet-fence": "two" }, 1)).toBe("412 fence_mismatch");
  });

  test("is set and cleared on a condition, so that one of two claims wins", async () => {
    expect(await fence("PUT", { token: "one", expected: null })).toBe("200 one");
    expect(await fence("PUT", { token: "two", expected: null })).toBe("412 fence_mismatch");
    expect(await fence("PUT", { token: "two", expected: "one" })).toBe("200 two");
    expect(await fence("DELETE", undefined, { "rivulet-fence": "one" })).toBe("412 fence_mismatch");
    expect(await fence("DELETE", undefined, { "rivulet-fence": "two" })).toBe("200 null");
    expect(await fence("DELETE")).toBe("200 null");
    expect(await write({ "rivulet-fence": "two" })).toBe("412 fence_mismatch");
  });

  test("holds together with an expected offset and in a stream of lines", async () => {
    await fence("PUT", { token: "one" });
    const both = { "rivulet-fence": "one", "rivulet-expected-offset": "0" };
    expect(await write(both)).toBe("200 0");
    expect(await write(both)).toBe("412 expected_offset_mismatch");
    const path = `POST /v1/topics/${topic}/partitions/0/records`;
    for (const [token, status] of [
      ["one", 200],
      ["two", 412],
    ] as const) {
      const headers = { "rivulet-fence": token, "content-type": "application/x-ndjson" };
      expect((await node.ask(path, '{"value":"a"}\n', headers)).status).toBe(status);
    }
  });

  test("tokens that no header can carry, and places that are not there, are refused", async () => {
    for (const token of ["", "a b", "ä", "a\n", "x".repeat(limits.fenceBytesMax + 1), 1, null]) {
      expect([token, await fence("PUT", { token })]).toEqual([token, "400 invalid_request"]);
    }
    for (const sent of [{}, { token: "a", tokens: "b" }, { token: "a", expected: 1 }, []]) {
      expect(await fence("PUT", sent)).toBe("400 invalid_request");
    }
    expect(await write({ "rivulet-fence": "a b" })).toBe("400 invalid_request");
    const onTopic = await node.ask(`POST /v1/topics/${topic}/records`, body, {
      "rivulet-fence": "a",
    });
    expect(onTopic.status).toBe(400);
    for (const path of [
      `/v1/topics/${topic}/partitions/2/fence`,
      "/v1/topics/no/partitions/0/fence",
    ])
      expect((await node.ask(`PUT ${path}`, { token: "a" })).status).toBe(404);
  });
});

describe("sequences", () => {
  let producerId = "";
  beforeEach(async () => {
    producerId = String((await node.ask("POST /v1/producers")).json["producerId"]);
  });
  const as = (sequence: number, epoch = 0): Record<string, string> => ({
    "rivulet-producer-id": producerId,
    "rivulet-producer-epoch": String(epoch),
    "rivulet-producer-sequence": String(sequence),
  });

  test("a retry is answered again and nothing is appended; a gap is refused", async () => {
    expect(await write(as(0))).toBe("200 0");
    expect(await write(as(0))).toBe("200 0");
    expect(await write(as(2))).toBe("412 out_of_order_sequence_number");
    expect(await write(as(1))).toBe("200 1");
    expect(await write(as(0))).toBe("200 0");
    expect(await write(as(2))).toBe("200 2");
  });

  test("each partition counts for itself", async () => {
    expect(await write(as(0))).toBe("200 0");
    expect(await write(as(0), 1)).toBe("200 0");
  });

  test("a newer epoch begins at 0 and shuts the older one out", async () => {
    expect(await write(as(0))).toBe("200 0");
    expect(await write(as(1, 1))).toBe("412 out_of_order_sequence_number");
    expect(await write(as(0, 1))).toBe("200 1");
    expect(await write(as(1, 0))).toBe("412 invalid_producer_epoch");
  });

  test("two at once with one sequence are one append", async () => {
    const answers = await Promise.all([write(as(0)), write(as(0)), write(as(0))]);
    expect(answers).toEqual(["200 0", "200 0", "200 0"]);
    expect(await write({})).toBe("200 1");
  });

  test("values that cannot be meant are 400", async () => {
    const { "rivulet-producer-epoch": _, ...partial } = as(0);
    for (const headers of [
      partial,
      as(-1),
      as(2 ** 31),
      as(0, 32_768),
      { ...as(0), "rivulet-producer-id": "x" },
      { ...as(0), "rivulet-producer-id": "1e3" },
      { ...as(0), "rivulet-producer-sequence": "0x1" },
      { ...as(0), "idempotency-key": "k" },
    ]) {
      expect([headers, await write(headers)]).toEqual([headers, "400 invalid_request"]);
    }
    expect((await node.ask(`POST /v1/topics/${topic}/records`, body, as(0))).status).toBe(400);
  });
});
