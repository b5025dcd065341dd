// A write-ahead log as bytes: its header and its frames, read through a window (wal-walk.ts has the drawing).
//
// Promise: only whole frames are seen; nothing is judged. Left to others: what is wrong, what to do.

import { readSync } from "node:fs";
import { sameSums, sumWords, type Sums } from "./wal-sums.ts";

export const walHeaderBytes = 32;
export const frameHeaderBytes = 24;
const framesPerRead = 256;
/** Disks write sectors: one that is all zero where a frame should be was never written. */
const sectorBytes = 512;

export class WalFile {
  readonly #fd: number;
  readonly #size: number;
  /** The file's first 32 bytes; the walk puts the mended ones here. */
  readonly header: Uint8Array<ArrayBuffer>;
  #window: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #windowFirst = 0;
  #windowFrames = 0;

  constructor(fd: number, size: number, header?: Uint8Array<ArrayBuffer>) {
    this.#fd = fd;
    this.#size = size;
    this.header = header ?? new Uint8Array(walHeaderBytes);
    if (header === undefined) readSync(fd, this.header, 0, walHeaderBytes, 0);
  }

  /** A second reader of the same file, with a window of its own. */
  again(): WalFile {
    return this.under(this.header);
  }

  /** The same file as it looks under another header. */
  under(header: Uint8Array<ArrayBuffer>): WalFile {
    return new WalFile(this.#fd, this.#size, header);
  }

  get pageBytes(): number {
    return bigEndian(this.header, 8);
  }

  get frameBytes(): number {
    return frameHeaderBytes + this.pageBytes;
  }

  /** Whole frames in the file. */
  get frames(): number {
    return Math.floor((this.#size - walHeaderBytes) / this.frameBytes);
  }

  get salts(): readonly [number, number] {
    return [bigEndian(this.header, 16), bigEndian(this.header, 20)];
  }

  get headerSums(): Sums {
    return [bigEndian(this.header, 24), bigEndian(this.header, 28)];
  }

  frameAt(n: number): number {
    return walHeaderBytes + n * this.frameBytes;
  }

  /** A view of frame n (from 0), valid until a frame outside the window is asked for. */
  frame(n: number): Frame {
    if (n < this.#windowFirst || n >= this.#windowFirst + this.#windowFrames) this.#load(n);
    const start = (n - this.#windowFirst) * this.frameBytes;
    return new Frame(this.#window.subarray(start, start + this.frameBytes));
  }

  /** Frame n in memory of its own; the window stays where it is. */
  copyOf(n: number): Frame {
    const bytes = new Uint8Array(this.frameBytes);
    readSync(this.#fd, bytes, 0, bytes.length, this.frameAt(n));
    return new Frame(bytes);
  }

  /** Whether a whole sector within frame n is zero. */
  hasHole(n: number): boolean {
    const start = this.frameAt(n);
    const { bytes } = this.copyOf(n);
    const first = Math.ceil(start / sectorBytes) * sectorBytes;
    for (let at = first; at + sectorBytes <= start + bytes.length; at += sectorBytes)
      if (bytes.subarray(at - start, at - start + sectorBytes).every((b) => b === 0)) return true;
    return false;
  }

  #load(n: number): void {
    if (this.#window.length === 0) this.#window = new Uint8Array(framesPerRead * this.frameBytes);
    this.#windowFirst = n;
    this.#windowFrames = Math.min(framesPerRead, this.frames - n);
    readSync(this.#fd, this.#window, 0, this.#windowFrames * this.frameBytes, this.frameAt(n));
  }
}

/** One frame; its bytes are borrowed from the file's window. */
export class Frame {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  get page(): number {
    return bigEndian(this.bytes, 0);
  }

  /** Pages of the database after this commit; 0 for a frame that ends no transaction. */
  get pagesAfterCommit(): number {
    return bigEndian(this.bytes, 4);
  }

  get salts(): readonly [number, number] {
    return [bigEndian(this.bytes, 8), bigEndian(this.bytes, 12)];
  }

  get storedSums(): Sums {
    return [bigEndian(this.bytes, 16), bigEndian(this.bytes, 20)];
  }

  saltsHold(file: WalFile): boolean {
    const [a, b] = file.salts;
    return this.salts[0] === a && this.salts[1] === b;
  }

  /** The frame is what was written behind a frame with these sums. */
  holds(file: WalFile, before: Sums): boolean {
    return this.saltsHold(file) && sameSums(this.sum(before), this.storedSums);
  }

  /** Cumulative sums behind this frame. */
  sum(before: Sums): Sums {
    const words = this.#words();
    return sumWords(words.subarray(frameHeaderBytes / 4), sumWords(words.subarray(0, 2), before));
  }

  /** The summed words, side by side, in memory of their own. */
  summedWords(): Uint32Array {
    const words = this.#words();
    const summed = new Uint32Array(words.length - 4);
    summed.set(words.subarray(0, 2));
    summed.set(words.subarray(frameHeaderBytes / 4), 2);
    return summed;
  }

  #words(): Uint32Array {
    return new Uint32Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length / 4);
  }
}

export function bigEndian(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}
