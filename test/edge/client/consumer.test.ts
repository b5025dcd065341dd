import { describe, expect, test } from "bun:test";
import { connect, RivuletError, type Consumer } from "../../../edge/client/client.ts";
import { EventParser } from "../../../edge/client/event-parser.ts";
import { startBroker } from "../../../src/testing/index.ts";
import { events, json, overloaded, problem, recordEvent, scripted } from "./scripted-node.ts";

async function take(consumer: Consumer, count: number): Promise<(string | null)[]> {
  const texts: (string | null)[] = [];
  while (texts.length < count) {
    const { done, value } = await consumer.next();
    if (done === true) break;
    texts.push(value.text());
  }
  return texts;
}

describe("EventParser", () => {
  test("pieces may be cut anywhere", () => {
    const bytes = new TextEncoder().encode(
      ": hi\r\nretry: 1\r\n\r\nid: 1\r\ndata: h\u00e9\u{1f30a}\r\ndata:b\r\n\r\nevent: gap\rid: 2\rdata: {}\r\rid: 3\ndata: cut",
    );
    const wanted = [
      { type: "message", data: "h\u00e9\u{1f30a}\nb", id: "1" },
      { type: "gap", data: "{}", id: "2" },
    ];
    for (let size = 1; size <= bytes.length; size++) {
      const parser = new EventParser();
      const found = [];
      for (let at = 0; at < bytes.length; at += size) {
        found.push(...parser.push(bytes.subarray(at, at + size)));
      }
      expect(found).toEqual(wanted);
    }
  });
});

const problemEvent = (retryable: boolean): string =>
  `event: problem\ndata: ${JSON.stringify({ ...overloaded, title: "", detail: "x", retryable })}\n\n`;

/** One record, then nothing for ever. */
function speechless(): Response {
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode(recordEvent(0))),
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

describe("coming back", () => {
  test("a broken connection goes on behind the last whole record", async () => {
    const half = recordEvent(2).slice(0, 30);
    const node = scripted([
      events(recordEvent(0), recordEvent(1) + half),
      "broken",
      events(recordEvent(2)),
      problem({ ...overloaded, status: 400, retryable: false }),
    ]);
    const consumer = node.client.consume("t", { from: "earliest" });
    expect(await take(consumer, 3)).toEqual(["v0", "v1", "v2"]);
    expect(consumer.cursor).toBe("after-2");
    expect(consumer.next()).rejects.toThrow(RivuletError);
    await consumer.next().catch(() => undefined);
    expect(node.asked.map(({ url }) => new URL(url).search)).toEqual([
      "?from=earliest",
      "?cursor=after-1",
      "?cursor=after-1",
      "?cursor=after-2",
    ]);
  });

  test("a problem that passes ends the connection, one that does not the iteration", async () => {
    const node = scripted([
      events(recordEvent(0), problemEvent(true)),
      events(recordEvent(1), problemEvent(false)),
    ]);
    const consumer = node.client.consume("t");
    expect(await take(consumer, 2)).toEqual(["v0", "v1"]);
    expect(consumer.next()).rejects.toMatchObject({ code: "overloaded" });
    await consumer.next().catch(() => undefined);
    expect(await consumer.next()).toEqual({ done: true, value: undefined });
  });

  test("a silent connection is given up", async () => {
    const node = scripted([speechless, events(recordEvent(1))]);
    expect(await take(node.client.consume("t"), 2)).toEqual(["v0", "v1"]);
  });

  test("a node that is gone is left for the next one", async () => {
    const node = scripted([events(recordEvent(0)), "broken", events(recordEvent(1))], {
      urls: ["http://one", "http://two"],
    });
    expect(await take(node.client.consume("t"), 2)).toEqual(["v0", "v1"]);
    expect(node.asked.map(({ url }) => new URL(url).host)).toEqual(["one", "one", "two"]);
  });

  test("it tries for as long as it is read", async () => {
    const node = scripted([
      ...Array.from({ length: 40 }, () => "broken" as const),
      events(recordEvent(0)),
    ]);
    expect(await take(node.client.consume("t"), 1)).toEqual(["v0"]);
  });

  test("a topic that is not there is told at once; one that went away ends the iteration", async () => {
    const unknown = {
      ...overloaded,
      status: 404,
      code: "unknown_topic_or_partition",
      retryable: false,
    };
    const never = scripted([problem(unknown)]).client.consume("t");
    expect(never.next()).rejects.toMatchObject({ code: "unknown_topic_or_partition" });
    await never.next().catch(() => undefined);
    const gone = scripted([events(recordEvent(0)), problem(unknown)]).client.consume("t");
    expect(await take(gone, 2)).toEqual(["v0"]);
    expect(gone.topicDeleted).toBe(true);
  });

  test("an answer without events is no tail", () => {
    expect(
      scripted([json(200, {})])
        .client.consume("t")
        .next(),
    ).rejects.toMatchObject({
      code: "bad_answer",
    });
  });
});

describe("gaps", () => {
  const gap = 'event: gap\nid: at-9\ndata: {"partition":0,"wanted":3,"logStartOffset":9}\n\n';

  test("they reject by default; the cursor goes on behind them", async () => {
    const node = scripted([events(recordEvent(2), gap, recordEvent(9))]);
    const consumer = node.client.consume("t");
    await take(consumer, 1);
    const thrown = await consumer.next().catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "gap", retryable: false });
    expect(consumer.cursor).toBe("at-9");
  });

  test("a function is told and reading goes on", async () => {
    const gaps: unknown[] = [];
    const node = scripted([events(recordEvent(2), gap, recordEvent(9))]);
    const consumer = node.client.consume("t", { onGap: (one) => void gaps.push(one) });
    expect(await take(consumer, 2)).toEqual(["v2", "v9"]);
    expect(gaps).toEqual([{ partition: 0, wanted: 3, logStartOffset: 9 }]);
  });

  test("a node tells what retention took", async () => {
    await using broker = await startBroker();
    const client = connect(broker.url);
    await client.send("t", [{ value: "0" }, { value: "1" }, { value: "2" }]);
    const { cursor } = await client.read("t", { maxRecords: 1 });
    await client.admin.deleteRecords("t", { partition: 0, before: 2 });
    const gaps: unknown[] = [];
    const consumer = client.consume("t", { from: { cursor }, onGap: (one) => void gaps.push(one) });
    expect(await take(consumer, 1)).toEqual(["2"]);
    expect(gaps).toEqual([{ partition: 0, wanted: 1, logStartOffset: 2 }]);
    await consumer.return();
  });
});

describe("against a node", () => {
  test("each record comes once, over restarts and cut connections", async () => {
    await using broker = await startBroker({ storage: "disk" });
    await broker.createTopic("t", { partitions: 2 });
    let bytesLeft = 2_000;
    const client = connect(broker.url, {
      // A tail is cut in the middle of whatever it sends, further on each time.
      async fetch(url, init) {
        const response = await fetch(url, init);
        if (!url.includes("/tail") || response.body === null) return response;
        let left = (bytesLeft += 2_000);
        const cut = new TransformStream<Uint8Array, Uint8Array>({
          transform(chunk, controller) {
            controller.enqueue(chunk.subarray(0, left));
            left -= chunk.length;
            if (left <= 0) controller.error(new TypeError("connection reset"));
          },
        });
        return new Response(response.body.pipeThrough(cut), response);
      },
    });
    const consumer = client.consume("t", { from: "earliest" });
    const write = (from: number) =>
      client.send(
        "t",
        Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, value: from + i })),
      );
    await write(0);
    const seen: number[] = [];
    for await (const record of consumer) {
      seen.push(record.json<number>());
      if (seen.length === 100) {
        await broker.restart();
        await write(100);
      }
      if (seen.length === 200) break;
    }
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i));
    const rest = client.consume("t", { from: { cursor: consumer.cursor ?? "" } });
    await rest.open();
    await client.send("t", { value: "after" });
    expect(await take(rest, 1)).toEqual(["after"]);
    await rest.return();
  });

  test("open() fixes the position; partitions made later join", async () => {
    await using broker = await startBroker();
    await broker.createTopic("t");
    const client = connect(broker.url);
    const consumer = client.consume("t");
    await consumer.open();
    expect(consumer.cursor).not.toBeNull();
    await client.admin.addPartitions("t", 3);
    await client.send("t", { value: "new", partition: 2 });
    expect(await take(consumer, 1)).toEqual(["new"]);
    const waiting = consumer.next();
    await client.admin.deleteTopic("t");
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(consumer.topicDeleted).toBe(true);
  });

  test("one that nobody reads holds back the node, and goes on", async () => {
    await using broker = await startBroker();
    const client = connect(broker.url);
    const value = "x".repeat(10_000);
    for (let i = 0; i < 20; i++)
      await client.send(
        "t",
        Array.from({ length: 50 }, () => ({ value })),
      );
    const consumer = client.consume("t", { from: "earliest" });
    await take(consumer, 1);
    const page = await (await broker.fetch("/metrics")).text();
    const sent = Number(/rivulet_http_records_tailed_total(?:\{[^}]*\})? (\d+)/.exec(page)?.[1]);
    expect(sent).toBeLessThan(1_000);
    expect(await take(consumer, 999)).toHaveLength(999);
    await consumer.return();
  });

  test("an abort rejects with its reason and leaves nobody waiting", async () => {
    await using broker = await startBroker();
    await broker.createTopic("t");
    const leaving = new AbortController();
    const consumer = connect(broker.url).consume("t", { signal: leaving.signal });
    await consumer.open();
    const waiting = consumer.next();
    leaving.abort(new Error("enough"));
    expect(waiting).rejects.toThrow("enough");
    await waiting.catch(() => undefined);
    for (;;) {
      const page = await (await broker.fetch("/metrics")).text();
      if (/rivulet_http_waiting 0\b/.test(page)) break;
    }
  });

  test("return() ends a next() that waits", async () => {
    await using broker = await startBroker();
    await broker.createTopic("t");
    const consumer = connect(broker.url).consume("t");
    await consumer.open();
    const waiting = consumer.next();
    await consumer.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });
});
