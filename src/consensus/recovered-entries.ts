// What the core and the positions must know of entries that were found in the journal and are not applied yet, without
// their batches: a tail that was not known to be committed, and changes of configuration.
//
//   ... applied | change at 17 | ... commit | recovered tail ......... lastIndex
//
// Promise: heads alone are kept, O(tail) of them; a batch that was read on the way is given back at once. Left to
// others: reading them for the fold (fold-feed.ts) and for peers (replica-storage.ts).

import type { ConfChange } from "../../raft/types.ts";
import { entryKinds, type Journal, type LogEntry } from "../journal/journal.ts";
import { logIndex, type ReplicaNumber } from "../quantities.ts";
import { decodeChange } from "./membership-change.ts";

const pageBytesMax = 1024 * 1024;

export interface RecoveredEntry {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly time: number;
  /** Of a configuration entry, else null. */
  readonly change: ConfChange | null;
}

export type RecoveredEntries = ReadonlyMap<number, RecoveredEntry>;

export const nothingRecovered: RecoveredEntries = new Map();

/** Heads of [from, end), and of the configuration entries named (those that are none any more are passed over). Rejects
 *  with storage_damaged. */
export async function readRecovered(
  journal: Journal,
  replica: ReplicaNumber,
  wanted: { readonly from: number; readonly end: number; readonly changes: readonly number[] },
): Promise<RecoveredEntries> {
  const found = new Map<number, RecoveredEntry>();
  const before = wanted.changes.filter((index) => index < wanted.from);
  for (const index of before)
    await readHeads(journal, replica, { from: index, end: index + 1 }, found);
  await readHeads(journal, replica, wanted, found);
  return found;
}

async function readHeads(
  journal: Journal,
  replica: ReplicaNumber,
  { from, end }: { readonly from: number; readonly end: number },
  found: Map<number, RecoveredEntry>,
): Promise<void> {
  for (let index = from; index < end;) {
    const page = await journal.read({
      replica,
      from: { index: logIndex(index) },
      endIndex: logIndex(end),
      maxBytes: pageBytesMax,
      dataOnly: false,
    });
    for (const entry of page.entries) found.set(entry.index, headOf(entry));
    const { length } = page.entries;
    page.release();
    if (length === 0) return;
    index += length;
  }
}

function headOf({ kind, meta, baseOffset, offsetCount, time }: LogEntry): RecoveredEntry {
  const change = kind === entryKinds.config ? decodeChange(meta) : null;
  return { baseOffset, nextOffset: baseOffset + offsetCount, time, change };
}
