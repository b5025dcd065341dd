// The commands against a real node in memory.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startBroker, type TestBroker } from "../../src/testing/index.ts";
import { runArgs, runLine, type RunOptions } from "./memory-terminal.ts";

let broker: TestBroker;
let count = 0;
const fresh = (): string => `topic-${count++}`;
const run = (line: string, options: RunOptions = {}) =>
  runLine(line, { env: { RIVULET_URL: broker.url }, ...options });

beforeAll(async () => {
  broker = await startBroker();
});
afterAll(() => broker[Symbol.asyncDispose]());

describe("topics", () => {
  test("are created, described, altered and deleted", async () => {
    const topic = fresh();
    const created = await run(`topics create ${topic} --partitions 2 --set retention.ms=60000`);
    expect(created).toEqual({ code: 0, out: "", err: `Created ${topic} with 2 partitions` });
    const described = await run(`topics describe ${topic}`);
    expect(described.out).toContain("retention.ms = 60000");
    await run(`topics alter ${topic} --partitions 3 --reset retention.ms`);
    const after = await run(`topics describe ${topic} --json`);
    const json = JSON.parse(after.out) as { partitions: number; configList: { source: string }[] };
    expect(json.partitions).toBe(3);
    expect(json.configList.filter(({ source }) => source === "topic")).toEqual([]);
    expect((await run(`topics delete ${topic}`)).code).toBe(0);
    expect((await run(`topics describe ${topic}`)).err).toContain("unknown_topic_or_partition");
  });

  test("that are there already are refused", async () => {
    const topic = fresh();
    await run(`topics create ${topic}`);
    const { code, err } = await run(`topics create ${topic}`);
    expect(err).toContain("topic_already_exists");
    expect(code).toBe(1);
  });

  test("are listed, as JSON an object a line", async () => {
    const topic = fresh();
    await run(`topics create ${topic}`);
    const { out } = await run(`topics list --prefix ${topic} --json`);
    expect(JSON.parse(out)).toMatchObject({ name: topic, partitions: 1 });
  });
});

describe("produce and consume", () => {
  test("carry lines, the last one without its line feed too", async () => {
    const topic = fresh();
    const wrote = await run(`produce ${topic}`, { input: "one\n\nthree" });
    expect(wrote).toEqual({ code: 0, out: "", err: "3 records were written" });
    expect((await run(`consume ${topic} --until-end`)).out).toBe("one\n\nthree\n");
  });

  test("carry bytes that are no text", async () => {
    const topic = fresh();
    await run(`produce ${topic}`, { input: new Uint8Array([0xff, 0x00, 0x0a, 0x41]) });
    const records = await broker.read(topic);
    expect(records.map(({ valueBase64, value }) => valueBase64 ?? value)).toEqual(["/wA=", "A"]);
  });

  test("part keys from values", async () => {
    const topic = fresh();
    await run(`produce ${topic} --key-separator :`, { input: "a:1:x\nb:2\n" });
    const { out } = await run(`consume ${topic} --until-end --format kv --key-separator =`);
    expect(out).toBe("a=1:x\nb=2\n");
  });

  test("stop at a line without a key, after the lines before it", async () => {
    const topic = fresh();
    const { code, err } = await run(`produce ${topic} --key-separator :`, { input: "a:1\nb\nc:3" });
    expect(err).toContain('Line 2 has no key: it does not hold ":"');
    expect(err).toContain("1 record was written before that");
    expect(code).toBe(1);
    expect(await broker.read(topic)).toHaveLength(1);
  });

  test("copy whole records: consume's JSON is what produce reads", async () => {
    const [from, to] = [fresh(), fresh()];
    await broker.send(from, [
      { key: "k", value: { n: 1 }, headers: { h: "v" }, timestamp: 5 },
      { value: null },
    ]);
    const { out } = await run(`consume ${from} --until-end --format json`);
    await run(`produce ${to} --format json`, { input: out });
    const [first, second] = await broker.read(to);
    expect(first).toMatchObject({
      key: "k",
      value: '{"n":1}',
      headers: [["h", "v"]],
      timestamp: 5,
    });
    expect(second.value).toBeNull();
  });

  test("keep the digits of numbers in JSON lines", async () => {
    const topic = fresh();
    await run(`produce ${topic} --format json`, {
      input: '{"valueJson":12345678901234567890.10}\n',
    });
    expect((await broker.read(topic))[0].value).toBe("12345678901234567890.10");
  });

  test("refuse a line that is no JSON object", async () => {
    const { code, err } = await run(`produce ${fresh()} --format json`, {
      input: '{"value":"a"}\n[1]\n',
    });
    expect(err).toContain("Line 2 is not a JSON object");
    expect(code).toBe(1);
  });

  test("print receipts with --json", async () => {
    const { out } = await run(`produce ${fresh()} --json`, { input: "a\nb\n" });
    const receipts = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { offset: number });
    expect(receipts.map(({ offset }) => offset)).toEqual([0, 1]);
  });

  test("cut a batch that the topic finds too large", async () => {
    const topic = fresh();
    await run(`topics create ${topic} --set max.message.bytes=2000`);
    const input = Array.from({ length: 100 }, (_, i) => `${i}-${"x".repeat(100)}`).join("\n");
    expect((await run(`produce ${topic}`, { input })).err).toBe("100 records were written");
    const values = (await broker.read(topic)).map(({ value }) => Number(value?.split("-")[0]));
    expect(values).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  test("begin where they are told", async () => {
    const topic = fresh();
    await run(`produce ${topic}`, { input: "a\nb\nc\nd" });
    expect((await run(`consume ${topic} --until-end --last 2`)).out).toBe("c\nd\n");
    expect((await run(`consume ${topic} --until-end --from 1 --partition 0 --max 2`)).out).toBe(
      "b\nc\n",
    );
    expect((await run(`consume ${topic} --until-end --from 2001-01-01T00:00:00Z`)).out).toBe(
      "a\nb\nc\nd\n",
    );
    expect((await run(`consume ${topic} --until-end --from yesterday`)).err).toContain(
      "--from must be",
    );
  });

  test("follow what is written later", async () => {
    const topic = fresh();
    await broker.send(topic, { value: "before" });
    const following = run(`consume ${topic} --from earliest --max 2`, {
      onOut: (out) => out === "before\n" && void broker.send(topic, { value: "after" }),
    });
    expect(await following).toMatchObject({ code: 0, out: "before\nafter\n" });
  });

  test("go on after the last record when the node was away", async () => {
    await using own = await startBroker();
    await own.send("t", { value: "1" });
    let restarts = 0;
    const following = runArgs(
      ["consume", "t", "--from", "earliest", "--max", "2", "--url", own.url],
      {
        onOut: () => {
          if (restarts++ === 0) void own.restart().then(() => own.send("t", { value: "2" }));
        },
        onPause: () => Bun.sleep(5),
      },
    );
    expect(await following).toMatchObject({ code: 0, out: "1\n2\n" });
  });

  test("a reader that leaves is no failure", async () => {
    const topic = fresh();
    await run(`produce ${topic}`, { input: "a\nb" });
    expect(await run(`consume ${topic} --until-end`, { writesMax: 0 })).toMatchObject({
      code: 0,
      err: "",
    });
  });

  test("produce goes on when the node was away, and writes nothing twice", async () => {
    await using own = await startBroker({ storage: "disk" });
    async function* input() {
      yield Buffer.from("1\n2\n");
      await own.restart();
      yield Buffer.from("3\n");
    }
    const wrote = await runArgs(["produce", "t", "--url", own.url], { input: input() });
    expect(wrote.code).toBe(0);
    expect((await own.read("t")).map(({ value }) => value)).toEqual(["1", "2", "3"]);
  });
});

test("produce to a node that is not there fails at once", async () => {
  const { code, err } = await runLine("produce t --url http://127.0.0.1:1", { input: "a" });
  expect(err).toStartWith("rivulet: No answer from http://127.0.0.1:1");
  expect(code).toBe(1);
});

describe("status", () => {
  test("tells a person and a program", async () => {
    expect((await run("status")).out).toContain("is ready");
    const json = JSON.parse((await run("status --json")).out) as Record<string, unknown>;
    expect(json).toMatchObject({ ready: true, node: "1" });
    expect(json.topics).toBeGreaterThan(0);
  });
});
