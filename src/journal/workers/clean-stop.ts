// The mark of a clean stop: what the newest file held when it was closed in order.
//
//   clean-stop.json    the mark: files, sizes, last row, length and sum of the index
//   clean-stop.index   what the journal wrote down of its rows (stop-index.ts); not synced, its sum tells
//
// Promise: read once, by the next start. While the WAL has the size that the mark says, that start need not walk it;
// whatever its size, the file must hold the rows that the mark counts, so that one which was cut or damaged while the
// node was down is seen to lack them. Left to others: the clean-stop row in the journal itself.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32c } from "../../bytes/crc32c.ts";
import type { StopIndex } from "../disk.ts";
import { bytesOnDisk, listFiles, pathOf, sizeOf, syncFile, walSuffix } from "../file-names.ts";

export interface CleanStop {
  readonly name: string;
  readonly lastLsn: number;
  readonly walBytes: number;
  /** All files with their sizes, and the sum of their index; null when there was none. */
  readonly index: {
    readonly files: readonly (readonly [name: string, bytes: number])[];
    readonly crc: number;
  } | null;
}

const markPath = (dir: string): string => join(dir, "clean-stop.json");
const indexPath = (dir: string): string => join(dir, "clean-stop.index");
/** Of the index's format: an index of another one is no index. */
const indexFormat = 1;

export function markCleanStop(
  dir: string,
  active: { readonly name: string; readonly lastLsn: number | null },
  index: StopIndex | null,
): void {
  const walBytes = sizeOf(pathOf(dir, active.name) + walSuffix);
  const mark = {
    name: active.name,
    lastLsn: active.lastLsn ?? 0,
    walBytes,
    ...indexed(dir, index),
  };
  writeFileSync(markPath(dir), `${JSON.stringify(mark)}\n`);
  syncFile(markPath(dir));
}

/** Writes the index; what the mark says of it. */
function indexed(dir: string, index: StopIndex | null): object {
  if (index === null) return {};
  writeFileSync(indexPath(dir), index.bytes);
  const files = index.files.map((name) => [name, bytesOnDisk(pathOf(dir, name))] as const);
  return { index: { format: indexFormat, files, crc: crc32c(index.bytes) } };
}

/** Reads and deletes the mark; null when there is none or it cannot be read. */
export function takeCleanStop(dir: string): CleanStop | null {
  const mark = read(markPath(dir));
  rmSync(markPath(dir), { force: true });
  return mark;
}

/** Reads and deletes the index; null when it is not the one of the mark, or the files are not those of the mark. */
export function takeIndex(dir: string, mark: CleanStop | null): Uint8Array<ArrayBuffer> | null {
  const bytes = bytesOf(indexPath(dir));
  rmSync(indexPath(dir), { force: true });
  if (bytes === null || mark === null || mark.index === null) return null;
  const { files, crc } = mark.index;
  const { sealed, unsealed } = listFiles(dir);
  const found = new Set([...sealed, ...unsealed]);
  const same = files.every(
    ([name, size]) => found.has(name) && bytesOnDisk(pathOf(dir, name)) === size,
  );
  return same && found.size === files.length && crc32c(bytes) === crc ? bytes : null;
}

function bytesOf(path: string): Uint8Array<ArrayBuffer> | null {
  try {
    return new Uint8Array(readFileSync(path));
  } catch {
    return null;
  }
}

/** The WAL has the size that the mark says: no commit came after it. */
export function isUntouched(dir: string, mark: CleanStop): boolean {
  return sizeOf(pathOf(dir, mark.name) + walSuffix) === mark.walBytes;
}

function read(path: string): CleanStop | null {
  try {
    const mark: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof mark !== "object" || mark === null) return null;
    const { name, lastLsn, walBytes, index } = mark as Partial<CleanStop>;
    if (typeof name !== "string" || typeof lastLsn !== "number") return null;
    const known = isIndex(index) ? index : null;
    return { name, lastLsn, walBytes: typeof walBytes === "number" ? walBytes : -1, index: known };
  } catch {
    return null;
  }
}

function isIndex(value: unknown): value is CleanStop["index"] {
  if (typeof value !== "object" || value === null) return false;
  const { format, files, crc } = value as Partial<Record<string, unknown>>;
  return format === indexFormat && Array.isArray(files) && typeof crc === "number";
}
