// Where a read or a tail begins: one of from, offset, last, timestamp, cursor; resolved to the next offset of each
// partition that is followed.
//
// Promise: a cursor of another topic, or a damaged one, is refused and never read from elsewhere; a position outside the
// log is told with the log's bounds.

import type { PartitionBounds, ReadConsistency, TopicView } from "../../src/broker/broker.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { offsetSchema, partitionSchema } from "../contract/shapes.ts";
import type { Call } from "./call.ts";
import type { Services } from "./services.ts";
import { readCursor, type Position } from "./cursor.ts";
import { unknownPartition } from "./placement.ts";
import { filterFields, type RecordFilter } from "./record-filter.ts";
import type { Fields, Parsed } from "./route.ts";

const startFields = {
  from: {
    schema: {
      type: "string",
      enum: ["earliest", "latest"],
      description: "Start of the log or its end",
    },
  },
  offset: { schema: { ...offsetSchema, description: "Next offset wanted; one partition only" } },
  last: {
    schema: { ...offsetSchema, description: "This many records before the end, in each partition" },
  },
  timestamp: {
    schema: {
      type: "string",
      description: "First record at or after it: ms since the epoch, or RFC 3339",
    },
  },
  cursor: { schema: { type: "string", description: "Where an earlier answer said to go on" } },
} as const satisfies Fields;

export const readFields = {
  ...startFields,
  as: {
    schema: {
      type: "string",
      enum: ["auto", "base64", "json"],
      default: "auto",
      description:
        "auto: UTF-8 as text, else base64; json: the stored text as valueJson if it is JSON",
    },
  },
  partition: { schema: partitionSchema, repeated: true },
  ...filterFields,
} as const satisfies Fields;

export type StartQuery = Parsed<typeof startFields>;

export interface StartRequest {
  readonly view: TopicView;
  readonly query: StartQuery;
  /** Partitions asked for by path or query; empty: all of them, or the cursor's. */
  readonly partitions: readonly number[];
  readonly otherwise: "earliest" | "latest";
  readonly filter: RecordFilter | null;
  /** undefined: as the leaders have it. */
  readonly consistency?: ReadConsistency | undefined;
}

export interface Start {
  readonly ok: true;
  /** Partitions made later are followed too. */
  readonly all: boolean;
  /** In order of partition. */
  readonly positions: readonly Position[];
}

/** The positions, or why there are none. */
export async function resolveStart(
  services: Services,
  request: StartRequest,
): Promise<Start | Refusal> {
  const { view, query, partitions, consistency } = request;
  const given = Object.keys(startFields).filter(
    (name) => query[name as keyof StartQuery] !== undefined,
  );
  if (given.length > 1) return invalid(`Only one of ${given.join(", ")} is wanted`);
  const beyond = partitions.find((partition) => partition >= view.partitions);
  if (beyond !== undefined) return unknownPartition(view.name, beyond, view);
  if (query.cursor !== undefined) return startAtCursor(request, query.cursor);
  const { broker } = services;
  const bounds =
    consistency === "local"
      ? broker.bounds(view.name, partitions)
      : broker.currentBounds(view.name, partitions);
  const chosen = bounds instanceof Promise ? await bounds : bounds;
  if ("ok" in chosen) return chosen;
  const positions = await startOffsets(services, request, chosen);
  return "ok" in positions ? positions : { ok: true, all: partitions.length === 0, positions };
}

function invalid(detail: string): Refusal {
  return refuse("invalid_request", detail);
}

function startAtCursor(request: StartRequest, text: string): Start | Refusal {
  const { view, partitions, filter } = request;
  const cursor = readCursor(text);
  if (cursor === null) return invalid("cursor is none of ours, or was damaged on its way");
  if (cursor.topicId !== view.topicId) {
    const detail = `The cursor is of a topic with another id than ${view.name} has now`;
    return refuse("topic_recreated", detail, { members: { topicId: view.topicId } });
  }
  if (cursor.filter !== null && cursor.filter !== filter?.sum) {
    return invalid("The cursor was reached with another filter (key, keyPrefix, header)");
  }
  const at = new Map(cursor.positions.map(({ partition, offset }) => [partition, offset]));
  const beyond = cursor.positions.find(({ partition }) => partition >= view.partitions);
  if (beyond !== undefined) return invalid(`The cursor names partition ${beyond.partition}`);
  const followed = partitions.length > 0 ? [...partitions].sort((a, b) => a - b) : [...at.keys()];
  if (cursor.all) {
    // Partitions made after the cursor join at their first record.
    const every =
      partitions.length > 0 ? followed : Array.from({ length: view.partitions }, (_, p) => p);
    const positions = every.map((partition) => ({ partition, offset: at.get(partition) ?? 0 }));
    return { ok: true, all: partitions.length === 0, positions };
  }
  const strange = followed.find((partition) => !at.has(partition));
  if (strange !== undefined) return invalid(`The cursor does not know partition ${strange}`);
  const positions = followed.map((partition) => ({ partition, offset: at.get(partition)! }));
  return { ok: true, all: false, positions };
}

async function startOffsets(
  services: Services,
  { view, query, otherwise, consistency }: StartRequest,
  chosen: readonly PartitionBounds[],
): Promise<readonly Position[] | Refusal> {
  if (query.timestamp !== undefined)
    return offsetsAt(services, view, { chosen, text: query.timestamp, consistency });
  if (query.offset !== undefined) {
    if (chosen.length !== 1) return invalid("offset is for one partition; use cursor for several");
    return [{ partition: chosen[0].partition, offset: query.offset }];
  }
  const { last } = query;
  const from = query.from ?? otherwise;
  return chosen.map(({ partition, logStartOffset, highWatermark }) => {
    if (last !== undefined)
      return { partition, offset: Math.max(logStartOffset, highWatermark - last) };
    return { partition, offset: from === "earliest" ? logStartOffset : highWatermark };
  });
}

async function offsetsAt(
  services: Services,
  view: TopicView,
  asked: {
    readonly chosen: readonly PartitionBounds[];
    readonly text: string;
    readonly consistency: ReadConsistency | undefined;
  },
): Promise<readonly Position[] | Refusal> {
  const { chosen, text, consistency } = asked;
  const timestamp = parseTime(text);
  if (timestamp === null)
    return invalid(`timestamp must be ms or RFC 3339, got "${text.slice(0, 80)}"`);
  const wanted = chosen.map(({ partition }) => ({ partition, at: { timestamp } }));
  const options = consistency === undefined ? {} : { consistency };
  const found = await services.broker.listOffsets(view.name, wanted, options);
  if ("ok" in found) return found;
  const positions: Position[] = [];
  for (const [i, place] of found.entries()) {
    if (!place.ok) return place;
    // Nothing is that young yet: what comes next is.
    const offset = place.offset < 0 ? chosen[i].highWatermark : place.offset;
    positions.push({ partition: place.partition, offset });
  }
  return positions;
}

const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/;

/** ms since the epoch, or null. */
export function parseTime(text: string): number | null {
  if (/^\d{1,16}$/.test(text)) {
    const value = Number(text);
    return Number.isSafeInteger(value) ? value : null;
  }
  if (!rfc3339.test(text)) return null;
  const value = Date.parse(text.replace(" ", "T").toUpperCase());
  return Number.isNaN(value) || value < 0 ? null : value;
}

/** 416 with both ends of the log: as the refusal tells them (another node may have refused), else as this node knows. */
export function outOfRange(
  services: Services,
  topic: string,
  { partition, offset }: Position,
  told: Refusal["members"] = {},
): Refusal {
  const bounds = services.broker.bounds(topic, [partition]);
  if ("ok" in bounds) return bounds;
  const found = bounds.find((one) => one.partition === partition);
  const { logStartOffset, logEndOffset, highWatermark } = newest(found ?? {}, told);
  const detail = `Cannot read ${topic}-${partition} at offset ${offset}: it holds ${logStartOffset} to ${logEndOffset} (end exclusive)`;
  const members = { partition, logStartOffset, highWatermark, logEndOffset };
  return refuse("offset_out_of_range", detail, { members });
}

/** Bounds only move on: of two tellings the larger number is the newer one. */
function newest(known: Partial<PartitionBounds>, told: NonNullable<Refusal["members"]>) {
  const later = (name: "logStartOffset" | "highWatermark" | "logEndOffset"): number => {
    const one = told[name];
    return Math.max(known[name] ?? 0, typeof one === "number" ? one : 0);
  };
  const [logStartOffset, highWatermark] = [later("logStartOffset"), later("highWatermark")];
  const logEndOffset = Math.max(later("logEndOffset"), highWatermark);
  return { logStartOffset, highWatermark, logEndOffset };
}

/** 404 that says how to make the topic: a command to paste. */
export function unknownTopic({ services, topic, visit }: Call): Refusal {
  const refusal = services.broker.describeTopic({ name: topic });
  if ("ok" in refusal && refusal.code !== "unknown_topic_or_partition") return refusal;
  const quoted = JSON.stringify({ name: topic }).replaceAll("'", "\\u0027");
  const node = /^https?:\/\/[\w.:[\]-]+/.exec(visit.request.url)?.[0] ?? "";
  const detail = `Topic ${JSON.stringify(topic)} does not exist; create it: curl --json '${quoted}' ${node}/v1/topics`;
  return refuse("unknown_topic_or_partition", detail);
}

/** Partitions of path or query, or a refusal of too many. */
export function askedPartitions(
  pathPartition: number,
  asked: readonly number[] | undefined,
): readonly number[] {
  if (pathPartition >= 0) return [pathPartition];
  return [...new Set(asked)];
}

export function tooManyToTail(count: number): Refusal | null {
  if (count <= limits.tailPartitionsMax) return null;
  return invalid(
    `One tail follows at most ${limits.tailPartitionsMax} partitions, got ${count}; name some by partition=`,
  );
}
