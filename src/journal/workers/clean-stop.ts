// The mark of a clean stop: what the newest file held when it was closed in order.
//
//   clean-stop.json    the mark: files, sizes, last row, length and sum of the index
//   clean-stop.index   what the journal wrote down of its rows (stop-index.ts); not synced, its sum tells
//
// Promise: believed by the next start alone, which forgets it; one that finds the newest file damaged leaves it until
// another file follows, so that a crash before that takes nothing away. While the WAL has the size that the mark says, that start need not walk it;
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
    /** Tells the rows too, not only where every log ends. */
    readonly whole: boolean;
  } | null;
}

const markPath = (dir: string): string => join(dir, "clean-stop.json");
const indexPath = (dir: string): string => join(dir, "clean-stop.index");
/** Of the index's format: an index of another one is no index. */
const indexFormat = 2;

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
  writeFileSync(markPath(dir), `${JSON.stringify({ ...mark, sum: sumOf(mark) })}\n`);
  syncFile(markPath(dir));
}

/** Writes the index; what the mark says of it. */
function indexed(dir: string, index: StopIndex | null): object {
  if (index === null) return {};
  writeFileSync(indexPath(dir), index.bytes);
  const files = index.files.map((name) => [name, bytesOnDisk(pathOf(dir, name))] as const);
  return { index: { format: indexFormat, files, whole: index.whole, crc: crc32c(index.bytes) } };
}

/** Null when there is none or it cannot be read. */
export const readCleanStop = (dir: string): CleanStop | null => read(markPath(dir));

/** The next start is an unclean one. */
export function forgetCleanStop(dir: string): void {
  rmSync(markPath(dir), { force: true });
  rmSync(indexPath(dir), { force: true });
}

/** The index that the mark speaks of; null when it is gone or damaged. Says nothing of the files. */
export function readIndex(dir: string, mark: CleanStop): Uint8Array<ArrayBuffer> | null {
  const bytes = mark.index === null ? null : bytesOf(indexPath(dir));
  return bytes !== null && crc32c(bytes) === mark.index!.crc ? bytes : null;
}

/** The folder holds the files of the mark, in their sizes, and its index tells all of their rows. */
export function isIndexed(dir: string, mark: CleanStop): boolean {
  if (mark.index === null || !mark.index.whole) return false;
  const { files } = mark.index;
  const { sealed, unsealed } = listFiles(dir);
  const found = new Set([...sealed, ...unsealed]);
  const same = files.every(
    ([name, size]) => found.has(name) && bytesOnDisk(pathOf(dir, name)) === size,
  );
  return same && found.size === files.length;
}

/** Of the mark's other members: a flipped digit would tell of rows that never were. */
const sumOf = (members: object): number =>
  crc32c(new TextEncoder().encode(JSON.stringify(members)));

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
    const { sum, ...members } = mark as Partial<CleanStop> & { readonly sum?: unknown };
    if (sum !== sumOf(members)) return null;
    const { name, lastLsn, walBytes, index } = members;
    if (typeof name !== "string" || typeof lastLsn !== "number") return null;
    const known = isIndex(index) ? index : null;
    return { name, lastLsn, walBytes: typeof walBytes === "number" ? walBytes : -1, index: known };
  } catch {
    return null;
  }
}

function isIndex(value: unknown): value is CleanStop["index"] {
  if (typeof value !== "object" || value === null) return false;
  const { format, files, crc, whole } = value as Partial<Record<string, unknown>>;
  const known = format === indexFormat && typeof whole === "boolean";
  return known && Array.isArray(files) && typeof crc === "number";
}
