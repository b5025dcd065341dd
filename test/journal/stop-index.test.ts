// The stop index: a clean start from it equals one from the rows; in any doubt the rows are read.

import { afterAll, describe, expect, test } from "bun:test";
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Disk } from "../../src/journal/disk.ts";
import { journalName, JournalFiles } from "../../src/journal/journal-files.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import { checkAccounts, openJournal } from "../../src/journal/open-journal.ts";
import { recover, type Recovered } from "../../src/journal/recovery.ts";
import { restoreIndex } from "../../src/journal/stop-index.ts";
import { logIndex, offset, term, type ReplicaNumber } from "../../src/quantities.ts";
import { systemWorld } from "../../src/world.ts";
import { takeSpare } from "../../src/journal/workers/active-file.ts";
import { diskIn, slabs, tempRoot } from "./disk-rows.ts";
import { contentOf, entryOf, releaseAll, type EntryPlan } from "./entries.ts";

const temp = tempRoot("stop-index");
afterAll(() => temp.sweep());
const settings = { freeBytesMin: 0, fileRowsMax: 60, flushBytesMax: 4_000, snapshotChunkBytes: 64 };

const opened = (disk: Disk): Promise<Journal> =>
  openJournal({ world: systemWorld, disk, slabs, ...settings });

async function append(journal: Journal, replica: ReplicaNumber, plans: readonly EntryPlan[]) {
  const entries = plans.map((plan) => entryOf(slabs, plan));
  const written = journal.enqueue({ replica, entries });
  releaseAll(entries);
  await written;
}

const planAt = (index: number, at = 1): EntryPlan => ({ index, term: at, baseOffset: index - 1 });

/** Everything that an index has to tell: cuts, a reset, a trim, snapshots (one of them partial by its reset), a drop,
 *  a replica that was never written, sealed and unsealed files. */
async function fill(journal: Journal): Promise<void> {
  const [a, b, c, d] = ["controller", "b/0", "c/0", "d/0"].map((groupId) =>
    journal.createReplica({ groupId, incarnation: 3 }),
  );
  journal.createReplica({ groupId: "never/0", incarnation: 1 });
  for (let i = 1; i <= 90; i += 9) {
    const plans = Array.from({ length: 9 }, (_, k) => planAt(i + k));
    await Promise.all([a, b, c, d].map((replica) => append(journal, replica, plans)));
  }
  await append(journal, b, [planAt(85, 2), planAt(86, 2)]);
  const hardState = { term: term(2), vote: 7, commit: logIndex(80) };
  const snapshot = { index: logIndex(80), bytes: new Uint8Array(300).fill(5) };
  const configuration = Uint8Array.of(1, 2, 3);
  for (const replica of [a, b, c])
    await journal.enqueue({ replica, hardState, snapshot, configuration });
  await journal.trim(a, { index: logIndex(40), prevTerm: term(1), offset: offset(39) });
  const reset = { index: logIndex(500), prevTerm: term(2), offset: offset(400) };
  await journal.enqueue({ replica: c, reset });
  await append(journal, c, [{ index: 500, term: 3, baseOffset: 400 }]);
  await journal.drop(d);
  for (let i = 91; i <= 110; i++) await append(journal, a, [planAt(i)]);
}

/** What a start knows. Sizes in sealed files are estimates, and may differ. */
function told({ logs, nextLsn }: Recovered, files: JournalFiles): unknown {
  return {
    nextLsn,
    files: files.all().map(({ name, state, rows, lastLsn, firstLsn, damaged, ...rest }) => {
      const sizes =
        state === "sealed" ? {} : { total: rest.totalBytes, live: rest.liveBytes, rows };
      return { name, state, firstLsn, lastLsn, damaged, ...sizes };
    }),
    logs: [...logs.values()]
      .sort((x, y) => x.replica - y.replica)
      .map((log) => ({
        image: log.image(),
        queued: log.queued,
        durableStart: log.durableStart,
        declared: log.declared,
        chunks: [...log.chunks()].map(({ lsn, file }) => [lsn, file.name]),
        segments: log.segments.map(({ file, rows, bytes, maxTimestamp, ...bounds }) => {
          const { firstIndex, lastIndex } = bounds;
          const exact = rows && {
            bytes,
            maxTimestamp,
            cells: [...rows.cells(firstIndex, lastIndex)],
          };
          return { file: file.name, ...bounds, exact };
        }),
      })),
  };
}

test("what the index restores is what the rows tell", async () => {
  const disk = createMemoryDisk();
  const journal = await opened(disk);
  await fill(journal);
  expect(journal.metrics()["files_sealed"]).toBeGreaterThan(0);
  await journal.close();
  const inventory = await disk.open();
  const [byIndex, byRows] = [new JournalFiles(), new JournalFiles()];
  const restored = told(restoreIndex(inventory, inventory.index!, byIndex), byIndex);
  expect(restored).toEqual(told(recover(inventory, byRows), byRows));
});

test("a journal goes on from its index: tables grow, tails are cut, files are sealed", async () => {
  const disk = createMemoryDisk();
  const first = await opened(disk);
  await fill(first);
  await first.close();
  for (let round = 0; round < 4; round++) {
    const again = await opened(disk);
    checkAccounts(again);
    const [a, b] = [...again.replicas()];
    const end = b.lastIndex;
    for (let i = end - 1; i <= end + 40; i++)
      await append(again, b.replica, [planAt(i, 3 + round)]);
    for (let i = a.lastIndex + 1, to = i + 10; i < to; i++)
      await append(again, a.replica, [planAt(i)]);
    checkAccounts(again);
    await again.close();
  }
});

const source = temp.dir("source");

async function cleanFolder(): Promise<void> {
  const first = await opened(diskIn(source));
  await fill(first);
  // A job that ends while the journal closes leaves other files than the index names.
  const unsealed = () => readdirSync(source).filter((name) => /^journal.*db$/.test(name));
  while (unsealed().length > 1) await Bun.sleep(1);
  await first.close();
}

function damagedCopy(name: string, change: (dir: string) => void): string {
  const dir = temp.dir(name);
  cpSync(source, dir, { recursive: true });
  change(dir);
  return dir;
}

const find = (dir: string, shape: RegExp): string =>
  join(
    dir,
    readdirSync(dir).findLast((name) => shape.test(name))!,
  );

function changed(path: string, change: (bytes: Buffer) => Uint8Array): void {
  writeFileSync(path, change(readFileSync(path)));
}

const flipped = (bytes: Buffer): Buffer => {
  bytes[bytes.length >> 1] ^= 1;
  return bytes;
};

/** What is done to the folder of a stopped node; the index must not be believed then. */
const doubts: readonly (readonly [string, (dir: string) => void])[] = [
  ["a flipped bit in the index", (dir) => changed(join(dir, "clean-stop.index"), flipped)],
  [
    "a shorter index",
    (dir) => changed(join(dir, "clean-stop.index"), (bytes) => bytes.subarray(9)),
  ],
  ["no index", (dir) => rmSync(join(dir, "clean-stop.index"))],
  ["no mark", (dir) => rmSync(join(dir, "clean-stop.json"))],
  ["a flipped bit in a WAL", (dir) => changed(find(dir, /journal.*wal$/), flipped)],
  ["a cut WAL", (dir) => changed(find(dir, /journal.*wal$/), (bytes) => bytes.subarray(0, -4_120))],
  ["a lost sealed file", (dir) => rmSync(find(dir, /^sealed.*db$/))],
];

describe("on files", () => {
  test("a clean start has an index once, and reads what was written", async () => {
    await cleanFolder();
    const dir = damagedCopy("clean", () => undefined);
    const looking = diskIn(damagedCopy("looking", () => undefined));
    const inventory = await looking.open();
    expect([inventory.index === null, inventory.damage]).toEqual([false, []]);
    await looking.close();
    const journal = await opened(diskIn(dir));
    expect(readdirSync(dir).filter((name) => name.startsWith("clean-stop"))).toEqual([]);
    const [a] = [...journal.replicas()];
    for (const i of [40, 90, 110]) {
      const from = { index: logIndex(i) };
      const found = await journal.read({
        replica: a.replica,
        from,
        endIndex: logIndex(i + 1),
        maxBytes: 1,
        dataOnly: true,
      });
      expect(found.entries[0].batch!.bytes).toEqual(contentOf(planAt(i)));
      found.release();
    }
    expect((await journal.readSnapshot(a.replica))?.bytes).toEqual(new Uint8Array(300).fill(5));
    await append(journal, a.replica, [planAt(111)]);
    await journal.close();
    const third = await opened(diskIn(dir));
    expect(third.state(a.replica).lastIndex).toBe(logIndex(111));
    await third.close();
  }, 20_000);

  test("rows are lost, and a crash left the next file without its first row: the ends are told all the same", async () => {
    const dir = damagedCopy("empty-successor", (copy) =>
      changed(find(copy, /journal.*wal$/), (bytes) => bytes.subarray(0, -8_300)),
    );
    const cut = diskIn(dir);
    const { cleanEnd } = await cut.open();
    await cut.close();
    takeSpare(dir, journalName(cleanEnd!.lastLsn + 1), null).close();
    const again = diskIn(dir);
    expect((await again.open()).cleanEnd).toEqual(cleanEnd);
    await again.close();
  }, 20_000);

  test.each(doubts)(
    "%s: the rows are read",
    async (what, change) => {
      const disk = diskIn(damagedCopy(what.replaceAll(" ", "-"), change));
      const inventory = await disk.open();
      expect(inventory.index).toBeNull();
      expect([...inventory.unsealed.at(-1)!.rows].length).toBeGreaterThan(4);
      await disk.close();
    },
    20_000,
  );
});
