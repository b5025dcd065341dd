// The file that takes commits, as the writer Worker holds it.
//
// Promise: a commit is one transaction, all or nothing; after an I/O failure nothing more is written and no fsync is
// tried again (the kernel may have dropped the pages that it failed to write). Left to others: which rows, when to roll.
//
//   rw      the one connection that writes; never checkpoints (wal_autocheckpoint = 0)
//   guard   a read-only connection opened beside it. SQLite's last close of a file checkpoints it, which would write
//           every byte twice; while the guard is open, closing `rw` is not the last, and the guard itself cannot take
//           the lock that a checkpoint needs. It stays until the file is deleted, or the process ends
//
// Pages are 4 KB: measured, 64 rows of 200 B in a transaction write 1.9 bytes a byte, 3.2 with 8 KB pages and 5.1
// with 16 KB; batches of 16 KB 1.05, 1.08 and 1.16; 1 MB is the same in all.

import { renameSync } from "node:fs";
import { assert } from "../../assert.ts";
import { Fault } from "../../errors.ts";
import type { DiskCommit } from "../disk.ts";
import { pathOf, sizeOf, sparePath, syncFile, syncFolder, walSuffix } from "../file-names.ts";
import { batchCrcOf, rowCrc } from "../row-codec.ts";
import { createSchema } from "../schema.ts";
import { openSqlite, type Connection, type Statement } from "../sqlite.ts";
import { batchAt, metaAt, numbersAt, type PackedRows } from "./packed-rows.ts";
import { insertColumns, insertMarks, rowValues } from "./row-sql.ts";

/** What a commit needs to know that is not in its rows. */
export interface CommitContext {
  readonly durability: DiskCommit["durability"];
  readonly seedOf: (replica: number) => number;
  readonly slabs: (slab: number) => Uint8Array;
}

export class ActiveFile {
  readonly name: string;
  readonly guard: Connection;
  readonly #path: string;
  readonly #rw: Connection;
  readonly #insert: Statement;
  readonly #begin: Statement;
  readonly #end: Statement;
  #durability: DiskCommit["durability"] = "full";
  /** Last durable row; the next one is its + 1. null before the journal's first row. */
  #lastLsn: number | null;
  /** Size of the WAL after the last commit. */
  #walBytes: number;
  /** Set by the first failure that is no lack of room; nothing is written afterwards. */
  #failed: Fault | null = null;

  constructor(dir: string, name: string, lastLsn: number | null) {
    this.name = name;
    this.#path = pathOf(dir, name);
    this.#rw = openSqlite(this.#path, "rw");
    this.#rw.exec("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = FULL");
    this.#insert = this.#rw.prepare(`INSERT INTO entry (${insertColumns}) VALUES (${insertMarks})`);
    this.#begin = this.#rw.prepare("BEGIN IMMEDIATE");
    this.#end = this.#rw.prepare("COMMIT");
    this.#lastLsn = lastLsn;
    this.#walBytes = sizeOf(this.#path + walSuffix);
    this.guard = openSqlite(this.#path, "ro");
    this.guard.scalar("SELECT count(*) FROM sqlite_schema");
  }

  get lastLsn(): number | null {
    return this.#lastLsn;
  }

  /** Writes the rows as one transaction; returns the bytes that the WAL grew by. Throws Fault storage_full or
   *  storage_failed, both with sideEffects unknown. */
  commit(rows: PackedRows, context: CommitContext): number {
    if (this.#failed !== null) throw this.#failed;
    try {
      this.#syncAs(context.durability);
      this.#begin.run([]);
      for (let i = 0; i < rows.count; i++) this.#insertRow(rows, i, context);
      this.#end.run([]);
    } catch (error) {
      throw this.#afterFailure(error);
    }
    if (rows.count > 0) this.#lastLsn = numbersAt(rows, rows.count - 1).lsn;
    const before = this.#walBytes;
    this.#walBytes = sizeOf(this.#path + walSuffix);
    return this.#walBytes - before;
  }

  close(): void {
    this.#rw.close();
  }

  #insertRow(rows: PackedRows, i: number, context: CommitContext): void {
    const numbers = numbersAt(rows, i);
    assert(
      this.#lastLsn === null || numbers.lsn === this.#lastLsn + 1 + i,
      () => `Row ${i} of a commit must be ${(this.#lastLsn ?? 0) + 1 + i}, got ${numbers.lsn}`,
    );
    const meta = metaAt(rows, i);
    const batch = batchAt(rows, i, context.slabs);
    const batchCrc = batchCrcOf(batch);
    const crc = rowCrc(context.seedOf(numbers.replica), numbers, { batchCrc, meta });
    this.#insert.run(rowValues(numbers, { crc, batchCrc, meta, batch }));
  }

  /** PRAGMA synchronous holds for the connection, not the transaction; it costs 3 us to change. */
  #syncAs(durability: DiskCommit["durability"]): void {
    if (durability === this.#durability) return;
    this.#rw.exec(`PRAGMA synchronous = ${durability === "full" ? "FULL" : "NORMAL"}`);
    this.#durability = durability;
  }

  #afterFailure(error: unknown): unknown {
    try {
      this.#rw.exec("ROLLBACK");
    } catch {
      // SQLite has rolled back by itself, as it does on I/O errors and a full disk.
    }
    if (!(error instanceof Fault)) return error;
    const code = error.code === "storage_full" ? "storage_full" : "storage_failed";
    const fault = new Fault(code, error.message, {
      cause: error.cause,
      sideEffects: "unknown",
      members: error.members,
    });
    if (code === "storage_failed") this.#failed = fault;
    return fault;
  }
}

/** Makes the spare: an empty file with its schema, in WAL mode, closed and durable. Cost: two fsyncs. */
export function makeSpare(dir: string): void {
  const path = sparePath(dir);
  const connection = openSqlite(`${path}.tmp`, "rw");
  connection.exec("PRAGMA page_size = 4096; PRAGMA synchronous = OFF");
  createSchema(connection, "journal");
  connection.exec("PRAGMA journal_mode = WAL");
  connection.close();
  syncFile(`${path}.tmp`);
  renameSync(`${path}.tmp`, path);
}

/** Turns the spare into the active file of this name; `lastLsn` is the last row before it. Makes one when there is none yet. */
export function takeSpare(dir: string, name: string, lastLsn: number | null): ActiveFile {
  if (sizeOf(sparePath(dir)) === 0) makeSpare(dir);
  assert(sizeOf(pathOf(dir, name)) === 0, `Cannot roll to ${name}: a file of this name is there`);
  renameSync(sparePath(dir), pathOf(dir, name));
  syncFolder(dir);
  return new ActiveFile(dir, name, lastLsn);
}
