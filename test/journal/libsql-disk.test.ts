// The disk on real files: what comes back, what a crash leaves, which files are kept and which go.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { DiskRow } from "../../src/journal/disk.ts";
import { journalName } from "../../src/journal/journal-files.ts";
import { openSqlite } from "../../src/journal/sqlite.ts";
import {
  byIndex,
  byLsn,
  contentOf,
  diskIn,
  liveIn,
  RowWriter,
  sealedOf,
  summary,
  tempRoot,
} from "./disk-rows.ts";

// Real files and processes on a machine that others use too.
setDefaultTimeout(20_000);

const temp = tempRoot("disk");
afterAll(() => temp.sweep());

const plain = (row: DiskRow): unknown => ({
  ...row,
  batch: row.batch === null ? null : Buffer.from(row.batch.bytes).toString("hex"),
  meta: row.meta === null ? null : [...row.meta],
});

/** Two replicas, `entries` each, in one file. */
async function started(label: string, entries = 10): Promise<RowWriter> {
  const writer = new RowWriter(diskIn(temp.dir(label)));
  await writer.disk.open();
  await writer.roll();
  await writer.commit([writer.replica(1), writer.replica(2)]);
  for (let i = 0; i < entries; i++) await writer.commit([writer.entry(1), writer.entry(2)]);
  return writer;
}

describe("commit and read", () => {
  test("rows come back as they were written, null and empty kept apart", async () => {
    const writer = new RowWriter(diskIn(temp.dir("roundtrip")));
    await writer.disk.open();
    await writer.roll();
    const empty = { ...writer.entry(3, 0), meta: new Uint8Array(0) };
    const rows = [
      writer.replica(3),
      writer.fact("cut", { replica: 3, groupId: "topic-3/0", idx: 4 }),
    ];
    const large = { ...writer.entry(3, 100_000), time: 2 ** 53 - 1, maxTimestamp: -1 };
    const ordered = [empty, ...rows, large].sort((a, b) => a.lsn - b.lsn);
    const wanted = ordered.map(plain);
    const lsns = ordered.map((row) => row.lsn);
    expect(await writer.commit(ordered)).toBeGreaterThan(100_000);
    const { rows: found, damage } = await writer.disk.read(byLsn(writer.active, 3, lsns));
    expect(damage).toBeNull();
    expect(found.map(plain)).toEqual(wanted);
    await writer.disk.close();
  });

  test("a read keeps within its bounds, but the first row always comes whole", async () => {
    const writer = await started("bounds");
    const read = byLsn(writer.active, 1, [5, 7, 9, 11]);
    const count = async (more: object): Promise<number> =>
      (await writer.disk.read({ ...read, ...more })).rows.length;
    expect(await count({ maxBytes: 0 })).toBe(1);
    expect(await count({ maxBytes: 800 })).toBe(2);
    expect(await count({ maxRows: 3 })).toBe(3);
    const heads = await writer.disk.read({ ...read, parts: "heads", maxBytes: 0 });
    expect(heads.rows.map((row) => row.batch)).toEqual([null, null, null, null]);
    await writer.disk.close();
  });

  test("a wanted row that is missing or another replica's is damage", async () => {
    const writer = await started("foreign");
    const missing = await writer.disk.read(byLsn(writer.active, 1, [5, 999]));
    expect([missing.rows.length, missing.damage?.lsn]).toEqual([1, 999]);
    const foreign = await writer.disk.read(byLsn(writer.active, 1, [5, 6]));
    expect([foreign.rows.length, foreign.damage?.lsn]).toEqual([1, 6]);
    const renamed = await writer.disk.read({ ...byLsn(writer.active, 1, [5]), groupId: "other/0" });
    expect([renamed.rows.length, renamed.damage?.lsn]).toEqual([0, 5]);
    await writer.disk.close();
  });

  test("a commit that leaves a hole in the row numbers is refused as a bug", async () => {
    const writer = await started("dense");
    writer.lsn++;
    const refused = await writer.commit([writer.entry(1)]).catch((error: unknown) => error);
    expect(String(refused)).toContain("must be");
    await writer.disk.close();
  });
});

describe("start", () => {
  test("finds all rows again after a clean stop and after none", async () => {
    const writer = await started("again");
    await writer.disk.close();
    const unclean = diskIn(temp.dir("again"));
    const found = await unclean.open();
    expect(found.cleanStop).toBe(false);
    expect(summary(found)).toEqual({
      entries: Array.from({ length: 20 }, (_, i) => `${(i % 2) + 1}/${Math.floor(i / 2) + 1}`),
      damage: [],
    });
    const next = new RowWriter(unclean);
    next.lsn = writer.lsn;
    await next.commit([next.fact("cleanStop")]);
    await unclean.close();
    const clean = diskIn(temp.dir("again"));
    const second = await clean.open();
    expect([second.cleanStop, summary(second).entries.length]).toEqual([true, 20]);
    await clean.close();
  });

  test("a flipped bit in the WAL of a file that another follows is set right after a kill", async () => {
    const writer = await started("followed");
    const first = writer.active;
    await writer.roll();
    await writer.commit([writer.entry(1)]);
    await writer.disk.close();
    const dir = temp.dir("followed-flipped");
    cpSync(temp.dir("followed"), dir, { recursive: true });
    const wal = join(dir, `${first}.db-wal`);
    const bytes = readFileSync(wal);
    bytes[bytes.length >> 1] ^= 16;
    writeFileSync(wal, bytes);
    const disk = diskIn(dir);
    const found = await disk.open();
    expect([found.mended!.length, summary(found).damage]).toEqual([1, []]);
    expect(summary(found).entries.length).toBe(21);
    await disk.close();
  });

  test("closing does not checkpoint: the rows stay in the WAL", async () => {
    const writer = await started("wal-stays");
    const path = join(temp.dir("wal-stays"), `${writer.active}.db`);
    const before = statSync(`${path}-wal`).size;
    await writer.disk.close();
    expect(statSync(`${path}-wal`).size).toBe(before);
    expect(statSync(path).size).toBeLessThan(20_000);
  });

  test("a file whose first transaction never came is removed, half-made files are swept", async () => {
    const dir = temp.dir("swept");
    const writer = await started("swept");
    await writer.disk.close();
    const fresh = temp.dir("swept-source");
    const other = new RowWriter(diskIn(fresh));
    await other.disk.open();
    await other.roll();
    await other.disk.close();
    // The file as the roll renames it, before its first commit: the database without its WAL.
    copyFileSync(join(fresh, `${other.active}.db`), join(dir, `${journalName(writer.lsn)}.db`));
    for (const junk of ["spare.db", "sealed-x.db.tmp", "journal-1.db.dead", "journal-9.db-wal"])
      writeFileSync(join(dir, junk), "junk");
    const again = diskIn(dir);
    const found = await again.open();
    expect(found.unsealed.map((file) => file.name)).toEqual([writer.active]);
    expect(found.damage).toEqual([]);
    await again.close();
    const left = readdirSync(dir).map((file) => file.replace(/-(?:wal|shm)$/, ""));
    expect([...new Set(left)]).toEqual([`${writer.active}.db`]);
  });

  test("a file of a newer format is refused with both versions", async () => {
    const writer = await started("newer");
    const path = join(temp.dir("newer"), `${writer.active}.db`);
    await writer.disk.close();
    const db = openSqlite(path, "rw");
    db.exec("PRAGMA user_version = 99");
    db.close();
    const disk = diskIn(temp.dir("newer"));
    expect(await disk.open().catch((error: unknown) => error)).toMatchObject({
      code: "storage_failed",
      members: { found: 99, known: 1 },
    });
    await disk.close();
  });

  test("kill -9 in the middle of commits loses nothing that was acknowledged", async () => {
    const dir = temp.dir("killed");
    const script = join(import.meta.dir, "disk-child.ts");
    const child = Bun.spawn([process.execPath, script, dir], { stdout: "pipe" });
    let acknowledged = 0;
    for await (const chunk of child.stdout) {
      acknowledged = Number(new TextDecoder().decode(chunk).trim().split("\n").at(-1));
      if (acknowledged > 150) child.kill("SIGKILL");
    }
    await child.exited;
    const disk = diskIn(dir);
    const found = await disk.open();
    const { entries, damage } = summary(found);
    expect(damage).toEqual([]);
    expect(entries.length).toBeGreaterThanOrEqual(acknowledged);
    expect(entries).toEqual(entries.map((_, i) => `1/${i + 1}`));
    await disk.close();
  });
});

describe("seal", () => {
  test("keeps the live rows in order, byte for byte, and finds them by index, offset and time", async () => {
    const writer = await started("sealed", 40);
    const input = writer.active;
    const last = writer.lsn - 1;
    await writer.roll();
    const output = sealedOf(1, last);
    const { disk } = writer;
    const head = await disk.seal(
      {
        output,
        inputs: [
          liveIn(input, [
            [1, 5, 40],
            [2, 1, 7],
          ]),
        ],
      },
      () => false,
    );
    expect(head.replaces).toEqual([input]);
    expect(head.spans.map((s) => [s.replica, s.firstIndex, s.lastIndex, s.nextOffset])).toEqual([
      [1, 5, 40, 40],
      [2, 1, 7, 7],
    ]);
    const indexes = async (read: Parameters<typeof disk.read>[0]): Promise<number[]> => {
      const { rows, damage } = await disk.read(read);
      expect(damage).toBeNull();
      for (const row of rows)
        expect(Buffer.from(row.batch!.bytes)).toEqual(
          Buffer.from(contentOf(row.replica, row.idx, 300)),
        );
      return rows.map((row) => row.idx);
    };
    const all = Array.from({ length: 36 }, (_, i) => i + 5);
    expect(await indexes(byIndex({ file: output, replica: 1 }, [5, 41]))).toEqual(all);
    expect(
      await indexes(byIndex({ file: output, replica: 1 }, [5, 41], { fromOffset: 20 })),
    ).toEqual(all.slice(16));
    expect(
      await indexes(byIndex({ file: output, replica: 1 }, [5, 41], { fromTimestamp: 30 })),
    ).toEqual(all.slice(25));
    expect(await indexes(byIndex({ file: output, replica: 2 }, [3, 6]))).toEqual([3, 4, 5]);
    const bounded = { ...byIndex({ file: output, replica: 1 }, [30, 41]), maxRows: 2 };
    expect(await indexes(bounded)).toEqual([30, 31]);
    await disk.remove([input]);
    expect(existsSync(join(temp.dir("sealed"), `${input}.db`))).toBe(false);
    await disk.close();
  });

  test("merges sealed files and keeps snapshot chunks by their row numbers", async () => {
    const writer = await started("merged", 5);
    const { disk } = writer;
    const chunk = { ...writer.entry(1), kind: 38, idx: 3, baseOffset: 0, offsetCount: 1 };
    await writer.commit([chunk]);
    const first = writer.active;
    const firstLast = writer.lsn - 1;
    await writer.roll();
    for (let i = 0; i < 5; i++) await writer.commit([{ ...writer.entry(2) }]);
    const second = writer.active;
    const secondLast = writer.lsn - 1;
    await writer.roll();
    const a = sealedOf(1, firstLast);
    const snapshots = [{ replica: 1, groupId: "topic-1/0", lsns: [chunk.lsn] }];
    const { inputs } = {
      inputs: [
        {
          ...liveIn(first, [
            [1, 1, 5],
            [2, 1, 5],
          ]),
          snapshots,
        },
      ],
    };
    const headA = await disk.seal({ output: a, inputs }, () => false);
    expect(headA.snapshots).toEqual([{ lsn: chunk.lsn, replica: 1, idx: 3, chunk: 0, chunks: 1 }]);
    const merged = sealedOf(1, secondLast, 1);
    const both = [
      {
        ...liveIn(a, [
          [1, 2, 5],
          [2, 1, 5],
        ]),
        snapshots,
      },
      liveIn(second, [[2, 6, 10]]),
    ];
    let pauses = 3;
    const head = await disk.seal({ output: merged, inputs: both }, () => pauses-- > 0);
    expect(head.spans.map((s) => [s.replica, s.firstIndex, s.lastIndex])).toEqual([
      [1, 2, 5],
      [2, 1, 10],
    ]);
    const { rows } = await disk.read(byLsn(merged, 1, [chunk.lsn]));
    expect(rows.map((row) => [row.lsn, row.kind, row.batch!.bytes.length])).toEqual([
      [chunk.lsn, 38, chunk.batch!.bytes.length],
    ]);
    await disk.close();
    // A crash before the inputs were deleted: the complete file wins.
    const again = diskIn(temp.dir("merged"));
    const found = await again.open();
    expect(found.sealed.map((h) => h.name)).toEqual([merged]);
    expect(found.unsealed.map((f) => f.name)).toEqual([writer.active]);
    await again.close();
  });

  test("a live row that is missing ends the job with storage_damaged and leaves no file", async () => {
    const writer = await started("seal-damage", 5);
    const input = writer.active;
    await writer.roll();
    const plan = { output: sealedOf(1, 12), inputs: [liveIn(input, [[1, 1, 6]])] };
    expect(
      await writer.disk.seal(plan, () => false).catch((error: unknown) => error),
    ).toMatchObject({
      code: "storage_damaged",
    });
    const good = { output: sealedOf(1, 12), inputs: [liveIn(input, [[1, 1, 5]])] };
    expect((await writer.disk.seal(good, () => false)).spans.length).toBe(1);
    await writer.disk.close();
  });

  test("a crash at any step of a job leaves the inputs or the output, never neither", async () => {
    const writer = await started("seal-crash", 30);
    const input = writer.active;
    const last = writer.lsn - 1;
    await writer.roll();
    const dir = temp.dir("seal-crash");
    const images: string[] = [];
    const snapshot = (): boolean => {
      const copy = temp.dir(`seal-crash-${images.length}`);
      cpSync(dir, copy, { recursive: true });
      images.push(copy);
      return false;
    };
    await writer.disk.seal(
      {
        output: sealedOf(1, last),
        inputs: [
          liveIn(input, [
            [1, 1, 30],
            [2, 1, 30],
          ]),
        ],
      },
      snapshot,
    );
    snapshot();
    await writer.disk.remove([input]);
    snapshot();
    await writer.disk.close();
    for (const image of images) {
      const disk = diskIn(image);
      const found = await disk.open();
      const sealed = found.sealed.flatMap((h) => h.spans).length;
      expect([image, summary(found).entries.length + sealed * 30]).toEqual([image, 60]);
      expect(found.damage).toEqual([]);
      await disk.close();
    }
  });
});
