import { describe, expect, test } from "bun:test";
import { RivuletError } from "../../../edge/client/client.ts";
import { retryDelay } from "../../../edge/client/retry.ts";
import { json, overloaded, problem, receipts, scripted, type Step } from "./scripted-node.ts";

const record = { value: "x" };
const topic = { name: "t", partitions: 1 };

async function failureOf(promise: Promise<unknown>): Promise<RivuletError> {
  const thrown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(RivuletError);
  return thrown as RivuletError;
}

describe("what is sent again", () => {
  const rows: readonly {
    readonly name: string;
    readonly first: Step;
    readonly write: boolean;
    readonly create: boolean;
  }[] = [
    { name: "a lost connection", first: "broken", write: true, create: false },
    { name: "silence", first: "silent", write: true, create: false },
    { name: "refused, passing", first: problem(overloaded), write: true, create: true },
    {
      name: "failed, passing, effects unknown",
      first: problem({ ...overloaded, sideEffects: "unknown" }),
      write: true,
      create: false,
    },
    {
      name: "refused for good",
      first: problem({ ...overloaded, retryable: false, status: 400 }),
      write: false,
      create: false,
    },
    {
      name: "a proxy's 502",
      first: new Response("Bad gateway", { status: 502 }),
      write: true,
      create: false,
    },
    { name: "a proxy's 429", first: new Response("", { status: 429 }), write: true, create: true },
    { name: "a 200 that is no JSON", first: new Response("<html>"), write: false, create: false },
  ];
  for (const { name, first, write, create } of rows) {
    const copy = (): Step => (first instanceof Response ? first.clone() : first);
    test(`${name}: a write ${write ? "is" : "is not"}, a creation ${create ? "is" : "is not"}`, async () => {
      const writing = scripted([copy(), receipts(0)]);
      const written = await writing.client.send("t", record).catch(() => null);
      expect(written !== null).toBe(write);
      const creating = scripted([copy(), json(201, topic)]);
      const created = await creating.client.admin.createTopic("t").catch(() => null);
      expect(created !== null).toBe(create);
    });
  }

  test("every attempt sends the same bytes under the same key", async () => {
    const node = scripted(["broken", problem(overloaded), receipts(7)]);
    expect((await node.client.send("t", record)).offset).toBe(7);
    expect(new Set(node.asked.map(({ body }) => body)).size).toBe(1);
    expect(new Set(node.asked.map(({ headers }) => headers["idempotency-key"])).size).toBe(1);
    expect(node.asked).toHaveLength(3);
  });

  test("a write that succeeded in part is completed under the same key", async () => {
    const error = { ...overloaded, title: "", detail: "" };
    const part = json(207, { receipts: [{ partition: 0, offset: 1, timestamp: 1 }, { error }] });
    const node = scripted([part, receipts(1)]);
    expect(await node.client.send("t", [record, record])).toHaveLength(2);
  });

  test("a part that is refused for good is told place by place", async () => {
    const error = {
      ...overloaded,
      retryable: false,
      code: "message_too_large",
      title: "",
      detail: "",
    };
    const part = json(207, { receipts: [{ partition: 0, offset: 1, timestamp: 1 }, { error }] });
    const failure = await failureOf(scripted([part]).client.send("t", [record, record]));
    expect(failure.sideEffects).toBe("unknown");
    expect(failure.receipts?.[0]).toMatchObject({ offset: 1 });
    expect(failure.receipts?.[1]).toMatchObject({ code: "message_too_large", sideEffects: "none" });
  });

  test("an error tells of an earlier attempt whose outcome is unknown", async () => {
    const refused = problem({
      ...overloaded,
      status: 413,
      code: "body_too_large",
      retryable: false,
    });
    const failure = await failureOf(scripted(["broken", refused]).client.send("t", record));
    expect([failure.code, failure.sideEffects]).toEqual(["body_too_large", "unknown"]);
  });
});

describe("waits", () => {
  test("they double to five seconds, and end with retryMsMax", async () => {
    const node = scripted(
      Array.from({ length: 20 }, () => problem(overloaded)),
      {
        retryMsMax: 30_000,
      },
    );
    const failure = await failureOf(node.client.send("t", record));
    expect(failure.code).toBe("overloaded");
    expect(node.waits.slice(0, 8)).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    expect(node.asked.length).toBeLessThan(12);
  });

  test("a node's own word is waited for", async () => {
    const node = scripted([problem({ ...overloaded, retryAfterMs: 9_000 }), receipts(0)]);
    await node.client.send("t", record);
    expect(node.waits).toEqual([9_000]);
    const proxy = scripted([
      new Response("", { status: 503, headers: { "retry-after": "7" } }),
      receipts(0),
    ]);
    await proxy.client.send("t", record);
    expect(proxy.waits).toEqual([7_000]);
  });

  test("an abort ends them with its reason", async () => {
    const leaving = new AbortController();
    const node = scripted(["broken", receipts(0)], {
      onRetry: () => queueMicrotask(() => leaving.abort(new Error("enough"))),
    });
    const sent = node.client.send("t", record, { signal: leaving.signal });
    expect(sent).rejects.toThrow("enough");
    await sent.catch(() => undefined);
    expect(node.asked).toHaveLength(1);
  });

  test("jitter draws from the upper half", () => {
    const error = new RivuletError("", { code: "x", status: 503, retryable: true });
    const delay = (random: number) =>
      retryDelay({ error, repeatable: true, before: 0, urls: 1, random });
    expect([delay(0), delay(1)]).toEqual([50, 100]);
  });
});

describe("several nodes", () => {
  const urls = ["http://one", "http://two", "http://three"];

  test("a lost connection goes to each of them at once, then waits", async () => {
    const node = scripted(["broken", "broken", "broken", receipts(0)], { urls });
    await node.client.send("t", record);
    expect(node.waits).toEqual([0, 0, 100]);
    expect(node.asked.map(({ url }) => new URL(url).host)).toEqual(["one", "two", "three", "one"]);
  });

  test("the one that answered is asked again", async () => {
    const node = scripted(["broken", receipts(0), receipts(1)], { urls });
    await node.client.send("t", record);
    await node.client.send("t", record);
    expect(node.asked.map(({ url }) => new URL(url).host)).toEqual(["one", "two", "two"]);
  });

  test("a refusal for good is not taken elsewhere", async () => {
    const refused = problem({ ...overloaded, status: 404, retryable: false });
    const node = scripted([refused], { urls });
    await failureOf(node.client.read("t"));
    expect(node.asked).toHaveLength(1);
  });
});

describe("what is sent", () => {
  test("a token is asked for each attempt and comes with the caller's headers", async () => {
    let asked = 0;
    const node = scripted(["broken", receipts(0)], {
      token: () => `t${++asked}`,
      headers: { traceparent: "00-a-b-01" },
    });
    await node.client.send("t/with slash", record);
    expect(node.asked.map(({ headers }) => headers["authorization"])).toEqual([
      "Bearer t1",
      "Bearer t2",
    ]);
    expect(node.asked[0].headers["traceparent"]).toBe("00-a-b-01");
    expect(node.asked[0].url).toBe("http://one/v1/topics/t%2Fwith%20slash/records");
  });
});
