// Records as tests write and read them, over the HTTP door.

import { systemWorld } from "../world.ts";

export interface NewRecord {
  readonly key?: string | null;
  /** Text; bytes; null (a tombstone); or anything else, which is written as JSON. */
  readonly value: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly partition?: number;
  /** ms since the Unix epoch. */
  readonly timestamp?: number;
}

export interface TestRecord {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  /** Text; null when there is none; undefined when the bytes are no UTF-8. */
  readonly key: string | null | undefined;
  /** As key; bytes that are no UTF-8 are in valueBase64. */
  readonly value: string | null | undefined;
  readonly valueBase64?: string;
  readonly headers: readonly (readonly [string, unknown])[];
  /** The value parsed as JSON. */
  json(): unknown;
}

export interface ReadOptions {
  /** Only this partition. */
  readonly partition?: number;
  /** In a cluster: what the partition's leader has ("leader", the default), also after a round to a majority
   *  ("linearizable"), or what this very node has ("local"). */
  readonly consistency?: "leader" | "linearizable" | "local";
}

/** A record as the door takes it. */
export function recordJson({ value, headers, ...rest }: NewRecord): Record<string, unknown> {
  return {
    ...rest,
    ...valueJson(value),
    ...(headers === undefined ? {} : { headers: Object.entries(headers) }),
  };
}

function valueJson(value: unknown): Record<string, unknown> {
  if (typeof value === "string" || value === null) return { value };
  if (value instanceof Uint8Array) return { valueBase64: Buffer.from(value).toString("base64") };
  return { valueJson: value };
}

interface Page {
  readonly records: readonly Omit<TestRecord, "json">[];
  readonly cursor: string;
  readonly partitions: readonly { readonly nextOffset: number; readonly highWatermark: number }[];
}

/** Reads from the beginning until `enough`, or until the end is reached and waitMsMax is over. */
export async function readTopic(
  url: string,
  topic: string,
  options: ReadOptions & {
    readonly enough: (records: readonly TestRecord[]) => boolean;
    readonly waitMsMax: number;
  },
): Promise<readonly TestRecord[]> {
  const deadline = systemWorld.monotonic() + options.waitMsMax;
  const records: TestRecord[] = [];
  let cursor: string | null = null;
  for (;;) {
    const leftMs = Math.max(0, Math.ceil(deadline - systemWorld.monotonic()));
    const page = await readPage(url, topic, {
      ...options,
      cursor,
      waitMs: Math.min(leftMs, 1_000),
    });
    if (page !== null) {
      records.push(...page.records.map(withJson));
      cursor = page.cursor;
    }
    const atEnd =
      page === null || page.partitions.every((one) => one.nextOffset >= one.highWatermark);
    if (options.enough(records) || (atEnd && leftMs === 0)) return records;
    if (page === null) await pause(10);
  }
}

/** null while there is no such topic. */
async function readPage(
  url: string,
  topic: string,
  options: ReadOptions & { readonly cursor: string | null; readonly waitMs: number },
): Promise<Page | null> {
  const query = new URLSearchParams({ maxRecords: "1000", waitMs: String(options.waitMs) });
  if (options.cursor !== null) query.set("cursor", options.cursor);
  if (options.partition !== undefined) query.set("partition", String(options.partition));
  const path = `/v1/topics/${encodeURIComponent(topic)}/records?${query}`;
  const { consistency } = options;
  const headers: HeadersInit =
    consistency === undefined ? {} : { "rivulet-consistency": consistency };
  const response = await fetch(url + path, { headers });
  const json: unknown = await response.json();
  if (response.status === 200) return json as Page;
  if (response.status === 404 && options.waitMs > 0) return null;
  throw new Error(`Reading ${topic} answered ${response.status}: ${JSON.stringify(json)}`);
}

function withJson(record: Omit<TestRecord, "json">): TestRecord {
  return { ...record, json: () => JSON.parse(record.value ?? "null") as unknown };
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => void systemWorld.setTimer(ms, resolve));
