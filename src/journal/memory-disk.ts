// A disk in memory: rows in arrays. For rivulet/test, for unit tests, and under the simulated disk.
//
// Promise: disk.ts, short of power loss: what was committed is there when the same disk is opened again, in the same
// process. Bytes are copied once on commit (a slab must not be held by what stands for a platter) and never on read.
// Left to others: faults (simulated-disk.ts).

import { privateSlice } from "../bytes/slab-pool.ts";
import type { Slice } from "../bytes/slab.ts";
import { assert } from "../assert.ts";
import { Fault } from "../errors.ts";
import {
  factKinds,
  type CleanEnd,
  type Disk,
  type DiskCommit,
  type DiskInventory,
  type DiskRead,
  type DiskReadResult,
  type DiskRow,
  type DiskRowHead,
  type SealedHead,
  type SealPlan,
  type Span,
  type StopIndex,
} from "./disk.ts";
import { entryKinds, type Damage } from "./journal.ts";
import { parseName } from "./journal-files.ts";
import { logIndex, offset, replicaNumber } from "../quantities.ts";

/** A row at rest; its bytes belong to the disk. */
export interface StoredRow extends Omit<DiskRow, "batch"> {
  readonly batch: Uint8Array | null;
}

interface UnsealedFile {
  readonly kind: "unsealed";
  readonly commits: (readonly StoredRow[])[];
}

export type StoredFile =
  | UnsealedFile
  | {
      readonly kind: "sealed";
      readonly replaces: readonly string[];
      /** By (replica, idx). */
      readonly rows: readonly StoredRow[];
      readonly snapshots: readonly StoredRow[];
    };

/** Files by name: what a platter holds. */
export type Platter = Map<string, StoredFile>;

/** What a clean stop leaves beside the files. */
export interface CleanMark extends CleanEnd {
  readonly name: string;
  readonly whole: boolean;
  /** All files with their numbers of rows. */
  readonly files: string;
}

/** What a row takes beside its batch and meta, in the sizes that this disk tells. */
const rowBytes = 64;

/** A disk whose content lives as long as the object. */
export function createMemoryDisk(): Disk {
  return new MemoryDisk(new Map());
}

export class MemoryDisk implements Disk {
  readonly platter: Platter;
  /** Rows that read as damaged: "file/lsn". */
  readonly damagedRows = new Set<string>();
  /** Of the last clean stop, with the files as they were. */
  mark: CleanMark | null = null;
  #closed = true;

  constructor(platter: Platter) {
    this.platter = platter;
  }

  open(): Promise<DiskInventory> {
    this.#closed = false;
    for (const file of this.platter.values())
      if (file.kind === "sealed") for (const name of file.replaces) this.platter.delete(name);
    const names = [...this.platter.keys()].sort((a, b) => firstLsn(a) - firstLsn(b));
    const files = names.map((name) => ({ name, file: this.platter.get(name)! }));
    const sealed = files.flatMap(({ name, file }) =>
      file.kind === "sealed" ? [headOf(name, file)] : [],
    );
    const open = files.filter(({ file }) => file.kind === "unsealed");
    const unsealed = open.map(({ name }) => this.#unsealed(name));
    const last = open.at(-1) && storedRows(open.at(-1)!.file).at(-1);
    const damage = open.flatMap(({ name, file }) =>
      storedRows(file).flatMap((row) => this.#damageOf(name, row) ?? []),
    );
    const cleanStop = last?.kind === factKinds.cleanStop;
    const mark = this.#ownMark(open.at(-1)?.name, last?.lsn ?? 0);
    for (const [i, { name, file }] of open.entries()) {
      const marked = mark?.name === name ? mark.lastLsn : 0;
      const end = i < open.length - 1 ? firstLsn(open[i + 1].name) - 1 : marked;
      const lastLsn = storedRows(file).at(-1)?.lsn ?? firstLsn(name) - 1;
      if (lastLsn < end) damage.push(missingRows(name, lastLsn + 1, end));
    }
    if (mark !== null && !this.platter.has(mark.name)) damage.push(goneFile(mark.name));
    const whole = cleanStop && damage.length === 0 && mark?.files === this.#inventory();
    const index = whole && mark.whole ? mark.index : null;
    const cleanEnd = damage.some(({ file }) => file === mark?.name) ? mark : null;
    this.mark = cleanEnd;
    return Promise.resolve({ sealed, unsealed, damage, cleanStop, index, cleanEnd });
  }

  /** The mark, when it is the newest file's and nothing was written behind it. */
  #ownMark(newest: string | undefined, lastLsn: number): CleanMark | null {
    const { mark } = this;
    if (mark === null || newest === undefined || mark.name < newest) return null;
    return lastLsn <= mark.lastLsn ? mark : null;
  }

  /** Names and numbers of rows: what a stop index was made for. */
  #inventory(): string {
    const files = [...this.platter].map(([name, file]) => `${name} ${storedRows(file).length}`);
    return files.sort().join("\n");
  }

  #unsealed(name: string): DiskInventory["unsealed"][number] {
    const rows = storedRows(this.platter.get(name)!).filter(
      (row) => this.#damageOf(name, row) === null,
    );
    return { name, fileBytes: bytesOf(rows), rows: rows.map(rowHead) };
  }

  roll(name: string, image: readonly DiskRow[]): Promise<void> {
    this.begin(name, this.copy(image));
    return Promise.resolve();
  }

  commit({ rows }: DiskCommit): Promise<number> {
    return Promise.resolve(this.append(this.copy(rows)));
  }

  /** Rows with bytes of their own. */
  copy(rows: readonly DiskRow[]): readonly StoredRow[] {
    return rows.map((row) => ({
      ...row,
      batch: row.batch === null ? null : row.batch.bytes.slice(),
    }));
  }

  /** A new active file, at once. */
  begin(name: string, rows: readonly StoredRow[]): void {
    this.#assertOpen();
    assert(!this.platter.has(name), () => `File ${name} exists`);
    this.platter.set(name, { kind: "unsealed", commits: [rows] });
  }

  /** One transaction on the active file, at once; returns its bytes. */
  append(rows: readonly StoredRow[]): number {
    this.#assertOpen();
    this.active().file.commits.push(rows);
    return bytesOf(rows);
  }

  active(): { readonly name: string; readonly file: UnsealedFile } {
    const names = [...this.platter.keys()].filter((name) => !parseName(name)!.sealed).sort();
    const name = names.at(-1) ?? "";
    const file = this.platter.get(name);
    assert(file?.kind === "unsealed", "The disk has no active file");
    return { name, file };
  }

  read(read: DiskRead): Promise<DiskReadResult> {
    this.#assertOpen();
    const file = this.platter.get(read.file);
    if (file === undefined)
      return Promise.reject(new Fault("storage_failed", `Cannot read ${read.file}: no such file`));
    const wanted = read.rows;
    const found =
      "lsns" in wanted ? byLsn(file, read, wanted.lsns) : byPosition(file, read, wanted);
    const rows: DiskRow[] = [];
    let bytes = 0;
    for (const { lsn, row } of found) {
      const damage = row === null ? missingRow(read, lsn) : this.#damageOf(read.file, row);
      if (damage !== null) return Promise.resolve({ rows, damage });
      bytes += row!.batch?.length ?? 0;
      if (rows.length === read.maxRows || (rows.length > 0 && bytes > read.maxBytes)) break;
      rows.push({ ...row!, batch: read.parts === "heads" ? null : sliceOf(row!.batch) });
    }
    return Promise.resolve({ rows, damage: null });
  }

  #damageOf(file: string, row: StoredRow): Damage | null {
    if (!this.damagedRows.has(`${file}/${row.lsn}`)) return null;
    const { lsn, groupId, offsetCount } = row;
    const entry = row.kind < factKinds.image;
    return {
      file,
      lsn,
      groupId: groupId === "" ? null : groupId,
      offsetCount,
      replica: row.replica < 0 ? null : replicaNumber(row.replica),
      index: entry ? logIndex(row.idx) : null,
      baseOffset: entry ? offset(row.baseOffset) : null,
      detail: "The row does not match its checksum",
    };
  }

  seal(plan: SealPlan): Promise<SealedHead> {
    this.#assertOpen();
    const rows: StoredRow[] = [];
    const snapshots: StoredRow[] = [];
    for (const input of plan.inputs) {
      const file = this.platter.get(input.name);
      assert(file !== undefined, () => `Cannot seal ${input.name}: no such file`);
      const live = [...liveRows(file, input.live)];
      const chunks = input.snapshots.flatMap(({ lsns }) => lsns.map((lsn) => chunkOf(file, lsn)));
      for (const row of [...live, ...chunks]) {
        const damage = this.#damageOf(input.name, row);
        if (damage !== null) return Promise.reject(sealFault(damage));
      }
      rows.push(...live);
      snapshots.push(...chunks);
    }
    rows.sort((a, b) => a.replica - b.replica || a.idx - b.idx);
    const replaces = plan.inputs.map((input) => input.name);
    const output: StoredFile = { kind: "sealed", replaces, rows, snapshots };
    this.platter.set(plan.output, output);
    return Promise.resolve(headOf(plan.output, output));
  }

  remove(names: readonly string[]): Promise<void> {
    this.#assertOpen();
    for (const name of names) this.platter.delete(name);
    return Promise.resolve();
  }

  space(): Promise<{ readonly freeBytes: number; readonly usedBytes: number }> {
    const usedBytes = platterBytes(this.platter);
    return Promise.resolve({ freeBytes: Number.MAX_SAFE_INTEGER, usedBytes });
  }

  close(index: StopIndex | null = null): Promise<void> {
    this.#closed = true;
    const same = index?.files.length === this.platter.size;
    const known = same && index.files.every((name) => this.platter.has(name));
    const newest = [...this.platter.keys()].sort((a, b) => firstLsn(a) - firstLsn(b)).at(-1);
    const last = newest === undefined ? undefined : storedRows(this.platter.get(newest)!).at(-1);
    if (newest !== undefined && last?.kind === factKinds.cleanStop) {
      const found = { name: newest, lastLsn: last.lsn, files: this.#inventory() };
      this.mark = { ...found, index: index?.bytes ?? null, whole: known && index.whole };
    }
    return Promise.resolve();
  }

  #assertOpen(): void {
    assert(!this.#closed, "Cannot use the disk: it is not open");
  }
}

export function platterBytes(platter: Platter): number {
  let sum = 0;
  for (const file of platter.values()) sum += bytesOf(storedRows(file));
  return sum;
}

const firstLsn = (name: string): number => parseName(name)!.range.firstLsn;

export function storedRows(file: StoredFile): StoredRow[] {
  return file.kind === "unsealed" ? file.commits.flat() : [...file.rows, ...file.snapshots];
}

function bytesOf(rows: readonly StoredRow[]): number {
  return rows.reduce(
    (sum, row) => sum + rowBytes + (row.meta?.length ?? 0) + (row.batch?.length ?? 0),
    0,
  );
}

const sliceOf = (bytes: Uint8Array | null): Slice | null =>
  bytes === null ? null : privateSlice(bytes);

function rowHead({ batch, ...columns }: StoredRow): DiskRowHead {
  return { ...columns, batchBytes: batch?.length ?? 0 };
}

function headOf(name: string, file: Extract<StoredFile, { kind: "sealed" }>): SealedHead {
  const spans = new Map<number, Span>();
  for (const row of file.rows) spans.set(row.replica, widened(spans.get(row.replica), row));
  const snapshots = file.snapshots.map(({ lsn, replica, idx, baseOffset, offsetCount }) => ({
    lsn,
    replica,
    idx,
    chunk: baseOffset,
    chunks: offsetCount,
  }));
  const fileBytes = bytesOf(storedRows(file));
  return { name, replaces: file.replaces, spans: [...spans.values()], snapshots, fileBytes };
}

function widened(span: Span | undefined, row: StoredRow): Span {
  return {
    replica: row.replica,
    groupId: row.groupId,
    firstIndex: span?.firstIndex ?? row.idx,
    lastIndex: row.idx,
    firstOffset: span?.firstOffset ?? row.baseOffset,
    nextOffset: row.baseOffset + row.offsetCount,
    maxTimestamp: Math.max(span?.maxTimestamp ?? -1, row.maxTimestamp),
    bytes: (span?.bytes ?? 0) + (row.batch?.length ?? 0),
  };
}

interface FoundRow {
  readonly lsn: number;
  readonly row: StoredRow | null;
}

/** Rows of a commit are in lsn order, and so are the commits of a file. */
function byLsn(file: StoredFile, read: DiskRead, lsns: readonly number[]): FoundRow[] {
  const wanted = new Set(lsns);
  const found = new Map<number, StoredRow>();
  for (const row of storedRows(file)) if (wanted.has(row.lsn)) found.set(row.lsn, row);
  return lsns.map((lsn) => {
    const row = found.get(lsn);
    return { lsn, row: row?.replica === read.replica ? row : null };
  });
}

function* byPosition(
  file: StoredFile,
  read: DiskRead,
  wanted: Exclude<DiskRead["rows"], { readonly lsns: readonly number[] }>,
): Iterable<FoundRow> {
  assert(file.kind === "sealed", () => `Cannot read ${read.file} by position: it is not sealed`);
  for (const row of file.rows) {
    if (row.replica !== read.replica) continue;
    if (row.idx < wanted.fromIndex || row.idx >= wanted.endIndex) continue;
    if (wanted.fromOffset !== null && row.baseOffset + row.offsetCount <= wanted.fromOffset)
      continue;
    if (wanted.fromTimestamp !== null && row.maxTimestamp < wanted.fromTimestamp) continue;
    if (wanted.dataOnly && row.kind !== entryKinds.data && row.kind !== entryKinds.gap) continue;
    yield { lsn: row.lsn, row };
  }
}

/** Of two rows with the same index the later one lives. */
function liveRows(file: StoredFile, live: SealPlan["inputs"][number]["live"]): Iterable<StoredRow> {
  const ranges = new Map(live.map((range) => [range.replica, range]));
  const found = new Map<string, StoredRow>();
  const rows = file.kind === "sealed" ? file.rows : storedRows(file);
  for (const row of rows) {
    const range = ranges.get(row.replica);
    if (row.kind >= factKinds.image || range === undefined) continue;
    if (row.idx < range.firstIndex || row.idx > range.lastIndex) continue;
    found.set(`${row.replica}/${row.idx}`, row);
  }
  return found.values();
}

function chunkOf(file: StoredFile, lsn: number): StoredRow {
  const row = storedRows(file).find((one) => one.lsn === lsn);
  assert(row !== undefined, () => `Cannot seal row ${lsn}: it is not in the file`);
  return row;
}

const nobody = { replica: null, groupId: null, index: null, baseOffset: null, offsetCount: 0 };

const missingRows = (file: string, first: number, last: number): Damage => ({
  file,
  lsn: null,
  ...nobody,
  detail: `rows ${first} to ${last} are missing`,
});

const goneFile = (file: string): Damage => ({
  file,
  lsn: null,
  ...nobody,
  detail: "the file is gone",
});

function missingRow(read: DiskRead, lsn: number): Damage {
  return {
    file: read.file,
    lsn,
    replica: replicaNumber(read.replica),
    groupId: read.groupId,
    index: null,
    baseOffset: null,
    offsetCount: 0,
    detail: "The row is missing or another replica's",
  };
}

function sealFault(damage: Damage): Fault {
  const { file, lsn: row, groupId: group, index, baseOffset } = damage;
  return new Fault("storage_damaged", `Cannot seal ${file}: row ${row} is damaged`, {
    members: { file, row, group, index, offset: baseOffset },
  });
}
