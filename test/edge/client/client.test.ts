import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, RivuletError, type Client } from "../../../edge/client/client.ts";
import { startBroker, type TestBroker } from "../../../src/testing/index.ts";

let broker: TestBroker;
let client: Client;

beforeAll(async () => {
  broker = await startBroker();
  client = connect(`${broker.url}/`);
});

afterAll(async () => {
  await broker[Symbol.asyncDispose]();
});

async function refusalOf(promise: Promise<unknown>): Promise<RivuletError> {
  const outcome = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(outcome).toBeInstanceOf(RivuletError);
  return outcome as RivuletError;
}

describe("send() and read()", () => {
  test("every kind of value comes back as it was written", async () => {
    const written = [
      { value: "text, \u{1f30a} and \u0000" },
      { key: "k", value: { total: 12 } },
      { key: Uint8Array.of(255, 1), value: Uint8Array.of(0, 254) },
      { key: "k", value: null },
      { value: "", headers: { a: "1", b: null, c: Uint8Array.of(200) }, timestamp: 1_234 },
      { value: new ArrayBuffer(2), timestamp: new Date(77) },
    ];
    const receipts = await client.send("kinds", written);
    expect(receipts.map(({ offset }) => offset)).toEqual([0, 1, 2, 3, 4, 5]);
    const { records } = await client.read("kinds");
    expect(records[0].text()).toBe(written[0].value as string);
    expect(records[0].key).toBeNull();
    expect(records[1].json()).toEqual({ total: 12 });
    expect(records[1].value).toEqual(new TextEncoder().encode('{"total":12}'));
    expect(records[2].key).toEqual(Uint8Array.of(255, 1));
    expect(records[2].value).toEqual(Uint8Array.of(0, 254));
    expect(() => records[2].text()).toThrow(TypeError);
    expect([records[3].value, records[3].text(), records[3].json()]).toEqual([null, null, null]);
    expect(records[4].headers).toEqual([
      ["a", "1"],
      ["b", null],
      ["c", Uint8Array.of(200)],
    ]);
    expect([records[4].value, records[4].timestamp]).toEqual([new Uint8Array(0), 1_234]);
    expect([records[5].value, records[5].timestamp]).toEqual([new Uint8Array(2), 77]);
  });

  test("a value that JSON would lose is refused before anything is sent", async () => {
    for (const value of [undefined, () => 1, new Map([[1, 2]])]) {
      const error = await refusalOf(client.send("lost", { value }));
      expect(error.code).toBe("invalid_record");
    }
    const error = await refusalOf(client.admin.describeTopic("lost"));
    expect([error.code, error.status]).toEqual(["unknown_topic_or_partition", 404]);
    expect(error.problem?.detail).toContain("lost");
  });

  test("a writer with another fence token is refused, and the token changes hands by comparison", async () => {
    const place = { partition: 0 };
    const fenced = (token: string) =>
      client.send("fenced", { value: token }, { ...place, fence: token });
    await client.admin.ensureTopic("fenced", { partitions: 1 });
    await client.admin.setFence("fenced", { ...place, token: "first" });
    await fenced("first");
    await client.admin.setFence("fenced", { ...place, token: "second", expected: "first" });
    expect((await refusalOf(fenced("first"))).code).toBe("fence_mismatch");
    const late = client.admin.setFence("fenced", { ...place, token: "third", expected: "first" });
    expect((await refusalOf(late)).code).toBe("fence_mismatch");
    const wrong = client.admin.setFence("fenced", { ...place, token: null, expected: "first" });
    expect((await refusalOf(wrong)).code).toBe("fence_mismatch");
    await client.admin.setFence("fenced", { ...place, token: null });
    expect((await refusalOf(fenced("second"))).code).toBe("fence_mismatch");
    expect((await client.read("fenced")).records.map((one) => one.text())).toEqual(["first"]);
  });

  test("an expected offset that is not the log end is told with both", async () => {
    const place = { partition: 0 };
    await client.send("account", { value: "opened" }, { ...place, expectedOffset: 0 });
    const error = await refusalOf(
      client.send("account", { value: "opened again" }, { ...place, expectedOffset: 0 }),
    );
    expect([error.code, error.status, error.retryable, error.sideEffects]).toEqual([
      "expected_offset_mismatch",
      412,
      false,
      "none",
    ]);
    expect(error.problem?.["currentOffset"]).toBe(1);
  });

  test("the same idempotency key is written once", async () => {
    const once = () => client.send("once", { value: "x" }, { idempotencyKey: "order-7" });
    expect(await once()).toEqual(await once());
    expect((await client.read("once")).records).toHaveLength(1);
  });

  test("a page goes on at its cursor, and waits for what comes", async () => {
    const first = await client.read("kinds", { maxRecords: 4 });
    const rest = await client.read("kinds", { from: { cursor: first.cursor } });
    expect(rest.records.map(({ offset }) => offset)).toEqual([4, 5]);
    const waiting = client.read("kinds", { from: { cursor: rest.cursor }, waitMs: 20_000 });
    await client.send("kinds", { value: "late" });
    expect((await waiting).records[0].text()).toBe("late");
    expect((await client.read("kinds", { from: { last: 1 } })).records[0].text()).toBe("late");
    const since = await client.read("kinds", { from: { timestamp: new Date(77) }, maxRecords: 1 });
    expect(since.records[0].offset).toBeLessThan(2);
  });

  test("an abort ends a wait with its reason", async () => {
    const leaving = new AbortController();
    const waiting = client.read("kinds", {
      from: "latest",
      waitMs: 20_000,
      signal: leaving.signal,
    });
    leaving.abort(new Error("enough"));
    expect(waiting).rejects.toThrow("enough");
  });
});

describe("admin", () => {
  test("topics are made, ensured, changed, listed and deleted", async () => {
    const { admin } = client;
    expect((await admin.createTopic("a-1", { partitions: 2 })).partitions).toBe(2);
    expect((await refusalOf(admin.createTopic("a-1"))).code).toBe("topic_already_exists");
    expect((await admin.ensureTopic("a-1", { partitions: 2 })).topicId).toHaveLength(36);
    expect((await refusalOf(admin.ensureTopic("a-1", { partitions: 3 }))).status).toBe(409);
    expect((await admin.addPartitions("a-1", 3)).partitions).toBe(3);
    await admin.alterConfigs("a-1", { "retention.ms": 5_000 });
    const retention = async () =>
      (await admin.listConfigs("a-1")).find(({ name }) => name === "retention.ms");
    expect(await retention()).toMatchObject({ value: "5000", source: "topic" });
    await admin.alterConfigs("a-1", { "retention.ms": null });
    expect((await retention())?.source).not.toBe("topic");
    expect((await admin.listPartitions("a-1")).map(({ partition }) => partition)).toEqual([
      0, 1, 2,
    ]);
    const names: string[] = [];
    for await (const { name } of admin.listTopics({ prefix: "a-" })) names.push(name);
    expect(names).toEqual(["a-1"]);
    await admin.deleteTopic("a-1");
    expect((await refusalOf(admin.describeTopic("a-1"))).status).toBe(404);
  });

  test("offsets are told and records deleted", async () => {
    await client.send("cut", [{ value: "0" }, { value: "1" }, { value: "2" }]);
    expect(await client.admin.deleteRecords("cut", { partition: 0, before: 2 })).toBe(2);
    const offsets = await client.admin.listOffsets("cut", "earliest");
    expect(offsets.map(({ offset }) => offset)).toEqual([2]);
  });
});

describe("connect()", () => {
  test("what is no http URL is refused at once", () => {
    for (const url of ["nonsense", "ftp://host", "http://name:secret@host"]) {
      expect(() => connect(url)).toThrow(TypeError);
    }
    expect(() => connect([])).toThrow(TypeError);
  });
});
