// The head of a sealed file: which files it replaces, one span a replica, its snapshot chunks.
//
// Promise: each part carries a crc, and the head counts the parts, so that a lost or changed one is damage with the
// file's name. Left to others: rows (file-reader.ts), the copy in the catalogue (catalogue.ts).

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";
import { Fault } from "../../errors.ts";
import type { SealedHead, SealedSnapshotRow, Span } from "../disk.ts";
import { bytesOnDisk, pathOf } from "../file-names.ts";
import { groupSeed, numbersCrc } from "../row-codec.ts";
import { crc32c } from "../../bytes/crc32c.ts";
import { checkVersion } from "../schema.ts";
import { openSqlite, type Connection, type SqlRow, type SqlValue } from "../sqlite.ts";

/** A span and where its rows lie: positions are dense from firstPosition on. */
export interface PlacedSpan extends Span {
  readonly firstPosition: number;
  readonly rows: number;
}

/** How many of each the file must have. */
export interface HeadCounts {
  readonly spans: number;
  readonly entries: number;
  readonly snapshots: number;
}

const spanColumns =
  "replica, group_id, first_idx, last_idx, first_offset, next_offset, max_timestamp, bytes, first_position, rows, crc";

export function writeSpan(connection: Connection, span: PlacedSpan): void {
  const marks = Array.from({ length: 11 }, () => "?").join(", ");
  const [replica, ...rest] = spanNumbers(span);
  connection
    .prepare(`INSERT INTO span (${spanColumns}) VALUES (${marks})`)
    .run([replica, span.groupId, ...rest, spanCrc(span)]);
}

export function writeHead(
  connection: Connection,
  replaces: readonly string[],
  counts: HeadCounts,
): void {
  const packed = pack(replaces);
  connection
    .prepare(
      "INSERT INTO head (id, replaces, spans, entries, snapshots, crc) VALUES (1, ?, ?, ?, ?, ?)",
    )
    .run([packed, counts.spans, counts.entries, counts.snapshots, headCrc(packed, counts)]);
}

/** Opens a sealed file, reads and verifies its head. Throws Fault storage_damaged or storage_failed. */
export function readSealedHead(dir: string, name: string): SealedHead {
  const connection = openSqlite(pathOf(dir, name), "immutable");
  try {
    const fileBytes = bytesOnDisk(pathOf(dir, name));
    const { replaces, counts } = readHead(connection, name);
    const spans = readSpans(connection, name);
    const snapshots = readSnapshots(connection);
    if (spans.length !== counts.spans || snapshots.length !== counts.snapshots)
      throw damaged(name, `the head counts ${counts.spans} spans, found ${spans.length}`);
    return { name, replaces, spans, snapshots, fileBytes };
  } finally {
    connection.close();
  }
}

/** The head row. Throws Fault storage_damaged. */
export function readHead(
  connection: Connection,
  name: string,
): { readonly replaces: readonly string[]; readonly counts: HeadCounts } {
  checkVersion(connection, "sealed");
  const row = connection
    .prepare("SELECT replaces, spans, entries, snapshots, crc FROM head WHERE id = 1")
    .get([]);
  if (row === undefined) throw damaged(name, "the head is missing");
  const [replaces, spans, entries, snapshots, crc] = row;
  const counts = { spans: Number(spans), entries: Number(entries), snapshots: Number(snapshots) };
  if (!(replaces instanceof Uint8Array) || headCrc(replaces, counts) !== crc)
    throw damaged(name, "the head fails its crc");
  return { replaces: unpack(replaces) as string[], counts };
}

/** All spans by replica. Throws Fault storage_damaged. */
export function readSpans(connection: Connection, name: string): PlacedSpan[] {
  const rows = connection.prepare(`SELECT ${spanColumns} FROM span ORDER BY replica`).all([]);
  return rows.map((row) => spanOf(row, name));
}

/** One replica's span, or null. Throws Fault storage_damaged. */
export function readSpan(connection: Connection, name: string, replica: number): PlacedSpan | null {
  const row = connection
    .prepare(`SELECT ${spanColumns} FROM span WHERE replica = ?`)
    .get([replica]);
  return row === undefined ? null : spanOf(row, name);
}

function readSnapshots(connection: Connection): SealedSnapshotRow[] {
  const sql = "SELECT lsn, replica, idx, base_offset, offset_count FROM snapshot ORDER BY lsn";
  return connection
    .prepare(sql)
    .all([])
    .map((row) => {
      const [lsn, replica, idx, chunk, chunks] = row.map(Number) as [
        number,
        number,
        number,
        number,
        number,
      ];
      return { lsn, replica, idx, chunk, chunks };
    });
}

function spanOf(row: SqlRow, name: string): PlacedSpan {
  const [replica, groupId, ...rest] = row as [number, SqlValue, ...number[]];
  const span: PlacedSpan = {
    replica,
    groupId: String(groupId),
    firstIndex: rest[0],
    lastIndex: rest[1],
    firstOffset: rest[2],
    nextOffset: rest[3],
    maxTimestamp: rest[4],
    bytes: rest[5],
    firstPosition: rest[6],
    rows: rest[7],
  };
  if (spanCrc(span) !== rest[8])
    throw damaged(name, `the span of replica ${replica} fails its crc`);
  return span;
}

const spanNumbers = (s: PlacedSpan): number[] => [
  s.replica,
  s.firstIndex,
  s.lastIndex,
  s.firstOffset,
  s.nextOffset,
  s.maxTimestamp,
  s.bytes,
  s.firstPosition,
  s.rows,
];

const spanCrc = (span: PlacedSpan): number =>
  numbersCrc(groupSeed(span.groupId), spanNumbers(span).map(Number));

const headCrc = (replaces: Uint8Array, counts: HeadCounts): number =>
  numbersCrc(crc32c(replaces), [counts.spans, counts.entries, counts.snapshots]);

function damaged(name: string, what: string): Fault {
  return new Fault("storage_damaged", `Cannot read ${name}: ${what}`, { members: { file: name } });
}
