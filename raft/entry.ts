// Sizes of entries. Two measures, kept apart because mixing them wedges a log (etcd raft counted an entry one way on
// the way in and another on the way out): `bytes` is the payload, entryBytes() adds what carrying the entry costs.

import type { Entry } from "./types.ts";

/** What index, term and type cost beside the payload; makes a million empty entries weigh something. */
export const entryOverheadBytes = 16;

/** Size of an entry for messages, pages and reads. */
export function entryBytes(entry: Entry<unknown>): number {
  return entry.bytes + entryOverheadBytes;
}

/** Sum of entryBytes. */
export function entriesBytes(entries: readonly Entry<unknown>[]): number {
  let sum = 0;
  for (const entry of entries) sum += entry.bytes + entryOverheadBytes;
  return sum;
}

/** Sum of payloads: what in-flight windows and the uncommitted limit count. */
export function payloadBytes(entries: readonly Entry<unknown>[]): number {
  let sum = 0;
  for (const entry of entries) sum += entry.bytes;
  return sum;
}

/** How many entries from `start` (before `end`) fit into maxBytes; at least 1 when there is any. */
export function fitting(
  entries: readonly Entry<unknown>[],
  range: { readonly start: number; readonly end: number },
  maxBytes: number,
): number {
  if (range.start >= range.end) return 0;
  let size = entryBytes(entries[range.start]);
  let next = range.start + 1;
  for (; next < range.end; next++) {
    size += entryBytes(entries[next]);
    if (size > maxBytes) break;
  }
  return next - range.start;
}
