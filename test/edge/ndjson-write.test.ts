// Writing lines: receipts in order, the end told, bounded whatever the caller does.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { constants, createGzip, createZstdCompress, gzipSync, zstdCompressSync } from "node:zlib";
import type { Gzip, ZstdCompress } from "node:zlib";
import { limits } from "../../src/limits.ts";
import { refuse } from "../../src/errors.ts";
import type { Broker } from "../../src/broker/broker.ts";
import { openDoor, overriding, type DoorUnderTest } from "./harness.ts";

let node: DoorUnderTest;
let verbs: Partial<Broker> = {};
let batches: number[] = [];
/** The broker's own. */
let produce: Broker["produce"];

beforeEach(async () => {
  verbs = {};
  batches = [];
  node = await openDoor({}, (broker) =>
    overriding(broker, {
      async produce(request) {
        batches.push(request.appends.length);
        produce = broker.produce.bind(broker);
        return await (verbs.produce ?? produce)(request);
      },
    }),
  );
  await node.ask("POST /v1/topics", { name: "t", partitions: 2 });
});
afterEach(() => node.close());

const lines = { "content-type": "application/x-ndjson" };
const path = "POST /v1/topics/t/records";
const onPartition = "POST /v1/topics/t/partitions/0/records";

interface Line {
  readonly [name: string]: unknown;
  readonly partition?: number;
  readonly offset?: number;
  readonly done?: boolean;
  readonly line?: number;
  readonly count?: number;
  readonly error?: { readonly code: string; readonly sideEffects: string };
}
const linesOf = (text: string): Line[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);

async function post(body: string, headers: Record<string, string> = {}): Promise<Line[]> {
  return linesOf((await node.ask(onPartition, body, { ...lines, ...headers })).text);
}

async function values(partition = 0): Promise<string> {
  const { json } = await node.ask(`GET /v1/topics/t/partitions/${partition}/records`);
  return json.records.map(({ value }) => String(value)).join(",");
}

async function summary(body: string): Promise<Line[]> {
  return linesOf((await node.ask(`${onPartition}?receipts=summary`, body, lines)).text);
}

const line = (partition: number): string => `{"value":"v","partition":${partition}}\n`;
const good = (value: string): string => `{"value":${JSON.stringify(value)}}\n`;

/** Two lines compressed, and where a cut leaves exactly the first. */
async function flushedBetween(
  encoder: Gzip | ZstdCompress,
  flush: number,
): Promise<readonly [Buffer, number]> {
  const out: Buffer[] = [];
  encoder.on("data", (bytes: Buffer) => out.push(bytes));
  encoder.write(good("a"));
  await new Promise<void>((resolve) => encoder.flush(flush, resolve));
  const atLine = Buffer.concat(out).length;
  encoder.end(good("b"));
  await new Promise((resolve) => encoder.on("end", resolve));
  return [Buffer.concat(out), atLine];
}

describe("NDJSON in", () => {
  test("gives a receipt a line in order, then the end", async () => {
    const answer = await node.ask(onPartition, good("a") + good("b") + good("c"), lines);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([
      200,
      "application/x-ndjson",
    ]);
    const told = linesOf(answer.text);
    expect(told.map(({ offset }) => offset)).toEqual([0, 1, 2, undefined]);
    expect(told.at(-1)).toEqual({ done: true, count: 3 });
    expect([await values(), batches]).toEqual(["a,b,c", [1]]);
  });

  test("places by key as every other write does, and keeps keyless lines together", async () => {
    const keyed = Array.from({ length: 20 }, (_, i) => ({ key: `k${i}`, value: "v" }));
    const body = keyed.map((record) => `${JSON.stringify(record)}\n`).join("");
    const told = linesOf((await node.ask(path, body, lines)).text);
    const asJson = await node.ask(path, { records: keyed });
    expect(told.slice(0, -1).map(({ partition }) => partition)).toEqual(
      asJson.json.receipts.map(({ partition }) => partition),
    );
    const keyless = linesOf((await node.ask(path, good("x") + good("y"), lines)).text);
    expect(keyless[0]?.partition).toBe(keyless[1]?.partition);
  });

  test("takes a last line without its end, blank lines and CR LF", async () => {
    const told = await post('\n{"value":"a"}\r\n   \n\n{"value":"b"}');
    expect([told.length, told.at(-1)?.count, await values()]).toEqual([3, 2, "a,b"]);
    expect(await post("")).toEqual([{ done: true, count: 0 }]);
    expect(await post("\n\n")).toEqual([{ done: true, count: 0 }]);
  });

  test("stops at the first bad line: what came before it is appended and receipted", async () => {
    for (const [bad, code] of [
      ["{", "invalid_request"],
      ['{"value":"a"},{"value":"b"}', "invalid_request"],
      ['{"value":"a"} {"value":"b"}', "invalid_request"],
      ['{"val":"a"}', "invalid_request"],
      ['{"key":"k"}', "invalid_request"],
      ["[]", "invalid_request"],
      ['{"value":"a","partition":1}', "invalid_request"],
      ['{"value":"\\ud800"}', "invalid_request"],
      ['{"records":[]}', "invalid_request"],
      [`{"value":"${"x".repeat(limits.messageBytesMax)}"}`, "message_too_large"],
    ] as const) {
      const before = (await values()).length;
      const told = await post(`${good("1")}\n${good("2")}${bad}\n${good("4")}`);
      expect([bad.slice(0, 40), told.length, told[2]?.line, told[2]?.error?.code]).toEqual([
        bad.slice(0, 40),
        3,
        4,
        code,
      ]);
      expect((await values()).slice(before).replace(/^,/, "")).toBe("1,2");
    }
  });

  test("a bad first line is an ordinary problem, and nothing is made", async () => {
    for (const [body, status, line] of [
      ["{\n", 400, 1],
      ['\n\n{"value":1}\n', 400, 3],
      [Buffer.from([0x22, 0xff, 0x0a]), 400, 1],
      ['{"value":"a","partition":7}\n', 400, 1],
    ] as const) {
      const refused = await node.ask("POST /v1/topics/t/records", body, lines);
      expect([refused.status, refused.json["line"]]).toEqual([status, line]);
    }
    expect((await node.ask("POST /v1/topics/none/records", "{\n", lines)).status).toBe(400);
    expect((await node.ask("GET /v1/topics/none")).status).toBe(404);
    const made = await node.ask("POST /v1/topics/none/records", good("a"), lines);
    expect(made.headers.get("rivulet-topic-created")).toBe("true");
  });

  test("a line that is not UTF-8 stops it, wherever it stands", async () => {
    const body = Buffer.concat([Buffer.from(good("a")), Buffer.of(0xff, 0x0a)]);
    const told = linesOf((await node.ask(onPartition, body, lines)).text);
    expect([told[0]?.offset, told[1]?.line]).toEqual([0, 2]);
  });

  test("what a stream cannot mean is 400", async () => {
    for (const [target, headers] of [
      [path, { "idempotency-key": "a" }],
      [`${path}?acks=0`, {}],
      [`${path}?key=a`, {}],
      [`${path}?receipts=some`, {}],
      [path, { "rivulet-expected-offset": "0" }],
      [`${path}?receipts=summary`, { "content-type": "application/json" }],
    ] as const) {
      const { status } = await node.ask(target, good("a"), { ...lines, ...headers });
      expect([target, headers, status]).toEqual([target, headers, 400]);
    }
    const coded = await node.ask(path, good("a"), { ...lines, "content-encoding": "br" });
    expect(coded.status).toBe(415);
  });

  test("receipts=summary answers ranges at the end alone, also behind a bad line", async () => {
    const body = good("a") + good("b");
    const range = { partition: 0, firstOffset: 0, lastOffset: 1, count: 2 };
    expect(await summary(body)).toEqual([{ done: true, count: 2, ranges: [range] }]);
    const told = await summary(`${body}nonsense\n`);
    expect(told).toMatchObject([
      { line: 3, count: 2, ranges: [{ partition: 0, firstOffset: 2, lastOffset: 3, count: 2 }] },
    ]);
  });

  test("conditions go on from batch to batch", async () => {
    const many = Array.from({ length: limits.recordsPerRequestMax + 5 }, (_, i) => good(`${i}`));
    const first = await post(many.join(""), { "rivulet-expected-offset": "0" });
    expect([first.at(-1)?.count, batches.length]).toEqual([many.length, 2]);
    const refused = await node.ask(onPartition, good("a"), {
      ...lines,
      "rivulet-expected-offset": "0",
    });
    expect([refused.status, refused.json["currentOffset"]]).toEqual([412, many.length]);
  });

  test("sequences go on from batch to batch, and a repeated stream appends nothing", async () => {
    const { json } = await node.ask("POST /v1/producers");
    const producer = (sequence: number): Record<string, string> => ({
      "rivulet-producer-id": String(json["producerId"]),
      "rivulet-producer-epoch": "0",
      "rivulet-producer-sequence": String(sequence),
    });
    const many = Array.from({ length: limits.recordsPerRequestMax + 5 }, (_, i) => good(`${i}`));
    expect((await post(many.join(""), producer(0))).at(-1)?.count).toBe(many.length);
    const again = await post(many.join(""), producer(0));
    expect([again[0]?.offset, again.at(-1)?.count]).toEqual([0, many.length]);
    const next = await post(good("next"), producer(many.length));
    expect(next[0]?.offset).toBe(many.length);
    expect((await post(good("far"), producer(many.length + 9)))[0]?.["status"]).toBe(412);
  });

  test("is decoded as it comes, and a bomb is stopped", async () => {
    const blank = `${" ".repeat(1_023)}\n`;
    for (const [name, compress] of [
      ["gzip", gzipSync],
      ["zstd", zstdCompressSync],
    ] as const) {
      const body = compress(Buffer.from(good("a") + good("b")));
      const answer = await node.ask(onPartition, body, { ...lines, "content-encoding": name });
      expect(linesOf(answer.text).at(-1)).toEqual({ done: true, count: 2 });
      const bomb = compress(Buffer.alloc(limits.decodedBytesMax + (32 << 20), blank));
      const told = await node.ask(onPartition, new Uint8Array(bomb), {
        ...lines,
        "content-encoding": name,
      });
      expect([name, told.status, told.json.code]).toEqual([name, 413, "body_too_large"]);
    }
  }, 20_000);

  test("a compressed body that breaks off never passes as finished, wherever it was cut", async () => {
    for (const [name, whole, atLine] of [
      ["gzip", ...(await flushedBetween(createGzip(), constants.Z_SYNC_FLUSH))],
      ["zstd", ...(await flushedBetween(createZstdCompress(), constants.ZSTD_e_flush))],
    ] as const) {
      const headers = { ...lines, "content-encoding": name };
      for (const end of [0, 3, atLine, atLine + 2, whole.length - 1]) {
        const told = await node.ask(onPartition, whole.subarray(0, end), headers);
        const code = linesOf(told.text).at(-1)?.error?.code ?? told.json.code;
        expect([name, end, code]).toEqual([name, end, "invalid_request"]);
      }
      const told = linesOf((await node.ask(onPartition, whole, headers)).text);
      expect([name, told.at(-1)]).toEqual([name, { done: true, count: 2 }]);
    }
  });

  test("a compressed body of several members is read to its end", async () => {
    for (const [name, compress] of [
      ["gzip", gzipSync],
      ["zstd", zstdCompressSync],
    ] as const) {
      const body = Buffer.concat(
        ["a", "b", "c"].map((value) => compress(Buffer.from(good(value)))),
      );
      const answer = await node.ask(onPartition, body, { ...lines, "content-encoding": name });
      expect([name, linesOf(answer.text).at(-1)]).toEqual([name, { done: true, count: 3 }]);
    }
  });

  test("a failed partition ends it at its first line, and says whether later lines may be there", async () => {
    verbs.produce = async (request) => {
      const outcomes = await produce(request);
      return outcomes.map((outcome) =>
        outcome.partition === 1
          ? { ...refuse("storage_full", "The disk is full"), partition: 1 }
          : outcome,
      );
    };
    const told = linesOf((await node.ask(path, line(0) + line(1) + line(0), lines)).text);
    expect(told).toMatchObject([
      { offset: 0 },
      { line: 2, error: { code: "storage_full", sideEffects: "unknown" } },
    ]);
    const first = await node.ask(path, line(1), lines);
    expect([first.status, first.json["sideEffects"]]).toEqual([507, "none"]);
  });
});

/** A request whose body the test writes piece by piece, and whose answer it reads piece by piece. */
class Stream {
  readonly answer: Promise<Response>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #wanted: () => void = () => undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  /** The door asks for a piece. */
  wanting = false;

  constructor(query = "") {
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => {
          this.wanting = true;
          this.#wanted();
        },
      },
      { highWaterMark: 0 },
    );
    this.answer = node.send(onPartition + query, { headers: lines, body });
  }

  write(text: string): void {
    this.wanting = false;
    this.#controller.enqueue(Buffer.from(text));
  }

  end(): void {
    this.#controller.close();
  }

  breakOff(): void {
    this.#controller.error(new Error("connection reset"));
  }

  /** Resolves when the door asks for more. */
  wanted(): Promise<void> {
    return new Promise((resolve) => {
      this.#wanted = resolve;
    });
  }

  async read(): Promise<string | null> {
    this.#reader ??= (await this.answer).body!.getReader();
    const { done, value } = await this.#reader.read();
    return done ? null : new TextDecoder().decode(value);
  }

  async rest(): Promise<Line[]> {
    let text = "";
    for (let piece = await this.read(); piece !== null; piece = await this.read()) text += piece;
    return linesOf(text);
  }

  async leave(): Promise<void> {
    await this.answer;
    await this.#reader?.cancel();
  }
}

describe("a stream of lines", () => {
  test("is receipted while it is written, a line in pieces too", async () => {
    const stream = new Stream();
    stream.write(good("a"));
    expect(await stream.read()).toContain('"offset":0');
    stream.write('{"val');
    stream.write('ue":"b"}');
    stream.write(`\n{"value":"c"}\n`);
    expect(await stream.read()).toContain('"offset":1');
    stream.end();
    expect((await stream.rest()).at(-1)).toEqual({ done: true, count: 3 });
  });

  test("that breaks off leaves what was receipted, and no part of the begun line", async () => {
    const stream = new Stream();
    stream.write(good("a"));
    await stream.read();
    stream.write('{"value":"b"');
    stream.breakOff();
    expect(await stream.rest()).toMatchObject([{ line: 2, error: { code: "invalid_request" } }]);
    expect(await values()).toBe("a");
  });

  test("that falls silent is ended", async () => {
    const stream = new Stream();
    stream.write(good("a"));
    await stream.read();
    node.world.advance(limits.bodyMsMax + 2_000);
    expect(await stream.rest()).toMatchObject([{ error: { code: "request_body_timeout" } }]);
  });

  test("is ended when the door closes", async () => {
    const stream = new Stream();
    stream.write(good("a"));
    await stream.read();
    node.door.close();
    expect(await stream.rest()).toMatchObject([{ line: 2, error: { code: "shutting_down" } }]);
  });

  test("is ended when its topic is deleted", async () => {
    const stream = new Stream();
    stream.write(good("a"));
    await stream.read();
    await node.ask("DELETE /v1/topics/t");
    stream.write(good("b"));
    expect(await stream.rest()).toMatchObject([
      { line: 2, error: { code: "unknown_topic_or_partition" } },
    ]);
  });

  test("with a line that never ends is stopped at the limit", async () => {
    const stream = new Stream();
    stream.write(good("a"));
    await stream.read();
    const piece = "x".repeat(1 << 20);
    for (let bytes = 0; bytes <= limits.requestBodyBytesMax + piece.length; bytes += piece.length) {
      stream.write(piece);
    }
    expect(await stream.rest()).toMatchObject([{ line: 2, error: { code: "body_too_large" } }]);
  });

  test("whose receipts nobody reads is not read on, and ended after a while", async () => {
    const stream = new Stream();
    const piece = good("a").repeat(2_000);
    stream.write(piece);
    await stream.answer;
    let sent = piece.length;
    // The door asks for pieces as long as it has room; then it asks for none.
    for (let idle = 0; idle < 200;) {
      await new Promise((resolve) => setImmediate(resolve));
      idle++;
      if (!stream.wanting) continue;
      idle = 0;
      stream.write(piece);
      sent += piece.length;
    }
    const receiptBytes = 50;
    const room = (limits.unreadReceiptBytesMax / receiptBytes) * good("a").length;
    expect(sent).toBeLessThan(room + 3 * 1_048_576);
    node.world.advance(limits.receiptsWaitMsMax + 2_000);
    const told = await stream.rest();
    const last = told.at(-1);
    expect(last?.error?.code).toBe("receipts_not_read");
    expect(last?.line).toBe(told.length);
    const bounds = node.broker.bounds("t");
    expect("ok" in bounds ? -1 : bounds[0]?.highWatermark).toBe(told.length - 1);
  }, 20_000);

  test("whose caller leaves is read no more", async () => {
    const stream = new Stream();
    stream.write(good("a"));
    await stream.read();
    await stream.leave();
    expect(() => {
      for (let i = 0; i < 3; i++) stream.write(good("b"));
    }).toThrow();
    expect(await values()).toBe("a");
  });
});

test("six million receipts can be had as one line", async () => {
  const stream = new Stream("?receipts=summary");
  const piece = '{"value":""}\n'.repeat(20_000);
  const count = 300_000;
  for (let sent = 0; sent < count; sent += 20_000) {
    const wanted = stream.wanted();
    stream.write(piece);
    await wanted;
  }
  stream.end();
  expect(await stream.rest()).toEqual([
    { done: true, count, ranges: [{ partition: 0, firstOffset: 0, lastOffset: count - 1, count }] },
  ]);
}, 30_000);
