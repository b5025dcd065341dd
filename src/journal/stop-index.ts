// The stop index: what the journal keeps in memory, written down at a clean stop, so that the next start reads no rows.
//
//   cells of row tables, 5 float64 a row, segment by segment | packed: next lsn, image, files, segments, chunks | cells
//
// Measured, open() with and without it: 99,000 rows of one record 66 and 377 ms, 1,000 replicas 65 and 103 ms, 10,000
// replicas 115 and 262 ms (every head crosses into JavaScript, then moves the tables). Promise: restoreIndex() gives what recover() would make of the
// same files; a whole index is made only of a journal that knows of no
// damage; of another one it tells the ends alone, so that a log whose newest rows are lost keeps its end. Left to the disk: that nothing changed since
// (disk.ts, StopIndex); in any doubt it gives no index and recovery.ts reads the rows.

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";
import { assert } from "../assert.ts";
import { factKinds, type DiskInventory, type StopIndex } from "./disk.ts";
import { factRow } from "./facts.ts";
import { ImageReader, imageRows, type SnapshotImage } from "./image.ts";
import { JournalFile, parseName, type JournalFiles } from "./journal-files.ts";
import type { Recovered } from "./recovery.ts";
import { ReplicaLog } from "./replica-log.ts";
import { rowCells, RowTable, Segment } from "./segment.ts";

export interface IndexedJournal {
  readonly logs: Iterable<ReplicaLog>;
  readonly files: JournalFiles;
  readonly nextReplica: number;
  readonly nextLsn: number;
}

/** name, rows, last lsn, total bytes */
type FilePart = readonly [string, number, number, number];
/** replica, file number, first and last index, first and next offset, max timestamp, bytes */
type SegmentPart = readonly [number, number, number, number, number, number, number, number];

interface Parts {
  readonly nextLsn: number;
  readonly image: readonly Uint8Array[];
  readonly files: readonly FilePart[];
  readonly segments: readonly SegmentPart[];
  /** Sizes of snapshot chunks: [lsn, bytes]... */
  readonly chunks: readonly (readonly [number, number])[];
}

/** The index of a journal whose every change is durable. Cost: 40 bytes a row of unsealed files. Not `whole`: only
 *  where every log ends. */
export function makeIndex(
  journal: IndexedJournal,
  { whole }: { readonly whole: boolean } = { whole: true },
): StopIndex {
  const logs = [...journal.logs].filter((log) => log.declared && !log.dropped);
  const files = journal.files.all();
  const numbers = new Map(files.map((file, i) => [file, i]));
  const cells: Float64Array[] = [];
  const segments: SegmentPart[] = [];
  for (const { replica, segments: own } of whole ? logs : [])
    for (const s of own) {
      const { firstIndex, lastIndex, firstOffset, nextOffset, maxTimestamp, bytes } = s;
      const file = numbers.get(s.file)!;
      segments.push([
        replica,
        file,
        firstIndex,
        lastIndex,
        firstOffset,
        nextOffset,
        maxTimestamp,
        bytes,
      ]);
      if (s.rows !== null) cells.push(s.rows.cells(firstIndex, lastIndex));
    }
  const replicas = logs.map((log) => log.image());
  const image = imageRows({ nextReplica: journal.nextReplica, replicas }, 0);
  const parts: Parts = {
    nextLsn: journal.nextLsn,
    image: image.flatMap(({ baseOffset, meta }) => (baseOffset === 0 ? [meta!] : [])),
    files: files.map((file) => [file.name, file.rows, file.lastLsn, file.totalBytes]),
    segments,
    chunks: logs.flatMap((log) => [...log.chunks()].map(({ lsn, bytes }) => [lsn, bytes] as const)),
  };
  return { files: files.map((file) => file.name), whole, bytes: joined(cells, pack(parts)) };
}

function joined(cells: readonly Float64Array[], packed: Uint8Array): Uint8Array<ArrayBuffer> {
  const count = cells.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(count * 8 + packed.length + 4);
  const numbers = new Float64Array(bytes.buffer, 0, count);
  let at = 0;
  for (const part of cells) {
    numbers.set(part, at);
    at += part.length;
  }
  bytes.set(packed, count * 8);
  new DataView(bytes.buffer).setUint32(bytes.length - 4, count, true);
  return bytes;
}

function unjoined(index: Uint8Array): { readonly cells: Float64Array<ArrayBuffer>; parts: Parts } {
  const own = new Uint8Array(index);
  const count = new DataView(own.buffer).getUint32(own.length - 4, true);
  const cells = new Float64Array(own.buffer, 0, count);
  return { cells, parts: unpack(own.subarray(count * 8, own.length - 4)) as Parts };
}

/** The state of all replicas at the stop, for a start that must read the rows. */
export const endImage = (index: Uint8Array): ImageReader => imageOf(unjoined(index).parts);

/** Fills `files` and returns the replicas, as recover() does. */
export function restoreIndex(
  inventory: DiskInventory,
  index: Uint8Array,
  files: JournalFiles,
): Recovered {
  const { cells, parts } = unjoined(index);
  restoreFiles(inventory, parts, files);
  const image = imageOf(parts);
  const logs = new Map<number, ReplicaLog>();
  for (const one of image.replicas()) logs.set(one.replica, new ReplicaLog(one, true));
  restoreSegments(parts, { logs, files, cells });
  const sizes = new Map(parts.chunks);
  for (const { replica, snapshot, partial } of image.replicas()) {
    const log = logs.get(replica)!;
    if (snapshot !== null) addChunks(log, snapshot, { files, sizes, chunks: snapshot.lsns.length });
    if (partial !== null) addChunks(log, partial, { files, sizes, chunks: Infinity });
  }
  const { nextReplica } = image;
  return { logs, nextReplica, nextLsn: parts.nextLsn, bystanders: [], rollWanted: false };
}

function restoreFiles(inventory: DiskInventory, parts: Parts, files: JournalFiles): void {
  const found = [...inventory.sealed, ...inventory.unsealed];
  const bytesOf = new Map(found.map(({ name, fileBytes }) => [name, fileBytes]));
  parts.files.forEach(([name, rows, lastLsn, totalBytes], i) => {
    const { sealed, range, generation } = parseName(name)!;
    const state = sealed ? "sealed" : i === parts.files.length - 1 ? "active" : "full";
    const fileBytes = bytesOf.get(name);
    assert(fileBytes !== undefined, () => `The stop index names ${name}, which is not there`);
    const file = new JournalFile({ name, state, range, generation, fileBytes });
    file.rows = rows;
    file.lastLsn = lastLsn;
    file.totalBytes = totalBytes;
    files.add(file);
  });
}

function imageOf({ image }: Parts): ImageReader {
  const reader = new ImageReader();
  image.forEach((meta, idx) => {
    const row = factRow("image", idx, { idx, offsetCount: image.length, meta });
    reader.add({ ...row, kind: factKinds.image, batchBytes: 0 });
  });
  return reader;
}

function restoreSegments(
  parts: Parts,
  to: {
    readonly logs: Map<number, ReplicaLog>;
    readonly files: JournalFiles;
    readonly cells: Float64Array<ArrayBuffer>;
  },
): void {
  let at = 0;
  for (const [replica, fileNumber, firstIndex, lastIndex, ...rest] of parts.segments) {
    const [firstOffset, nextOffset, maxTimestamp, bytes] = rest;
    const file = to.files.all()[fileNumber];
    const bounds = { firstIndex, lastIndex, firstOffset, nextOffset, maxTimestamp, bytes };
    const end = file.state === "sealed" ? at : at + (lastIndex - firstIndex + 1) * rowCells;
    const rows = end === at ? null : RowTable.of(firstIndex, to.cells.subarray(at, end));
    to.logs.get(replica)!.segments.push(new Segment(file, bounds, rows));
    at = end;
  }
}

function addChunks(
  log: ReplicaLog,
  { index, lsns }: SnapshotImage,
  from: {
    readonly files: JournalFiles;
    readonly sizes: ReadonlyMap<number, number>;
    readonly chunks: number;
  },
): void {
  lsns.forEach((lsn, chunk) => {
    const file = from.files.find(lsn);
    const bytes = from.sizes.get(lsn);
    assert(file !== null && bytes !== undefined, () => `The stop index lost chunk ${lsn}`);
    log.addChunk({ lsn, file, bytes }, { index, chunk, chunks: from.chunks });
  });
}
