// What the host puts into a Raft entry, and the ways between the core's entry, the journal's entry and a proposal.
//
//   EntryDraft  --propose-->  Entry<Payload>  --flush-->  LogEntry  --replay-->  StateMachine.apply
//
// Promise: an entry's columns are the payload's, index and term are the core's; no byte of a batch is copied.
// Left to others: who holds the batch's slice (entry-window.ts).

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";

import type { ConfChange, Entry } from "../../raft/types.ts";
import { Fault } from "../errors.ts";
import { entryKinds, type LogEntry, type LogStart } from "../journal/journal.ts";
import { logIndex, offset, term, type Offset } from "../quantities.ts";
import { encodeChange } from "./membership-change.ts";
import type { EntryDraft } from "./replica.ts";

/** A draft with its time. */
export interface Payload extends EntryDraft {
  readonly time: number;
}

/** Bytes that the core's limits count for a draft. */
export function draftBytes(draft: EntryDraft): number {
  return (draft.meta?.length ?? 0) + (draft.batch?.bytes.length ?? 0);
}

/** A new leader's first entry. It takes no offset. */
export function noopPayload(baseOffset: Offset, time: number): Payload {
  return { ...emptyDraft(entryKinds.noop, baseOffset, null), time };
}

/** A change of configuration; it takes no offset. */
export function changePayload(change: ConfChange, baseOffset: Offset, time: number): Payload {
  return { ...emptyDraft(entryKinds.config, baseOffset, encodeChange(change)), time };
}

/** A log-start entry; meta: [offset, index, term of index - 1]. */
export function logStartDraft(start: LogStart, baseOffset: Offset): EntryDraft {
  const meta = pack([start.offset, start.index, start.prevTerm]);
  return emptyDraft(entryKinds.logStart, baseOffset, meta);
}

export function logStartOf(entry: LogEntry): LogStart {
  const values: unknown = entry.meta === null ? null : unpack(entry.meta);
  if (!isThreeNumbers(values)) {
    const detail = `Cannot apply log-start entry ${entry.index}: its meta is not three numbers`;
    throw new Fault("storage_damaged", detail, { members: { index: entry.index } });
  }
  return { offset: offset(values[0]), index: logIndex(values[1]), prevTerm: term(values[2]) };
}

/** The journal's form of the core's entry. Null: an entry that was recovered and whose payload is on the disk only. */
export function toLogEntry(entry: Entry<Payload>): LogEntry | null {
  const { data } = entry;
  if (data === null) return null;
  const { kind, baseOffset, offsetCount, time, maxTimestamp, meta, batch } = data;
  return {
    index: logIndex(entry.index),
    term: term(entry.term),
    kind,
    baseOffset,
    offsetCount,
    time,
    maxTimestamp,
    meta,
    batch,
  };
}

function emptyDraft(
  kind: EntryDraft["kind"],
  baseOffset: Offset,
  meta: Uint8Array | null,
): EntryDraft {
  return { kind, baseOffset, offsetCount: 0, maxTimestamp: -1, meta, batch: null };
}

function isThreeNumbers(values: unknown): values is [number, number, number] {
  return Array.isArray(values) && values.length === 3 && values.every(Number.isSafeInteger);
}
