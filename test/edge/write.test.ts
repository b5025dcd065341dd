import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Broker } from "../../src/broker/broker.ts";
import { limits } from "../../src/limits.ts";
import { refuse } from "../../src/errors.ts";
import { openDoor, overriding, type DoorUnderTest } from "./harness.ts";

let node: DoorUnderTest;

beforeEach(async () => {
  node = await openDoor();
  await node.ask("POST /v1/topics", { name: "t", partitions: 3 });
});

afterEach(() => node.close());

const values = async (line: string): Promise<unknown[]> => {
  const { json } = await node.ask(line);
  return json.records.map((record) => record.value ?? record["valueBase64"] ?? null);
};

describe("POST .../records", () => {
  test("answers one receipt a record, in request order", async () => {
    const records = Array.from({ length: 30 }, (_, i) => ({ key: `k${i}`, value: `v${i}` }));
    const { status, json } = await node.ask("POST /v1/topics/t/records", { records });
    expect(status).toBe(200);
    expect(json.receipts).toHaveLength(30);
    const read = await node.ask("GET /v1/topics/t/records");
    const where = new Map<unknown, unknown>(
      read.json.records.map((record) => [record.value, [record.partition, record.offset]]),
    );
    json.receipts.forEach((receipt, i) => {
      expect(where.get(`v${i}`)).toEqual([receipt.partition, receipt.offset]);
    });
  });

  test("places keys as Kafka's clients do and keyless records of a request together", async () => {
    const { json } = await node.ask("POST /v1/topics/t/records", {
      records: [{ value: "1" }, { value: "2" }, { key: "a", value: "3" }, { value: "4" }],
    });
    const [one, two, keyed, four] = json.receipts;
    expect([two.partition, four.partition]).toEqual([one.partition, one.partition]);
    const again = await node.ask("POST /v1/topics/t/records", {
      records: [{ key: "a", value: "5" }],
    });
    expect(again.json.receipts[0].partition).toBe(keyed.partition);
  });

  test("spreads requests without keys over the partitions", async () => {
    const seen = new Set<number>();
    for (let i = 0; i < 3; i++) {
      const { json } = await node.ask("POST /v1/topics/t/records", { records: [{ value: "x" }] });
      seen.add(json.receipts[0].partition);
    }
    expect(seen.size).toBe(3);
  });

  test("appends nothing anywhere when the topic cannot take one record's timestamp", async () => {
    const day = 86_400_000;
    await node.ask("PATCH /v1/topics/t/configs", {
      "message.timestamp.before.max.ms": day,
    });
    const now = node.world.now();
    const stamped = [now, now + 2 * day, now - 2 * day].map((timestamp, partition) => ({
      partition,
      timestamp,
      value: "v",
    }));
    const { status, json } = await node.ask("POST /v1/topics/t/records", { records: stamped });
    expect([status, json["errors"]]).toMatchObject([
      400,
      [
        { index: 1, code: "invalid_timestamp" },
        { index: 2, code: "invalid_timestamp" },
      ],
    ]);
    expect(await values("GET /v1/topics/t/records")).toEqual([]);
  });

  test("appends nothing anywhere when one record is wrong", async () => {
    const { status, json } = await node.ask("POST /v1/topics/t/records", {
      records: [{ value: "fine" }, { value: "fine", partition: 9 }],
    });
    expect(status).toBe(400);
    expect(json["errors"]).toEqual([
      { index: 1, code: "unknown_topic_or_partition", detail: expect.any(String) },
    ]);
    expect(await values("GET /v1/topics/t/records")).toEqual([]);
  });

  test("a record's partition against the path's is 400", async () => {
    const line = "POST /v1/topics/t/partitions/1/records";
    expect((await node.ask(line, { records: [{ value: "a", partition: 1 }] })).status).toBe(200);
    expect((await node.ask(line, { records: [{ value: "a", partition: 2 }] })).status).toBe(400);
  });

  test("acks=0 answers 202 and how many were taken", async () => {
    const { status, json } = await node.ask("POST /v1/topics/t/records?acks=0", {
      records: [{ value: "a" }, { value: "b" }],
    });
    expect([status, json]).toEqual([202, { accepted: 2 } as never]);
    expect(
      (await node.ask("POST /v1/topics/t/records?acks=1", { records: [{ value: "c" }] })).status,
    ).toBe(200);
  });

  test("creates the topic and says so once", async () => {
    const first = await node.ask("POST /v1/topics/new/records", { records: [{ value: "a" }] });
    expect([first.status, first.headers.get("rivulet-topic-created")]).toEqual([200, "true"]);
    const second = await node.ask("POST /v1/topics/new/records", { records: [{ value: "b" }] });
    expect([second.status, second.headers.get("rivulet-topic-created")]).toEqual([200, null]);
  });

  test("refuses a batch beyond max.message.bytes before anything is appended", async () => {
    const value = "x".repeat(limits.messageBytesMax);
    const { status, json } = await node.ask("POST /v1/topics/t/records", {
      records: [
        { value: "small", partition: 0 },
        { value, partition: 1 },
      ],
    });
    expect([status, json.code]).toEqual([413, "message_too_large"]);
    expect(await values("GET /v1/topics/t/records")).toEqual([]);
  });

  test("releases every slice, also of refused writes", async () => {
    const before = node.slabs.bytesInUse;
    await node.ask(
      "POST /v1/topics/t/partitions/0/records",
      { records: [{ value: "a" }] },
      { "rivulet-expected-offset": "7" },
    );
    expect(node.slabs.bytesInUse).toBe(before);
  });
});

describe("one raw record", () => {
  test("is the body byte for byte, with key, timestamp and headers beside it", async () => {
    const headers = Buffer.from('[["h","1"],["n",null]]').toString("base64url");
    const body = Uint8Array.of(0xff, 0, 1);
    const { status } = await node.ask(
      "POST /v1/topics/t/partitions/2/records?keyBase64=AP8%3D&timestamp=1234",
      body,
      { "content-type": "application/octet-stream", "rivulet-headers": headers },
    );
    expect(status).toBe(200);
    const { json } = await node.ask("GET /v1/topics/t/partitions/2/records");
    expect(json.records).toEqual([
      {
        partition: 2,
        offset: 0,
        timestamp: 1234,
        keyBase64: "AP8=",
        valueBase64: "/wAB",
        headers: [
          ["h", "1"],
          ["n", null],
        ],
      },
    ]);
  });

  test("text/plain is UTF-8, keeps its byte order mark, and may be empty", async () => {
    const post = (body: string | Uint8Array): Promise<{ status: number }> =>
      node.ask("POST /v1/topics/t/partitions/0/records?key=a+b%2B", body, {
        "content-type": "text/plain; charset=utf-8",
      });
    expect((await post("\ufeffhello")).status).toBe(200);
    expect((await post(new Uint8Array(0))).status).toBe(200);
    expect((await post(Uint8Array.of(0xc0, 0xaf))).status).toBe(400);
    const { json } = await node.ask("GET /v1/topics/t/partitions/0/records");
    expect(json.records.map(({ key, value }) => [key, value])).toEqual([
      ["a b+", "\ufeffhello"],
      ["a b+", ""],
    ]);
  });

  test("a form is 415 with the command that was meant", async () => {
    const { status, json } = await node.ask("POST /v1/topics/t/records", "hello=1", {
      "content-type": "application/x-www-form-urlencoded",
    });
    expect(status).toBe(415);
    expect(json.detail).toContain("curl -H 'Content-Type: text/plain' --data-binary");
    expect(json.detail).toContain("/v1/topics/t/records");
  });

  test.each(["", "application/ndjson", "application/vnd.rivulet.record-batch", "text/html"])(
    "content type %p is 415 and names what is taken",
    async (type) => {
      const { status, json } = await node.ask("POST /v1/topics/t/records", new Uint8Array(1), {
        "content-type": type,
      });
      expect(status).toBe(415);
      expect(json.detail).toContain(
        "application/json, application/x-ndjson, application/octet-stream, text/plain",
      );
    },
  );
});

describe("Rivulet-Expected-Offset", () => {
  test("lands at the log end or answers 412 with both offsets", async () => {
    const line = "POST /v1/topics/t/partitions/0/records";
    const at = (offset: string): ReturnType<DoorUnderTest["ask"]> =>
      node.ask(line, { records: [{ value: "a" }] }, { "rivulet-expected-offset": offset });
    expect((await at("0")).status).toBe(200);
    const { status, json } = await at("0");
    expect([status, json.code]).toEqual([412, "expected_offset_mismatch"]);
    expect([json["expectedOffset"], json["currentOffset"]]).toEqual([0, 1]);
    expect((await at("1")).status).toBe(200);
  });

  test("is for one partition only", async () => {
    const { status } = await node.ask(
      "POST /v1/topics/t/records",
      { records: [{ value: "a" }] },
      { "rivulet-expected-offset": "0" },
    );
    expect(status).toBe(400);
  });
});

describe("Idempotency-Key", () => {
  const line = "POST /v1/topics/t/records";
  const records = [{ value: "a" }, { key: "k", value: "b" }, { value: "c" }];

  test("gives the first answer again and appends nothing", async () => {
    const key = { "idempotency-key": "order-1" };
    const first = await node.ask(line, { records }, key);
    node.world.advance(5_000);
    const second = await node.ask(line, { records }, key);
    expect(second.text).toBe(first.text);
    expect(first.headers.get("idempotency-replayed")).toBeNull();
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(Number(second.headers.get("idempotency-expires"))).toBeGreaterThan(0);
    expect(await values("GET /v1/topics/t/records")).toHaveLength(3);
  });

  test("finds its records again after partitions were added, more than once", async () => {
    const keys = Array.from({ length: 20 }, (_, i) => ({ key: `k${i}`, value: "v" }));
    const tries = [
      { key: { "idempotency-key": "all" }, body: { records: [...records, ...keys] } },
      { key: { "idempotency-key": "keyless" }, body: { records: [{ value: "a" }] } },
      { key: { "idempotency-key": "keyed" }, body: { records: keys } },
    ];
    const first = await Promise.all(tries.map(({ key, body }) => node.ask(line, body, key)));
    for (const partitions of [7, 16]) {
      // One of them is still on its way when the partitions come.
      const late = node.ask(line, { records: keys }, { "idempotency-key": `${partitions}` });
      await node.ask("PATCH /v1/topics/t", { partitions });
      expect((await late).status).toBe(200);
      for (const [i, { key, body }] of tries.entries()) {
        const again = await node.ask(line, body, key);
        expect(again.text).toBe(first[i].text);
        expect(again.headers.get("idempotency-replayed")).toBe("true");
      }
    }
    expect(await values("GET /v1/topics/t/records")).toHaveLength(24 + 20 + 2 * 20);
    const fresh = await node.ask(line, { records: keys }, { "idempotency-key": "fresh" });
    expect(new Set(fresh.json.receipts.map(({ partition }) => partition)).size).toBeGreaterThan(3);
  });

  test("with another body is 422, with acks=0 400", async () => {
    const key = { "idempotency-key": "order-2" };
    await node.ask(line, { records: [{ value: "a", partition: 0 }] }, key);
    const other = await node.ask(line, { records: [{ value: "b", partition: 0 }] }, key);
    expect([other.status, other.json.code]).toEqual([422, "idempotency_key_reused"]);
    expect((await node.ask(`${line}?acks=0`, { records }, key)).status).toBe(400);
  });

  test.each(["", "a b", "é", "x".repeat(256)])("%p is no key", async (key) => {
    expect((await node.ask(line, { records }, { "idempotency-key": key })).status).toBe(400);
  });
});

describe("POST /v1/producers", () => {
  test("gives ids whose sequences make a retry harmless", async () => {
    const one = await node.ask("POST /v1/producers");
    const two = await node.ask("POST /v1/producers");
    expect(one.json["producerId"]).not.toBe(two.json["producerId"]);
    const write = (sequence: number): ReturnType<DoorUnderTest["ask"]> =>
      node.ask(
        "POST /v1/topics/t/partitions/0/records",
        { records: [{ value: "a" }] },
        {
          "rivulet-producer-id": String(one.json["producerId"]),
          "rivulet-producer-epoch": String(one.json["epoch"]),
          "rivulet-producer-sequence": String(sequence),
        },
      );
    const first = await write(0);
    const again = await write(0);
    expect([again.status, again.text]).toEqual([200, first.text]);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    const skipped = await write(5);
    expect([skipped.status, skipped.json.code]).toEqual([412, "out_of_order_sequence_number"]);
  });

  test("the three headers come together", async () => {
    const { status } = await node.ask(
      "POST /v1/topics/t/partitions/0/records",
      { records: [{ value: "a" }] },
      { "rivulet-producer-id": "1" },
    );
    expect(status).toBe(400);
  });
});

describe("partial failure", () => {
  test("is 207 with each problem in its place; all failed alike is that problem", async () => {
    const door = await openDoor({}, failing);
    await door.ask("POST /v1/topics", { name: "t", partitions: 3 });
    const { status, json } = await door.ask("POST /v1/topics/t/records", {
      records: [0, 1, 2, 1].map((partition) => ({ value: "a", partition })),
    });
    expect(status).toBe(207);
    expect(json.receipts.map((receipt) => receipt.error?.code ?? receipt.offset)).toEqual([
      0,
      "storage_full",
      0,
      "storage_full",
    ]);
    const all = await door.ask("POST /v1/topics/t/records", {
      records: [{ value: "a", partition: 1 }],
    });
    expect([all.status, all.headers.get("retry-after")]).toEqual([507, "5"]);
    await door.close();
  });
});

/** Refuses every append to partition 1. */
function failing(broker: Broker): Broker {
  const produce: Broker["produce"] = async (request) => {
    const taken = request.appends.filter(({ partition }) => partition !== 1);
    const done = await broker.produce({ ...request, appends: taken });
    const byPartition = new Map(done.map((outcome) => [outcome.partition, outcome]));
    const full = refuse("storage_full", "No room", { retryAfterMs: 5_000 });
    return request.appends.map(
      ({ partition }) => byPartition.get(partition) ?? { ...full, partition },
    );
  };
  return overriding(broker, { produce });
}
