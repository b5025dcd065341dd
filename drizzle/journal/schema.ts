// A journal file, active or full: the rows of all replicas in arrival order (DESIGN.md section 4).
//
// Promise: a rowid table without a secondary index, so that a flush of 64 replicas writes neighbouring pages: with an
// index the same rows wrote 19 times their bytes. `batch` comes last: SQLite reads a row's columns from the front, so
// the head of a row never touches the overflow pages that hold its batch. The first rows are the image of all replicas,
// twice (src/journal/image.ts): what a start needs most must not be lost with one row.

import { blob, integer, sqliteTable } from "drizzle-orm/sqlite-core";

/** The columns of a row wherever it lies; src/journal/row-codec.ts says what the two sums cover. */
export const rowColumns = {
  replica: integer("replica").notNull(),
  idx: integer("idx").notNull(),
  term: integer("term").notNull(),
  kind: integer("kind").notNull(),
  baseOffset: integer("base_offset").notNull(),
  offsetCount: integer("offset_count").notNull(),
  time: integer("time").notNull(),
  maxTimestamp: integer("max_timestamp").notNull(),
  crc: integer("crc").notNull(),
  batchCrc: integer("batch_crc").notNull(),
  meta: blob("meta", { mode: "buffer" }),
  batch: blob("batch", { mode: "buffer" }),
} as const;

export const entry = sqliteTable("entry", {
  lsn: integer("lsn").primaryKey(),
  ...rowColumns,
});
