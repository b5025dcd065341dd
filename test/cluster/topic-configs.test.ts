import { describe, expect, test } from "bun:test";
import { parseValue } from "../../src/cluster/config-values.ts";
import { topicConfigByName, topicConfigs } from "../../src/cluster/topic-configs.ts";
import {
  changeConfigs,
  checkConfigNames,
  checkTopicConfigs,
  describeConfigs,
  settingsOf,
} from "../../src/cluster/topic-settings.ts";

describe("the table", () => {
  test("holds each config of Kafka 4.3 once, in order", () => {
    const names = topicConfigs.map((config) => config.name);
    expect(names).toEqual([...new Set(names)].sort());
    expect(names).toHaveLength(33);
  });

  test.each(topicConfigs.map((config) => [config.name, config] as const))(
    "%s has a default that its own row accepts, in canonical form",
    (_, config) => {
      expect(parseValue(config.default, config)).toEqual({ ok: true, value: config.default });
      expect(checkTopicConfigs("t", { [config.name]: config.default }).ok).toBe(true);
    },
  );

  test.each([
    ["retention.ms", "604800000"],
    ["retention.bytes", "-1"],
    ["max.message.bytes", "1048588"],
    ["message.timestamp.type", "CreateTime"],
    ["message.timestamp.after.max.ms", "3600000"],
    ["message.timestamp.before.max.ms", "9223372036854775807"],
    ["cleanup.policy", "delete"],
    ["min.insync.replicas", "1"],
    ["segment.bytes", "1073741824"],
  ])("%s defaults to %s, as in Kafka", (name, value) => {
    expect(topicConfigByName.get(name)?.default).toBe(value);
  });
});

describe("checkTopicConfigs()", () => {
  test("names the nearest config for an unknown one", () => {
    const checked = checkTopicConfigs("orders", { "retention.mss": "1" });
    expect(checked).toMatchObject({ ok: false, code: "invalid_config" });
    expect(JSON.stringify(checked)).toContain("did you mean retention.ms?");
  });

  test.each([["__proto__"], ["constructor"], ["toString"]])("does not know %p", (name) => {
    const given = JSON.parse(`{${JSON.stringify(name)}: "1"}`) as Record<string, string>;
    expect(checkTopicConfigs("t", given).ok).toBe(false);
    expect(checkConfigNames("t", [name])).toMatchObject({ code: "invalid_config" });
  });

  test.each([
    ["cleanup.policy", "compact", "compaction"],
    ["cleanup.policy", "compact,delete", "compaction"],
    ["compression.type", "zstd", "recompress"],
    ["delete.retention.ms", "1", "compaction"],
    ["remote.storage.enable", "true", "tiered"],
    ["max.message.bytes", "2147483647", "16777216"],
    ["retention.ms", "-2", "-1"],
    ["retention.ms", "7d", '"7d"'],
    ["min.insync.replicas", "0", "1"],
  ])("refuses %s=%s and says why", (name, value, why) => {
    const checked = checkTopicConfigs("orders", { [name]: value });
    expect(checked).toMatchObject({ ok: false, code: "invalid_config", sideEffects: "none" });
    if (!checked.ok)
      for (const part of ["orders", name, why]) expect(checked.detail).toContain(part);
  });

  test("accepts what has no effect, and canonicalises", () => {
    const checked = checkTopicConfigs("t", { "segment.bytes": "+02000000", preallocate: "TRUE" });
    expect(checked).toEqual({
      ok: true,
      values: { "segment.bytes": "2000000", preallocate: "true" },
    });
  });
});

describe("settingsOf()", () => {
  test("types the defaults", () => {
    expect(settingsOf({}, {})).toEqual({
      deletes: true,
      retentionMs: 604_800_000,
      retentionBytes: null,
      maxMessageBytes: 1_048_588,
      timestampType: "CreateTime",
      timestampBeforeMaxMs: 2 ** 63,
      timestampAfterMaxMs: 3_600_000,
      minInsyncReplicas: 1,
    });
  });

  test("takes the topic's value before the broker's before the default", () => {
    const broker = { "retention.ms": "5", "retention.bytes": "7" };
    const settings = settingsOf({ "retention.ms": "-1", "cleanup.policy": "" }, broker);
    expect(settings).toMatchObject({ retentionMs: null, retentionBytes: 7, deletes: false });
  });
});

test("changeConfigs() sets, resets and keeps name order", () => {
  const changed = changeConfigs({ b: "1", c: "2" }, { c: null, a: "3" });
  expect(Object.entries(changed)).toEqual([
    ["a", "3"],
    ["b", "1"],
  ]);
});

test("describeConfigs() tells value, source and effect of every config", () => {
  const rows = describeConfigs({ "retention.ms": "1" }, { "segment.ms": "2" });
  expect(rows).toHaveLength(topicConfigs.length);
  const row = (name: string) => rows.find((r) => r.name === name);
  expect(row("retention.ms")).toMatchObject({ value: "1", source: "topic", effect: "works" });
  expect(row("segment.ms")).toMatchObject({ value: "2", source: "broker", effect: "no_effect" });
  expect(row("flush.ms")?.note).toContain("already on the disk");
  expect(row("delete.retention.ms")).toMatchObject({ source: "default", effect: "no_effect" });
});
