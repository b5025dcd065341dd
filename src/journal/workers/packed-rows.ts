// Rows on their way between threads: one array of numbers and one run of bytes, whatever their count.
//
//   numbers   14 float64 a row:  lsn replica idx term kind base_offset offset_count time max_timestamp
//                                meta start, meta length (-1: null) | slab (-1: in bytes), start, length (-1: null)
//   bytes     metas, and batches that lie in no slab
//
// Promise: one message a flush and one a read (postMessage of many small buffers costs more than the write). Batches
// in slabs are not copied: the other thread sees the same memory.

import { privateSlice } from "../../bytes/slab-pool.ts";
import type { DiskRow, DiskRowHead } from "../disk.ts";
import type { RowNumbers } from "../row-codec.ts";

export interface PackedRows {
  readonly count: number;
  readonly numbers: Float64Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const stride = 14;
const at = { meta: 9, slab: 11, start: 12, length: 13 } as const;

/** Grows by doubling; owned by one packing at a time. */
export class RowPacker {
  #numbers: Float64Array<ArrayBuffer>;
  #bytes: Uint8Array<ArrayBuffer>;
  #count = 0;
  #used = 0;

  constructor(rows = 16, bytes = 1024) {
    this.#numbers = new Float64Array(rows * stride);
    this.#bytes = new Uint8Array(bytes);
  }

  get count(): number {
    return this.#count;
  }

  /** Adds a row; its batch is described by #addBatch or #addLength. */
  #addHead(row: RowNumbers | DiskRow, meta: Uint8Array | null): number {
    const base = this.#count++ * stride;
    if (base + stride > this.#numbers.length) {
      const larger = new Float64Array(this.#numbers.length * 2);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    const n = this.#numbers;
    n[base] = row.lsn;
    n[base + 1] = row.replica;
    n[base + 2] = row.idx;
    n[base + 3] = row.term;
    n[base + 4] = row.kind;
    n[base + 5] = row.baseOffset;
    n[base + 6] = row.offsetCount;
    n[base + 7] = row.time;
    n[base + 8] = row.maxTimestamp;
    n[base + at.meta] = this.#used;
    n[base + at.meta + 1] = meta === null ? -1 : meta.length;
    if (meta !== null) this.#append(meta);
    return base;
  }

  /** A row of a commit: batches in slabs go by number, others are copied. */
  addRow(row: DiskRow): void {
    const base = this.#addHead(row, row.meta);
    const { batch } = row;
    if (batch === null || batch.slab < 0) this.#addBatch(base, batch?.bytes ?? null);
    else this.#addPlace(base, [batch.slab, batch.start, batch.bytes.length]);
  }

  /** A row that was read: its batch is copied once. */
  addRead(row: RowNumbers, meta: Uint8Array | null, batch: Uint8Array | null): void {
    this.#addBatch(this.#addHead(row, meta), batch);
  }

  /** A head: the batch's length alone. */
  addHead(row: RowNumbers, meta: Uint8Array | null): void {
    this.#addPlace(this.#addHead(row, meta), [-1, 0, row.batchBytes]);
  }

  #addBatch(base: number, batch: Uint8Array | null): void {
    this.#addPlace(base, [-1, this.#used, batch === null ? -1 : batch.length]);
    if (batch !== null) this.#append(batch);
  }

  #addPlace(base: number, [slab, start, length]: readonly [number, number, number]): void {
    this.#numbers[base + at.slab] = slab;
    this.#numbers[base + at.start] = start;
    this.#numbers[base + at.length] = length;
  }

  #append(bytes: Uint8Array): void {
    const wanted = this.#used + bytes.length;
    if (wanted > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, wanted));
      larger.set(this.#bytes.subarray(0, this.#used));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  /** Ends the packing; the packer is not used again. Transfer both buffers. */
  finish(): PackedRows {
    const bytes = this.#bytes.subarray(0, this.#used);
    return { count: this.#count, numbers: this.#numbers, bytes };
  }
}

/** The buffers to hand over with packed rows. */
export const buffersOf = (packed: PackedRows): ArrayBuffer[] => [
  packed.numbers.buffer,
  packed.bytes.buffer,
];

export function numbersAt(packed: PackedRows, i: number): RowNumbers {
  const n = packed.numbers;
  const base = i * stride;
  return {
    lsn: n[base],
    replica: n[base + 1],
    idx: n[base + 2],
    term: n[base + 3],
    kind: n[base + 4],
    baseOffset: n[base + 5],
    offsetCount: n[base + 6],
    time: n[base + 7],
    maxTimestamp: n[base + 8],
    batchBytes: n[base + at.length],
  };
}

/** A view over the row's meta; null when it has none. */
export function metaAt(packed: PackedRows, i: number): Uint8Array | null {
  const start = packed.numbers[i * stride + at.meta];
  const length = packed.numbers[i * stride + at.meta + 1];
  return length < 0 ? null : packed.bytes.subarray(start, start + length);
}

/** A view over the row's batch; `slabs` gives the memory of a slab number. */
export function batchAt(
  packed: PackedRows,
  i: number,
  slabs: (slab: number) => Uint8Array,
): Uint8Array | null {
  const base = i * stride;
  const slab = packed.numbers[base + at.slab];
  const start = packed.numbers[base + at.start];
  const length = packed.numbers[base + at.length];
  if (length < 0) return null;
  return (slab < 0 ? packed.bytes : slabs(slab)).subarray(start, start + length);
}

const noSlabs = (slab: number): Uint8Array => {
  throw new RangeError(`Rows that were read lie in no slab, got ${slab}`);
};

/** Rows that were read; each batch is a slice over the packed bytes. */
export function unpackRows(packed: PackedRows, groupId: string): DiskRow[] {
  return Array.from({ length: packed.count }, (_, i) => {
    const { batchBytes: _length, ...numbers } = numbersAt(packed, i);
    const batch = batchAt(packed, i, noSlabs);
    const slice = batch === null ? null : privateSlice(batch);
    return { ...numbers, groupId, meta: metaAt(packed, i), batch: slice };
  });
}

/** Heads, made one at a time. */
export function* unpackHeads(
  packed: PackedRows,
  groups: ReadonlyMap<number, string>,
): Generator<DiskRowHead, void, undefined> {
  for (let i = 0; i < packed.count; i++) {
    const numbers = numbersAt(packed, i);
    yield {
      ...numbers,
      batchBytes: Math.max(0, numbers.batchBytes),
      groupId: groups.get(numbers.replica) ?? "",
      meta: metaAt(packed, i),
    };
  }
}
