// rivulet/test as its users meet it.

import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBroker } from "../../src/testing/index.ts";

for (const storage of ["memory", "disk"] as const) {
  describe(`startBroker() on ${storage}`, () => {
    test("writes, reads and waits", async () => {
      await using broker = await startBroker({ storage });
      await broker.createTopic("orders", { partitions: 2 });
      const receipts = await broker.send("orders", [
        { key: "o-1", value: { total: 12 }, partition: 1 },
        { value: "plain", partition: 0, headers: { trace: "t-1" } },
      ]);
      expect(receipts.map(({ partition, offset }) => [partition, offset])).toEqual([
        [1, 0],
        [0, 0],
      ]);
      const [order] = await broker.read("orders", { partition: 1 });
      expect(order).toMatchObject({ key: "o-1", partition: 1, offset: 0 });
      expect(order?.json()).toEqual({ total: 12 });
      const both = await broker.waitFor("orders", 2);
      expect(new Set(both.map(({ value }) => value))).toEqual(new Set(["plain", '{"total":12}']));
      expect(both.find(({ value }) => value === "plain")?.headers).toEqual([["trace", "t-1"]]);
    });

    test("keeps what was written over a restart, on the same port", async () => {
      await using broker = await startBroker({ storage });
      await broker.send("orders", { value: "before" });
      const { url } = broker;
      await broker.restart();
      expect(broker.url).toBe(url);
      await broker.send("orders", { value: "after" });
      const records = await broker.read("orders");
      expect(records.map(({ value, offset }) => [offset, value])).toEqual([
        [0, "before"],
        [1, "after"],
      ]);
    });
  });
}

test("waitFor() waits for a topic that is not there yet", async () => {
  await using broker = await startBroker();
  const waiting = broker.waitFor("late", (records) => records.some(({ value }) => value === "now"));
  await broker.send("late", [{ value: "then" }, { value: "now" }]);
  expect((await waiting).map(({ value }) => value)).toEqual(["then", "now"]);
});

test("waitFor() says what was there when it gives up", async () => {
  await using broker = await startBroker();
  await broker.send("few", { value: "one" });
  const waiting = broker.waitFor("few", 2, { timeoutMs: 20 });
  expect(waiting).rejects.toThrow('Waited 20 ms for 2 records in few, got 1; the last: "one"');
  await waiting.catch(() => undefined);
});

test("read() of a topic that is not there says so", async () => {
  await using broker = await startBroker();
  expect(await broker.read("nowhere").catch((error: unknown) => String(error))).toContain("404");
});

test("settings reach the broker, and wrong ones stop the start", async () => {
  await using broker = await startBroker({ settings: { "num.partitions": "3" } });
  await broker.send("auto", { value: "x" });
  const topic = (await (await broker.fetch("/v1/topics/auto")).json()) as { partitions: number };
  expect(topic.partitions).toBe(3);
  const wrong = startBroker({ settings: { "num.partition": "3" } });
  expect(await wrong.catch((error: unknown) => String(error))).toContain("num.partitions");
});

test("two brokers run side by side, and a folder takes only one of them", async () => {
  const dir = mkdtempSync(join(tmpdir(), "rivulet-two-"));
  try {
    await using broker = await startBroker({ storage: { dir } });
    await using other = await startBroker();
    expect(broker.port).not.toBe(other.port);
    const second = await startBroker({ storage: { dir } }).catch((error: unknown) => String(error));
    expect(second).toContain(`process ${process.pid} uses the data folder`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test("leaves no folder behind", async () => {
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith("rivulet-test-"));
  {
    await using broker = await startBroker({ storage: "disk" });
    await broker.send("t", { value: "x" });
  }
  const after = readdirSync(tmpdir()).filter((name) => name.startsWith("rivulet-test-"));
  expect(after.filter((name) => !before.includes(name) && existsSync(name))).toEqual([]);
});
