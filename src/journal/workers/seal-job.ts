// One janitor job: the live rows of a few files, in order, in one new file.
//
//   plan     which rows live, from heads alone; sorted by (replica, idx)
//   copy     4 MB a step: read, verify, insert at the next position        OUTPUT.db.tmp
//   finish   spans, snapshots, head; sync, rename, sync the folder         OUTPUT.db
//
// Promise: a file under its final name is complete; a live row that is damaged or missing ends the job with Fault
// storage_damaged, so that damage is never copied nor forgotten. A row keeps lsn and crc. Left to others: which rows
// live, when to pause, deleting the inputs.
//
// The indexes exist before the rows: those come in the order of both, so each index grows at its end, and no CREATE
// INDEX blocks the thread for seconds at the end.

import { renameSync, rmSync } from "node:fs";
import { assert } from "../../assert.ts";
import { Fault } from "../../errors.ts";
import { factKinds, type SealedHead, type SealPlan } from "../disk.ts";
import { isSealed, pathOf, syncFile, syncFolder } from "../file-names.ts";
import { entryKinds } from "../journal.ts";
import { batchDamage, groupSeed } from "../row-codec.ts";
import { createSchema } from "../schema.ts";
import { openSqlite, type Connection, type SqlRow } from "../sqlite.ts";
import { rowDamage } from "./damage.ts";
import type { FileReader } from "./file-reader.ts";
import {
  insertColumns,
  insertMarks,
  rowColumns,
  rowValues,
  storedDamage,
  storedRow,
  type StoredRow,
} from "./row-sql.ts";
import { readSealedHead, writeHead, writeSpan, type PlacedSpan } from "./sealed-head.ts";

/** Batch bytes of one step; also a bound on how long a step holds the disk. */
const stepBytesMax = 4 * 1024 * 1024;
const stepRowsMax = 4_000;

/** A live row: where it lies. `key` is its lsn in an unsealed input, its position in a sealed one. */
interface LiveRow {
  readonly replica: number;
  readonly idx: number;
  readonly input: number;
  readonly key: number;
  readonly kind: number;
}

type Live = SealPlan["inputs"][number]["live"][number];

export class SealJob {
  readonly #dir: string;
  readonly #plan: SealPlan;
  readonly #files: FileReader;
  readonly #path: string;
  readonly #output: Connection;
  readonly #rows: readonly LiveRow[];
  readonly #groups = new Map<number, { readonly groupId: string; readonly seed: number }>();
  readonly #spans = new Map<number, PlacedSpan>();
  /** Rows copied so far; the position of the last one. */
  #copied = 0;

  constructor(dir: string, plan: SealPlan, files: FileReader) {
    this.#dir = dir;
    this.#plan = plan;
    this.#files = files;
    for (const { replica, groupId } of plan.inputs.flatMap((i) => [...i.live, ...i.snapshots]))
      this.#groups.set(replica, { groupId, seed: groupSeed(groupId) });
    this.#rows = plan.inputs.flatMap((_, input) => this.#liveRows(input)).sort(byPlace);
    this.#path = `${pathOf(dir, plan.output)}.tmp`;
    rmSync(this.#path, { force: true });
    this.#output = openSqlite(this.#path, "rw");
    this.#output.exec(
      "PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL",
    );
    createSchema(this.#output, "sealed");
  }

  /** Copies one chunk; the head once all is done. */
  step(): SealedHead | null {
    if (this.#copied < this.#rows.length) {
      this.#transaction(() => this.#copyChunk());
      return null;
    }
    this.#transaction(() => this.#finish());
    this.#output.close();
    syncFile(this.#path);
    renameSync(this.#path, pathOf(this.#dir, this.#plan.output));
    syncFolder(this.#dir);
    return readSealedHead(this.#dir, this.#plan.output);
  }

  /** Lets the half-made file go. */
  abandon(): void {
    this.#output.close();
    rmSync(this.#path, { force: true });
  }

  #transaction(work: () => void): void {
    this.#output.exec("BEGIN");
    work();
    this.#output.exec("COMMIT");
  }

  #copyChunk(): void {
    const insert = this.#output.prepare(
      `INSERT INTO entry (position, ${insertColumns}) VALUES (?, ${insertMarks})`,
    );
    let bytes = 0;
    for (let n = 0; n < stepRowsMax && bytes < stepBytesMax; n++) {
      const row = this.#rows[this.#copied];
      if (row === undefined) return;
      const stored = this.#fetch(row);
      const position = ++this.#copied;
      insert.run([position, ...rowValues(stored.numbers, stored)]);
      this.#addToSpan(stored, position);
      bytes += Math.max(0, stored.numbers.batchBytes);
    }
  }

  #fetch(row: LiveRow): StoredRow {
    const { name } = this.#plan.inputs[row.input];
    const column = isSealed(name) ? "position" : "lsn";
    return this.#verified(row, { name, table: "entry", column, key: row.key });
  }

  /** The row, whole and of its replica, or Fault storage_damaged. */
  #verified(
    wanted: { readonly replica: number },
    place: { name: string; table: string; column: string; key: number },
  ): StoredRow {
    const { name, table, column, key } = place;
    const found = this.#files
      .handle(name)
      .prepare(`SELECT ${rowColumns} FROM ${table} WHERE ${column} = ?`)
      .get([key]);
    if (found === undefined) throw damagedInput(name, `row at ${column} ${key} is missing`);
    const stored = storedRow(found);
    const { groupId, seed } = this.#groups.get(wanted.replica)!;
    const detail = storedDamage(seed, stored) ?? batchDamage(stored.batch, stored.batchCrc);
    if (detail === null) return stored;
    const damage = rowDamage(name, stored, { groupId, detail });
    throw new Fault("storage_damaged", `Cannot seal row ${damage.lsn} of ${name}: ${detail}`, {
      members: { damage },
    });
  }

  #addToSpan(stored: StoredRow, position: number): void {
    const { numbers: n } = stored;
    const before = this.#spans.get(n.replica);
    const bytes = Math.max(0, n.batchBytes);
    this.#spans.set(n.replica, {
      replica: n.replica,
      groupId: this.#groups.get(n.replica)!.groupId,
      firstIndex: before?.firstIndex ?? n.idx,
      lastIndex: n.idx,
      firstOffset: before?.firstOffset ?? n.baseOffset,
      nextOffset: n.baseOffset + n.offsetCount,
      maxTimestamp: Math.max(before?.maxTimestamp ?? -1, n.maxTimestamp),
      bytes: (before?.bytes ?? 0) + bytes,
      firstPosition: before?.firstPosition ?? position,
      rows: (before?.rows ?? 0) + 1,
    });
  }

  #finish(): void {
    const snapshots = this.#copySnapshots();
    const ranges = this.#plan.inputs.flatMap((input) => input.live);
    for (const span of this.#spans.values()) {
      // A gap row stands for indexes behind its own: the plan knows where the range ends.
      const ends = ranges.filter((r) => r.replica === span.replica).map((r) => r.lastIndex);
      writeSpan(this.#output, { ...span, lastIndex: Math.max(...ends) });
    }
    const counts = { spans: this.#spans.size, entries: this.#copied, snapshots };
    writeHead(
      this.#output,
      this.#plan.inputs.map((input) => input.name),
      counts,
    );
  }

  #copySnapshots(): number {
    const insert = this.#output.prepare(
      `INSERT INTO snapshot (${insertColumns}) VALUES (${insertMarks})`,
    );
    let count = 0;
    for (const { name, snapshots } of this.#plan.inputs) {
      const table = isSealed(name) ? "snapshot" : "entry";
      for (const { replica, lsns } of snapshots)
        for (const key of lsns) {
          const stored = this.#verified({ replica }, { name, table, column: "lsn", key });
          assert(stored.numbers.kind === factKinds.snapshot, `Row ${key} is no snapshot`);
          insert.run(rowValues(stored.numbers, stored));
          count++;
        }
    }
    return count;
  }

  /** The live rows of one input, every live range without a hole. */
  #liveRows(input: number): LiveRow[] {
    const { name, live } = this.#plan.inputs[input];
    const ranges = new Map(live.map((range) => [range.replica, range]));
    const rows = isSealed(name)
      ? live.flatMap((range) => this.#sealedRows(input, range))
      : this.#unsealedRows(input, ranges);
    rows.sort(byPlace);
    const newest = rows.filter((row, i) => !samePlace(row, rows[i + 1]));
    for (const range of live) checkRange(name, range, newest);
    return newest;
  }

  #unsealedRows(input: number, ranges: ReadonlyMap<number, Live>): LiveRow[] {
    const rows: LiveRow[] = [];
    this.#files
      .handle(this.#plan.inputs[input].name)
      .prepare(`SELECT lsn, replica, idx, kind FROM entry WHERE kind < ${factKinds.image}`)
      .forEach([], (row) => {
        const found = liveRow(row, input);
        const range = ranges.get(found.replica);
        if (range === undefined) return;
        if (found.idx >= range.firstIndex && found.idx <= range.lastIndex) rows.push(found);
      });
    return rows;
  }

  #sealedRows(input: number, range: Live): LiveRow[] {
    const sql =
      "SELECT position, replica, idx, kind FROM entry INDEXED BY entry_by_index " +
      "WHERE replica = ? AND idx BETWEEN ? AND ? ORDER BY idx";
    return this.#files
      .handle(this.#plan.inputs[input].name)
      .prepare(sql)
      .all([range.replica, range.firstIndex, range.lastIndex])
      .map((row) => liveRow(row, input));
  }
}

function liveRow(row: SqlRow, input: number): LiveRow {
  const [key, replica, idx, kind] = row.map(Number);
  return { replica, idx, input, key, kind };
}

/** By (replica, idx); of two rows with one place the later one comes last. */
function byPlace(a: LiveRow, b: LiveRow): number {
  return a.replica - b.replica || a.idx - b.idx || a.input - b.input || a.key - b.key;
}

function samePlace(a: LiveRow, b: LiveRow | undefined): boolean {
  return b !== undefined && a.replica === b.replica && a.idx === b.idx;
}

/** Every index of the range is there, or stands behind a gap. */
function checkRange(name: string, range: Live, rows: readonly LiveRow[]): void {
  let next = range.firstIndex;
  let behindGap = false;
  for (let i = firstOf(rows, range.replica); rows[i]?.replica === range.replica; i++) {
    if (rows[i].idx !== next && !behindGap) break;
    next = rows[i].idx + 1;
    behindGap = rows[i].kind === entryKinds.gap;
  }
  if (next <= range.lastIndex && !behindGap)
    throw damagedInput(name, `index ${next} of replica ${range.replica} is missing`);
}

/** Binary search over rows sorted by place. */
function firstOf(rows: readonly LiveRow[], replica: number): number {
  let low = 0;
  for (let high = rows.length; low < high;) {
    const middle = (low + high) >> 1;
    if (rows[middle].replica < replica) low = middle + 1;
    else high = middle;
  }
  return low;
}

function damagedInput(name: string, what: string): Fault {
  return new Fault("storage_damaged", `Cannot seal ${name}: ${what}`, { members: { file: name } });
}
