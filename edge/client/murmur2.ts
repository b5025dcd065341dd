// Kafka's murmur2: where a key goes when the client places records itself ({idempotence: "producer"}).
//
// Promise: the same partition as the node and every Kafka client choose. It is here a second time because the client
// imports nothing of the broker; a test holds both against each other.

const seed = 0x9747b28c;
const mix = 0x5bd1e995;

/** The partition of a key, 0 to partitions - 1. */
export function partitionForKey(key: Uint8Array, partitions: number): number {
  const end = key.length & ~3;
  let hash = seed ^ key.length;
  for (let at = 0; at < end; at += 4) {
    let k = key[at] | (key[at + 1] << 8) | (key[at + 2] << 16) | (key[at + 3] << 24);
    k = Math.imul(k, mix);
    k = Math.imul(k ^ (k >>> 24), mix);
    hash = Math.imul(hash, mix) ^ k;
  }
  const rest = key.length - end;
  if (rest > 2) hash ^= key[end + 2] << 16;
  if (rest > 1) hash ^= key[end + 1] << 8;
  if (rest > 0) hash = Math.imul(hash ^ key[end], mix);
  hash = Math.imul(hash ^ (hash >>> 13), mix);
  // The sign bit is cleared, not negated (Kafka's toPositive).
  return ((hash ^ (hash >>> 15)) & 0x7fffffff) % partitions;
}
