// Every topic config of Kafka 4.3 as one table: name, type, default, bounds, broker synonyms, and what it does here.
//
// Promise: no config is silently ignored. Each row works, is refused until it is built (only its default is accepted),
// or has no effect because the journal has no such thing, which describe says. Defaults and bounds are Kafka's
// (LogConfig.java, TopicConfig.java) unless the row says why not.
// Left to others: where overrides are stored (cluster-state.ts), what the values do (broker/, partition/).

import { limits } from "../limits.ts";
import type { ValueRule } from "./config-values.ts";

/** A broker setting that gives a topic config its default; `scale` turns its unit into the config's. */
export interface Synonym {
  readonly name: string;
  readonly scale: number;
}

export type Effect =
  | { readonly kind: "works"; readonly unbuilt?: Readonly<Record<string, string>> }
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "no_effect"; readonly why: string };

export interface TopicConfig extends ValueRule {
  readonly name: string;
  /** Kafka's default, in canonical form. */
  readonly default: string;
  /** In order of precedence: the first that is set wins. */
  readonly synonyms: readonly Synonym[];
  readonly effect: Effect;
}

const works: Effect = { kind: "works" };
const noEffect = (why: string): Effect => ({ kind: "no_effect", why });
const refused = (why: string): Effect => ({ kind: "refused", why });
/** Works, but for these items, each with its reason. */
const worksExcept = (unbuilt: Readonly<Record<string, string>>): Effect => ({
  kind: "works",
  unbuilt,
});
const from = (...names: readonly string[]): readonly Synonym[] =>
  names.map((name) => ({ name, scale: 1 }));
const timed = (ms: string, minutes: string | null, hours: string): readonly Synonym[] => [
  { name: ms, scale: 1 },
  ...(minutes === null ? [] : [{ name: minutes, scale: 60_000 }]),
  { name: hours, scale: 3_600_000 },
];

const compaction = "log compaction is not built yet";
const tiering = "tiered storage is not built yet";
const recompression = "the broker does not recompress batches yet; the producer's codec is kept";
const throttling = "replication has no throttle yet";
const segments = "partitions have no segment files of their own: all share the journal's files";
const indexes = "the journal has no per-partition index files";
const fsync = "every acknowledged record is already on the disk";
const levels = "the broker does not compress; only the producer's own level counts";

const long = "9223372036854775807";

/** In code point order of names. */
export const topicConfigs: readonly TopicConfig[] = [
  {
    name: "cleanup.policy",
    type: "list",
    default: "delete",
    values: ["compact", "delete"],
    synonyms: from("log.cleanup.policy"),
    // The empty list keeps everything for ever, as in Kafka 4.3.
    effect: worksExcept({ compact: compaction }),
  },
  {
    name: "compression.gzip.level",
    type: "int",
    default: "-1",
    min: -1,
    max: 9,
    synonyms: from("compression.gzip.level"),
    effect: noEffect(levels),
  },
  {
    name: "compression.lz4.level",
    type: "int",
    default: "9",
    min: 1,
    max: 17,
    synonyms: from("compression.lz4.level"),
    effect: noEffect(levels),
  },
  {
    name: "compression.type",
    type: "string",
    default: "producer",
    values: ["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"],
    synonyms: from("compression.type"),
    effect: worksExcept({
      uncompressed: recompression,
      zstd: recompression,
      lz4: recompression,
      snappy: recompression,
      gzip: recompression,
    }),
  },
  {
    name: "compression.zstd.level",
    type: "int",
    default: "3",
    min: -131_072,
    max: 22,
    synonyms: from("compression.zstd.level"),
    effect: noEffect(levels),
  },
  {
    name: "delete.retention.ms",
    type: "long",
    default: "86400000",
    min: 0,
    synonyms: from("log.cleaner.delete.retention.ms"),
    effect: refused(compaction),
  },
  {
    name: "file.delete.delay.ms",
    type: "long",
    default: "60000",
    min: 0,
    synonyms: from("log.segment.delete.delay.ms"),
    effect: noEffect("a file of the journal goes as soon as nothing in it is live or being read"),
  },
  {
    name: "flush.messages",
    type: "long",
    default: long,
    min: 1,
    synonyms: from("log.flush.interval.messages"),
    effect: noEffect(fsync),
  },
  {
    name: "flush.ms",
    type: "long",
    default: long,
    min: 0,
    synonyms: from("log.flush.interval.ms"),
    effect: noEffect(fsync),
  },
  {
    name: "follower.replication.throttled.replicas",
    type: "list",
    default: "",
    synonyms: [],
    effect: refused(throttling),
  },
  {
    name: "index.interval.bytes",
    type: "int",
    default: "4096",
    min: 0,
    synonyms: from("log.index.interval.bytes"),
    effect: noEffect(indexes),
  },
  {
    name: "leader.replication.throttled.replicas",
    type: "list",
    default: "",
    synonyms: [],
    effect: refused(throttling),
  },
  {
    name: "local.retention.bytes",
    type: "long",
    default: "-2",
    min: -2,
    synonyms: from("log.local.retention.bytes"),
    effect: refused(tiering),
  },
  {
    name: "local.retention.ms",
    type: "long",
    default: "-2",
    min: -2,
    synonyms: from("log.local.retention.ms"),
    effect: refused(tiering),
  },
  {
    name: "max.compaction.lag.ms",
    type: "long",
    default: long,
    min: 1,
    synonyms: from("log.cleaner.max.compaction.lag.ms"),
    effect: refused(compaction),
  },
  {
    name: "max.message.bytes",
    type: "int",
    default: String(limits.messageBytesMax),
    min: 0,
    // Kafka allows 2^31-1; a batch here is one row and one flush, and must fit into one request.
    max: limits.requestBodyBytesMax,
    synonyms: from("message.max.bytes"),
    effect: works,
  },
  {
    name: "message.timestamp.after.max.ms",
    type: "long",
    default: "3600000",
    min: 0,
    synonyms: from("log.message.timestamp.after.max.ms"),
    effect: works,
  },
  {
    name: "message.timestamp.before.max.ms",
    type: "long",
    default: long,
    min: 0,
    synonyms: from("log.message.timestamp.before.max.ms"),
    effect: works,
  },
  {
    name: "message.timestamp.type",
    type: "string",
    default: "CreateTime",
    values: ["CreateTime", "LogAppendTime"],
    synonyms: from("log.message.timestamp.type"),
    effect: works,
  },
  {
    name: "min.cleanable.dirty.ratio",
    type: "double",
    default: "0.5",
    min: 0,
    max: 1,
    synonyms: from("log.cleaner.min.cleanable.ratio"),
    effect: refused(compaction),
  },
  {
    name: "min.compaction.lag.ms",
    type: "long",
    default: "0",
    min: 0,
    synonyms: from("log.cleaner.min.compaction.lag.ms"),
    effect: refused(compaction),
  },
  {
    name: "min.insync.replicas",
    type: "int",
    default: "1",
    min: 1,
    synonyms: from("min.insync.replicas"),
    effect: works,
  },
  {
    name: "preallocate",
    type: "boolean",
    default: "false",
    synonyms: from("log.preallocate"),
    effect: noEffect(segments),
  },
  {
    name: "remote.log.copy.disable",
    type: "boolean",
    default: "false",
    synonyms: [],
    effect: refused(tiering),
  },
  {
    name: "remote.log.delete.on.disable",
    type: "boolean",
    default: "false",
    synonyms: [],
    effect: refused(tiering),
  },
  {
    name: "remote.storage.enable",
    type: "boolean",
    default: "false",
    synonyms: [],
    effect: refused(tiering),
  },
  {
    name: "retention.bytes",
    type: "long",
    default: "-1",
    synonyms: from("log.retention.bytes"),
    effect: works,
  },
  {
    name: "retention.ms",
    type: "long",
    default: "604800000",
    min: -1,
    synonyms: timed("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
    effect: works,
  },
  {
    name: "segment.bytes",
    type: "int",
    default: "1073741824",
    min: 1_048_576,
    synonyms: from("log.segment.bytes"),
    effect: noEffect(segments),
  },
  {
    name: "segment.index.bytes",
    type: "int",
    default: "10485760",
    min: 4,
    synonyms: from("log.index.size.max.bytes"),
    effect: noEffect(indexes),
  },
  {
    name: "segment.jitter.ms",
    type: "long",
    default: "0",
    min: 0,
    synonyms: timed("log.roll.jitter.ms", null, "log.roll.jitter.hours"),
    effect: noEffect(segments),
  },
  {
    name: "segment.ms",
    type: "long",
    default: "604800000",
    min: 1,
    synonyms: timed("log.roll.ms", null, "log.roll.hours"),
    effect: noEffect(segments),
  },
  {
    name: "unclean.leader.election.enable",
    type: "boolean",
    default: "false",
    synonyms: from("unclean.leader.election.enable"),
    effect: noEffect("Raft never elects a leader that lacks a committed record"),
  },
];

/** The rows by name. */
export const topicConfigByName: ReadonlyMap<string, TopicConfig> = new Map(
  topicConfigs.map((config) => [config.name, config]),
);
