// One suite for every Disk: what commit, roll, read, seal, remove and reopen promise (disk.ts).

import { describe, expect, test } from "bun:test";
import type { SlabPool } from "../../src/bytes/slab.ts";
import type { Disk, DiskRead, DiskRow, SealPlan } from "../../src/journal/disk.ts";
import { encodeReplicaFact, factRow } from "../../src/journal/facts.ts";
import { imageRows } from "../../src/journal/image.ts";
import { entryKinds } from "../../src/journal/journal.ts";
import { journalName, sealedName } from "../../src/journal/journal-files.ts";
import { batchBytes, buildBatch, type NewRecord } from "../../src/records/batch-builder.ts";

export interface DiskUnderTest {
  readonly disk: Disk;
  readonly slabs: SlabPool;
  /** A disk over the same files, after close(). */
  reopen(): Disk;
  sweep(): Promise<void>;
}

const groupOf = (replica: number): string => `topic/${replica}`;

/** A batch of one record, by content. */
function batchOf(replica: number, idx: number, bytes: number): Uint8Array {
  const value = new Uint8Array(bytes).fill(replica * 16 + idx);
  const records: NewRecord[] = [{ key: null, value, headers: [], timestamp: idx }];
  const batch = new Uint8Array(batchBytes(records));
  buildBatch(batch, records);
  return batch;
}

const inputOf = (name: string, first: number, last: number): SealPlan["inputs"][number] => ({
  name,
  live: ranges([1, first, last]),
  snapshots: [],
});

/** Writes rows one lsn after the other. */
class Script {
  readonly #under: DiskUnderTest;
  disk: Disk;
  lsn = 1;
  file = "";
  /** What was written, by row number: rows keep theirs when they are sealed. */
  readonly #contents = new Map<number, Uint8Array>();

  constructor(under: DiskUnderTest) {
    this.#under = under;
    this.disk = under.disk;
  }

  async roll(): Promise<string> {
    const rows = imageRows({ nextReplica: 10, replicas: [] }, this.lsn);
    this.file = journalName(this.lsn);
    this.lsn += rows.length;
    await this.disk.roll(this.file, rows);
    return this.file;
  }

  declare(replica: number): DiskRow {
    const groupId = groupOf(replica);
    const meta = encodeReplicaFact({ groupId, incarnation: 1, configuration: null });
    return factRow("replica", this.lsn++, { replica, groupId, meta });
  }

  entry(replica: number, idx: number, more: Partial<DiskRow> & { bytes?: number } = {}): DiskRow {
    const { bytes = 120, ...columns } = more;
    const content = batchOf(replica, idx, bytes);
    const batch = this.#under.slabs.allocate(content.length);
    batch.bytes.set(content);
    this.#contents.set(this.lsn, content);
    const at = { replica, groupId: groupOf(replica), idx, baseOffset: idx - 1, offsetCount: 1 };
    const times = { time: idx, maxTimestamp: idx * 10 };
    const kind = entryKinds.data;
    return { lsn: this.lsn++, ...at, term: 1, kind, ...times, meta: null, batch, ...columns };
  }

  chunk(replica: number, idx: number): DiskRow {
    const batch = this.#under.slabs.allocate(50);
    batch.bytes.fill(idx);
    const at = { replica, groupId: groupOf(replica), idx, baseOffset: 0, offsetCount: 1 };
    return factRow("snapshot", this.lsn++, { ...at, batch });
  }

  async commit(...rows: readonly DiskRow[]): Promise<number> {
    try {
      return await this.disk.commit({ rows, durability: "full" });
    } finally {
      for (const row of rows) row.batch?.release();
    }
  }

  /** Two replicas with idx 1-5 each, one row a commit. */
  async fill(): Promise<string> {
    await this.disk.open();
    const file = await this.roll();
    await this.commit(this.declare(1), this.declare(2));
    for (let idx = 1; idx <= 5; idx++) await this.commit(this.entry(1, idx), this.entry(2, idx));
    return file;
  }

  /** Indexes of a read, after checking the bytes and releasing them. */
  async indexes(read: DiskRead): Promise<number[]> {
    const { rows, damage } = await this.disk.read(read);
    expect(damage).toBeNull();
    for (const row of rows) {
      const wanted = this.#contents.get(row.lsn);
      if (wanted !== undefined) expect(Buffer.compare(row.batch!.bytes, wanted)).toBe(0);
      row.batch?.release();
    }
    return rows.map((row) => row.idx);
  }

  async restart(): Promise<Awaited<ReturnType<Disk["open"]>>> {
    await this.disk.close();
    this.disk = this.#under.reopen();
    return this.disk.open();
  }
}

type ByPosition = Exclude<DiskRead["rows"], { readonly lsns: readonly number[] }>;

const whole: ByPosition = {
  fromIndex: 1,
  endIndex: 1e3,
  fromOffset: null,
  fromTimestamp: null,
  dataOnly: false,
};
const bounds = { parts: "rows", maxRows: 1_000, maxBytes: 1_000_000 } as const;

const position = (file: string, replica: number, rows: Partial<ByPosition> = {}): DiskRead => ({
  file,
  replica,
  groupId: groupOf(replica),
  ...bounds,
  rows: {
    ...whole,
    ...rows,
  },
});

const lsns = (file: string, replica: number, wanted: readonly number[]): DiskRead => ({
  file,
  replica,
  groupId: groupOf(replica),
  ...bounds,
  rows: { lsns: wanted },
});

const ranges = (...parts: readonly [replica: number, first: number, last: number][]) =>
  parts.map(([replica, firstIndex, lastIndex]) => {
    const groupId = groupOf(replica);
    return { replica, groupId, firstIndex, lastIndex };
  });

/** Registers the suite; `make` gives a fresh, unopened disk. */
export function diskSuite(name: string, make: () => Promise<DiskUnderTest>): void {
  const run = (title: string, body: (script: Script) => Promise<void>) =>
    test(title, async () => {
      const under = await make();
      const script = new Script(under);
      try {
        await body(script);
        await script.disk.close();
      } finally {
        await under.sweep();
      }
    });

  describe(name, () => {
    run("open() of nothing finds nothing", async ({ disk }) => {
      expect(await disk.open()).toMatchObject({ sealed: [], unsealed: [], damage: [] });
    });

    run(
      "rows of an unsealed file come back by lsn, bounded, the first one whole",
      async (script) => {
        const file = await script.fill();
        const wanted = [5, 7, 9, 11, 13];
        expect(await script.indexes(lsns(file, 1, wanted))).toEqual([1, 2, 3, 4, 5]);
        const one = { ...lsns(file, 1, wanted), maxBytes: 0 };
        expect(await script.indexes(one)).toEqual([1]);
        expect(await script.indexes({ ...lsns(file, 1, wanted), maxRows: 2 })).toEqual([1, 2]);
      },
    );

    run("a wanted row that is missing, or another replica's, is damage", async (script) => {
      const file = await script.fill();
      const { rows, damage } = await script.disk.read(lsns(file, 1, [5, 999, 7]));
      expect(rows.map((row) => row.idx)).toEqual([1]);
      for (const row of rows) row.batch?.release();
      expect(damage).toMatchObject({ file, lsn: 999 });
      expect((await script.disk.read(lsns(file, 1, [6]))).damage).toMatchObject({ lsn: 6 });
    });

    run(
      "a reopen tells every row's head in order, and a clean stop by its mark",
      async (script) => {
        await script.fill();
        const dirty = await script.restart();
        expect(dirty.cleanStop).toBe(false);
        const heads = [...dirty.unsealed[0].rows];
        expect(heads.map((row) => row.lsn)).toEqual(heads.map((_, i) => i + 1));
        expect(heads.at(-1)).toMatchObject({ replica: 2, groupId: "topic/2", idx: 5 });
        expect(heads.at(-1)!.batchBytes).toBe(batchOf(2, 5, 120).length);
        await script.commit(factRow("cleanStop", script.lsn++));
        expect((await script.restart()).cleanStop).toBe(true);
      },
    );

    run("a roll starts a new active file; the full one stays", async (script) => {
      const first = await script.fill();
      const second = await script.roll();
      await script.commit(script.declare(1), script.entry(1, 6));
      const { unsealed, damage } = await script.restart();
      expect(unsealed.map((file) => file.name)).toEqual([first, second]);
      expect(damage).toEqual([]);
      expect([...unsealed[1].rows].at(-1)).toMatchObject({ replica: 1, idx: 6 });
    });

    run("a seal keeps what is live, in order; the later of two rows lives", async (script) => {
      const file = await script.fill();
      await script.commit(script.entry(1, 3, { term: 2, bytes: 77 }), script.chunk(2, 4));
      const chunk = script.lsn - 1;
      await script.roll();
      const output = sealedName({ firstLsn: 1, lastLsn: script.lsn - 2 }, 1);
      const snapshots = [{ replica: 2, groupId: groupOf(2), lsns: [chunk] }];
      const plan: SealPlan = {
        output,
        inputs: [{ name: file, live: ranges([1, 2, 3], [2, 1, 5]), snapshots }],
      };
      const head = await script.disk.seal(plan, () => false);
      expect(head.spans.map((span) => [span.replica, span.firstIndex, span.lastIndex])).toEqual([
        [1, 2, 3],
        [2, 1, 5],
      ]);
      expect(head).toMatchObject({ name: output, replaces: [file], snapshots: [{ lsn: chunk }] });
      expect(await script.indexes(position(output, 1))).toEqual([2, 3]);
      const { rows } = await script.disk.read(position(output, 1, { fromIndex: 3 }));
      expect(rows.map((row) => row.term)).toEqual([2]);
      for (const row of rows) row.batch?.release();
      expect(await script.indexes(lsns(output, 2, [chunk]))).toEqual([4]);
      await script.disk.remove([file, "journal-0000000000009999"]);
      const { sealed, unsealed } = await script.restart();
      expect(sealed.map((one) => one.name)).toEqual([output]);
      expect(unsealed.length).toBe(1);
    });

    run("a sealed file is read by index, offset and timestamp, rows or heads", async (script) => {
      const file = await script.fill();
      await script.roll();
      const output = sealedName({ firstLsn: 1, lastLsn: script.lsn - 2 }, 1);
      const inputs = [{ name: file, live: ranges([1, 1, 5], [2, 1, 5]), snapshots: [] }];
      await script.disk.seal({ output, inputs }, () => false);
      const at = (rows: Partial<ByPosition>) => script.indexes(position(output, 2, rows));
      expect(await at({ fromIndex: 2, endIndex: 4 })).toEqual([2, 3]);
      expect(await at({ fromOffset: 3 })).toEqual([4, 5]);
      expect(await at({ fromTimestamp: 25 })).toEqual([3, 4, 5]);
      const heads = { ...position(output, 1), parts: "heads", maxRows: 2 } as const;
      const { rows } = await script.disk.read(heads);
      expect(rows.map((row) => [row.idx, row.batch])).toEqual([
        [1, null],
        [2, null],
      ]);
    });

    run("a crash between seal and removal: the complete file wins", async (script) => {
      const file = await script.fill();
      await script.roll();
      const output = sealedName({ firstLsn: 1, lastLsn: script.lsn - 2 }, 1);
      const inputs = [{ name: file, live: ranges([1, 4, 5]), snapshots: [] }];
      await script.disk.seal({ output, inputs }, () => false);
      const { sealed, unsealed } = await script.restart();
      expect(sealed.map((one) => one.name)).toEqual([output]);
      expect(unsealed.map((one) => one.name)).not.toContain(file);
      expect(await script.indexes(position(output, 1))).toEqual([4, 5]);
    });

    run("sealed files merge with full ones", async (script) => {
      const first = await script.fill();
      const second = await script.roll();
      await script.commit(script.declare(1), script.entry(1, 6), script.entry(1, 7));
      await script.roll();
      const one = sealedName({ firstLsn: 1, lastLsn: 13 }, 1);
      const both = sealedName({ firstLsn: 1, lastLsn: 17 }, 2);
      await script.disk.seal({ output: one, inputs: [inputOf(first, 1, 5)] }, () => false);
      const inputs = [inputOf(one, 3, 5), inputOf(second, 6, 7)];
      await script.disk.seal({ output: both, inputs }, () => false);
      await script.disk.remove([first, one, second]);
      expect(await script.indexes(position(both, 1))).toEqual([3, 4, 5, 6, 7]);
      const { sealed } = await script.restart();
      expect(sealed.map((head) => head.name)).toEqual([both]);
    });

    run("space() counts what is there", async (script) => {
      await script.fill();
      const { freeBytes, usedBytes } = await script.disk.space();
      expect(freeBytes).toBeGreaterThan(0);
      expect(usedBytes).toBeGreaterThan(10 * 120);
    });
  });
}
