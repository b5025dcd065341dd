// Writes what a walk found (wal-walk.ts): the patched WAL takes the old one's place, the old one is kept beside it.
//
//   NAME.db-wal.tmp       copy with the patches, synced
//   NAME.db-wal.damaged   second name of the WAL as it was found; deleted with its file
//   NAME.db               copied too: SQLite knows an open file by its inode, and a handle of this process that was
//                         not collected yet would hand its stale view of the WAL to the new connection
//
// Promise: a crash at any point leaves either the WAL as it was found or the mended one under its name.

import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { damagedSuffix, shmSuffix, syncFolder, walSuffix } from "./file-names.ts";
import type { Patch } from "./wal-walk.ts";

/** Applies patches to the WAL of the database at `path`. No connection may have it open. */
export function mendWal(path: string, patches: readonly Patch[]): void {
  if (patches.length === 0) return;
  const wal = path + walSuffix;
  const copy = `${wal}.tmp`;
  copyFileSync(wal, copy);
  patchFile(copy, patches);
  copyFileSync(path, `${path}.tmp`);
  patchFile(`${path}.tmp`, []);
  if (!existsSync(path + damagedSuffix)) linkSync(wal, path + damagedSuffix);
  rmSync(path + shmSuffix, { force: true });
  renameSync(`${path}.tmp`, path);
  renameSync(copy, wal);
  syncFolder(dirname(path));
}

function patchFile(path: string, patches: readonly Patch[]): void {
  const fd = openSync(path, "r+");
  try {
    for (const { at, bytes } of patches) writeSync(fd, bytes, 0, bytes.length, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
