// Reading a page: where it starts, and what comes back.

import { RivuletError } from "./errors.ts";
import { ReadRecord, type RecordJson } from "./read-record.ts";
import { segment, type Ask } from "./transport.ts";

/** Where reading begins. An offset is of one partition; `last` counts back in each. */
export type Start =
  | "earliest"
  | "latest"
  | { readonly cursor: string }
  | { readonly offset: number }
  | { readonly last: number }
  /** First record at or after it: ms since the Unix epoch, a Date, or RFC 3339. */
  | { readonly timestamp: number | Date | string };

export interface ReadOptions {
  /** Default: earliest. */
  readonly from?: Start;
  /** Default: all. */
  readonly partitions?: readonly number[];
  /** 1 to 10,000; default 500. */
  readonly maxRecords?: number;
  /** Default 1 MiB; one record always comes. */
  readonly maxBytes?: number;
  /** How long an empty answer waits for a record, 0 (default) to 30,000 ms. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

export interface Page {
  readonly records: readonly ReadRecord[];
  /** Where to go on. */
  readonly cursor: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly nextOffset: number;
    readonly highWatermark: number;
    readonly logStartOffset: number;
  }[];
}

/** The query of a start, shared by read and tail. */
export function startQuery(from: Start, partitions: readonly number[]): URLSearchParams {
  const query = new URLSearchParams();
  if (typeof from === "string") query.set("from", from);
  else
    for (const [name, value] of Object.entries(from)) {
      query.set(name, String(value instanceof Date ? value.getTime() : value));
    }
  for (const partition of partitions) query.append("partition", String(partition));
  return query;
}

export function readAsk(topic: string, options: ReadOptions): Ask {
  const { from = "earliest", partitions = [], signal, maxRecords, maxBytes, waitMs = 0 } = options;
  const query = startQuery(from, partitions);
  if (maxRecords !== undefined) query.set("maxRecords", String(maxRecords));
  if (maxBytes !== undefined) query.set("maxBytes", String(maxBytes));
  if (waitMs > 0) query.set("waitMs", String(waitMs));
  const path = `/v1/topics/${segment(topic)}/records`;
  return { method: "GET", path, query, repeatable: true, signal, waitMs };
}

/** Throws RivuletError `bad_answer` when it is no page. */
export function pageOf(json: unknown): Page {
  const page = json as Omit<Page, "records"> & { readonly records: readonly RecordJson[] };
  if (!Array.isArray(page.records) || typeof page.cursor !== "string") {
    throw new RivuletError("The answer to a read holds no records", { code: "bad_answer" });
  }
  const records = page.records.map((record) => new ReadRecord(record));
  return { records, cursor: page.cursor, partitions: page.partitions };
}
