// The walk against logs that SQLite itself wrote: whole, cut anywhere, one bit flipped anywhere, torn by a lost sector.

import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqlite, type SqlValue } from "../../src/journal/sqlite.ts";
import { mendWal } from "../../src/journal/wal-mend.ts";
import { walkWal, type Patch } from "../../src/journal/wal-walk.ts";

const root = mkdtempSync(join(tmpdir(), "rivulet-wal-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const original = join(root, "original.db");
const commits = 12;
const frameBytes = 4096 + 24;
let wal = Buffer.alloc(0);
let copies = 0;

/** Twelve commits of ten rows; the writer is never closed, as after kill -9. */
beforeAll(() => {
  const db = openSqlite(original, "rw");
  db.exec("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
  db.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)");
  const insert = db.prepare("INSERT INTO t VALUES (?, ?)");
  for (let c = 0; c < commits; c++) {
    db.exec("BEGIN");
    for (let r = 0; r < 10; r++) insert.run([c * 10 + r, new Uint8Array(700).fill(c + 1)]);
    db.exec("COMMIT");
  }
  keep.push(db);
  wal = readFileSync(`${original}-wal`);
});
const keep: unknown[] = [];

function copyWith(bytes: Uint8Array): string {
  const path = join(root, `copy-${copies++}.db`);
  copyFileSync(original, path);
  writeFileSync(`${path}-wal`, bytes);
  return path;
}

function patched(bytes: Uint8Array, patches: readonly Patch[]): Uint8Array {
  const copy = Buffer.from(bytes);
  for (const { at, bytes: right } of patches) copy.set(right, at);
  return copy;
}

function countRows(path: string): SqlValue {
  const db = openSqlite(path, "ro");
  const count = db.scalar("SELECT count(*) FROM sqlite_schema WHERE name = 't'");
  const rows = count === 0 ? 0 : db.scalar("SELECT count(*) FROM t");
  db.close();
  return rows;
}

test("a whole log is whole", () => {
  const report = walkWal(`${copyWith(wal)}-wal`);
  expect(report).toEqual({
    verdict: "whole",
    frames: (wal.length - 32) / frameBytes,
    patches: [],
    findings: [],
  });
});

test("one flipped bit is set right to the byte, or kept and told when several would explain the sums", () => {
  const seed = 7;
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const places = [
    ...Array.from({ length: 32 }, (_, i) => i),
    ...Array.from({ length: 24 }, (_, i) => 32 + frameBytes * 5 + i),
    wal.length - 2_000,
    32 + frameBytes * 6 - 1,
    ...Array.from({ length: 150 }, () => random(wal.length)),
  ];
  const verdicts = { mended: 0, damaged: 0 };
  for (const [n, at] of places.entries()) {
    const flipped = Buffer.from(wal);
    flipped[at] ^= 1 << random(8);
    const path = copyWith(flipped);
    const { verdict, patches } = walkWal(`${path}-wal`);
    if (verdict !== "mended" && verdict !== "damaged")
      throw new Error(`seed ${seed}, byte ${at}: ${verdict}`);
    verdicts[verdict]++;
    // mendWal() syncs three times; what it does to the bytes is the same.
    if (n % 20 === 0) mendWal(path, patches);
    else writeFileSync(`${path}-wal`, patched(flipped, patches));
    expect([at, walkWal(`${path}-wal`).verdict]).toEqual([at, "whole"]);
    if (verdict === "mended")
      expect([at, readFileSync(`${path}-wal`).equals(wal)]).toEqual([at, true]);
    rmSync(path);
    rmSync(`${path}-wal`);
    rmSync(`${path}-wal.damaged`, { force: true });
  }
  expect(verdicts.mended).toBeGreaterThan(places.length * 0.6);
  expect(verdicts.damaged).toBeGreaterThan(0);
}, 20_000);

test("a log cut at any frame or byte keeps every whole commit and is no damage", () => {
  const path = copyWith(wal);
  for (let size = wal.length; size > 0; size -= 1_733) {
    truncateSync(`${path}-wal`, size);
    const { verdict, patches } = walkWal(`${path}-wal`);
    expect([size, patches.length, verdict === "torn" || verdict === "whole"]).toEqual([
      size,
      0,
      true,
    ]);
  }
});

test("a lost sector in the last commit is a torn tail, in an earlier one damage that keeps what follows", () => {
  const last = Buffer.from(wal);
  last.fill(0, wal.length - 3_000, wal.length - 1_500);
  expect(walkWal(`${copyWith(last)}-wal`).verdict).toBe("torn");
  const middle = Buffer.from(wal);
  const lost = 32 + frameBytes * 8 + 1_000;
  middle.fill(0, lost, lost + 1_500);
  const path = copyWith(middle);
  const report = walkWal(`${path}-wal`);
  expect(report.verdict).toBe("damaged");
  expect(report.findings[0]).toContain("frame 9, page");
  mendWal(path, report.patches);
  expect(walkWal(`${path}-wal`).verdict).toBe("whole");
  expect(Number(countRows(path))).toBeGreaterThan(100);
});

test("a header that is lost altogether is rebuilt from the frames", () => {
  const headless = Buffer.from(wal);
  headless.fill(0xee, 0, 32);
  const path = copyWith(headless);
  const report = walkWal(`${path}-wal`);
  expect(report.verdict).toBe("damaged");
  mendWal(path, report.patches);
  expect(countRows(path)).toBe(commits * 10);
});
