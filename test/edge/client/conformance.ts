// What the client must do on every runtime, as one script without an import: it runs in Workers and browsers as it is.
//
//   conform(client module, url of a node, name of the runtime) -> each check, and what went wrong with it
//
// Promise: topics are named after the runtime, so that several may run against one node; each check ends within 20 s.

import type * as RivuletClient from "../../../edge/client/client.ts";

export interface Checked {
  readonly name: string;
  /** null: it holds. */
  readonly fault: string | null;
}

type Module = typeof RivuletClient;
interface Ground {
  readonly module: Module;
  readonly url: string;
  readonly topic: string;
}
type Check = (ground: Ground) => Promise<void>;

const checkMsMax = 20_000;

export async function conform(module: Module, url: string, runtime: string): Promise<Checked[]> {
  const results: Checked[] = [];
  for (const [name, check] of Object.entries(checks)) {
    const topic = `${runtime}-${results.length}`;
    const fault = await within(check({ module, url, topic })).then(
      () => null,
      (thrown: unknown) =>
        thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
    );
    results.push({ name, fault });
  }
  return results;
}

function within(work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("not done in time")), checkMsMax);
    work.then(resolve, reject).finally(() => clearTimeout(late));
  });
}

function same(found: unknown, wanted: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`wanted ${b}, got ${a}`);
}

/** The failure of a promise that must fail. */
async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (thrown) {
    return thrown;
  }
  throw new Error("it succeeded");
}

const checks: Readonly<Record<string, Check>> = {
  async "text, JSON, bytes and tombstones come back as written"({ module, url, topic }) {
    const client = module.connect(url);
    const bytes = Uint8Array.of(0, 200, 255);
    const receipts = await client.send(topic, [
      { key: "k", value: "h\u00e9llo \u{1f30a}", headers: { a: "1", b: bytes } },
      { key: "k", value: { n: 1 } },
      { key: bytes, value: bytes },
      { key: "k", value: null },
    ]);
    same(
      receipts.map(({ offset }) => offset),
      [0, 1, 2, 3],
    );
    const { records } = await client.read(topic);
    same(records[0].text(), "h\u00e9llo \u{1f30a}");
    same([...(records[0].headers[1][1] as Uint8Array)], [...bytes]);
    same(records[1].json(), { n: 1 });
    same([...(records[2].value ?? [])], [...bytes]);
    same(records[3].value, null);
  },

  async "a refusal is a typed error"({ module, url, topic }) {
    const error = await failure(module.connect(url).read(topic));
    if (!(error instanceof module.RivuletError)) throw error;
    const { code, status, retryable, sideEffects } = error;
    same(
      [code, status, retryable, sideEffects],
      ["unknown_topic_or_partition", 404, false, "none"],
    );
  },

  async "a write whose answer is lost is written once"({ module, url, topic }) {
    let lost = 0;
    const client = module.connect(url, {
      async fetch(address, init) {
        const response = await fetch(address, init);
        if (lost++ > 0) return response;
        await response.text();
        throw new TypeError("connection reset");
      },
    });
    same(
      (await client.send(topic, { value: "once" }, { partition: 0, expectedOffset: 0 })).offset,
      0,
    );
    same((await client.read(topic)).records.length, 1);
    const error = await failure(
      client.send(topic, { value: "twice" }, { partition: 0, expectedOffset: 0 }),
    );
    same((error as { code?: string }).code, "expected_offset_mismatch");
  },

  async "a producer batches, lingers and flushes"({ module, url, topic }) {
    for (const idempotence of ["key", "producer"] as const) {
      const producer = module.connect(url).producer({ lingerMs: 5, maxCount: 40, idempotence });
      const sent = Array.from({ length: 100 }, (_, i) =>
        producer.send(topic, { key: "k", value: i }),
      );
      await producer.flush();
      const offsets = (await Promise.all(sent)).map(({ offset }) => offset);
      same(
        offsets,
        [...offsets].sort((a, b) => a - b),
      );
      await producer.close();
    }
    same((await module.connect(url).read(topic)).records.length, 200);
  },

  async "a producer compresses large batches, and every record comes back"({ module, url, topic }) {
    const codings: (string | null)[] = [];
    const client = module.connect(url, {
      fetch(target, init) {
        codings.push(new Headers(init.headers).get("content-encoding"));
        return fetch(target, init);
      },
    });
    const producer = client.producer({ compression: "gzip" });
    await producer.send(topic, { value: "small" });
    const values = Array.from({ length: 200 }, (_, i) => `${i} ${"and again ".repeat(20)}`);
    for (const value of values) void producer.send(topic, { key: "k", value });
    await producer.close();
    same(codings, [null, "gzip"]);
    const { records } = await client.read(topic);
    same(
      records.filter(({ key }) => key === "k").map((record) => record.text()),
      values,
    );
  },

  async "a failure that nobody awaited is told by flush(), and ends no process"({ module, url }) {
    const producer = module.connect(url).producer();
    void producer.send("no/such name", { value: 1 });
    const error = await failure(producer.flush());
    same((error as { code?: string }).code, "invalid_topic_exception");
    await producer.close();
  },

  async "a consumer tails live, and another goes on at its cursor"({ module, url, topic }) {
    const client = module.connect(url);
    await client.admin.createTopic(topic, { partitions: 2 });
    const consumer = client.consume(topic);
    await consumer.open();
    const next = consumer.next();
    await client.send(topic, { value: "live" });
    same((await next).value?.text(), "live");
    await consumer.return();
    await client.send(topic, { value: "meanwhile" });
    for await (const record of client.consume(topic, { from: { cursor: consumer.cursor ?? "" } })) {
      same(record.text(), "meanwhile");
      break;
    }
  },

  async "a tail that breaks goes on without loss"({ module, url, topic }) {
    const values = Array.from({ length: 50 }, (_, value) => ({ key: "k", value }));
    await module.connect(url).send(topic, values);
    let left = 1_500;
    const client = module.connect(url, {
      async fetch(address, init) {
        const response = await fetch(address, init);
        if (response.body === null || !address.includes("/tail")) return response;
        let bytes = (left += 1_500);
        const cut = new TransformStream<Uint8Array, Uint8Array>({
          transform(chunk, controller) {
            controller.enqueue(chunk.subarray(0, bytes));
            bytes -= chunk.length;
            if (bytes <= 0) controller.error(new TypeError("connection reset"));
          },
        });
        return new Response(response.body.pipeThrough(cut), {
          headers: { "content-type": "text/event-stream" },
        });
      },
    });
    const seen: number[] = [];
    for await (const record of client.consume(topic, { from: "earliest" })) {
      if (seen.push(record.json<number>()) === 50) break;
    }
    same(
      seen,
      values.map(({ value }) => value),
    );
  },

  async "a long poll returns on the first record"({ module, url, topic }) {
    const client = module.connect(url);
    await client.admin.ensureTopic(topic);
    const waiting = client.read(topic, { from: "latest", waitMs: 10_000 });
    // The poll may begin after a write: then it does not see it, and the next one wakes it.
    const answered = waiting.then(() => true);
    do await client.send(topic, { value: "now" });
    while (!(await Promise.race([answered, Promise.resolve(false)])));
    same((await waiting).records[0].text(), "now");
  },

  async "an abort ends a wait with its reason"({ module, url, topic }) {
    const client = module.connect(url);
    await client.admin.ensureTopic(topic);
    const leaving = new AbortController();
    const poll = client.read(topic, { from: "latest", waitMs: 10_000, signal: leaving.signal });
    const consumer = client.consume(topic, { signal: leaving.signal });
    await consumer.open();
    const next = consumer.next();
    const reason = new Error("enough");
    leaving.abort(reason);
    same([(await failure(poll)) === reason, (await failure(next)) === reason], [true, true]);
  },
};
