// Entries for journal tests: bytes that tell which entry they belong to, in slices of a pool.

import type { SlabPool } from "../../src/bytes/slab.ts";
import { entryKinds, type EntryKind, type LogEntry } from "../../src/journal/journal.ts";
import { logIndex, offset, term } from "../../src/quantities.ts";

export interface EntryPlan {
  readonly index: number;
  readonly term: number;
  readonly baseOffset: number;
  readonly offsetCount?: number;
  readonly kind?: EntryKind;
  readonly bytes?: number;
  readonly time?: number;
  readonly maxTimestamp?: number;
  /** Told apart by content. */
  readonly stamp?: number;
}

/** The bytes that an entry of this plan carries. */
export function contentOf(plan: EntryPlan): Uint8Array {
  const bytes = new Uint8Array(plan.bytes ?? 100);
  let state = (plan.index * 31 + plan.term * 7 + (plan.stamp ?? 0) * 131) >>> 0;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** A data entry (or one of another kind, without batch). The caller holds its slice. */
export function entryOf(slabs: SlabPool, plan: EntryPlan): LogEntry {
  const kind = plan.kind ?? entryKinds.data;
  const data = kind === entryKinds.data;
  const content = contentOf(plan);
  const batch = data ? slabs.allocate(content.length) : null;
  batch?.bytes.set(content);
  return {
    index: logIndex(plan.index),
    term: term(plan.term),
    kind,
    baseOffset: offset(plan.baseOffset),
    offsetCount: data ? (plan.offsetCount ?? 1) : 0,
    time: plan.time ?? plan.index,
    maxTimestamp: plan.maxTimestamp ?? (data ? plan.index : -1),
    meta: null,
    batch,
  };
}

export function releaseAll(entries: readonly LogEntry[]): void {
  for (const entry of entries) entry.batch?.release();
}
