// Which files the disk keeps in its folder, by the names that the journal gives (journal-files.ts).
//
//   journal-<lsn>.db  -wal  -shm            active or full
//   sealed-<lsn>-<lsn>-<generation>.db      sealed: present under this name means complete
//   spare.db                                the next active file, made ahead
//   *.tmp                                   being written; deleted at open
//   *.dead                                  being deleted; deleted at open
//   *.damaged                               a WAL as it was found before it was mended; kept until its file goes
//   catalogue.db                            copy of the sealed files' heads; deletable
//
// Promise: whatever a crash leaves is told apart by its name alone.

import { readdir, stat } from "node:fs/promises";
import { closeSync, fsyncSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseName } from "./journal-files.ts";

const suffix = ".db";
export const walSuffix = "-wal";
export const shmSuffix = "-shm";
export const damagedSuffix = "-wal.damaged";

export const pathOf = (dir: string, name: string): string => join(dir, name + suffix);
export const sparePath = (dir: string): string => join(dir, `spare${suffix}`);
export const cataloguePath = (dir: string): string => join(dir, `catalogue${suffix}`);

export interface Listing {
  /** Names in the order of their first row. */
  readonly unsealed: readonly string[];
  readonly sealed: readonly string[];
}

/** Names of the journal's files in a folder. */
export function listFiles(dir: string): Listing {
  const names = readdirSync(dir)
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    .filter((name) => parseName(name) !== null)
    .sort();
  return {
    unsealed: names.filter((name) => !isSealed(name)),
    sealed: names.filter(isSealed),
  };
}

export function isSealed(name: string): boolean {
  return parseName(name)?.sealed ?? false;
}

/** Deletes what a crash left half done. Call before anything is opened. */
export function sweepFolder(dir: string): void {
  const files = new Set(readdirSync(dir));
  for (const file of files) {
    const base = /^(.*\.db)(?:-wal|-shm|-wal\.damaged)$/.exec(file)?.[1];
    const orphan = base !== undefined && !files.has(base);
    if (orphan || file.startsWith("spare.db") || /\.(?:tmp|dead)(?:-\w+)?$/.test(file))
      rmSync(join(dir, file), { force: true });
  }
}

/** Makes the folder's own entries durable: after a rename, a creation, a deletion that must hold. */
export function syncFolder(dir: string): void {
  syncFile(dir);
}

/** fsync of a file (or folder) that no connection has open. */
export function syncFile(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Bytes of a file with its WAL; 0 for one that is not there. Looks at the folder's entry, opens nothing. */
export function bytesOnDisk(path: string): number {
  return sizeOf(path) + sizeOf(path + walSuffix);
}

export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Bytes of everything in the folder, asked without waiting. */
export async function folderBytes(dir: string): Promise<number> {
  const sizes = await Promise.all(
    (await readdir(dir)).map(async (file) => {
      // A file may go between the listing and the question.
      const found = await stat(join(dir, file)).catch(() => null);
      return found?.size ?? 0;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
