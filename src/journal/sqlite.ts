// The one door to libSQL: every native call of the program goes through here.
//
// Promise: no argument reaches the native code that could abort the process. A statement bound with one object that is
// no array, or with a boolean, ends the whole process there (libsql 0.5.29, statement.rs), so each call binds one
// array of values that were checked. Rows come back as arrays of columns. Errors are Faults with a code. Left to
// others: what is stored, who may open what.
//
//   "rw"          reads and writes; creates the file
//   "ro"          reads a file that another connection of this process writes. Closing it never checkpoints (it cannot
//                 take the exclusive lock), and while one is open no other close does: files keep their WAL
//   "immutable"   reads a file that nobody will ever write: no locks, no -shm, opens in under 2 ms
//
// While a file is open here, nothing of this process may open it, its -wal or its -shm by other means: that close()
// would drop every POSIX lock of the process on it.

import Database from "libsql";
import { assert, Bug } from "../assert.ts";
import { Fault, type Code } from "../errors.ts";

export type SqlValue = number | bigint | string | Uint8Array | null;
export type SqlRow = readonly SqlValue[];
export type OpenMode = "rw" | "ro" | "immutable";

/** Opens a database file. Throws Fault: storage_full, storage_failed (I/O), storage_damaged (no database). */
export function openSqlite(path: string, mode: OpenMode): Connection {
  return new Connection(path, mode);
}

/** Waits for a lock that another connection holds for a moment: without it, one start after kill -9 in about a hundred
 *  ended with "database is locked" (kill-rounds, seed 4711). */
const busyMs = 5_000;

export class Connection {
  readonly path: string;
  readonly #db: Database.Database;
  #statements = new Map<string, Statement>();

  constructor(path: string, mode: OpenMode) {
    this.path = path;
    this.#db = guarded(`open ${path}`, () => new Database(target(path, mode)));
    if (mode !== "immutable") this.exec(`PRAGMA busy_timeout=${busyMs}`);
  }

  /** Runs statements that return nothing. For schema, PRAGMA and transactions; no values. */
  exec(sql: string): void {
    guarded(`run ${sql} on ${this.path}`, () => this.#db.exec(sql));
  }

  /** Prepares once a connection; the same text gives the same statement. */
  prepare(sql: string): Statement {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const native = guarded(`prepare ${sql} on ${this.path}`, () => this.#db.prepare(sql));
    const statement = new Statement(native, this.path);
    this.#statements.set(sql, statement);
    return statement;
  }

  /** First column of the first row of a PRAGMA or a query without values. */
  scalar(sql: string): SqlValue {
    return this.prepare(sql).get([])?.[0] ?? null;
  }

  /** Lets the file go. It really closes once its statements were collected; a deleted file is never checkpointed by
   *  that late close, because SQLite sees that its path is no longer the same file. */
  close(): void {
    this.#statements = new Map();
    guarded(`close ${this.path}`, () => this.#db.close());
  }
}

export class Statement {
  readonly #native: Database.Statement;
  readonly #path: string;

  constructor(native: Database.Statement, path: string) {
    this.#native = native;
    this.#path = path;
  }

  run(values: readonly SqlValue[]): void {
    assertValues(values);
    try {
      this.#native.run(values);
    } catch (error) {
      throw faultOf(error, `write to ${this.#path}`);
    }
  }

  /** The first row, or undefined. */
  get(values: readonly SqlValue[]): SqlRow | undefined {
    assertValues(values);
    try {
      return this.#native.raw().get(values) as SqlRow | undefined;
    } catch (error) {
      throw faultOf(error, `read ${this.#path}`);
    }
  }

  /** All rows. Fetches a hundred at a time: select blobs only with a bound on how many. */
  all(values: readonly SqlValue[]): SqlRow[] {
    assertValues(values);
    try {
      return this.#native.raw().all(values) as SqlRow[];
    } catch (error) {
      throw faultOf(error, `read ${this.#path}`);
    }
  }

  /** Calls `each` with every row, run to the end before it returns (an open iterator is an open transaction). */
  forEach(values: readonly SqlValue[], each: (row: SqlRow) => void): void {
    assertValues(values);
    try {
      for (const row of this.#native.raw().iterate(values)) each(row as SqlRow);
    } catch (error) {
      throw faultOf(error, `read ${this.#path}`);
    }
  }
}

/** The values are what the native code can take; anything else would end the process. */
export function assertValues(values: readonly SqlValue[]): void {
  assert(Array.isArray(values), () => `Values must be one array, got ${typeof values}`);
  for (const value of values) {
    const fits =
      value === null ||
      typeof value === "number" ||
      typeof value === "string" ||
      typeof value === "bigint" ||
      value instanceof Uint8Array;
    assert(fits, () => `Cannot bind a ${typeof value}: ${String(value)}`);
  }
}

function target(path: string, mode: OpenMode): string {
  if (mode === "rw") return path;
  const escaped = path.replace(/[%?#]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
  return `file:${escaped}?${mode === "ro" ? "mode=ro" : "mode=ro&immutable=1"}`;
}

function guarded<T>(action: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw faultOf(error, action);
  }
}

/** SQLite's primary result codes and what they mean to us; all others are failures of the storage. */
const faultCodes: Readonly<Record<number, Code>> = {
  1: "storage_damaged", // SQLITE_ERROR: our statements are fixed, so a table or a column is gone
  5: "overloaded", // SQLITE_BUSY
  11: "storage_damaged", // SQLITE_CORRUPT
  13: "storage_full", // SQLITE_FULL
  26: "storage_damaged", // SQLITE_NOTADB
};

/** A Fault of libSQL's error: by its number, never by its text. */
export function faultOf(error: unknown, action: string): Fault | Bug {
  if (error instanceof Fault || error instanceof Bug) return error;
  const number = resultCode(error);
  const code = (number === null ? undefined : faultCodes[number]) ?? "storage_failed";
  const detail = `Cannot ${action}: ${error instanceof Error ? error.message : String(error)}`;
  return new Fault(code, detail, { cause: error, members: { sqlite: number } });
}

/** Primary result code (the low byte), or null when the error is none of SQLite's. */
export function resultCode(error: unknown): number | null {
  if (!(error instanceof Error) || !("rawCode" in error)) return null;
  return typeof error.rawCode === "number" ? error.rawCode & 0xff : null;
}
