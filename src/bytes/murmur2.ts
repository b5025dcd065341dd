// Kafka's murmur2, by which every Kafka client places a key: the same key lands on the same partition whichever
// client or door wrote it.
//
// Promise: equal to the Java client's Utils.murmur2 for every input, the empty one included.

import { assert } from "../assert.ts";

const seed = 0x9747b28c;
const mix = 0x5bd1e995;

/** The hash as a signed 32-bit number, as Java has it. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length;
  const blocksEnd = length & ~3;
  let hash = seed ^ length;
  for (let at = 0; at < blocksEnd; at += 4) {
    let k = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    k = Math.imul(k, mix);
    k = Math.imul(k ^ (k >>> 24), mix);
    hash = Math.imul(hash, mix) ^ k;
  }
  const rest = length - blocksEnd;
  if (rest > 2) hash ^= bytes[blocksEnd + 2] << 16;
  if (rest > 1) hash ^= bytes[blocksEnd + 1] << 8;
  if (rest > 0) hash = Math.imul(hash ^ bytes[blocksEnd], mix);
  hash = Math.imul(hash ^ (hash >>> 13), mix);
  return hash ^ (hash >>> 15);
}

/** The partition of a key, 0 to partitions - 1, as Kafka's default partitioner chooses it. */
export function partitionForKey(key: Uint8Array, partitions: number): number {
  assert(
    Number.isSafeInteger(partitions) && partitions > 0,
    () => `Cannot place a key: partitions must be at least 1, got ${partitions}`,
  );
  // The sign bit is cleared, not negated: the smallest number has no positive twin (Kafka's toPositive).
  return (murmur2(key) & 0x7fffffff) % partitions;
}
