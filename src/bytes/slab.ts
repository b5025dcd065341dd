// Slabs of shared memory in which record bytes live from the door to the disk, and then in the tail cache.
//
// A slab is one SharedArrayBuffer, cut from the front; a slice is a reference-counted part of it. The writer Worker
// sees the same memory, so a batch is never copied between threads. When every slice of a slab is released, the slab
// goes back to the pool. The slabs are the cache budget: what the pool may hold is what the node caches.
//
//   slab   |slice a|slice b|slice c|......free......|
//          refs 1   refs 2  refs 0 (dead until a and b die too)

/** A borrowed or retained run of bytes in shared memory. */
export interface Slice {
  /** Number of the slab, unique within the pool's life; a Worker maps it to its own view. */
  readonly slab: number;
  /** Byte position within the slab. */
  readonly start: number;
  /** View over the slice's bytes; valid while the slice is held. */
  readonly bytes: Uint8Array;
  /** One more holder. Returns the slice itself. */
  retain(): Slice;
  /** One holder less. The last one ends the slice; using `bytes` afterwards is a bug. */
  release(): void;
}

export interface SlabPool {
  /** Room for `length` bytes, uninitialised, held once by the caller. Larger than a slab: a slab of its own. */
  allocate(length: number): Slice;
  /** The shared memory of a slab, to be handed to a Worker once. */
  buffer(slab: number): SharedArrayBuffer;
  /** Bytes of slabs that hold at least one live slice. */
  readonly bytesInUse: number;
  /** Bytes of all slabs that the pool keeps, the free ones included. */
  readonly bytesAllocated: number;
}
