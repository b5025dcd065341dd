// A sealed file: immutable, only live rows, ordered by (replica, idx), with what is needed to find them.
//
// Promise: a row keeps its lsn and its crc when it moves here, so that a copy is checked end to end; `position` is
// dense, so that a row which an index fails to find is missed. Left to others: which rows are live (the journal).

import { blob, index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { rowColumns } from "../journal/schema.ts";

export const entry = sqliteTable(
  "entry",
  {
    position: integer("position").primaryKey(),
    lsn: integer("lsn").notNull(),
    ...rowColumns,
  },
  (t) => [
    index("entry_by_index").on(t.replica, t.idx),
    // Covers a look-up by offset or by time: the rows themselves, with their batches, are not read.
    index("entry_by_offset").on(
      t.replica,
      t.baseOffset,
      t.idx,
      t.term,
      t.kind,
      t.offsetCount,
      t.maxTimestamp,
    ),
  ],
);

/** Chunks of fold snapshots, found by lsn; apart, so that no entry is mistaken for one. */
export const snapshot = sqliteTable("snapshot", {
  lsn: integer("lsn").primaryKey(),
  ...rowColumns,
});

/** One row a replica; crc over all other columns. */
export const span = sqliteTable("span", {
  replica: integer("replica").primaryKey(),
  groupId: text("group_id").notNull(),
  firstIndex: integer("first_idx").notNull(),
  lastIndex: integer("last_idx").notNull(),
  firstOffset: integer("first_offset").notNull(),
  nextOffset: integer("next_offset").notNull(),
  maxTimestamp: integer("max_timestamp").notNull(),
  bytes: integer("bytes").notNull(),
  firstPosition: integer("first_position").notNull(),
  rows: integer("rows").notNull(),
  crc: integer("crc").notNull(),
});

/** One row: which files this one replaces, and how much must be in it. */
export const head = sqliteTable("head", {
  id: integer("id").primaryKey(),
  replaces: blob("replaces", { mode: "buffer" }).notNull(),
  spans: integer("spans").notNull(),
  entries: integer("entries").notNull(),
  snapshots: integer("snapshots").notNull(),
  crc: integer("crc").notNull(),
});
