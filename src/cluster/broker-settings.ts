// Settings of the whole broker under Kafka's names: one table, which the node's options feed.
//
// Promise: an unknown or impossible setting stops the start with a message that names it; every topic config's broker
// synonym (log.retention.hours for retention.ms, ...) becomes that config's default. Pure.
// Left to others: where settings come from (flags, environment, a test), what they do (broker/).

import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import { numberOf, parseValue, type ParsedValue, type ValueRule } from "./config-values.ts";
import { nearestName } from "./nearest-name.ts";
import { topicConfigs, type Synonym, type TopicConfig } from "./topic-configs.ts";
import { checkValue, type ConfigValues } from "./topic-settings.ts";

export interface BrokerSetting extends ValueRule {
  readonly name: string;
  readonly default: string;
  readonly why: string;
}

/** The broker's own settings; the topic configs' synonyms come on top of them. Defaults are Kafka's. */
export const brokerSettings: readonly BrokerSetting[] = [
  {
    name: "auto.create.topics.enable",
    type: "boolean",
    default: "true",
    why: "A write to an unknown topic creates it",
  },
  {
    name: "default.replication.factor",
    type: "int",
    default: "-1",
    min: -1,
    max: 32_767,
    why: "Replicas of a topic that names no factor; -1 takes min(3, nodes), where Kafka's 1 would not survive a disk",
  },
  {
    name: "delete.topic.enable",
    type: "boolean",
    default: "true",
    why: "Topics can be deleted",
  },
  {
    name: "log.retention.check.interval.ms",
    type: "long",
    default: "300000",
    min: 1,
    max: 2_147_483_647,
    why: "How often retention by time and size is applied",
  },
  {
    name: "num.partitions",
    type: "int",
    default: "1",
    min: 1,
    max: limits.partitionsPerTopicMax,
    why: "Partitions of a topic that names no number",
  },
  {
    name: "replica.lag.time.max.ms",
    type: "long",
    default: "30000",
    min: 1,
    max: 2_147_483_647,
    why: "A voter that has not held the leader's log end for so long counts as out of sync",
  },
];

/** The settings, typed. */
export interface BrokerSettings {
  readonly autoCreateTopics: boolean;
  readonly deleteTopics: boolean;
  readonly numPartitions: number;
  /** null: min(3, nodes). */
  readonly replicationFactor: number | null;
  readonly retentionCheckMs: number;
  readonly replicaLagMsMax: number;
  /** Defaults of topic configs that a synonym sets, canonical. */
  readonly topicDefaults: ConfigValues;
}

interface SynonymOf {
  readonly config: TopicConfig;
  readonly synonym: Synonym;
}

const ownByName: ReadonlyMap<string, BrokerSetting> = new Map(
  brokerSettings.map((setting) => [setting.name, setting]),
);
const synonymByName: ReadonlyMap<string, SynonymOf> = new Map(
  topicConfigs.flatMap((config) =>
    config.synonyms.map((synonym): [string, SynonymOf] => [synonym.name, { config, synonym }]),
  ),
);

/** All names that parseBrokerSettings() knows. */
export const brokerSettingNames: readonly string[] = [
  ...ownByName.keys(),
  ...synonymByName.keys(),
].sort();

/** Checks every given setting and fills in the rest. Refuses with invalid_config. */
export function parseBrokerSettings(
  given: ConfigValues,
): { readonly ok: true; readonly settings: BrokerSettings } | Refusal {
  const values: Record<string, string> = {};
  for (const [name, text] of Object.entries(given)) {
    const parsed = parseSetting(name, text);
    if (!parsed.ok) return refuse("invalid_config", `Cannot set ${name}: it ${parsed.fault}`);
    values[name] = parsed.value;
  }
  return { ok: true, settings: typed(values) };
}

function parseSetting(name: string, text: string): ParsedValue {
  const own = ownByName.get(name);
  if (own !== undefined) return parseValue(text, own);
  const synonym = synonymByName.get(name);
  if (synonym !== undefined) return parseSynonym(synonym, text);
  const nearest = nearestName(name, brokerSettingNames);
  const hint = nearest === null ? "" : `; did you mean ${nearest}?`;
  return { ok: false, fault: `is not a broker setting${hint}` };
}

/** The synonym's value in the topic config's unit. A negative number has no unit (-1: unbounded). */
function parseSynonym({ config, synonym }: SynonymOf, text: string): ParsedValue {
  if (synonym.scale === 1) return checkValue(config, text);
  const whole = parseValue(text, { type: "int" });
  if (!whole.ok) return whole;
  const n = numberOf(whole.value);
  return checkValue(config, String(n < 0 ? n : n * synonym.scale));
}

function typed(values: ConfigValues): BrokerSettings {
  const value = (name: string): string => values[name] ?? ownByName.get(name)!.default;
  const factor = numberOf(value("default.replication.factor"));
  return {
    autoCreateTopics: value("auto.create.topics.enable") === "true",
    deleteTopics: value("delete.topic.enable") === "true",
    numPartitions: numberOf(value("num.partitions")),
    replicationFactor: factor < 1 ? null : factor,
    retentionCheckMs: numberOf(value("log.retention.check.interval.ms")),
    replicaLagMsMax: numberOf(value("replica.lag.time.max.ms")),
    topicDefaults: topicDefaults(values),
  };
}

function topicDefaults(values: ConfigValues): ConfigValues {
  const defaults: Record<string, string> = {};
  for (const config of topicConfigs) {
    const set = config.synonyms.find((synonym) => Object.hasOwn(values, synonym.name));
    if (set !== undefined) defaults[config.name] = values[set.name];
  }
  return defaults;
}
