// Repairs of single parts of a write-ahead log, in memory (wal-walk.ts decides which, wal-mend.ts writes them).
//
// Promise: mendHeader and mendFrame give back exactly what was written, or say that they cannot; keepFrame makes a
// frame that SQLite can pass over without harm. Left to others: verifying rows after keepFrame or rebuiltHeader.

import {
  bigEndian,
  frameHeaderBytes,
  walHeaderBytes,
  type Frame,
  type WalFile,
} from "./wal-file.ts";
import { bitsOf, findFlips, sameSums, sumsDistance, sumWords, type Sums } from "./wal-sums.ts";

/** Page size of every file that this journal makes (active-file.ts). */
const pageBytes = 4096;

export interface MendedHeader {
  readonly header: Uint8Array<ArrayBuffer>;
  /** Sums from which the writer went on. */
  readonly written: Sums;
  readonly finding: string | null;
  readonly rebuilt: boolean;
}

/** The header as it was written: whole, or with one bit flipped back; null when that does not explain it. A flipped
 *  sum can look like a flip in the last salt: the first frame's salts tell which it was. */
export function mendHeader(file: WalFile): MendedHeader | null {
  const words = new Uint32Array(file.header.buffer.slice(0, 24));
  const computed = sumWords(words, [0, 0]);
  const stored = file.headerSums;
  if (sameSums(computed, stored)) {
    const header = file.header.slice();
    return isKnownHeader(header)
      ? { header, written: stored, finding: null, rebuilt: false }
      : null;
  }
  const candidates: Uint8Array<ArrayBuffer>[] = [];
  if (sumsDistance(computed, stored) === 1) {
    candidates.push(file.header.slice());
    putSums(candidates[0], 24, computed);
  }
  for (const flip of findFlips(words, computed, stored)) {
    const header = file.header.slice();
    flipBit(header, flip.word * 4, flip.bit);
    candidates.push(header);
  }
  const known = candidates.filter(isKnownHeader);
  const header = known.find((one) => leadsToFrames(file, one)) ?? known[0];
  if (header === undefined) return null;
  const written: Sums = [bigEndian(header, 24), bigEndian(header, 28)];
  return { header, written, finding: "header: one flipped bit was set right", rebuilt: false };
}

function leadsToFrames(file: WalFile, header: Uint8Array<ArrayBuffer>): boolean {
  const tried = file.under(header);
  return tried.frames > 0 && tried.copyOf(0).saltsHold(tried);
}

/** A header made from the frames, when they agree on their salts; null when there are none to agree. */
export function rebuiltHeader(file: WalFile): MendedHeader | null {
  const header = new Uint8Array(walHeaderBytes);
  header.set([
    0x37,
    0x7f,
    0x06,
    0x82,
    0x00,
    0x2d,
    0xe2,
    0x18,
    0,
    0,
    pageBytes >> 8,
    pageBytes & 255,
  ]);
  const frames = file.under(header);
  if (frames.frames < 2) return null;
  const [first, second] = [frames.copyOf(0), frames.copyOf(1)];
  const agree = first.salts[0] === second.salts[0] && first.salts[1] === second.salts[1];
  if (!agree || (first.salts[0] === 0 && first.salts[1] === 0)) return null;
  header.set(first.bytes.subarray(8, 16), 16);
  putSums(header, 24, sumWords(new Uint32Array(header.buffer.slice(0, 24)), [0, 0]));
  return {
    header,
    written: file.headerSums,
    finding: "header: rebuilt from the frames",
    rebuilt: true,
  };
}

/** Sets one flipped bit right in the frame's bytes; says which part it was in, or null when one bit explains nothing.
 *  `seed`: sums before it; `next`: the frame behind it, which tells a flipped sum from a flipped last word. */
export function mendFrame(
  frame: Frame,
  file: WalFile,
  context: { readonly seed: Sums; readonly next: Frame | null },
): string | null {
  const saltBits = bitsOf(frame.salts[0] ^ file.salts[0]) + bitsOf(frame.salts[1] ^ file.salts[1]);
  const computed = frame.sum(context.seed);
  const stored = frame.storedSums;
  const sumsHold = sameSums(computed, stored);
  if (saltBits === 1 && sumsHold) {
    frame.bytes.set(file.header.subarray(16, 24), 8);
    return "one flipped bit in its salts was set right";
  }
  if (saltBits > 0 || sumsHold) return null;
  const follows = context.next?.holds(file, computed) ?? true;
  if (sumsDistance(computed, stored) === 1 && follows) {
    putSums(frame.bytes, 16, computed);
    return "one flipped bit in its sums was set right";
  }
  const flips = findFlips(frame.summedWords(), computed, stored);
  const [flip] = flips;
  if (flip === undefined || flips.length > 1) return null;
  const at = flip.word < 2 ? flip.word * 4 : flip.word * 4 + frameHeaderBytes - 8;
  flipBit(frame.bytes, at, flip.bit);
  return `one flipped bit in page ${frame.page} was set right`;
}

/** Makes a frame that does not sum one that SQLite can read past: a page number beyond all others would end its
 *  reading, so such a frame takes its successor's, whose content comes later and wins. Says what was kept. */
export function keepFrame(frame: Frame, file: WalFile, next: Frame | null): string {
  frame.bytes.set(file.header.subarray(16, 24), 8);
  const pagesMax = file.frames + 1_000;
  const sane = frame.page > 0 && frame.page <= pagesMax && frame.pagesAfterCommit <= pagesMax;
  if (!sane && next !== null) {
    putWord(frame.bytes, 0, next.page);
    putWord(frame.bytes, 4, 0);
  }
  return `page ${frame.page}`;
}

/** Magic of little-endian sums, the version that all SQLite 3 write, a page size of ours. */
function isKnownHeader(header: Uint8Array): boolean {
  const size = bigEndian(header, 8);
  const power = size >= 512 && size <= 65_536 && (size & (size - 1)) === 0;
  return bigEndian(header, 0) === 0x377f0682 && bigEndian(header, 4) === 3_007_000 && power;
}

/** Bit `bit` of the little-endian word at `at`. */
function flipBit(bytes: Uint8Array, at: number, bit: number): void {
  bytes[at + (bit >> 3)] ^= 1 << (bit & 7);
}

export function putSums(bytes: Uint8Array, at: number, [s0, s1]: Sums): void {
  putWord(bytes, at, s0);
  putWord(bytes, at + 4, s1);
}

function putWord(bytes: Uint8Array, at: number, word: number): void {
  bytes.set([word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff], at);
}
