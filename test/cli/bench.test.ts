// rivulet bench against a real node in memory: what it measures, what it refuses, what it leaves behind. Figures are
// never judged.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { startBroker, type TestBroker } from "../../src/testing/index.ts";
import { systemWorld } from "../../src/world.ts";
import { startGapMeter } from "../../src/cli/gap-meter.ts";
import { runLine } from "./memory-terminal.ts";

let broker: TestBroker;
beforeAll(async () => {
  broker = await startBroker();
});
afterAll(() => broker[Symbol.asyncDispose]());

/** Where something must be measured the line takes a second: a busy machine stands still for longer than 200 ms. */
const bench = (line: string) =>
  runLine(`bench --duration 200ms ${line}`.trim(), {
    env: { RIVULET_URL: broker.url },
    onPause: () => Bun.sleep(1),
  });

interface Phase {
  readonly phase: string;
  readonly records: number;
  readonly p50Ms: number | null;
  readonly p999Ms: number | null;
  readonly missing: number;
  readonly ownGaps: number;
}

describe("rivulet bench", () => {
  test("measures writing, reading and the tail, and deletes its topic", async () => {
    const { code, out, err } = await bench("--json --in-flight 4 --duration 1s");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const told = JSON.parse(out) as { readonly topic: string; readonly phases: readonly Phase[] };
    expect(told).toMatchObject({ durationMs: 1_000, recordBytes: 200, inFlight: 4, failure: null });
    expect(told.phases.map(({ phase }) => phase)).toEqual(["write", "read", "tail"]);
    for (const phase of told.phases) {
      expect(phase.records).toBeGreaterThan(0);
      expect(phase.p999Ms).toBeGreaterThanOrEqual(phase.p50Ms ?? Number.NaN);
      expect(phase.missing).toBe(0);
    }
    expect(await topics()).not.toContain(told.topic);
  });

  test("prints a table for a person, its own gaps beside each part", async () => {
    const { out } = await bench("--only write,tail --batch 10 --record-bytes 1000");
    expect(out).toContain("values of 1000 bytes, 10 a request");
    expect(out).toMatch(/records\/s +MB\/s +p50 ms +p99 ms +p99\.9 ms/);
    expect(out).toMatch(/^ {2}write +[\d,]+ +[\d,]+ +[\d.]+/m);
    expect(out).toMatch(/^ {2}tail +[\d,]+/m);
    expect(out).not.toMatch(/^ {2}read +[\d,]+/m);
    expect(out).toContain("own longest ms");
    expect(await topics()).toEqual([]);
  });

  test("does not write to a topic that is there, unless --yes; and never deletes it", async () => {
    await broker.send("orders", { value: "12" });
    const refused = await bench("--topic orders");
    expect(refused.err).toContain("The topic orders is there already");
    expect(refused.code).toBe(1);
    expect(await broker.read("orders")).toHaveLength(1);
    expect((await bench("--topic orders --only read")).code).toBe(0);
    expect(await broker.read("orders")).toHaveLength(1);
    expect((await bench("--topic orders --only tail --yes --duration 1s")).code).toBe(0);
    expect((await broker.read("orders")).length).toBeGreaterThan(1);
    await broker.fetch("/v1/topics/orders", { method: "DELETE" });
  });

  test("deletes a named topic that it made", async () => {
    expect((await bench("--topic mine --only write")).out).toContain("topic mine:");
    expect(await topics()).toEqual([]);
  });

  for (const [line, hint] of [
    ["--only read", "There is nothing to read in a new topic"],
    ["--batch 10000 --record-bytes 200", "makes requests of 2000000 bytes"],
    ["--url http://10.0.0.1:7480", "is another machine"],
    ["--url http://127.0.0.1:1", "No answer from"],
  ] as const)
    test(`refuses ${line}`, async () => {
      const { code, err, out } = await bench(line);
      expect(err).toContain(hint);
      expect({ code, out }).toEqual({ code: 1, out: "" });
    });

  for (const [line, hint] of [
    ["--only write,raed", '--only must be some of write, read, tail, got "raed"'],
    ["--duration 5", "--duration must be a time such as 500ms"],
    ["--duration 2h", "--duration must be a time such as 500ms"],
    ["--in-flight 257", "--in-flight must be a whole number from 1 to 256"],
  ] as const)
    test(`does not take ${line}`, async () => {
      const { code, err } = await bench(line);
      expect(err).toContain(hint);
      expect(code).toBe(2);
    });

  test("prints what it has, and deletes its topic, when Ctrl-C comes", async () => {
    const main = join(import.meta.dir, "../../src/main.ts");
    const command = [process.execPath, main, "bench", "--url", broker.url, "--json"];
    await using child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", stdin: "ignore" });
    await until(async () => (await topics()).length > 0);
    const [topic] = await topics();
    await broker.waitFor(topic, 100);
    child.kill("SIGINT");
    const told = JSON.parse(await new Response(child.stdout).text()) as {
      readonly interrupted: boolean;
      readonly phases: readonly Phase[];
    };
    expect(told.interrupted).toBe(true);
    expect(told.phases.map(({ phase }) => phase)).toEqual(["write"]);
    expect(await child.exited).toBe(130);
    expect(await topics()).toEqual([]);
  }, 20_000);

  test("prints what it has when the node goes away, and says that the topic stays", async () => {
    const own = await startBroker();
    const running = runLine(`bench --only tail --json --url ${own.url}`, {
      onPause: () => Bun.sleep(1),
    });
    await until(async () => (await topics(own)).length > 0);
    const [topic] = await topics(own);
    await own.waitFor(topic, 1);
    await own[Symbol.asyncDispose]();
    const { code, out, err } = await running;
    const told = JSON.parse(out) as { readonly failure: string };
    expect(told.failure).not.toBe("");
    expect(err).toContain(`Delete it: rivulet topics delete ${topic}`);
    expect(code).toBe(1);
  });
});

test("the gap meter sees that this thread did not run", async () => {
  const meter = startGapMeter(systemWorld);
  const until = performance.now() + 40;
  while (performance.now() < until);
  await Bun.sleep(0);
  const { count, maxMs } = meter.stop();
  expect(count).toBeGreaterThanOrEqual(1);
  expect(maxMs).toBeGreaterThanOrEqual(30);
});

async function topics(of: TestBroker = broker): Promise<readonly string[]> {
  const { items } = (await (await of.fetch("/v1/topics")).json()) as {
    readonly items: readonly { readonly name: string }[];
  };
  return items.map(({ name }) => name);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error("Waited 10 s");
    await Bun.sleep(5);
  }
}
