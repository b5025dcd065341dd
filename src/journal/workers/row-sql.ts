// The statements over rows, and what a row of an answer means: the same columns in active, full and sealed files.
//
// Promise: a column that does not have the type it must have (a flipped bit in a record's header) makes a row that
// fails its crc, never an exception. Left to others: which statement runs on which file.

import { headDamage, type RowNumbers } from "../row-codec.ts";
import type { SqlRow, SqlValue } from "../sqlite.ts";

const numbers = "lsn, replica, idx, term, kind, base_offset, offset_count, time, max_timestamp";
/** All but the batch: SQLite takes its length from the record's header, the overflow pages stay unread. */
export const headColumns = `${numbers}, crc, batch_crc, meta, octet_length(batch)`;
export const rowColumns = `${numbers}, crc, batch_crc, meta, octet_length(batch), batch`;
/** In the order of rowValues(). */
export const insertColumns = `${numbers}, crc, batch_crc, meta, batch`;
export const insertMarks = Array.from({ length: 13 }, () => "?").join(", ");

/** A row as it lies in a file, not yet verified. */
export interface StoredRow {
  readonly numbers: RowNumbers;
  readonly crc: number;
  readonly batchCrc: number;
  readonly meta: Uint8Array | null;
  /** null also when the statement did not ask for it. */
  readonly batch: Uint8Array | null;
}

/** A row of `headColumns` or `rowColumns`; `from` skips columns that stand before them. */
export function storedRow(row: SqlRow, from = 0): StoredRow {
  const number = (i: number): number => numberOf(row[from + i]);
  return {
    numbers: {
      lsn: number(0),
      replica: number(1),
      idx: number(2),
      term: number(3),
      kind: number(4),
      baseOffset: number(5),
      offsetCount: number(6),
      time: number(7),
      maxTimestamp: number(8),
      batchBytes: row[from + 12] === null ? -1 : number(12),
    },
    crc: number(9),
    batchCrc: number(10),
    meta: bytesOf(row[from + 11]),
    batch: bytesOf(row[from + 13]),
  };
}

/** What is wrong with the row's head; null when its crc holds. */
export function storedDamage(seed: number, row: StoredRow): string | null {
  return headDamage(seed, row.numbers, row);
}

/** The values of `insertColumns`. */
export function rowValues(
  n: RowNumbers,
  rest: { crc: number; batchCrc: number; meta: Uint8Array | null; batch: Uint8Array | null },
): SqlValue[] {
  return [
    n.lsn,
    n.replica,
    n.idx,
    n.term,
    n.kind,
    n.baseOffset,
    n.offsetCount,
    n.time,
    n.maxTimestamp,
    rest.crc,
    rest.batchCrc,
    rest.meta,
    rest.batch,
  ];
}

/** NaN for anything that is no number: it fails the crc like every other wrong value. */
function numberOf(value: SqlValue | undefined): number {
  return typeof value === "number" ? value : Number.NaN;
}

function bytesOf(value: SqlValue | undefined): Uint8Array | null {
  return value instanceof Uint8Array ? value : null;
}
