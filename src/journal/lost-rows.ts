// Entries whose rows are lost: their places are kept and named, so that nobody else is given their indexes and offsets.
//
//   rows of the file    | 1 2 3 . . 6 7 |          . lost      a later row tells where the hole ends
//   state after it      | last 9, next offset 40 |             so do the next file's image and the index of a clean stop:
//                                                              8 and 9 are lost as well
//
// Promise: a place that is kept reads as damaged (its lsn is 0), folds pass over it, the log goes on behind it; the same
// files tell the same hole at every start. Left to others: where the state comes from (recovery.ts), what a read says.

import { logIndex, offset } from "../quantities.ts";
import type { ReplicaImage } from "./image.ts";
import { entryKinds, type Damage } from "./journal.ts";
import type { JournalFile } from "./journal-files.ts";
import { ReplicaLog } from "./replica-log.ts";
import type { Segment } from "./segment.ts";

/** Where the hole ends: the first index and offset behind it. */
export interface HoleEnd {
  readonly endIndex: number;
  readonly endOffset: number;
}

/** A replica of which no row is left but what sealed files hold: it ends with them. */
export function logOfRemains(image: ReplicaImage, segments: readonly Segment[]): ReplicaLog {
  const { logStart } = image;
  const last = segments.at(-1);
  const lastIndex = Math.max(logStart.index - 1, last?.lastIndex ?? 0);
  const nextOffset = Math.max(logStart.offset, last?.nextOffset ?? 0);
  const log = new ReplicaLog({ ...image, lastIndex, nextOffset, epochs: [] }, true);
  log.segments.push(...segments);
  return log;
}

/** What the image tells beyond the rows of the file before it was lost there. */
export function keepPlaces(
  log: ReplicaLog,
  image: ReplicaImage,
  loss: { readonly file: JournalFile; readonly known: readonly Damage[] },
): void {
  if (image.logStart.index > log.lastIndex + 1) log.reset(image.logStart);
  const end = { endIndex: image.lastIndex + 1, endOffset: image.nextOffset };
  keepHole(log, end, loss);
}

/** Names the entries from the log's end up to the hole's, unless each one's row is named already; keeps their places. */
export function keepHole(
  log: ReplicaLog,
  end: HoleEnd,
  { file, known }: { readonly file: JournalFile; readonly known: readonly Damage[] },
): void {
  const count = end.endIndex - log.lastIndex - 1;
  if (count <= 0) return;
  const within = (index: number | null) =>
    index !== null && index > log.lastIndex && index < end.endIndex;
  const rows = known.filter((one) => one.replica === log.replica && within(one.index));
  if (rows.length < count) log.damage.push(holeOf(log, end, file));
  fillHole(log, file, end);
}

function holeOf(log: ReplicaLog, end: HoleEnd, file: JournalFile): Damage {
  const { replica, groupId, nextOffset, lastIndex } = log;
  const first = lastIndex + 1;
  return {
    file: file.name,
    lsn: null,
    replica,
    groupId,
    index: logIndex(first),
    baseOffset: nextOffset,
    offsetCount: Math.max(0, end.endOffset - nextOffset),
    detail: `the rows of entries ${first} to ${end.endIndex - 1} are missing`,
  };
}

/** Places of missing entries: reads of them name the damage. All offsets are taken for the last one's. */
export function fillHole(log: ReplicaLog, file: JournalFile, hole: HoleEnd): void {
  while (log.lastIndex + 1 < hole.endIndex) {
    const last = log.lastIndex + 2 === hole.endIndex;
    const offsetCount = last ? Math.max(0, hole.endOffset - log.nextOffset) : 0;
    log.append(
      {
        index: logIndex(log.lastIndex + 1),
        term: log.lastTerm,
        kind: entryKinds.data,
        baseOffset: log.nextOffset,
        offsetCount,
        time: log.lastTime,
        maxTimestamp: -1,
      },
      { file, lsn: 0, batchBytes: 0 },
    );
  }
}

/** Holes that the log start has passed since: nothing of them is missed any more. */
export function forgetPassedHoles(log: ReplicaLog): void {
  const { logStart, damage } = log;
  const passed = ({ lsn, index, baseOffset, offsetCount }: Damage) =>
    lsn === null &&
    index !== null &&
    index < logStart.index &&
    offset((baseOffset ?? 0) + offsetCount) <= logStart.offset;
  const left = damage.filter((one) => !passed(one));
  damage.splice(0, damage.length, ...left);
}
