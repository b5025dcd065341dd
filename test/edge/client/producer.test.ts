import { describe, expect, test } from "bun:test";
import { connect, RivuletError, type Receipt } from "../../../edge/client/client.ts";
import { startBroker } from "../../../src/testing/index.ts";
import { json, overloaded, problem, receipts, scripted } from "./scripted-node.ts";

const counts = (bodies: readonly { readonly body: string | null }[]): number[] =>
  bodies.map(({ body }) => (JSON.parse(body ?? "") as { records: unknown[] }).records.length);

const codeOf = async (sent: Promise<unknown>): Promise<string> => {
  const thrown = await sent.then(
    () => null,
    (error: unknown) => error,
  );
  return thrown instanceof RivuletError ? thrown.code : `no error of ours: ${String(thrown)}`;
};

const identity = (producerId: number): Response => json(200, { producerId, epoch: 0 });

describe("batches", () => {
  test("what one piece of code sends goes together; what comes meanwhile goes next", async () => {
    const late: Promise<Receipt>[] = [];
    const node = scripted([
      (asked) => {
        late.push(producer.send("t", { value: 3 }), producer.send("t", { value: 4 }));
        return receipts(0)(asked);
      },
      receipts(2),
    ]);
    const producer = node.client.producer();
    const first = [producer.send("t", { value: 1 }), producer.send("t", { value: 2 })];
    expect((await Promise.all(first)).map(({ offset }) => offset)).toEqual([0, 1]);
    expect((await Promise.all(late)).map(({ offset }) => offset)).toEqual([2, 3]);
    expect(counts(node.asked)).toEqual([2, 2]);
  });

  test("they end at maxCount and at maxBytes", async () => {
    const steps = [receipts(0), receipts(0), receipts(0)];
    const byCount = scripted(steps);
    const counting = byCount.client.producer({ maxCount: 2, lingerMs: 60_000 });
    for (let i = 0; i < 5; i++) void counting.send("t", { value: i });
    await counting.flush();
    expect(counts(byCount.asked)).toEqual([2, 2, 1]);
    const byBytes = scripted(steps);
    const measuring = byBytes.client.producer({ maxBytes: 250 });
    for (let i = 0; i < 5; i++) void measuring.send("t", { value: "x".repeat(100) });
    await measuring.flush();
    expect(counts(byBytes.asked)).toEqual([2, 2, 1]);
  });

  test("twenty thousand records, one a batch, wait in a queue that costs nothing", async () => {
    let offset = 0;
    const steps = Array.from(
      { length: 100 },
      () => (asked: Parameters<ReturnType<typeof receipts>>[0]) => {
        return receipts(offset++)(asked);
      },
    );
    const leaving = new AbortController();
    const node = scripted(steps);
    const producer = node.client.producer({ maxCount: 1, signal: leaving.signal });
    const sent = Array.from({ length: 20_000 }, (_, i) => producer.send("t", { value: i }));
    expect((await sent[99]).offset).toBe(99);
    leaving.abort(new Error("enough"));
    const outcomes = await Promise.allSettled(sent);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(100);
  });

  test("lingering waits for company; flush() does not", async () => {
    const node = scripted([receipts(0), receipts(1)]);
    const producer = node.client.producer({ lingerMs: 10_000 });
    const first = producer.send("t", { value: 1 });
    await Promise.resolve();
    expect(node.asked).toHaveLength(0);
    await first;
    void producer.send("t", { value: 2 });
    await producer.flush();
    expect(counts(node.asked)).toEqual([1, 1]);
  });

  test("a bad record fails alone, and keeps nobody from their order", async () => {
    const errors = [{ index: 1, code: "invalid_record", detail: "bad" }];
    const refused = { status: 400, code: "invalid_record", retryable: false, errors } as const;
    const node = scripted([problem({ ...refused, sideEffects: "none" }), receipts(0)]);
    const producer = node.client.producer();
    const sent = [1, 2, 3].map((value) => producer.send("t", { value }));
    expect(await codeOf(sent[1])).toBe("invalid_record");
    expect([(await sent[0]).offset, (await sent[2]).offset]).toEqual([0, 1]);
    expect(await codeOf(producer.flush())).toBe("invalid_record");
    await producer.flush();
  });

  test("a batch that is too large goes in halves, and the next ones are smaller", async () => {
    const tooLarge = { ...overloaded, status: 413, code: "message_too_large", retryable: false };
    const node = scripted([problem(tooLarge), receipts(0), receipts(2), receipts(4)]);
    const producer = node.client.producer();
    const sent = [1, 2, 3, 4, 5].map((value) => producer.send("t", { value }));
    expect((await Promise.all(sent)).map(({ offset }) => offset)).toEqual([0, 1, 2, 3, 4]);
    expect(counts(node.asked)).toEqual([5, 2, 2, 1]);
    expect(new Set(node.asked.map(({ headers }) => headers["idempotency-key"])).size).toBe(4);
  });

  test("what may have been appended does not go again in other company", async () => {
    const tooLarge = { ...overloaded, status: 413, code: "message_too_large", retryable: false };
    const node = scripted(["broken", problem(tooLarge)]);
    const producer = node.client.producer();
    const sent = [producer.send("t", { value: 1 }), producer.send("t", { value: 2 })];
    expect(await Promise.all(sent.map(codeOf))).toEqual(["message_too_large", "message_too_large"]);
    expect(node.asked).toHaveLength(2);
  });
});

describe("back-pressure", () => {
  test("beyond the buffer a record is refused until there is room", async () => {
    const gate = Promise.withResolvers<void>();
    const node = scripted([
      async (asked) => {
        await gate.promise;
        return receipts(0)(asked);
      },
    ]);
    const producer = node.client.producer({ bufferBytesMax: 100 });
    const sent = producer.send("t", { value: "x".repeat(100) });
    expect(await codeOf(producer.send("t", { value: "more" }))).toBe("buffer_full");
    let roomy = false;
    const room = producer.ready().then(() => {
      roomy = true;
      return producer.bufferedBytes;
    });
    await Promise.resolve();
    expect(roomy).toBe(false);
    gate.resolve();
    await sent;
    expect(await room).toBe(0);
  });
});

describe("the end", () => {
  test("dispose flushes and refuses what comes after", async () => {
    const node = scripted([receipts(0)]);
    const producer = node.client.producer({ lingerMs: 60_000 });
    const sent = producer.send("t", { value: 1 });
    await producer[Symbol.asyncDispose]();
    expect((await sent).offset).toBe(0);
    expect(await codeOf(producer.send("t", { value: 2 }))).toBe("closed");
  });

  test("an abort rejects what is on its way and what waits", async () => {
    const leaving = new AbortController();
    const node = scripted(["silent"]);
    const producer = node.client.producer({ signal: leaving.signal, maxCount: 1 });
    const sent = [producer.send("t", { value: 1 }), producer.send("t", { value: 2 })];
    queueMicrotask(() => leaving.abort(new Error("enough")));
    for (const one of sent) expect(one).rejects.toThrow("enough");
    expect(producer.flush()).rejects.toThrow("enough");
    await Promise.allSettled(sent);
  });
});

describe("against a node", () => {
  for (const [idempotence, compression] of [
    ["key", "none"],
    ["producer", "none"],
    ["key", "gzip"],
    ["producer", "gzip"],
  ] as const) {
    test(`{idempotence: "${idempotence}", compression: "${compression}"}: answers that are lost write nothing twice`, async () => {
      await using broker = await startBroker();
      await broker.createTopic("t", { partitions: 3 });
      let requests = 0;
      const client = connect(broker.url, {
        // Every third write is carried out and its answer lost.
        async fetch(url, init) {
          const response = await fetch(url, init);
          if (init.method !== "POST" || url.endsWith("/producers") || ++requests % 3 !== 0)
            return response;
          await response.arrayBuffer();
          throw new TypeError("connection reset");
        },
      });
      await using producer = client.producer({ idempotence, compression, maxCount: 7 });
      // Seven of them are large enough to be compressed.
      const headers: [string, string][] = [["padding", "x".repeat(700)]];
      const sent = Array.from({ length: 100 }, (_, i) => {
        const key = i % 5 === 0 ? null : `k${i % 4}`;
        return producer.send("t", { key, value: i, headers });
      });
      const places = await Promise.all(sent);
      const records = await broker.read("t");
      expect(records).toHaveLength(100);
      const at = new Map(records.map((one) => [`${one.partition}/${one.offset}`, one.json()]));
      expect(places.map(({ partition, offset }) => at.get(`${partition}/${offset}`))).toEqual(
        Array.from({ length: 100 }, (_, i) => i),
      );
      for (const key of ["k0", "k1", "k2", "k3"]) {
        const values = records.filter((one) => one.key === key).map((one) => one.json() as number);
        expect(values).toEqual([...values].sort((a, b) => a - b));
      }
      expect(requests).toBeGreaterThan(10);
    });
  }

  for (const idempotence of ["key", "producer"] as const) {
    test(`{idempotence: "${idempotence}"}: restarts of the node lose nothing and write nothing twice`, async () => {
      await using broker = await startBroker({ storage: "disk" });
      await broker.createTopic("t", { partitions: 2 });
      let retries = 0;
      const client = connect(broker.url, { onRetry: () => void retries++ });
      const producer = client.producer({ idempotence, maxCount: 5 });
      const sent: Promise<Receipt>[] = [];
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 100; i++) {
          sent.push(producer.send("t", { key: `k${i % 3}`, value: round * 100 + i }));
        }
        await sent[round * 100 + 20];
        await broker.restart();
      }
      await producer.close();
      expect(retries).toBeGreaterThan(0);
      const records = await broker.read("t");
      const values = records.map((one) => one.json() as number);
      expect(values.sort((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, i) => i));
      for (const key of ["k0", "k1", "k2"]) {
        const offsets = (await Promise.all(sent))
          .filter((_, i) => `k${(i % 100) % 3}` === key)
          .map(({ offset }) => offset);
        expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
      }
    }, 20_000);
  }

  test("a client places keys where the node does", async () => {
    await using broker = await startBroker();
    await broker.createTopic("t", { partitions: 16 });
    const client = connect(broker.url);
    await using placing = client.producer({ idempotence: "producer" });
    for (const key of [
      "",
      "a",
      "user-1",
      "\u{1f30a}",
      Uint8Array.of(255, 0, 1),
      "longer than four",
    ]) {
      const { partition } = await client.send("t", { key, value: "by the node" });
      expect((await placing.send("t", { key, value: "by the client" })).partition).toBe(partition);
    }
  });

  test("a producer that places records wants the topic to be there", async () => {
    await using broker = await startBroker();
    const producer = connect(broker.url).producer({ idempotence: "producer" });
    expect(await codeOf(producer.send("nowhere", { value: 1 }))).toBe("unknown_topic_or_partition");
  });

  test("after a batch that failed the next one goes under a new id", async () => {
    const refused = {
      ...overloaded,
      status: 412,
      code: "out_of_order_sequence_number",
      retryable: false,
    };
    const node = scripted([identity(1), receipts(0), problem(refused), identity(2), receipts(1)]);
    const producer = node.client.producer({ idempotence: "producer" });
    const send = () => producer.send("t", { value: 1, partition: 0 });
    await send();
    expect(await codeOf(send())).toBe("out_of_order_sequence_number");
    expect((await send()).offset).toBe(1);
    const identities = node.asked.map(({ headers }) => [
      headers["rivulet-producer-id"],
      headers["rivulet-producer-sequence"],
    ]);
    expect(identities.filter(([one]) => one !== undefined)).toEqual([
      ["1", "0"],
      ["1", "1"],
      ["2", "0"],
    ]);
  });
});
