// Forms one entry out of queued appends: the batches back to back, each stamped with its place.
//
//   queue   [a 200 B][b 300 B][c 1 MiB] ...        entry 1 = a b        entry 2 = c        (1 MiB or one batch)
//
// Promise: a batch is copied at most once (not at all when it is alone in its entry); stamps lie outside the CRC;
// nothing is allocated per record. Left to others: which appends (appender.ts).

import type { EntryDraft } from "../consensus/replica.ts";
import type { Slice, SlabPool } from "../bytes/slab.ts";
import { entryKinds } from "../journal/journal.ts";
import { limits } from "../limits.ts";
import { offset } from "../quantities.ts";
import { stampBatch } from "../records/batch-layout.ts";
import { encodeCommand, encodeReceipts } from "./entry-meta.ts";
import type { KeyReceipt } from "./idempotency.ts";
import type { Pending, PendingAppend, PendingFence } from "./proposals.ts";

/** How many of queue[from...] go into the next entry: appends up to the limit, at least one; a fence goes alone. */
export function entryLength(queue: readonly Pending[], from: number): number {
  if (queue[from].kind === "fence") return 1;
  let bytes = 0;
  let end = from;
  for (; end < queue.length; end += 1) {
    const next = queue[end];
    if (next.kind === "fence") break;
    bytes += next.batch.bytes.length;
    if (end > from && bytes > limits.entryBytesMax) break;
  }
  return end - from;
}

export function fenceDraft(fence: PendingFence, baseOffset: number): EntryDraft {
  return {
    kind: entryKinds.command,
    baseOffset: offset(baseOffset),
    offsetCount: 0,
    maxTimestamp: -1,
    meta: encodeCommand({ kind: "fence", token: fence.token }),
    batch: null,
  };
}

/** The caller releases the draft's batch after proposing. */
export function dataDraft(
  appends: readonly PendingAppend[],
  leaderEpoch: number,
  slabs: SlabPool,
): EntryDraft {
  const baseOffset = appends[0].baseOffset;
  let offsetCount = 0;
  let maxTimestamp = -1;
  let timeMin = 0;
  for (const append of appends) {
    offsetCount += append.recordCount;
    maxTimestamp = Math.max(maxTimestamp, append.maxTimestamp);
    timeMin = Math.max(timeMin, append.logAppendTime);
    stampBatch(append.batch.bytes, 0, { baseOffset: append.baseOffset, leaderEpoch });
  }
  return {
    kind: entryKinds.data,
    baseOffset: offset(baseOffset),
    offsetCount,
    maxTimestamp,
    timeMin,
    meta: encodeReceipts(receiptsOf(appends), baseOffset),
    batch: appends.length === 1 ? appends[0].batch.retain() : joined(appends, slabs),
  };
}

function joined(appends: readonly PendingAppend[], slabs: SlabPool): Slice {
  const length = appends.reduce((sum, append) => sum + append.batch.bytes.length, 0);
  const slice = slabs.allocate(length);
  let at = 0;
  for (const { batch } of appends) {
    slice.bytes.set(batch.bytes, at);
    at += batch.bytes.length;
  }
  return slice;
}

function receiptsOf(appends: readonly PendingAppend[]): readonly KeyReceipt[] {
  const receipts: KeyReceipt[] = [];
  for (const { key, baseOffset, recordCount, maxTimestamp } of appends) {
    if (key !== null) receipts.push({ ...key, baseOffset, recordCount, maxTimestamp });
  }
  return receipts;
}
