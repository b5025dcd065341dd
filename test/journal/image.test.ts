// The image: every chunk twice, so that no single damaged place in a file takes the state of all replicas along.

import { afterAll, expect, test } from "bun:test";
import { cpSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import type { DiskRow } from "../../src/journal/disk.ts";
import { ImageReader, imageRows } from "../../src/journal/image.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { emptyReplica } from "../../src/journal/recovery.ts";
import { logIndex, term, type ReplicaNumber } from "../../src/quantities.ts";
import { systemWorld } from "../../src/world.ts";
import { tempRoot } from "./disk-rows.ts";
import { entryOf, releaseAll } from "./entries.ts";

const temp = tempRoot("image");
afterAll(() => temp.sweep());

const replicasOf = (count: number) =>
  Array.from({ length: count }, (_, i) => emptyReplica(i, `topic/${i}`, 1));

function readerOf(rows: readonly DiskRow[]): ImageReader {
  const reader = new ImageReader();
  for (const row of rows) reader.add({ ...row, batchBytes: 0 });
  return reader;
}

test("an image is whole when one copy of each chunk is, whichever it is", () => {
  const image = { nextReplica: 2_300, replicas: replicasOf(2_222) };
  const rows = imageRows(image, 7);
  expect(rows.map((row) => [row.lsn, row.idx, row.offsetCount, row.baseOffset])).toEqual([
    [7, 0, 3, 0],
    [8, 1, 3, 0],
    [9, 2, 3, 0],
    [10, 0, 3, 1],
    [11, 1, 3, 1],
    [12, 2, 3, 1],
  ]);
  for (let lost = 0; lost < 8; lost++) {
    const left = rows.filter((row) => (row.baseOffset === 0) === ((lost >> row.idx) % 2 === 0));
    const reader = readerOf(left);
    expect([reader.complete, reader.nextReplica, reader.rowsTotal]).toEqual([true, 2_300, 6]);
    expect([...reader.replicas()].sort((a, b) => a.replica - b.replica)).toEqual(image.replicas);
  }
  expect(readerOf(rows.filter((row) => row.idx !== 1)).complete).toBe(false);
  expect(readerOf([]).complete).toBe(false);
});

const replicas = 120;
const slabs = createSlabPool({ slabBytes: 64 * 1024 });

function opened(dir: string): Promise<Journal> {
  const disk = new LibsqlDisk({ dir, slabs, world: systemWorld });
  return openJournal({ world: systemWorld, disk, slabs, freeBytesMin: 0, fileRowsMax: 500 });
}

async function append(journal: Journal, replica: ReplicaNumber): Promise<void> {
  const { lastIndex, nextOffset } = journal.state(replica);
  const entries = [entryOf(slabs, { index: lastIndex + 1, term: 1, baseOffset: nextOffset })];
  const hardState = { term: term(1), vote: 1, commit: logIndex(lastIndex) };
  const written = journal.enqueue({ replica, entries, hardState });
  releaseAll(entries);
  await written;
}

/** The only unsealed file of a journal of many replicas: everything that a start knows of them is its image. */
async function onlyImage(dir: string): Promise<void> {
  const journal = await opened(dir);
  const all = Array.from({ length: replicas }, (_, i) =>
    journal.createReplica({ groupId: `topic-${i}/0`, incarnation: 1 }),
  );
  const figure = (name: string): number => journal.metrics()[name];
  while (figure("rolls") < 2) await Promise.all(all.map((replica) => append(journal, replica)));
  while (figure("files_removed") < figure("rolls") - 1) await append(journal, all[0]);
  await journal.close();
}

test("a ruined page in the only image is told, and costs nothing", async () => {
  const source = temp.dir("source");
  await onlyImage(source);
  // A copy: handles of the source that were not collected yet would share what they know of its WAL.
  const dir = temp.dir("ruined");
  cpSync(source, dir, { recursive: true });
  const files = readdirSync(dir).filter((name) => /^journal-.*-wal$/.test(name));
  expect(files.length).toBe(1);
  const wal = join(dir, files[0]);
  const bytes = readFileSync(wal);
  const at = bytes.indexOf("topic-50/0");
  expect(at).toBeGreaterThan(0);
  bytes.fill(0xee, at, at + 64);
  writeFileSync(wal, bytes);
  const journal = await opened(dir);
  const found = [...journal.replicas()];
  expect(found.length).toBe(replicas);
  expect(found.filter(({ damage }) => damage.length > 0)).toEqual([]);
  expect(journal.health().detail).toMatch(/row \d+ of its image is damaged/);
  for (const { replica } of found) await append(journal, replica);
  await journal.close();
}, 20_000);
