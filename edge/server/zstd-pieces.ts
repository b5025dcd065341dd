// Zstd data as it streams in, cut where its frames end (RFC 8878, section 3.1.1), nothing decompressed.
//
// Why: the runtimes' stream decoders take a frame that is cut off for the end (Bun 1.4.5, Deno 2.9.6), and Deno's passes
// over frames that begin in the middle of a chunk: records would be lost without a word. So each chunk is cut at the ends
// of frames, and whoever sends it asks at the end whether the last frame was whole.

import { frameHeaderRest, zstdMagic } from "../../src/records/zstd-frames.ts";

/** What is being read: a frame's magic and descriptor, a block's header, a checksum; and how many bytes of it there are. */
const sizes = { head: 5, skippable: 8, block: 3 } as const;

export class ZstdPieces {
  #stage: keyof typeof sizes = "head";
  readonly #bytes = new Uint8Array(8);
  #have = 0;
  /** Bytes to pass over before the stage begins; behind them the frame may end. */
  #pass = 0;
  #checksumBytes = 0;
  #ends = false;
  #whole = false;

  /** Everything that came is a row of one or more whole frames. */
  get whole(): boolean {
    return this.#whole;
  }

  /** The chunk in pieces that each hold bytes of one frame. Null: no frame begins where one must. Cost: a step a block. */
  cut(chunk: Uint8Array): readonly Uint8Array[] | null {
    const pieces: Uint8Array[] = [];
    let start = 0;
    let at = 0;
    while (at < chunk.length) {
      this.#whole = false;
      const passed = Math.min(this.#pass, chunk.length - at);
      this.#pass -= passed;
      at += passed;
      if (this.#pass === 0 && !this.#ends && at < chunk.length) {
        this.#bytes[this.#have++] = chunk[at++];
        if (this.#have === sizes[this.#stage] && !this.#understand()) return null;
      }
      if (this.#pass > 0 || !this.#ends) continue;
      pieces.push(chunk.subarray(start, at));
      start = at;
      this.#begin("head");
      this.#ends = false;
      this.#whole = true;
    }
    if (start < chunk.length) pieces.push(chunk.subarray(start));
    return pieces;
  }

  /** Acts on the bytes of a stage; false when they are none of zstd. */
  #understand(): boolean {
    const bytes = this.#bytes;
    if (this.#stage === "block") return this.#block(bytes[0] | (bytes[1] << 8) | (bytes[2] << 16));
    const kind = zstdMagic(bytes);
    if (kind === "frame") {
      this.#checksumBytes = (bytes[4] & 0x04) === 0 ? 0 : 4;
      this.#pass = frameHeaderRest(bytes[4]);
      this.#begin("block");
    } else if (kind === "skippable" && this.#stage === "head") {
      this.#stage = "skippable";
    } else if (kind === "skippable") {
      this.#pass = bytes[4] + bytes[5] * 2 ** 8 + bytes[6] * 2 ** 16 + bytes[7] * 2 ** 24;
      this.#ends = true;
    }
    return kind !== null;
  }

  /** Size 21 bits, type 2 (1: one byte repeated, 3: reserved), last 1. */
  #block(header: number): boolean {
    const type = (header >>> 1) & 3;
    this.#ends = (header & 1) === 1;
    this.#pass = (type === 1 ? 1 : header >>> 3) + (this.#ends ? this.#checksumBytes : 0);
    this.#begin("block");
    return type !== 3;
  }

  #begin(stage: keyof typeof sizes): void {
    this.#stage = stage;
    this.#have = 0;
  }
}
