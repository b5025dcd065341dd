// What a topic's configs come to: overrides checked against the table, defaults filled in, values typed.
//
// Promise: a set of overrides that passed checkTopicConfigs() always yields settings; the same overrides always yield
// the same ones. Pure. Left to others: the rows themselves (topic-configs.ts), storing overrides (cluster-state.ts).

import { assert, unreachable } from "../assert.ts";
import { refuse, type Refusal } from "../errors.ts";
import { numberOf, parseValue } from "./config-values.ts";
import { nearestName } from "./nearest-name.ts";
import { topicConfigByName, topicConfigs, type TopicConfig } from "./topic-configs.ts";

/** Config values by name, canonical. */
export type ConfigValues = Readonly<Record<string, string>>;

/** One config as describe shows it. */
export interface DescribedConfig {
  readonly name: string;
  readonly value: string;
  readonly source: "topic" | "broker" | "default";
  readonly effect: "works" | "no_effect";
  /** Why it has no effect, or which values are refused. */
  readonly note: string | null;
}

/** The configs that work, typed. Times in ms, sizes in bytes. */
export interface TopicSettings {
  /** False: nothing is deleted by time or size (an empty cleanup.policy). */
  readonly deletes: boolean;
  /** null: for ever. */
  readonly retentionMs: number | null;
  /** null: without bound. */
  readonly retentionBytes: number | null;
  readonly maxMessageBytes: number;
  readonly timestampType: "CreateTime" | "LogAppendTime";
  readonly timestampBeforeMaxMs: number;
  readonly timestampAfterMaxMs: number;
  readonly minInsyncReplicas: number;
}

export type CheckedConfigs =
  | { readonly ok: true; readonly values: ConfigValues }
  | (Refusal & { readonly code: "invalid_config" });

/** The values in canonical form, or invalid_config naming the first bad one. `target` is for the message. */
export function checkTopicConfigs(target: string, given: ConfigValues): CheckedConfigs {
  const values: Record<string, string> = {};
  for (const [name, text] of Object.entries(given)) {
    const config = topicConfigByName.get(name);
    if (config === undefined) return invalid(target, unknownName(name));
    const checked = checkValue(config, text);
    if (!checked.ok) return invalid(target, `${name} ${checked.fault}`);
    values[name] = checked.value;
  }
  return { ok: true, values };
}

/** One value against its row: type, bounds, and whether it is built. */
export function checkValue(config: TopicConfig, text: string): ReturnType<typeof parseValue> {
  const parsed = parseValue(text, config);
  if (!parsed.ok) return parsed;
  const { effect } = config;
  if (effect.kind === "refused" && parsed.value !== config.default)
    return { ok: false, fault: `must be ${JSON.stringify(config.default)}: ${effect.why}` };
  if (effect.kind !== "works" || effect.unbuilt === undefined) return parsed;
  for (const item of parsed.value.split(",")) {
    const why = Object.hasOwn(effect.unbuilt, item) ? effect.unbuilt[item] : undefined;
    if (why !== undefined) return { ok: false, fault: `cannot be ${JSON.stringify(item)}: ${why}` };
  }
  return parsed;
}

/** The overrides after the changes; null resets. The answer holds overrides alone, in name order. */
export function changeConfigs(
  overrides: ConfigValues,
  changes: Readonly<Record<string, string | null>>,
): ConfigValues {
  const merged: Record<string, string> = { ...overrides };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete merged[name];
    else merged[name] = value;
  }
  return Object.fromEntries(Object.entries(merged).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Names of configs that no table knows, as a refusal; null when all are known. For resets, which carry no value. */
export function checkConfigNames(target: string, names: Iterable<string>): Refusal | null {
  for (const name of names)
    if (!topicConfigByName.has(name)) return invalid(target, unknownName(name));
  return null;
}

/** The typed settings of a topic with these overrides under these broker defaults. */
export function settingsOf(overrides: ConfigValues, brokerDefaults: ConfigValues): TopicSettings {
  const value = (name: string): string => effective(name, overrides, brokerDefaults);
  const number = (name: string): number => numberOf(value(name));
  const bounded = (name: string): number | null => (number(name) < 0 ? null : number(name));
  return {
    deletes: value("cleanup.policy").split(",").includes("delete"),
    retentionMs: bounded("retention.ms"),
    retentionBytes: bounded("retention.bytes"),
    maxMessageBytes: number("max.message.bytes"),
    timestampType:
      value("message.timestamp.type") === "LogAppendTime" ? "LogAppendTime" : "CreateTime",
    timestampBeforeMaxMs: number("message.timestamp.before.max.ms"),
    timestampAfterMaxMs: number("message.timestamp.after.max.ms"),
    minInsyncReplicas: number("min.insync.replicas"),
  };
}

/** Every config with its value, where it comes from and what it does, in name order. */
export function describeConfigs(
  overrides: ConfigValues,
  brokerDefaults: ConfigValues,
): readonly DescribedConfig[] {
  return topicConfigs.map((config) => ({
    name: config.name,
    value: effective(config.name, overrides, brokerDefaults),
    source: sourceOf(config.name, overrides, brokerDefaults),
    ...effectOf(config),
  }));
}

function effectOf(config: TopicConfig): Pick<DescribedConfig, "effect" | "note"> {
  const { effect } = config;
  switch (effect.kind) {
    case "works":
      return { effect: "works", note: null };
    case "refused":
      return { effect: "no_effect", note: `Other values are refused: ${effect.why}` };
    case "no_effect":
      return { effect: "no_effect", note: `Has no effect: ${effect.why}` };
    default:
      return unreachable(effect);
  }
}

function sourceOf(
  name: string,
  overrides: ConfigValues,
  brokerDefaults: ConfigValues,
): DescribedConfig["source"] {
  if (Object.hasOwn(overrides, name)) return "topic";
  return Object.hasOwn(brokerDefaults, name) ? "broker" : "default";
}

function effective(name: string, overrides: ConfigValues, brokerDefaults: ConfigValues): string {
  if (Object.hasOwn(overrides, name)) return overrides[name];
  if (Object.hasOwn(brokerDefaults, name)) return brokerDefaults[name];
  const config = topicConfigByName.get(name);
  assert(config !== undefined, `No topic config is named ${name}`);
  return config.default;
}

function unknownName(name: string): string {
  const nearest = nearestName(name, topicConfigByName.keys());
  const hint = nearest === null ? "" : `; did you mean ${nearest}?`;
  return `${JSON.stringify(name.slice(0, 100))} is not a topic config${hint}`;
}

function invalid(target: string, what: string): Refusal & { readonly code: "invalid_config" } {
  const refusal = refuse("invalid_config", `Cannot set configs of ${target}: ${what}`);
  return { ...refusal, code: "invalid_config" };
}
