// The traps of libSQL that sqlite.ts stands before; each would come back with a change of version unseen otherwise.

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../../src/errors.ts";
import { assertValues, openSqlite, type SqlValue } from "../../src/journal/sqlite.ts";

// Real files and processes on a machine that others use too.
setDefaultTimeout(20_000);

const root = mkdtempSync(join(tmpdir(), "rivulet-sqlite-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const caught = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error;
  }
};

const code = (work: () => unknown): unknown => (caught(work) as Fault).code;

test("the native code aborts the process when one object that is no array is bound", async () => {
  const script = `
    import Database from "libsql";
    const db = new Database(":memory:");
    db.prepare("SELECT ?").get(new Uint8Array(1));
    console.log("survived");
  `;
  const file = join(import.meta.dir, "../..");
  const child = Bun.spawn([process.execPath, "-e", script], {
    cwd: file,
    stdout: "pipe",
    stderr: "ignore",
  });
  expect(await new Response(child.stdout).text()).toBe("");
  expect(await child.exited).not.toBe(0);
});

test("values that the native code cannot take are stopped before it", () => {
  const db = openSqlite(join(root, "values.db"), "rw");
  const statement = db.prepare("SELECT ?");
  for (const bad of [true, undefined, {}, new ArrayBuffer(1), Symbol("x")])
    expect(String(caught(() => statement.get([bad as unknown as SqlValue])))).toContain(
      "Cannot bind",
    );
  expect(String(caught(() => assertValues(new Uint8Array(1) as unknown as SqlValue[])))).toContain(
    "one array",
  );
  for (const good of [1, -1.5, 7n, "text", null])
    expect(statement.get([good])?.[0]).toEqual(good === 7n ? 7 : good);
  expect(statement.get([new Uint8Array([1, 2])])?.[0]).toEqual(Buffer.from([1, 2]));
  db.close();
});

test("bytes of shared memory are bound like any others", () => {
  const db = openSqlite(join(root, "shared.db"), "rw");
  const shared = new Uint8Array(new SharedArrayBuffer(16), 4, 8).fill(9);
  expect(db.prepare("SELECT ?").get([shared])?.[0]).toEqual(Buffer.alloc(8, 9));
  db.close();
});

test("faults carry codes: no database, no room, a lock, a file that is not there", () => {
  writeFileSync(join(root, "garbage.db"), "x".repeat(8_192));
  const garbage = openSqlite(join(root, "garbage.db"), "ro");
  expect(code(() => garbage.scalar("SELECT count(*) FROM sqlite_schema"))).toBe("storage_damaged");
  expect(code(() => openSqlite(join(root, "absent/x.db"), "rw"))).toBe("storage_failed");
  const full = openSqlite(join(root, "full.db"), "rw");
  full.exec("CREATE TABLE t (b BLOB); PRAGMA max_page_count = 4");
  const insert = full.prepare("INSERT INTO t VALUES (?)");
  expect(code(() => insert.run([new Uint8Array(100_000)]))).toBe("storage_full");
  const second = openSqlite(join(root, "full.db"), "rw");
  full.exec("BEGIN EXCLUSIVE");
  expect(code(() => second.exec("BEGIN EXCLUSIVE"))).toBe("overloaded");
  expect(
    code(() => openSqlite(join(root, "absent.db"), "immutable").scalar("SELECT 1 FROM t")),
  ).toBe("storage_failed");
  expect(existsSync(join(root, "absent.db"))).toBe(false);
});

test("a read-only connection never writes, and keeps the WAL when the writer closes", () => {
  const dir = join(root, "guard");
  mkdirSync(dir);
  const path = join(dir, "a.db");
  const writer = openSqlite(path, "rw");
  writer.exec(
    "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a); INSERT INTO t VALUES (1)",
  );
  const guard = openSqlite(path, "ro");
  expect(guard.scalar("SELECT a FROM t")).toBe(1);
  expect(caught(() => guard.exec("INSERT INTO t VALUES (2)"))).toBeInstanceOf(Fault);
  const { size } = statSync(`${path}-wal`);
  writer.close();
  Bun.gc(true);
  guard.close();
  Bun.gc(true);
  expect(statSync(`${path}-wal`).size).toBe(size);
  expect(readdirSync(dir).sort()).toEqual(["a.db", "a.db-shm", "a.db-wal"]);
});

test("without a guard the last close checkpoints: the reason for it", () => {
  const path = join(root, "last.db");
  const writer = openSqlite(path, "rw");
  writer.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a)");
  expect(statSync(`${path}-wal`).size).toBeGreaterThan(0);
  writer.close();
  Bun.gc(true);
  expect(existsSync(`${path}-wal`)).toBe(false);
});
