// The pool of slabs (slab.ts): shared memory cut from the front, given back when its last slice is released.
//
// Promise: an allocation costs one small object and no copy; memory of released slices is used again instead of being
// asked of the system anew (fresh memory was the dearest part of a prototype); a pool that nobody uses holds nothing.
// Left to others: a budget. The tail cache evicts until `bytesInUse` is within it; what requests and flushes hold is
// bounded by the journal's queue.
//
//   current   |a|b|c|....free....|      the only slab that is cut
//   in use    |d|e|f|g|h|               full, at least one slice is held
//   free      |..................|      at most `freeBytesMax` of them are kept, the others are let go

import { assert } from "../assert.ts";
import type { Slice, SlabPool } from "./slab.ts";

export interface SlabPoolOptions {
  /** Bytes of a slab; a larger request gets a slab of its own. */
  readonly slabBytes?: number;
  /** Bytes of free slabs kept for the next load. */
  readonly freeBytesMax?: number;
}

const defaultSlabBytes = 1024 * 1024;
const defaultFreeBytesMax = 16 * 1024 * 1024;
/** Slices begin at multiples of 8, so that a Worker may lay any typed array over one. */
const alignment = 8;

/** An empty pool. Cost: nothing until the first allocation. */
export function createSlabPool(options: SlabPoolOptions = {}): SlabPool {
  return new Pool(
    options.slabBytes ?? defaultSlabBytes,
    options.freeBytesMax ?? defaultFreeBytesMax,
  );
}

/** A slice over private memory that no Worker can see: for disks in memory and for tests. */
export function privateSlice(bytes: Uint8Array): Slice {
  return new CountedSlice(null, -1, bytes.byteOffset, bytes);
}

class Slab {
  readonly number: number;
  readonly buffer: SharedArrayBuffer;
  readonly pool: Pool;
  /** Bytes cut from the front. */
  used = 0;
  /** Slices that are held. */
  live = 0;

  constructor(pool: Pool, number: number, bytes: number) {
    this.pool = pool;
    this.number = number;
    this.buffer = new SharedArrayBuffer(bytes);
  }

  get room(): number {
    return this.buffer.byteLength - this.used;
  }
}

class CountedSlice implements Slice {
  readonly slab: number;
  readonly start: number;
  readonly bytes: Uint8Array;
  #refs = 1;
  readonly #owner: Slab | null;

  constructor(owner: Slab | null, slab: number, start: number, bytes: Uint8Array) {
    this.#owner = owner;
    this.slab = slab;
    this.start = start;
    this.bytes = bytes;
  }

  retain(): Slice {
    assert(this.#refs > 0, "Cannot retain a slice: it was released by its last holder");
    this.#refs++;
    return this;
  }

  release(): void {
    assert(this.#refs > 0, "Cannot release a slice: its last holder already did");
    if (--this.#refs === 0 && this.#owner !== null) this.#owner.pool.ended(this.#owner);
  }
}

class Pool implements SlabPool {
  readonly #slabBytes: number;
  readonly #freeBytesMax: number;
  readonly #slabs = new Map<number, Slab>();
  readonly #free: Slab[] = [];
  #current: Slab | null = null;
  #nextNumber = 1;
  #bytesInUse = 0;
  #bytesAllocated = 0;

  constructor(slabBytes: number, freeBytesMax: number) {
    assert(
      slabBytes > 0 && slabBytes % alignment === 0,
      `Slab must be a multiple of 8, got ${slabBytes}`,
    );
    this.#slabBytes = slabBytes;
    this.#freeBytesMax = freeBytesMax;
  }

  get bytesInUse(): number {
    return this.#bytesInUse;
  }

  get bytesAllocated(): number {
    return this.#bytesAllocated;
  }

  allocate(length: number): Slice {
    assert(
      Number.isSafeInteger(length) && length >= 0,
      `Length must be a whole number, got ${length}`,
    );
    const slab = length > this.#slabBytes ? this.#create(length) : this.#slabWithRoom(length);
    const start = slab.used;
    slab.used = Math.min(slab.buffer.byteLength, start + Math.ceil(length / alignment) * alignment);
    if (slab.live++ === 0) this.#bytesInUse += slab.buffer.byteLength;
    return new CountedSlice(slab, slab.number, start, new Uint8Array(slab.buffer, start, length));
  }

  buffer(slab: number): SharedArrayBuffer {
    const found = this.#slabs.get(slab);
    assert(found !== undefined, () => `Slab ${slab} is not in the pool`);
    return found.buffer;
  }

  /** One slice of the slab ended. The last one frees the slab, or rewinds it while it is still being cut. */
  ended(slab: Slab): void {
    if (--slab.live > 0) return;
    this.#bytesInUse -= slab.buffer.byteLength;
    slab.used = 0;
    if (slab !== this.#current) this.#retire(slab);
  }

  #slabWithRoom(length: number): Slab {
    const current = this.#current;
    if (current !== null && current.room >= length) return current;
    const next = this.#free.pop() ?? this.#create(this.#slabBytes);
    this.#current = next;
    if (current !== null && current.live === 0) this.#retire(current);
    return next;
  }

  #create(bytes: number): Slab {
    const slab = new Slab(this, this.#nextNumber++, bytes);
    this.#slabs.set(slab.number, slab);
    this.#bytesAllocated += bytes;
    return slab;
  }

  #retire(slab: Slab): void {
    const keep =
      slab.buffer.byteLength === this.#slabBytes &&
      (this.#free.length + 1) * this.#slabBytes <= this.#freeBytesMax;
    if (keep) {
      this.#free.push(slab);
      return;
    }
    this.#slabs.delete(slab.number);
    this.#bytesAllocated -= slab.buffer.byteLength;
  }
}
