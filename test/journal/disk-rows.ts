// A disk in a temporary folder, and rows that tell which row they are.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import type { DiskInventory, DiskRead, DiskRow, SealPlan } from "../../src/journal/disk.ts";
import { encodeReplicaFact, factRow } from "../../src/journal/facts.ts";
import { imageRows, type ReplicaImage } from "../../src/journal/image.ts";
import { journalName, sealedName } from "../../src/journal/journal-files.ts";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
import { entryKinds } from "../../src/journal/journal.ts";
import { logIndex, offset, term } from "../../src/quantities.ts";
import { batchBytes, buildBatch, type NewRecord } from "../../src/records/batch-builder.ts";
import { systemWorld } from "../../src/world.ts";

export const slabs = createSlabPool();
export const groupOf = (replica: number): string => `topic-${replica}/0`;

/** Temporary folders of one test file; call sweep() in afterAll. */
export function tempRoot(name: string): {
  dir(label: string): string;
  sweep(): void;
} {
  const root = mkdtempSync(join(tmpdir(), `rivulet-${name}-`));
  return {
    dir: (label) => join(root, label),
    sweep: () => rmSync(root, { recursive: true, force: true }),
  };
}

export const diskIn = (dir: string): LibsqlDisk =>
  new LibsqlDisk({ dir, slabs, world: systemWorld });

/** Content of the entry (replica, idx): a real batch of one record, or raw bytes for every third. */
export function contentOf(replica: number, idx: number, bytes: number): Uint8Array {
  const value = new Uint8Array(bytes);
  let state = (replica * 7_919 + idx * 104_729) >>> 0;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    value[i] = state >>> 24;
  }
  if (idx % 3 === 0) return value;
  const records: NewRecord[] = [{ key: null, value, headers: [], timestamp: idx }];
  const batch = new Uint8Array(batchBytes(records));
  buildBatch(batch, records);
  return batch;
}

/** Writes journals row by row; keeps the next lsn and each replica's next index. */
export class RowWriter {
  readonly disk: LibsqlDisk;
  lsn = 1;
  /** Replica -> next index. */
  readonly next = new Map<number, number>();
  active = "";

  constructor(disk: LibsqlDisk) {
    this.disk = disk;
  }

  async roll(): Promise<string> {
    const replicas = [...this.next].map(([replica, next]) => imageOf(replica, next));
    const rows = imageRows({ nextReplica: 100, replicas }, this.lsn);
    this.active = journalName(this.lsn);
    this.lsn += rows.length;
    await this.disk.roll(this.active, rows);
    return this.active;
  }

  fact(kind: Parameters<typeof factRow>[0], columns: Parameters<typeof factRow>[2] = {}): DiskRow {
    return factRow(kind, this.lsn++, columns);
  }

  replica(replica: number): DiskRow {
    this.next.set(replica, 1);
    const groupId = groupOf(replica);
    const meta = encodeReplicaFact({ groupId, incarnation: 1, configuration: null });
    return this.fact("replica", { replica, groupId, meta });
  }

  entry(replica: number, bytes = 300): DiskRow {
    const idx = this.next.get(replica) ?? 1;
    this.next.set(replica, idx + 1);
    const content = contentOf(replica, idx, bytes);
    const batch = slabs.allocate(content.length);
    batch.bytes.set(content);
    return {
      lsn: this.lsn++,
      replica,
      groupId: groupOf(replica),
      idx,
      term: 1,
      kind: entryKinds.data,
      baseOffset: idx - 1,
      offsetCount: 1,
      time: idx,
      maxTimestamp: idx,
      meta: idx % 2 === 0 ? Uint8Array.of(idx & 255, 7) : null,
      batch,
    };
  }

  async commit(rows: readonly DiskRow[], durability: "full" | "os" = "full"): Promise<number> {
    try {
      return await this.disk.commit({ rows, durability });
    } finally {
      for (const row of rows) row.batch?.release();
    }
  }
}

function imageOf(replica: number, next: number): ReplicaImage {
  return {
    replica,
    groupId: groupOf(replica),
    incarnation: 1,
    hardState: {
      term: term(1),
      vote: 1,
      commit: logIndex(next - 1),
    },
    logStart: {
      index: logIndex(1),
      prevTerm: term(0),
      offset: offset(0),
    },
    lastIndex: next - 1,
    lastTerm: 1,
    nextOffset: next - 1,
    lastTime: next - 1,
    configuration: null,
    epochs: [],
    snapshot: null,
    partial: null,
  };
}

/** All entries of these replicas in one input. */
export const liveIn = (
  name: string,
  ranges: readonly (readonly [replica: number, first: number, last: number])[],
): SealPlan["inputs"][number] => ({
  name,
  live: ranges.map(([replica, firstIndex, lastIndex]) => ({
    replica,
    groupId: groupOf(replica),
    firstIndex,
    lastIndex,
  })),
  snapshots: [],
});

export const sealedOf = (firstLsn: number, lastLsn: number, generation = 0): string =>
  sealedName({ firstLsn, lastLsn }, generation);

/** A read by lsn of everything asked for. */
export const byLsn = (file: string, replica: number, lsns: readonly number[]): DiskRead => ({
  file,
  replica,
  groupId: groupOf(replica),
  rows: { lsns },
  parts: "rows" as const,
  maxRows: 1e4,
  maxBytes: 2 ** 30,
});

/** A read by index of everything in a range. */
export function byIndex(
  place: { readonly file: string; readonly replica: number },
  range: readonly [fromIndex: number, endIndex: number],
  more: { fromOffset?: number; fromTimestamp?: number; dataOnly?: boolean } = {},
): DiskRead {
  const [fromIndex, endIndex] = range;
  const filters = { fromOffset: null, fromTimestamp: null, dataOnly: false, ...more };
  return {
    ...place,
    groupId: groupOf(place.replica),
    rows: {
      fromIndex,
      endIndex,
      ...filters,
    },
    parts: "rows" as const,
    maxRows: 1e4,
    maxBytes: 2 ** 30,
  };
}

/** (replica, idx) of all entries that open() found, and a list of its damage. */
export function summary(found: DiskInventory): { entries: string[]; damage: string[] } {
  const entries: string[] = [];
  for (const file of found.unsealed)
    for (const row of file.rows) if (row.kind < 32) entries.push(`${row.replica}/${row.idx}`);
  return { entries, damage: found.damage.map((d) => `${d.file} ${d.lsn}: ${d.detail}`) };
}
