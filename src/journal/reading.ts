// Reads: where a wanted entry lies, what the disk is asked, and what may be handed out.
//
//   tail cache  ->  segment of an unsealed file (by lsn)  ->  segment of a sealed file (by position)
//   at once         one disk read, up to one segment a call
//
// Promise: entries come in order without holes, whole and verified, up to the first damaged row; when that is the
// first wanted one: Fault storage_damaged naming file, row, group, index and offset. A file is held while it is read;
// a cut, reset or drop that happens meanwhile makes the read begin anew. Left to others: waiting for new entries.

import { Fault } from "../errors.ts";
import { logIndex, offset, term } from "../quantities.ts";
import type { Disk, DiskRead, DiskRow } from "./disk.ts";
import type { JournalFiles } from "./journal-files.ts";
import type { Damage, EntryKind, FoundTimestamp, LogEntry } from "./journal.ts";
import type { LogStart, ReadRequest, ReadResult } from "./journal.ts";
import type { ReplicaLog } from "./replica-log.ts";
import type { Segment } from "./segment.ts";
import { heldResult, type TailCache } from "./tail-cache.ts";

/** Rows of one disk read: a page of small ones costs about 20 us each from JavaScript. */
const rowsPerReadMax = 2_000;

const nothing: ReadResult = heldResult([]);

type Bounds = Pick<DiskRead, "maxBytes" | "maxRows" | "parts"> & { readonly dataOnly: boolean };

export class Reading {
  readonly #disk: Disk;
  readonly #files: JournalFiles;
  readonly #cache: TailCache;
  readonly counters = { diskReads: 0, diskRows: 0, damaged: 0 };

  constructor(parts: { disk: Disk; files: JournalFiles; cache: TailCache }) {
    this.#disk = parts.disk;
    this.#files = parts.files;
    this.#cache = parts.cache;
  }

  read(log: ReplicaLog, request: ReadRequest): ReadResult | Promise<ReadResult> {
    const start = startOf(log, request.from);
    if (start instanceof Fault) return Promise.reject(start);
    if (start === null || start.index >= request.endIndex) return nothing;
    return this.#cache.read(log, request) ?? this.#cold(log, request);
  }

  cached(log: ReplicaLog, request: ReadRequest): ReadResult | null {
    const start = startOf(log, request.from);
    if (start === null || start instanceof Fault || start.index >= request.endIndex) return null;
    return this.#cache.read(log, request);
  }

  async #cold(log: ReplicaLog, request: ReadRequest): Promise<ReadResult> {
    let index = 0;
    for (;;) {
      const start = startOf(log, request.from);
      if (start instanceof Fault) throw start;
      if (start === null) return nothing;
      index = Math.max(index, start.index);
      if (index >= Math.min(request.endIndex, log.lastIndex + 1)) return nothing;
      const bounds: Bounds = { ...request, maxRows: rowsPerReadMax, parts: "rows" };
      const place = plan(log, index, {
        ...bounds,
        endIndex: request.endIndex,
        offset: start.offset,
      });
      const entries =
        place.read === null ? [] : await this.#entries(log, place.segment, place.read);
      if (entries === null) index = 0;
      else if (entries.length > 0) return heldResult(entries);
      else index = place.segment.lastIndex + 1;
    }
  }

  /** Rows of one segment; null when the log changed under the read. */
  async #entries(log: ReplicaLog, segment: Segment, read: DiskRead): Promise<LogEntry[] | null> {
    const { generation } = log;
    const { rows, damage } = await this.#ask(segment, read);
    const changed = log.generation !== generation || log.dropped;
    const trimmed = rows.length > 0 && rows[0].idx < log.logStart.index;
    if (changed || trimmed) {
      for (const row of rows) row.batch?.release();
      if (log.dropped) throw gone(log);
      return null;
    }
    if (damage !== null) this.#note(log, damage);
    if (damage !== null && rows.length === 0) throw damaged(damage);
    return rows.map(entryOf);
  }

  async #ask(
    segment: Segment,
    read: DiskRead,
  ): Promise<{ readonly rows: readonly DiskRow[]; readonly damage: Damage | null }> {
    const hold = this.#files.hold(segment.file);
    try {
      this.counters.diskReads++;
      const result = await this.#disk.read(read);
      this.counters.diskRows += result.rows.length;
      return result;
    } finally {
      hold.release();
    }
  }

  /** Remembers damage once. */
  #note(log: ReplicaLog, found: Damage): void {
    const known = log.damage.some((one) => one.file === found.file && one.lsn === found.lsn);
    if (known) return;
    log.damage.push(found);
    this.counters.damaged++;
  }

  async findTimestamp(
    log: ReplicaLog,
    timestamp: number,
    endIndex: number,
  ): Promise<FoundTimestamp | null> {
    const end = Math.min(endIndex, log.lastIndex + 1);
    for (let index: number = log.logStart.index; index < end;) {
      const segment = log.segmentAt(index);
      if (segment === null) return null;
      if (segment.maxTimestamp >= timestamp) {
        const found = await this.#findIn(log, segment, { index, end, timestamp });
        if (found !== null) return found.index < end ? found : null;
      }
      index = segment.lastIndex + 1;
    }
    return null;
  }

  async #findIn(
    log: ReplicaLog,
    segment: Segment,
    wanted: { index: number; end: number; timestamp: number },
  ): Promise<FoundTimestamp | null> {
    const first = Math.max(segment.firstIndex, wanted.index);
    const end = Math.min(segment.lastIndex + 1, wanted.end);
    if (segment.rows !== null) return findInRows(segment, { ...wanted, index: first, end });
    const { rows } = await this.#ask(segment, {
      file: segment.file.name,
      replica: log.replica,
      groupId: log.groupId,
      rows: {
        fromIndex: first,
        endIndex: end,
        fromOffset: null,
        fromTimestamp: wanted.timestamp,
        dataOnly: true,
      },
      parts: "heads",
      maxRows: 1,
      maxBytes: 0,
    });
    const row = rows[0];
    if (row === undefined) return null;
    return { index: logIndex(row.idx), baseOffset: offset(row.baseOffset) };
  }

  async retentionPoint(
    log: ReplicaLog,
    keep: { readonly timestampMin: number | null; readonly bytesMax: number | null },
    endIndex: number,
  ): Promise<LogStart | null> {
    const byTime =
      keep.timestampMin === null ? 0 : await this.#expiredEnd(log, keep.timestampMin, endIndex);
    const bySize = keep.bytesMax === null ? 0 : surplusEnd(log, keep.bytesMax);
    const index = Math.min(Math.max(byTime, bySize), endIndex, log.lastIndex + 1);
    if (index <= log.logStart.index) return null;
    const at = await this.#offsetAt(log, index);
    const prevTerm = log.termAt(index - 1);
    if (at === null || prevTerm === null) return null;
    return { index: logIndex(index), prevTerm, offset: offset(at) };
  }

  /** Index behind the leading run of entries that are older than the timestamp. */
  async #expiredEnd(log: ReplicaLog, timestamp: number, endIndex: number): Promise<number> {
    const found = await this.findTimestamp(log, timestamp, endIndex);
    return found?.index ?? Math.min(endIndex, log.lastIndex + 1);
  }

  /** Base offset of the entry at index (or of the next record, at the end). */
  async #offsetAt(log: ReplicaLog, index: number): Promise<number | null> {
    if (index === log.lastIndex + 1) return log.nextOffset;
    const segment = log.segmentAt(index);
    if (segment === null || segment.firstIndex > index) return null;
    if (index === segment.firstIndex) return segment.firstOffset;
    if (segment.rows !== null) return segment.row(index).baseOffset;
    const bounds: Bounds = { maxBytes: 0, maxRows: 1, parts: "heads", dataOnly: false };
    const { read } = plan(log, index, { ...bounds, endIndex: index + 1, offset: null });
    if (read === null) return null;
    const { rows } = await this.#ask(segment, read);
    return rows[0]?.baseOffset ?? null;
  }

  async readSnapshot(
    log: ReplicaLog,
  ): Promise<{ index: LogEntry["index"]; bytes: Uint8Array } | null> {
    for (;;) {
      const { snapshot } = log;
      if (snapshot === null) return null;
      const parts: Uint8Array[] = [];
      for (const chunk of snapshot.chunks) {
        if (log.snapshot !== snapshot) break;
        parts.push(await this.#chunk(log, chunk));
      }
      if (log.snapshot === snapshot) return { index: log.snapshotIndex, bytes: joined(parts) };
    }
  }

  async #chunk(
    log: ReplicaLog,
    chunk: { readonly lsn: number; readonly file: Segment["file"] },
  ): Promise<Uint8Array> {
    const hold = this.#files.hold(chunk.file);
    try {
      const { rows, damage } = await this.#disk.read({
        file: chunk.file.name,
        replica: log.replica,
        groupId: log.groupId,
        rows: { lsns: [chunk.lsn] },
        parts: "rows",
        maxRows: 1,
        maxBytes: 0,
      });
      if (damage !== null) this.#note(log, damage);
      if (damage !== null) throw damaged(damage);
      const batch = rows[0]?.batch;
      const bytes = new Uint8Array(batch?.bytes ?? []);
      batch?.release();
      return bytes;
    } finally {
      hold.release();
    }
  }
}

/** Where a read begins; null past the end. */
function startOf(
  log: ReplicaLog,
  from: ReadRequest["from"],
): { readonly index: number; readonly offset: number | null } | Fault | null {
  const { logStart, lastIndex, nextOffset } = log;
  if ("index" in from) {
    if (from.index < logStart.index) return belowStart(log, "index", from.index);
    return from.index > lastIndex ? null : { index: from.index, offset: null };
  }
  if (from.offset < logStart.offset) return belowStart(log, "offset", from.offset);
  if (from.offset >= nextOffset) return null;
  const segment = log.segmentWith(from.offset);
  if (segment === null) return damaged(damageAt(log, (log.segments.at(-1)?.lastIndex ?? 0) + 1));
  // Offsets are dense: where the next segment begins behind the wanted one, a file between them is lost.
  if (segment.firstOffset > from.offset) return damaged(damageAt(log, holeBefore(log, segment)));
  const { rows, firstIndex, lastIndex: last } = segment;
  const index = rows === null ? firstIndex : rows.findOffset(from.offset, firstIndex, last);
  return { index, offset: from.offset };
}

/** First index of the hole that ends where the segment begins. */
function holeBefore(log: ReplicaLog, segment: Segment): number {
  const before = log.segments[log.segments.indexOf(segment) - 1];
  return before === undefined ? log.logStart.index : before.lastIndex + 1;
}

/** The disk read that brings the entry at index and what follows it in the same segment. */
function plan(
  log: ReplicaLog,
  index: number,
  wanted: Bounds & { readonly endIndex: number; readonly offset: number | null },
): { readonly segment: Segment; readonly read: DiskRead | null } {
  const segment = log.segmentAt(index);
  if (segment === null || segment.firstIndex > index) throw damaged(damageAt(log, index));
  const { maxBytes, maxRows, parts, dataOnly } = wanted;
  const bounds = { maxBytes, maxRows, parts };
  const place = { file: segment.file.name, replica: log.replica, groupId: log.groupId };
  const endIndex = Math.min(wanted.endIndex, segment.lastIndex + 1);
  if (segment.rows === null) {
    const rows = { fromIndex: index, endIndex, fromOffset: wanted.offset };
    const filter = { fromTimestamp: null, dataOnly };
    return { segment, read: { ...place, rows: { ...rows, ...filter }, ...bounds } };
  }
  const lsns = wantedLsns(log, segment, { ...wanted, index, endIndex });
  return { segment, read: lsns.length === 0 ? null : { ...place, rows: { lsns }, ...bounds } };
}

/** Row numbers up to the byte bound, or to the first row that is known to be missing. */
function wantedLsns(
  log: ReplicaLog,
  segment: Segment,
  wanted: Bounds & { readonly index: number; readonly endIndex: number },
): number[] {
  const table = segment.rows!;
  const lsns: number[] = [];
  let bytes = 0;
  for (let index = wanted.index; index < wanted.endIndex; index++) {
    if (lsns.length >= wanted.maxRows) break;
    const lsn = table.lsn(index);
    if (lsn === 0 && lsns.length > 0) break;
    if (lsn === 0) throw damaged(damageAt(log, index));
    if (wanted.dataOnly && !table.takesOffsets(index)) continue;
    bytes += table.batchBytes(index);
    if (lsns.length > 0 && bytes > wanted.maxBytes) break;
    lsns.push(lsn);
  }
  return lsns;
}

function findInRows(
  segment: Segment,
  wanted: { index: number; end: number; timestamp: number },
): FoundTimestamp | null {
  const table = segment.rows!;
  for (let index = wanted.index; index < wanted.end; index++) {
    if (!table.takesOffsets(index) || table.maxTimestamp(index) < wanted.timestamp) continue;
    return { index: logIndex(index), baseOffset: offset(table.at(index).baseOffset) };
  }
  return null;
}

/** Index of the oldest entry without which less than bytesMax would be left. */
function surplusEnd(log: ReplicaLog, bytesMax: number): number {
  let surplus = log.liveBytes() - bytesMax;
  if (surplus <= 0) return 0;
  for (const segment of log.segments) {
    if (segment.bytes > surplus) return surplusIn(segment, surplus);
    surplus -= segment.bytes;
  }
  return log.lastIndex + 1;
}

/** Exact where the rows are known; a sealed file's bytes are taken as spread evenly over its entries. */
function surplusIn(segment: Segment, surplus: number): number {
  const { rows, firstIndex, lastIndex } = segment;
  if (rows === null) return firstIndex + Math.floor((surplus / segment.bytes) * segment.count);
  let left = surplus;
  for (let index = firstIndex; index <= lastIndex; index++) {
    left -= rows.batchBytes(index);
    if (left < 0) return index;
  }
  return lastIndex + 1;
}

function entryOf(row: DiskRow): LogEntry {
  return {
    index: logIndex(row.idx),
    term: term(row.term),
    kind: row.kind as EntryKind,
    baseOffset: offset(row.baseOffset),
    offsetCount: row.offsetCount,
    time: row.time,
    maxTimestamp: row.maxTimestamp,
    meta: row.meta,
    batch: row.batch,
  };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The damage that explains a missing index. */
function damageAt(log: ReplicaLog, index: number): Damage {
  const exact = log.damage.find((one) => one.index === index);
  const general = exact ?? log.damage.find((one) => one.index === null) ?? log.damage[0];
  const at = { replica: log.replica, groupId: log.groupId, index: logIndex(index) };
  const file = log.segmentAt(index)?.file.name ?? "";
  const unknown = { file, lsn: null, baseOffset: null, offsetCount: 0, detail: "It is missing" };
  return { ...unknown, ...general, ...at };
}

function damaged(damage: Damage): Fault {
  const { file, lsn: row, groupId: group, index, baseOffset, detail } = damage;
  const where = `row ${row ?? "unknown"} of ${file}, ${group ?? "unknown group"}, index ${index ?? "unknown"}`;
  const message = `Cannot read ${where}: ${detail}`;
  return new Fault("storage_damaged", message, {
    members: { file, row, group, index, offset: baseOffset },
  });
}

function belowStart(log: ReplicaLog, what: "index" | "offset", found: number): Fault {
  const { groupId, logStart } = log;
  const detail = `Cannot read ${groupId}: ${what} must be at least ${logStart[what]}, got ${found}`;
  return new Fault("offset_out_of_range", detail, { members: { logStart: logStart.offset } });
}

function gone(log: ReplicaLog): Fault {
  return new Fault("unknown_topic_or_partition", `Cannot read ${log.groupId}: it was dropped`);
}
