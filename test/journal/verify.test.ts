// verify: whole folders are whole, every flip in a live row is named, nothing is changed, a running node is left alone.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lockFolder } from "../../src/journal/folder-lock.ts";
import { verifyFolder, type VerifyReport } from "../../src/journal/verify.ts";
import { contentOf, diskIn, liveIn, RowWriter, sealedOf, tempRoot } from "./disk-rows.ts";

// Real files and processes on a machine that others use too.
setDefaultTimeout(20_000);

const temp = tempRoot("verify");
afterAll(() => temp.sweep());
const source = temp.dir("source");
let sealed = "";
let active = "";

/** Replica 1: entries 1-20 sealed, 21-30 in the active file. */
beforeAll(async () => {
  const writer = new RowWriter(diskIn(join(source, "journal")));
  await writer.disk.open();
  const first = await writer.roll();
  await writer.commit([writer.replica(1)]);
  for (let i = 0; i < 20; i++) await writer.commit([writer.entry(1, 3_000)]);
  sealed = sealedOf(1, writer.lsn - 1);
  active = await writer.roll();
  await writer.disk.seal({ output: sealed, inputs: [liveIn(first, [[1, 1, 20]])] }, () => false);
  await writer.disk.remove([first]);
  for (let i = 0; i < 10; i++) await writer.commit([writer.entry(1, 3_000)]);
  await writer.disk.close();
});

const content = (dir: string): string[] =>
  readdirSync(join(dir, "journal"))
    .sort()
    .map((file) => `${file} ${Bun.hash(readFileSync(join(dir, "journal", file)))}`);

function report(dir: string): VerifyReport {
  const result = verifyFolder(dir);
  if ("heldBy" in result) throw new Error("held");
  return result;
}

/** A copy of the folder in which one bit was flipped inside the content of entry idx. */
function flippedAt(label: string, file: string, idx: number): string {
  const dir = temp.dir(label);
  cpSync(source, dir, { recursive: true });
  const path = join(dir, "journal", file);
  const bytes = readFileSync(path);
  const at = bytes.indexOf(contentOf(1, idx, 3_000).subarray(-100));
  expect(at).toBeGreaterThan(0);
  bytes[at + 50] ^= 4;
  writeFileSync(path, bytes);
  return dir;
}

test("a whole folder is whole, and stays as it was", () => {
  const before = content(source);
  const seen: string[] = [];
  const result = verifyFolder(source, ({ file, bytesDone, bytesTotal }) => {
    seen.push(file);
    expect(bytesDone).toBeLessThanOrEqual(bytesTotal);
  });
  // The sealed entries; the active file's image, twice, and entries.
  expect(result).toMatchObject({ rows: 20 + 2 + 10, damage: [], mendable: [] });
  expect(seen.sort()).toEqual([active, sealed].sort());
  expect(content(source)).toEqual(before);
});

test("a flip in a sealed row is named by file, row, group, index and offset", () => {
  const dir = flippedAt("sealed", `${sealed}.db`, 7);
  expect(report(dir).damage).toMatchObject([
    {
      file: sealed,
      lsn: 10,
      replica: 1,
      groupId: "topic-1/0",
      index: 7,
      baseOffset: 6,
      offsetCount: 1,
    },
  ]);
});

test("a flip in the WAL can be set right, and verify leaves that to the next start", () => {
  const dir = flippedAt("wal", `${active}.db-wal`, 25);
  const before = content(dir);
  const found = report(dir);
  expect(found.damage).toEqual([]);
  expect(found.mendable.length).toBe(1);
  expect(content(dir)).toEqual(before);
});

test("two flips in one row of the WAL are named by row", () => {
  const dir = flippedAt("wal-twice", `${active}.db-wal`, 25);
  const path = join(dir, "journal", `${active}.db-wal`);
  const bytes = readFileSync(path);
  const at = bytes.indexOf(contentOf(1, 25, 3_000).subarray(500, 600));
  bytes[at + 20] ^= 1;
  writeFileSync(path, bytes);
  expect(report(dir).damage).toMatchObject([{ file: active, index: 25, baseOffset: 24 }]);
});

test("a flip in an index of a sealed file is found in SQLite's structure", () => {
  const dir = temp.dir("index");
  cpSync(source, dir, { recursive: true });
  const path = join(dir, "journal", `${sealed}.db`);
  const bytes = readFileSync(path);
  // Leaf pages of an index begin with 10; the last one in the file belongs to one of the two.
  let page = bytes.length / 4096 - 1;
  while (bytes[page * 4096] !== 10 || bytes.readUInt16BE(page * 4096 + 3) < 10) page--;
  bytes[page * 4096 + 4096 - 10] ^= 8;
  writeFileSync(path, bytes);
  const { damage } = report(dir);
  expect(damage.length).toBeGreaterThan(0);
  expect(damage[0]).toMatchObject({ file: sealed, lsn: null, replica: 1 });
});

test("a WAL that is gone, with all that came after the sealed files, stops the start and is named", async () => {
  const dir = temp.dir("headless");
  cpSync(source, dir, { recursive: true });
  writeFileSync(join(dir, "journal", `${active}.db-wal`), "");
  expect(report(dir).damage).toMatchObject([{ file: active, lsn: null, replica: null }]);
  const disk = diskIn(join(dir, "journal"));
  const refused = await disk.open().catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "storage_damaged" });
  await disk.close();
  expect(existsSync(join(dir, "journal", `${active}.db`))).toBe(true);
});

test("a folder that a node holds is left alone; one without a journal is refused", () => {
  const dir = temp.dir("held");
  cpSync(source, dir, { recursive: true });
  const held = lockFolder(dir);
  const owner = { pid: 7, url: "http://127.0.0.1:7480", startedAt: 1 };
  if ("lock" in held) held.lock.announce(owner);
  expect(verifyFolder(dir)).toEqual({ heldBy: owner });
  if ("lock" in held) held.lock.release();
  const empty = temp.dir("empty");
  mkdirSync(empty);
  expect(() => verifyFolder(empty)).toThrow("there is no journal");
});
