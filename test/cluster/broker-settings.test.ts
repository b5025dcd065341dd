import { expect, test } from "bun:test";
import { brokerSettingNames, parseBrokerSettings } from "../../src/cluster/broker-settings.ts";

const settings = (given: Record<string, string>) => {
  const parsed = parseBrokerSettings(given);
  if (!parsed.ok) throw new Error(parsed.detail);
  return parsed.settings;
};

test("the defaults are Kafka's", () => {
  expect(settings({})).toEqual({
    autoCreateTopics: true,
    deleteTopics: true,
    numPartitions: 1,
    replicationFactor: null,
    replicaLagMsMax: 30_000,
    retentionCheckMs: 300_000,
    topicDefaults: {},
  });
});

test("a synonym becomes the default of its topic config, in the config's unit", () => {
  expect(settings({ "log.retention.hours": "2" }).topicDefaults).toEqual({
    "retention.ms": "7200000",
  });
  expect(settings({ "log.retention.minutes": "-1" }).topicDefaults).toEqual({
    "retention.ms": "-1",
  });
  expect(settings({ "message.max.bytes": "10" }).topicDefaults).toEqual({
    "max.message.bytes": "10",
  });
});

test("of several synonyms the finest unit wins, as in Kafka", () => {
  const given = {
    "log.retention.hours": "1",
    "log.retention.ms": "5",
    "log.retention.minutes": "9",
  };
  expect(settings(given).topicDefaults).toEqual({ "retention.ms": "5" });
});

test.each<[Record<string, string>, string]>([
  [{ "auto.create.topic.enable": "true" }, "auto.create.topics.enable"],
  [{ "num.partitions": "0" }, "from 1"],
  [{ "log.cleanup.policy": "compact" }, "compaction"],
  [{ "log.retention.hours": "1.5" }, "integer"],
  [{ "retention.ms": "1" }, "log.retention.ms"],
])("refuses %p", (given, part) => {
  const parsed = parseBrokerSettings(given);
  expect(parsed).toMatchObject({ ok: false, code: "invalid_config" });
  if (!parsed.ok) expect(parsed.detail).toContain(part);
});

test("every name is known once", () => {
  expect(new Set(brokerSettingNames).size).toBe(brokerSettingNames.length);
});
