// Requests as the doors make them, with what most tests want.

import type { FetchRequest, ProduceRequest } from "../../src/broker/broker.ts";
import { batchOf } from "./batches.ts";

/** Where a VirtualWorld's clock begins. */
export const now = 1_700_000_000_000;

/** One batch to one partition, acks=all. */
export const produce = (
  topic: string,
  batch: ReturnType<typeof batchOf>,
  more: Partial<ProduceRequest> & { readonly partition?: number } = {},
): ProduceRequest => {
  const { partition = 0, ...rest } = more;
  return {
    topic,
    acks: "all",
    timeoutMs: 30_000,
    trusted: false,
    appends: [{ partition, batch }],
    ...rest,
  };
};

/** One batch, one record a timestamp. */
export const stamped = (...timestamps: number[]) =>
  batchOf(...timestamps.map((timestamp) => ({ value: String(timestamp), timestamp })));

/** A position of a fetch. */
export const at = (partition: number, offset: number, maxBytes = 1 << 20) => ({
  partition,
  offset,
  maxBytes,
});

/** A fetch that does not wait. */
export const fetchOf = (topic: string, ...positions: FetchRequest["positions"]): FetchRequest => ({
  topic,
  positions,
  maxBytes: 1 << 20,
  minBytes: 1,
  maxWaitMs: 0,
});
