// The mark of a clean stop: what the newest file held when it was closed in order.
//
// Promise: read once, by the next start. While the WAL has the size that the mark says, that start need not walk it;
// whatever its size, the file must hold the rows that the mark counts, so that one which was cut or damaged while the
// node was down is seen to lack them. Left to others: the clean-stop row in the journal itself.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathOf, sizeOf, syncFile, walSuffix } from "../file-names.ts";

export interface CleanStop {
  readonly name: string;
  readonly lastLsn: number;
  readonly walBytes: number;
}

const markPath = (dir: string): string => join(dir, "clean-stop.json");

export function markCleanStop(
  dir: string,
  active: { readonly name: string; readonly lastLsn: number | null },
): void {
  const walBytes = sizeOf(pathOf(dir, active.name) + walSuffix);
  const mark = { name: active.name, lastLsn: active.lastLsn ?? 0, walBytes };
  writeFileSync(markPath(dir), `${JSON.stringify(mark)}\n`);
  syncFile(markPath(dir));
}

/** Reads and deletes the mark; null when there is none or it cannot be read. */
export function takeCleanStop(dir: string): CleanStop | null {
  const mark = read(markPath(dir));
  rmSync(markPath(dir), { force: true });
  return mark;
}

/** The WAL has the size that the mark says: no commit came after it. */
export function isUntouched(dir: string, mark: CleanStop): boolean {
  return sizeOf(pathOf(dir, mark.name) + walSuffix) === mark.walBytes;
}

function read(path: string): CleanStop | null {
  try {
    const mark: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (typeof mark !== "object" || mark === null) return null;
    const { name, lastLsn, walBytes } = mark as Partial<CleanStop>;
    if (typeof name !== "string" || typeof lastLsn !== "number") return null;
    return { name, lastLsn, walBytes: typeof walBytes === "number" ? walBytes : -1 };
  } catch {
    return null;
  }
}
