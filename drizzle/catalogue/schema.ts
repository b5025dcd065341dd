// catalogue.db: a copy of the heads of all sealed files, so that a start does not open each of them.
//
// Promise: deletable at any time; a file that is missing here, or whose size differs, is asked itself.

import { blob, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const file = sqliteTable("file", {
  name: text("name").primaryKey(),
  fileBytes: integer("file_bytes").notNull(),
  /** Packed head: replaced files, spans, snapshots. */
  head: blob("head", { mode: "buffer" }).notNull(),
  crc: integer("crc").notNull(),
});
