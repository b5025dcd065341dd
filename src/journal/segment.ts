// A segment: the live entries of one replica in one file, a run without holes in its indexes.
//
//   file journal-0000000000000001   | r0 r7 r0 r3 r0 ... |      unsealed: a row table (index -> lsn, offsets, ...)
//   file sealed-...                 | r0 r0 r0 r3 r7 ... |      sealed: first and last only, the file has indexes
//
// Promise: about 40 bytes an entry of unsealed files, about 100 a replica of sealed ones; look-ups are arithmetic or a
// binary search. `bytes` is exact while rows are known; cutting a sealed segment estimates it in proportion.
// Left to others: which segments a replica has (replica-log.ts).

import { assert } from "../assert.ts";
import { entryKinds } from "./journal.ts";
import { rowOverheadBytes, type JournalFile } from "./journal-files.ts";

/** What the index keeps of one entry. */
export interface IndexedRow {
  /** 0: the row is damaged or missing, and named in the replica's damage. */
  readonly lsn: number;
  readonly baseOffset: number;
  readonly offsetCount: number;
  readonly kind: number;
  readonly maxTimestamp: number;
  readonly batchBytes: number;
}

export interface SegmentBounds {
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly firstOffset: number;
  readonly nextOffset: number;
  readonly maxTimestamp: number;
  readonly bytes: number;
}

export class Segment {
  readonly file: JournalFile;
  firstIndex: number;
  lastIndex: number;
  firstOffset: number;
  nextOffset: number;
  /** Largest of the segment when it was whole; an upper bound after a cut. */
  maxTimestamp: number;
  /** Batch bytes. */
  bytes: number;
  /** Null in sealed files. */
  readonly rows: RowTable | null;

  constructor(file: JournalFile, bounds: SegmentBounds, rows: RowTable | null) {
    this.file = file;
    this.firstIndex = bounds.firstIndex;
    this.lastIndex = bounds.lastIndex;
    this.firstOffset = bounds.firstOffset;
    this.nextOffset = bounds.nextOffset;
    this.maxTimestamp = bounds.maxTimestamp;
    this.bytes = bounds.bytes;
    this.rows = rows;
    file.liveBytes += this.cost;
  }

  get count(): number {
    return this.lastIndex - this.firstIndex + 1;
  }

  /** Share of its file's liveBytes. */
  get cost(): number {
    return this.bytes + this.count * rowOverheadBytes;
  }

  append(index: number, row: IndexedRow): void {
    assert(
      this.rows !== null && index === this.lastIndex + 1,
      () => `Cannot append index ${index} to a segment that ends at ${this.lastIndex}`,
    );
    this.rows.push(row);
    this.#change(() => {
      this.lastIndex = index;
      this.nextOffset = row.baseOffset + row.offsetCount;
      this.maxTimestamp = Math.max(this.maxTimestamp, row.maxTimestamp);
      this.bytes += row.batchBytes;
    });
  }

  row(index: number): IndexedRow {
    assert(
      this.rows !== null && index >= this.firstIndex && index <= this.lastIndex,
      () => `Index ${index} must be in ${this.firstIndex}-${this.lastIndex}`,
    );
    return this.rows.at(index);
  }

  /** Lets index, which had the base offset, and above go. The caller drops an empty segment. */
  cutFrom(index: number, baseOffset: number): void {
    if (index > this.lastIndex) return;
    const last = Math.max(index, this.firstIndex) - 1;
    this.#change(() => {
      this.bytes -= this.#bytesBetween(last + 1, this.lastIndex);
      this.rows?.cutFrom(last + 1);
      this.lastIndex = last;
      this.nextOffset = Math.max(this.firstOffset, baseOffset);
    });
  }

  /** Lets everything below index go. */
  trimBelow(index: number, offset: number): void {
    if (index <= this.firstIndex) return;
    const first = Math.min(index, this.lastIndex + 1);
    this.#change(() => {
      this.bytes -= this.#bytesBetween(this.firstIndex, first - 1);
      this.firstIndex = first;
      this.firstOffset = this.rows?.offsetAt(first) ?? Math.max(this.firstOffset, offset);
    });
  }

  /** The segment is dead: its file no longer counts it. */
  end(): void {
    this.file.liveBytes -= this.cost;
  }

  #change(apply: () => void): void {
    const before = this.cost;
    apply();
    this.file.liveBytes += this.cost - before;
  }

  #bytesBetween(first: number, last: number): number {
    if (first > last) return 0;
    if (this.rows === null)
      return Math.round((this.bytes * (last - first + 1)) / Math.max(1, this.count));
    let sum = 0;
    for (let index = first; index <= last; index++) sum += this.rows.batchBytes(index);
    return sum;
  }
}

/** Columns per row in the table: lsn, base offset, count and kind, max timestamp, batch bytes. */
const stride = 5;
export const rowCells = stride;
const kindsMax = 64;
const firstCapacity = 2;

/** Rows by index, 40 bytes each, in one typed array that doubles. */
export class RowTable {
  readonly #origin: number;
  #cells = new Float64Array(firstCapacity * stride);
  #count = 0;

  /** `origin` is the index of the first row that will be pushed. */
  constructor(origin: number) {
    this.#origin = origin;
  }

  /** A table that goes on from these cells (borrowed until it outgrows them). */
  static of(origin: number, cells: Float64Array<ArrayBuffer>): RowTable {
    const table = new RowTable(origin);
    table.#cells = cells;
    table.#count = cells.length / stride;
    return table;
  }

  /** Cells of the rows from first to last, borrowed. */
  cells(first: number, last: number): Float64Array {
    const at = this.#position(first);
    return this.#cells.subarray(at, this.#position(last) + stride);
  }

  push(row: IndexedRow): void {
    const at = this.#count * stride;
    if (at === this.#cells.length) {
      const grown = new Float64Array(this.#cells.length * 2);
      grown.set(this.#cells);
      this.#cells = grown;
    }
    const cells = this.#cells;
    cells[at] = row.lsn;
    cells[at + 1] = row.baseOffset;
    cells[at + 2] = row.offsetCount * kindsMax + row.kind;
    cells[at + 3] = row.maxTimestamp;
    cells[at + 4] = row.batchBytes;
    this.#count++;
  }

  at(index: number): IndexedRow {
    const at = this.#position(index);
    const packed = this.#cells[at + 2];
    return {
      lsn: this.#cells[at],
      baseOffset: this.#cells[at + 1],
      offsetCount: Math.floor(packed / kindsMax),
      kind: packed % kindsMax,
      maxTimestamp: this.#cells[at + 3],
      batchBytes: this.#cells[at + 4],
    };
  }

  lsn(index: number): number {
    return this.#cells[this.#position(index)];
  }

  maxTimestamp(index: number): number {
    return this.#cells[this.#position(index) + 3];
  }

  batchBytes(index: number): number {
    return this.#cells[this.#position(index) + 4];
  }

  /** True for kinds that take offsets. */
  takesOffsets(index: number): boolean {
    const kind = this.#cells[this.#position(index) + 2] % kindsMax;
    return kind === entryKinds.data || kind === entryKinds.gap;
  }

  /** Base offset of the row, undefined past the end. */
  offsetAt(index: number): number | undefined {
    return index < this.#origin + this.#count ? this.#cells[this.#position(index) + 1] : undefined;
  }

  /** First index in [first, last] whose records end after the offset; last + 1 when none does. */
  findOffset(offset: number, first: number, last: number): number {
    let low = first;
    let high = last + 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const at = this.#position(middle);
      const end = this.#cells[at + 1] + Math.floor(this.#cells[at + 2] / kindsMax);
      if (end > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  cutFrom(index: number): void {
    this.#count = Math.max(0, index - this.#origin);
  }

  #position(index: number): number {
    const i = index - this.#origin;
    assert(
      i >= 0 && i < this.#count,
      () =>
        `Index ${index} must be in ${this.#origin}-${this.#origin + this.#count - 1}, which the table holds`,
    );
    return i * stride;
  }
}
