// The lock of a data folder: one node at a time, known by name to the next one that tries.
//
//   DIR/lock.db     held by BEGIN EXCLUSIVE; the system lets it go when the process ends, however it ends
//   DIR/lock.json   who holds it, for the message; believed only while the lock is held
//
// Promise: two processes, or two nodes in one process, never hold the same folder. Left to others: what is in it.

import {
  accessSync,
  constants,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Fault } from "../errors.ts";
import { openSqlite, type Connection } from "./sqlite.ts";

export interface LockOwner {
  readonly pid: number;
  /** Where the node answers; "" before it listens, or when it does not. */
  readonly url: string;
  /** ms since the Unix epoch. */
  readonly startedAt: number;
}

/** A held lock. Keep it referenced: a collected connection lets go. */
export class FolderLock {
  readonly #dir: string;
  readonly #connection: Connection;

  constructor(dir: string, connection: Connection) {
    this.#dir = dir;
    this.#connection = connection;
  }

  /** Tells those who come later who holds the folder; again once the URL is known. */
  announce(owner: LockOwner): void {
    const path = join(this.#dir, "lock.json");
    writeFileSync(`${path}.tmp`, `${JSON.stringify(owner)}\n`);
    renameSync(`${path}.tmp`, path);
  }

  release(): void {
    rmSync(join(this.#dir, "lock.json"), { force: true });
    this.#connection.exec("ROLLBACK");
    this.#connection.close();
  }
}

/** Takes the lock, or returns who holds it (null: nobody said). Makes the folder. Throws Fault storage_failed when the
 *  folder cannot be made or written. */
export function lockFolder(
  dir: string,
): { readonly lock: FolderLock } | { readonly heldBy: LockOwner | null } {
  makeFolder(dir);
  const connection = openSqlite(join(dir, "lock.db"), "rw");
  try {
    // Who comes second is told at once.
    connection.exec("PRAGMA busy_timeout=0");
    connection.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    connection.close();
    if (error instanceof Fault && error.code === "overloaded") return { heldBy: readOwner(dir) };
    throw error;
  }
  return { lock: new FolderLock(dir, connection) };
}

/** Asks for the right to write before SQLite does, which says no more than a number. */
function makeFolder(dir: string): void {
  attempt(`make the data folder ${dir}`, () => mkdirSync(dir, { recursive: true }));
  attempt(`write to the data folder ${dir}`, () => accessSync(dir, constants.W_OK));
}

function attempt(what: string, act: () => void): void {
  try {
    act();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Fault("storage_failed", `Cannot ${what}: ${why}`, { cause });
  }
}

function readOwner(dir: string): LockOwner | null {
  try {
    const owner: unknown = JSON.parse(readFileSync(join(dir, "lock.json"), "utf8"));
    if (typeof owner !== "object" || owner === null) return null;
    const { pid, url, startedAt } = owner as Partial<LockOwner>;
    if (typeof pid !== "number" || typeof startedAt !== "number") return null;
    return { pid, url: typeof url === "string" ? url : "", startedAt };
  } catch {
    return null;
  }
}
