// Real files with one bit flipped, and cut anywhere: each is recovered or named, never shortened in silence.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DiskRead } from "../../src/journal/disk.ts";
import { FileReader } from "../../src/journal/workers/file-reader.ts";
import { takeInventory } from "../../src/journal/workers/inventory.ts";
import { unpackHeads, unpackRows } from "../../src/journal/workers/packed-rows.ts";
import {
  byIndex,
  byLsn,
  contentOf,
  diskIn,
  groupOf,
  liveIn,
  RowWriter,
  sealedOf,
  tempRoot,
} from "./disk-rows.ts";

const temp = tempRoot("flip");
afterAll(() => temp.sweep());

const entries = 40;
const seed = 20_261;
let state = seed;
const random = (below: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};

const unsealedDir = temp.dir("unsealed");
const sealedDir = temp.dir("sealed");
let active = "";
let sealed = "";
/** lsn of each entry: replica/idx. */
const lsns = new Map<string, number>();

beforeAll(async () => {
  const writer = new RowWriter(diskIn(unsealedDir));
  await writer.disk.open();
  active = await writer.roll();
  await writer.commit([writer.replica(1), writer.replica(2)]);
  for (let i = 0; i < entries; i++) {
    const rows = [writer.entry(1, 300 + (i % 7) * 2_000), writer.entry(2, 50)];
    for (const row of rows) lsns.set(`${row.replica}/${row.idx}`, row.lsn);
    await writer.commit(rows);
  }
  cpSync(unsealedDir, sealedDir, { recursive: true });
  await writer.disk.close();
  const second = diskIn(sealedDir);
  await second.open();
  const roller = new RowWriter(second);
  roller.lsn = writer.lsn;
  await roller.roll();
  sealed = sealedOf(1, writer.lsn - 1);
  const live = liveIn(active, [
    [1, 1, entries],
    [2, 1, entries],
  ]);
  await second.seal({ output: sealed, inputs: [live] }, () => false);
  await second.remove([active]);
  await second.close();
});

const bytesOf = (replica: number, idx: number): Uint8Array =>
  contentOf(replica, idx, replica === 1 ? 300 + ((idx - 1) % 7) * 2_000 : 50);

type Found = ReturnType<typeof takeInventory>;

/** Reads all entries of both replicas one by one; returns those that were not served and not named. Does here what the
 *  Workers do: their start costs more than the reads. */
function lost(
  dir: string,
  found: Found,
  readOf: (replica: number, idx: number) => DiskRead | null,
): string[] {
  const reader = new FileReader(dir);
  const missing: string[] = [];
  for (const replica of [1, 2])
    for (let idx = 1; idx <= entries; idx++) {
      if (found.damage.some((d) => d.lsn === null && (d.replica === null || d.replica === replica)))
        continue;
      if (found.damage.some((d) => d.lsn === lsns.get(`${replica}/${idx}`))) continue;
      const read = readOf(replica, idx);
      const result = read === null ? null : reader.read(read);
      if (result !== null && result.damage !== null) continue;
      const row = result === null ? undefined : unpackRows(result.rows, groupOf(replica))[0];
      const same =
        row !== undefined &&
        row.idx === idx &&
        Buffer.from(row.batch!.bytes).equals(bytesOf(replica, idx));
      if (!same) missing.push(`${replica}/${idx}`);
    }
  reader.forget([active, sealed]);
  return missing;
}

/** Every entry that open() lists is asked for by its lsn; one that it does not list is lost. */
function lostUnsealed(dir: string): string[] {
  const found = takeInventory(dir);
  const listed = new Set<number>();
  for (const { rows } of found.unsealed)
    for (const row of unpackHeads(rows, new Map(found.groups))) listed.add(row.lsn);
  return lost(dir, found, (replica, idx) => {
    const lsn = lsns.get(`${replica}/${idx}`)!;
    return listed.has(lsn) ? byLsn(active, replica, [lsn]) : null;
  });
}

function lostSealed(dir: string): string[] {
  const found = takeInventory(dir);
  const has = (replica: number): boolean =>
    found.sealed.some((h) => h.spans.some((s) => s.replica === replica && s.lastIndex === entries));
  return lost(dir, found, (replica, idx) =>
    has(replica) ? byIndex({ file: sealed, replica }, [idx, idx + 1]) : null,
  );
}

let copies = 0;
/** A copy of the folder with one bit of one file changed. */
function flipped(from: string, file: string, at: number): string {
  const dir = temp.dir(`copy-${copies++}`);
  cpSync(from, dir, { recursive: true });
  const bytes = readFileSync(join(dir, file));
  bytes[at] ^= 1 << random(8);
  writeFileSync(join(dir, file), bytes);
  return dir;
}

test("one bit flipped anywhere in the WAL of the active file loses nothing unnamed", () => {
  const file = `${active}.db-wal`;
  const size = statSync(join(unsealedDir, file)).size;
  const places = [0, 5, 17, 30, ...Array.from({ length: 16 }, () => random(size))];
  for (const at of places)
    expect([seed, at, lostUnsealed(flipped(unsealedDir, file, at))]).toEqual([seed, at, []]);
}, 20_000);

test("one bit flipped anywhere in a sealed file loses nothing unnamed", () => {
  const file = `${sealed}.db`;
  const size = statSync(join(sealedDir, file)).size;
  const places = [1, 20, 60, 101, 105, ...Array.from({ length: 16 }, () => random(size))];
  for (const at of places)
    expect([seed, at, lostSealed(flipped(sealedDir, file, at))]).toEqual([seed, at, []]);
}, 20_000);

test("a WAL cut anywhere keeps every transaction that lies before the cut", async () => {
  const file = `${active}.db-wal`;
  const size = statSync(join(unsealedDir, file)).size;
  const frame = 4096 + 24;
  const cuts = [32 + frame * 9, 32 + frame * 10, ...Array.from({ length: 6 }, () => random(size))];
  for (const cut of cuts.sort((a, b) => b - a)) {
    const dir = temp.dir("cut");
    rmSync(dir, { recursive: true, force: true });
    cpSync(unsealedDir, dir, { recursive: true });
    truncateSync(join(dir, file), cut);
    const disk = diskIn(dir);
    const found = await disk.open();
    expect([seed, cut, found.damage]).toEqual([seed, cut, []]);
    const rows = found.unsealed.flatMap((f) => [...f.rows].filter((row) => row.kind < 32));
    // Each transaction wrote one entry of each replica: what is left is a whole number of them.
    expect(rows.map((row) => [row.replica, row.idx])).toEqual(
      rows.map((_, i) => [(i % 2) + 1, Math.floor(i / 2) + 1]),
    );
    await disk.close();
  }
}, 20_000);

test("a WAL cut after a clean stop is named: the mark says how many rows there were", async () => {
  const stopped = temp.dir("stopped");
  cpSync(unsealedDir, stopped, { recursive: true });
  const disk = diskIn(stopped);
  await disk.open();
  const writer = new RowWriter(disk);
  writer.lsn = Math.max(...lsns.values()) + 1;
  await writer.commit([writer.fact("cleanStop")]);
  await disk.close();
  const dir = temp.dir("cut-clean");
  cpSync(stopped, dir, { recursive: true });
  const wal = join(dir, `${active}.db-wal`);
  truncateSync(wal, statSync(wal).size - 50_000);
  const again = diskIn(dir);
  const found = await again.open();
  expect(found.cleanStop).toBe(false);
  // The lost rows may have been anyone's; where every log ended is for the index to tell, which was not made here.
  expect(found.damage.map((d) => d.replica)).toEqual([null]);
  expect(found.cleanEnd).toMatchObject({ lastLsn: writer.lsn - 1, index: null });
  expect(found.damage[0].detail).toContain(`to ${writer.lsn - 1} are missing`);
  await again.close();
});
