import { describe, expect, test } from "bun:test";
import { limits } from "../../src/limits.ts";
import { configOf, must, scriptedBroker as start } from "./harness.ts";

const everything = { prefix: "", after: "", limit: 1_000, internal: false };

describe("createTopic()", () => {
  test("answers what it made, and describe says the same by name and by id", async () => {
    const { broker } = await start();
    const wish = { name: "orders", partitions: 3, configs: { "retention.ms": "+060000" } };
    const created = must(await broker.createTopic(wish));
    expect(created).toMatchObject({ partitions: 3, replicationFactor: 1, internal: false });
    expect(created.topicId).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    expect(configOf(created, "retention.ms")).toBe("60000");
    expect(broker.describeTopic({ name: "orders" })).toEqual(created);
    expect(broker.describeTopic({ topicId: created.topicId })).toEqual(created);
  });

  test.each([
    [{ name: "a/b" }, "invalid_topic_exception"],
    [{ name: "" }, "invalid_topic_exception"],
    [{ name: "__consumer_offsets" }, "invalid_topic_exception"],
    [{ name: "taken" }, "topic_already_exists"],
    [{ name: "ta.ken_" }, "topic_already_exists"],
    [{ name: "ta_ken." }, "invalid_topic_exception"],
    [{ name: "t", partitions: 0 }, "invalid_partitions"],
    [{ name: "t", partitions: -2 }, "invalid_partitions"],
    [{ name: "t", partitions: 1.5 }, "invalid_partitions"],
    [{ name: "t", partitions: limits.partitionsPerTopicMax + 1 }, "invalid_partitions"],
    [{ name: "t", replicationFactor: 0 }, "invalid_replication_factor"],
    [{ name: "t", replicationFactor: 2 }, "invalid_replication_factor"],
    [{ name: "t", configs: { "retention.m": "1" } }, "invalid_config"],
    [{ name: "t", configs: { "cleanup.policy": "compact" } }, "invalid_config"],
  ])("refuses %p as %s, and changes nothing", async (wish, code) => {
    const { broker } = await start();
    must(await broker.createTopic({ name: "taken" }));
    must(await broker.createTopic({ name: "ta.ken_" }));
    expect(await broker.createTopic(wish)).toMatchObject({ ok: false, code, sideEffects: "none" });
    expect(broker.status().topics).toBe(2);
  });

  test("-1 asks for the default number and factor, as in Kafka", async () => {
    const { broker } = await start({ settings: { "num.partitions": "4" } });
    const created = await broker.createTopic({ name: "t", partitions: -1, replicationFactor: -1 });
    expect(created).toMatchObject({ partitions: 4, replicationFactor: 1 });
  });

  test("of many racing creations one wins", async () => {
    const { broker } = await start();
    const all = await Promise.all(
      Array.from({ length: 10 }, () => broker.createTopic({ name: "t" })),
    );
    expect(all.filter((one) => !("ok" in one))).toHaveLength(1);
    expect(all.filter((one) => "ok" in one && one.code === "topic_already_exists")).toHaveLength(9);
  });

  test("the node's limit of partitions holds over all topics", async () => {
    const { broker } = await start();
    const partitions = limits.partitionsPerTopicMax;
    for (const name of ["a", "b"]) must(await broker.createTopic({ name, partitions }));
    expect(await broker.createTopic({ name: "c" })).toMatchObject({ code: "invalid_partitions" });
    expect(broker.status().partitions).toBe(limits.partitionsPerNodeMax);
  });
});

describe("deleteTopic()", () => {
  test("forgets the topic, and a new one of the name has another id", async () => {
    const { broker } = await start();
    const first = must(await broker.createTopic({ name: "t" }));
    expect(await broker.deleteTopic("t")).toEqual({ ok: true });
    expect(broker.topic("t")).toBeNull();
    expect(broker.topicById(first.topicId)).toBeNull();
    expect(broker.describeTopic({ name: "t" })).toMatchObject({
      code: "unknown_topic_or_partition",
    });
    expect(broker.describeTopic({ topicId: first.topicId })).toMatchObject({
      code: "unknown_topic_id",
    });
    const second = must(await broker.createTopic({ name: "t" }));
    expect(second.topicId).not.toBe(first.topicId);
  });

  test("refuses an unknown topic, and any when delete.topic.enable is false", async () => {
    const { broker } = await start({ settings: { "delete.topic.enable": "false" } });
    expect(await broker.deleteTopic("t")).toMatchObject({ code: "unknown_topic_or_partition" });
    must(await broker.createTopic({ name: "t" }));
    expect(await broker.deleteTopic("t")).toMatchObject({ code: "policy_violation" });
  });

  test("of two racing deletions one wins", async () => {
    const { broker } = await start();
    must(await broker.createTopic({ name: "t" }));
    const both = await Promise.all([broker.deleteTopic("t"), broker.deleteTopic("t")]);
    expect(both.map((one) => one.ok)).toEqual([true, false]);
  });
});

describe("alterConfigs()", () => {
  test("sets and resets, all or nothing", async () => {
    const { broker } = await start();
    must(await broker.createTopic({ name: "t", configs: { "retention.ms": "1" } }));
    const altered = must(
      await broker.alterConfigs("t", { "retention.ms": null, "max.message.bytes": "100" }),
    );
    expect(configOf(altered, "retention.ms")).toBe("604800000");
    expect(broker.topic("t")).toMatchObject({ maxMessageBytes: 100 });
    const refused = await broker.alterConfigs("t", { "retention.ms": "5", "flush.ms": "x" });
    expect(refused).toMatchObject({ code: "invalid_config" });
    expect(await broker.alterConfigs("t", { nonsense: null })).toMatchObject({
      code: "invalid_config",
    });
    expect(must(broker.describeTopic({ name: "t" }))).toEqual(altered);
  });

  test("refuses an unknown topic", async () => {
    const { broker } = await start();
    expect(await broker.alterConfigs("t", {})).toMatchObject({
      code: "unknown_topic_or_partition",
    });
  });
});

describe("addPartitions()", () => {
  test("raises the number, and tells the topic's subscribers", async () => {
    const { broker } = await start();
    must(await broker.createTopic({ name: "t", partitions: 2 }));
    let wakes = 0;
    const stop = broker.subscribe("t", () => (wakes += 1));
    expect(await broker.addPartitions("t", 5)).toMatchObject({ partitions: 5 });
    expect(wakes).toBe(1);
    stop();
    expect(must(await broker.describePartitions("t")).map((p) => p.partition)).toEqual([
      0, 1, 2, 3, 4,
    ]);
    expect(must(broker.bounds("t"))).toHaveLength(5);
    expect(wakes).toBe(1);
  });

  test.each([[0], [1], [2], [2.5], [limits.partitionsPerTopicMax + 1], [Number.NaN]])(
    "refuses %p for a topic of two",
    async (total) => {
      const { broker } = await start();
      must(await broker.createTopic({ name: "t", partitions: 2 }));
      expect(await broker.addPartitions("t", total)).toMatchObject({ code: "invalid_partitions" });
    },
  );

  test("of two racing raises to the same number one wins", async () => {
    const { broker } = await start();
    must(await broker.createTopic({ name: "t" }));
    const both = await Promise.all([broker.addPartitions("t", 3), broker.addPartitions("t", 3)]);
    expect(both.map((one) => ("ok" in one ? one.code : one.partitions))).toEqual([
      3,
      "invalid_partitions",
    ]);
    expect(broker.topic("t")?.partitions).toBe(3);
  });
});

describe("topicForWrite()", () => {
  test("answers the value itself when the topic is there", async () => {
    const { broker } = await start();
    must(await broker.createTopic({ name: "t" }));
    const view = broker.topicForWrite("t");
    expect(view).not.toBeInstanceOf(Promise);
    expect(view).toMatchObject({ name: "t", created: false, timestampType: "CreateTime" });
  });

  test("creates with num.partitions when the settings allow", async () => {
    const { broker } = await start({ settings: { "num.partitions": "3" } });
    expect(await broker.topicForWrite("t")).toMatchObject({ partitions: 3, created: true });
  });

  test("does not create when they do not, nor an internal or illegal name", async () => {
    const off = await start({ settings: { "auto.create.topics.enable": "false" } });
    expect(await off.broker.topicForWrite("t")).toMatchObject({
      code: "unknown_topic_or_partition",
    });
    const { broker } = await start();
    expect(await broker.topicForWrite("__t")).toMatchObject({ code: "unknown_topic_or_partition" });
    expect(await broker.topicForWrite("a b")).toMatchObject({ code: "invalid_topic_exception" });
    expect(broker.status().topics).toBe(0);
  });
});

describe("listTopics()", () => {
  test("pages through 2,000 topics in order without a gap or a double", async () => {
    const { broker } = await start();
    const names = Array.from({ length: 2_000 }, (_, i) => `topic-${(i * 7_919) % 2_000}`);
    await Promise.all(names.map((name) => broker.createTopic({ name })));
    const seen: string[] = [];
    let after = "";
    for (;;) {
      const page = broker.listTopics({ ...everything, after, limit: 300 });
      seen.push(...page.items.map((topic) => topic.name));
      if (page.next === null) break;
      after = page.next;
    }
    expect(seen).toEqual(names.sort());
  });

  test("keeps to the prefix, and shows internal topics only when asked", async () => {
    const { broker } = await start();
    for (const name of ["a", "ab", "abc", "b", "__a"]) must(await broker.createTopic({ name }));
    const list = (more: object) =>
      broker.listTopics({ ...everything, ...more }).items.map((topic) => topic.name);
    expect(list({ prefix: "ab" })).toEqual(["ab", "abc"]);
    expect(list({ prefix: "ab", after: "ab" })).toEqual(["abc"]);
    expect(list({ prefix: "b", after: "a" })).toEqual(["b"]);
    expect(list({ prefix: "a", after: "b" })).toEqual([]);
    expect(list({})).toEqual(["a", "ab", "abc", "b"]);
    expect(list({ internal: true })).toEqual(["__a", "a", "ab", "abc", "b"]);
    expect(broker.listTopics({ ...everything, limit: 4 }).next).toBeNull();
    expect(broker.listTopics({ ...everything, limit: 3 }).next).toBe("abc");
  });
});

test("producer ids are never given twice, also over a restart", async () => {
  const first = await start();
  const ids = await Promise.all(
    Array.from({ length: 2_500 }, async () => must(await first.broker.initProducerId()).producerId),
  );
  const second = await start({}, { host: first.host });
  ids.push(must(await second.broker.initProducerId()).producerId);
  expect(new Set(ids).size).toBe(ids.length);
});

test("a restart keeps topics, ids, configs and the cluster's id", async () => {
  const first = await start();
  for (const name of ["b", "a"]) must(await first.broker.createTopic({ name, partitions: 2 }));
  must(await first.broker.alterConfigs("a", { "retention.ms": "7" }));
  const second = await start({ version: "0.2.0" }, { host: first.host });
  expect(second.broker.listTopics(everything)).toEqual(first.broker.listTopics(everything));
  const { clusterId, version } = second.broker.status();
  expect(clusterId).toBe(first.broker.status().clusterId);
  expect(clusterId).toHaveLength(36);
  expect(version).toBe("0.2.0");
});

test("a stopping node refuses changes and says why it is not ready", async () => {
  const { broker } = await start();
  expect(broker.status()).toMatchObject({ ready: true, reason: null, nodeId: 1, term: 1 });
  await broker.close();
  await broker.close();
  expect(broker.status()).toMatchObject({ ready: false, reason: "the node is stopping" });
  for (const outcome of await Promise.all([
    broker.createTopic({ name: "t" }),
    broker.deleteTopic("t"),
    broker.alterConfigs("t", {}),
    broker.addPartitions("t", 2),
    broker.initProducerId(),
    Promise.resolve(broker.topicForWrite("t")),
  ]))
    expect(outcome).toMatchObject({ ok: false, code: "shutting_down" });
});
