import { describe, expect, test } from "bun:test";
import { Fault, refusalOf } from "../../src/errors.ts";
import { batchOf, valuesOf } from "./batches.ts";
import { must, scriptedBroker } from "./harness.ts";
import { ScriptedLogs } from "./scripted-logs.ts";
import { settle } from "./virtual-world.ts";

const start = scriptedBroker;

const produce = (topic: string, value: string, partition = 0) => ({
  topic,
  acks: "all" as const,
  timeoutMs: 1_000,
  trusted: true,
  appends: [{ partition, batch: batchOf(value) }],
});
const fetchAll = (topic: string, more = {}) => ({
  topic,
  positions: [{ partition: 0, offset: 0, maxBytes: 1 << 20 }],
  maxBytes: 1 << 20,
  minBytes: 1,
  maxWaitMs: 1_000,
  ...more,
});

describe("produce()", () => {
  test("times out with unknown side effects, and leaves no timer behind", async () => {
    const { world, logs, broker } = await start();
    await broker.createTopic({ name: "t" });
    const timers = world.timers;
    logs.stuck = true;
    const producing = broker.produce(produce("t", "a"));
    await settle();
    world.advance(1_000);
    expect(await producing).toMatchObject([
      { ok: false, code: "request_timed_out", sideEffects: "unknown", partition: 0 },
    ]);
    expect(world.timers).toBe(timers);
  });

  test("opens a partition once for many at the same time", async () => {
    const { logs, broker } = await start();
    await broker.createTopic({ name: "t" });
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => broker.produce(produce("t", String(i)))),
    );
    expect(logs.opens).toBe(1);
    const offsets = all.map(([one]) => (one.ok ? one.baseOffset : -1)).sort((a, b) => a - b);
    expect(offsets).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  test("is refused when the topic goes while the partition is opening", async () => {
    const { logs, broker } = await start();
    await broker.createTopic({ name: "t" });
    const { promise, resolve: open } = Promise.withResolvers<void>();
    logs.gate = promise;
    const producing = broker.produce(produce("t", "a"));
    const deleting = broker.deleteTopic("t");
    await settle();
    open();
    expect(await producing).toMatchObject([{ code: "unknown_topic_or_partition" }]);
    expect(await deleting).toEqual({ ok: true });
    expect(logs.removed).toHaveLength(1);
  });
});

describe("fetch()", () => {
  test("returns at once when there is enough, and waits for nothing", async () => {
    const { world, broker } = await start();
    await broker.createTopic({ name: "t" });
    await broker.produce(produce("t", "a"));
    const timers = world.timers;
    expect(valuesOf(await broker.fetch(fetchAll("t")))).toEqual([["a"]]);
    expect(world.timers).toBe(timers);
  });

  test("is woken by the append, reads on without reading anew, and frees its wait", async () => {
    const { world, logs, broker } = await start();
    await broker.createTopic({ name: "t" });
    const timers = world.timers;
    const one = batchOf("a").bytes.length;
    const fetching = broker.fetch(fetchAll("t", { minBytes: one + 1 }));
    await settle();
    expect(broker.metrics()["fetch_waiters"]).toBe(1);
    await broker.produce(produce("t", "a"));
    await settle();
    await broker.produce(produce("t", "b"));
    expect(valuesOf(await fetching)).toEqual([["a", "b"]]);
    const [log] = logs.logs.values();
    expect(log.reads).toBeLessThanOrEqual(3);
    expect(log.held).toBe(0);
    expect(broker.metrics()["fetch_waiters"]).toBe(0);
    expect(world.timers).toBe(timers);
  });

  test("a commit between the read of its partition and the wait is not missed", async () => {
    const { logs, broker } = await start();
    const { topicId } = must(await broker.createTopic({ name: "t", partitions: 2 }));
    await broker.produce(produce("t", "opens the log", 1));
    const slow = logs.logs.get(`${topicId}/1`)!;
    const { promise, resolve } = Promise.withResolvers<void>();
    slow.gate = promise;
    const positions = [0, 1].map((partition) => ({ partition, offset: partition, maxBytes: 100 }));
    const fetching = broker.fetch(fetchAll("t", { positions }));
    await settle();
    await broker.produce(produce("t", "a", 0));
    resolve();
    expect(valuesOf(await fetching)).toEqual([["a"], []]);
  });

  test("opens the logs of all positions at the same time", async () => {
    const { logs, broker } = await start();
    must(await broker.createTopic({ name: "t", partitions: 5 }));
    const { promise, resolve } = Promise.withResolvers<void>();
    logs.gate = promise;
    const positions = [0, 1, 2, 3, 4].map((partition) => ({ partition, offset: 0, maxBytes: 1 }));
    const fetching = broker.fetch(fetchAll("t", { positions, maxWaitMs: 0 }));
    await settle();
    expect(logs.opens).toBe(5);
    resolve();
    expect(valuesOf(await fetching)).toEqual([[], [], [], [], []]);
    expect(logs.opens).toBe(5);
  });

  test("exactly minBytes is enough", async () => {
    const { broker } = await start();
    must(await broker.createTopic({ name: "t" }));
    await broker.produce(produce("t", "a"));
    const minBytes = batchOf("a").bytes.length;
    expect(valuesOf(await broker.fetch(fetchAll("t", { minBytes })))).toEqual([["a"]]);
  });

  test("answers what there is when the time is up", async () => {
    const { world, broker } = await start();
    await broker.createTopic({ name: "t" });
    await broker.produce(produce("t", "a"));
    const fetching = broker.fetch(fetchAll("t", { minBytes: 1 << 20 }));
    await settle();
    world.advance(1_000);
    expect(valuesOf(await fetching)).toEqual([["a"]]);
  });

  test("a signal frees the wait at once", async () => {
    const { world, broker } = await start();
    await broker.createTopic({ name: "t" });
    const timers = world.timers;
    const abort = new AbortController();
    const fetching = broker.fetch(fetchAll("t", { signal: abort.signal }));
    await settle();
    abort.abort();
    expect(valuesOf(await fetching)).toEqual([[]]);
    expect(broker.metrics()["fetch_waiters"]).toBe(0);
    expect(world.timers).toBe(timers);
  });

  test("an aborted signal never waits", async () => {
    const { broker } = await start();
    await broker.createTopic({ name: "t" });
    expect(valuesOf(await broker.fetch(fetchAll("t", { signal: AbortSignal.abort() })))).toEqual([
      [],
    ]);
  });

  test("deletion wakes waiters with unknown_topic_or_partition", async () => {
    const { broker } = await start();
    await broker.createTopic({ name: "t" });
    const fetching = broker.fetch(fetchAll("t"));
    await settle();
    await broker.deleteTopic("t");
    expect(valuesOf(await fetching)).toEqual(["unknown_topic_or_partition"]);
  });

  test("one waiter too many is refused as overloaded, and holds nothing", async () => {
    const { world, logs, broker } = await start({ waitersMax: 2 });
    await broker.createTopic({ name: "t", partitions: 2 });
    await broker.produce(produce("t", "a", 1));
    const waiting = [broker.fetch(fetchAll("t")), broker.fetch(fetchAll("t"))];
    await settle();
    const positions = [{ partition: 1, offset: 0, maxBytes: 1 << 20 }];
    const third = broker.fetch(fetchAll("t", { positions, minBytes: 1 << 20 }));
    expect(await third).toMatchObject({ code: "overloaded", retryAfterMs: 1_000 });
    // Each of the two that wait holds its empty read no longer either.
    expect([...logs.logs.values()].map((log) => log.held)).toEqual([0, 0]);
    world.advance(1_000);
    await Promise.all(waiting);
    const again = broker.fetch(fetchAll("t"));
    await settle();
    world.advance(1_000);
    expect(valuesOf(await again)).toEqual([[]]);
  });

  test("a fault of the disk is one partition's refusal", async () => {
    const { logs, broker } = await start();
    await broker.createTopic({ name: "t" });
    logs.fault = new Fault("storage_damaged", "row 7 is damaged");
    expect(valuesOf(await broker.fetch(fetchAll("t")))).toEqual(["storage_damaged"]);
  });

  test("closing ends every wait with what there is", async () => {
    const { broker } = await start();
    await broker.createTopic({ name: "t" });
    const fetching = broker.fetch(fetchAll("t"));
    await settle();
    await broker.close();
    expect(valuesOf(await fetching)).toEqual([[]]);
    expect(await broker.fetch(fetchAll("t"))).toMatchObject({ code: "shutting_down" });
  });
});

describe("controller trouble", () => {
  test("a creation whose fate is unknown says so", async () => {
    const { host, broker } = await start();
    host.held = true;
    const creating = broker.createTopic({ name: "t" });
    await settle();
    host.replicas
      .get("controller")!
      .lose({ ok: false, code: "storage_failed", detail: "EIO", sideEffects: "unknown" });
    expect(await creating).toMatchObject({ code: "storage_failed", sideEffects: "unknown" });
    expect(broker.topic("t")).toBeNull();
  });

  test("a controller that lost its term is not ready, and leads again by itself", async () => {
    const { host, broker } = await start();
    host.replicas.get("controller")!.ready = false;
    expect(broker.status()).toMatchObject({
      ready: false,
      reason: "the controller has no leader; an election is under way",
    });
    await settle();
    expect(broker.status()).toMatchObject({ ready: true, reason: null });
  });

  test("a node that should not lead is not ready, and says why", async () => {
    const { host, broker } = await start();
    host.unfit = "a flush to the disk takes longer than 5 s";
    expect(broker.status()).toMatchObject({ ready: false, reason: host.unfit });
    host.unfit = null;
    expect(broker.status()).toMatchObject({ ready: true, reason: null });
  });

  test("writers to one unknown topic create it once, and one of them is told so", async () => {
    const { host, broker } = await start();
    const views = await Promise.all(
      Array.from({ length: 5 }, async () => await broker.topicForWrite("t")),
    );
    const created = views.map((view) => "created" in view && view.created);
    expect(created).toEqual([true, false, false, false, false]);
    expect(broker.status().topics).toBe(1);
    // Format, registration, one creation.
    expect(host.logs.get("controller")).toHaveLength(3);
  });

  test("many that want a producer id share one block", async () => {
    const { host, broker } = await start();
    await Promise.all(Array.from({ length: 100 }, () => broker.initProducerId()));
    expect(host.logs.get("controller")).toHaveLength(3);
  });

  test("a wrong broker setting stops the start", async () => {
    const thrown = await start({ settings: { "num.partition": "3" } }).catch(refusalOf);
    expect(thrown).toMatchObject({ code: "invalid_config" });
    expect(JSON.stringify(thrown)).toContain("did you mean num.partitions?");
  });
});

test("what a crash left of a deleted topic is dropped at the next start, and nothing else", async () => {
  const { host, broker } = await start();
  const { topicId } = must(await broker.createTopic({ name: "t", partitions: 2 }));
  await broker.deleteTopic("t");
  const logs = new ScriptedLogs();
  const left = [`${topicId}/0`, `${topicId}/1`];
  for (const groupId of [...left, "unheard-of/0"]) await logs.open(groupId);
  const restarted = await start({}, { host, logs });
  await settle();
  expect(logs.removed).toEqual(left);
  await restarted.broker.runRetention();
  expect(restarted.broker.status().topics).toBe(0);
  // The controller has forgotten the topic by now: a further start drops nothing.
  const third = new ScriptedLogs();
  await start({}, { host: restarted.host, logs: third });
  await settle();
  expect(third.removed).toEqual([]);
  expect([...logs.logs.keys()]).toEqual(["unheard-of/0"]);
});
