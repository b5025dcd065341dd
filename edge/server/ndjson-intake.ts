// The lines of a body as they come: chunks are taken ahead up to a bound, whole lines are handed out together.
//
//   body -> (gunzip, unzstd) -> chunks, at most `aheadBytesMax` waiting -> block of whole lines | too long | broken | end
//
// Promise: bounded memory whatever comes: one line of at most limits.requestBodyBytesMax and what is taken ahead; while
// nobody asks for lines nothing more is read, so that the sender is held back; silence of limits.bodyMsMax ends it. A
// decoded stream may hold limits.decodedBytesMax and a hundred times what was sent: logs do not reach that, bombs do.

import { Buffer } from "node:buffer";
import process from "node:process";
import { refuse, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import type { Deadline } from "./deadlines.ts";
import { undecodable, zlib, type Encoding } from "./content-encoding.ts";
import type { Services } from "./services.ts";
import { ZstdPieces } from "./zstd-pieces.ts";

/** Chunks taken ahead while a batch is on its way: the next batch. */
const aheadBytesMax = 1_048_576;
const ratioMax = 100;
const newline = 0x0a;

/** Bytes of whole lines, the last one with or without its line end; null at the end of the body. */
export type Lines = Uint8Array | null | Refusal;

export class LineIntake {
  readonly #services: Services;
  readonly #silence: Deadline;
  readonly #body: ReadableStreamDefaultReader<Uint8Array>;
  readonly #chunks: AsyncIterable<Uint8Array>;
  #ahead: Uint8Array[] = [];
  #aheadBytes = 0;
  /** The begun line, in pieces. */
  #rest: Uint8Array[] = [];
  #restBytes = 0;
  #over: "no" | "end" | Refusal = "no";
  #arrived: () => void = () => undefined;
  #taken: () => void = () => undefined;

  constructor(services: Services, body: ReadableStream<Uint8Array>, encoding: Encoding | null) {
    this.#services = services;
    this.#body = body.getReader();
    this.#chunks = encoding === null ? chunksOf(this.#body) : decoded(this.#body, encoding);
    this.#silence = { dueAt: 0, expire: () => this.stop(tooQuiet()) };
    void this.#run(encoding);
  }

  /** Whole lines, as many as are here; waits for one. */
  async next(): Promise<Lines> {
    for (;;) {
      const block = this.#take();
      if (block !== null) return block;
      if (this.#restBytes > limits.requestBodyBytesMax) return lineTooLong();
      if (this.#over === "end") return this.#last();
      if (this.#over !== "no") return this.#over;
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }

  /** Reads no more: next() gives what is here in whole lines, then the reason. Idempotent. */
  stop(reason: Refusal): void {
    this.#end(reason);
    this.#body.cancel().catch(() => undefined);
  }

  async #run(encoding: Encoding | null): Promise<void> {
    try {
      this.#listen();
      for await (const chunk of this.#chunks) {
        this.#services.deadlines.remove(this.#silence);
        this.#ahead.push(chunk);
        this.#aheadBytes += chunk.length;
        this.#arrived();
        while (this.#aheadBytes >= aheadBytesMax && this.#over === "no") {
          await new Promise<void>((resolve) => {
            this.#taken = resolve;
          });
        }
        if (this.#over !== "no") return;
        this.#listen();
      }
      this.#end("end");
    } catch (thrown) {
      this.#end(whyBroken(thrown, encoding));
    }
  }

  #listen(): void {
    const { deadlines, world } = this.#services;
    this.#silence.dueAt = world.monotonic() + limits.bodyMsMax;
    deadlines.add(this.#silence);
  }

  #end(over: "end" | Refusal): void {
    this.#services.deadlines.remove(this.#silence);
    if (this.#over === "no") this.#over = over;
    this.#arrived();
    this.#taken();
  }

  /** What has come up to the last line end; null when no line is whole. */
  #take(): Uint8Array | null {
    if (this.#ahead.length === 0) return null;
    const came = this.#ahead;
    this.#ahead = [];
    this.#aheadBytes = 0;
    this.#taken();
    const at = came.findLastIndex((chunk) => chunk.includes(newline));
    const from = at < 0 ? 0 : at;
    const end = at < 0 ? 0 : came[at].lastIndexOf(newline) + 1;
    const whole = at < 0 ? [] : [...this.#rest, ...came.slice(0, at), came[at].subarray(0, end)];
    if (at >= 0) [this.#rest, this.#restBytes] = [[], 0];
    for (const [i, chunk] of came.slice(from).entries()) {
      const piece = i === 0 ? chunk.subarray(end) : chunk;
      if (piece.length > 0) this.#rest.push(piece);
      this.#restBytes += piece.length;
    }
    return at < 0 ? null : joined(whole);
  }

  /** The last line may lack its end. */
  #last(): Uint8Array | null {
    const rest = this.#rest;
    this.#rest = [];
    return rest.length === 0 ? null : joined(rest);
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
}

function lineTooLong(): Refusal {
  const detail = `A line may have ${limits.requestBodyBytesMax} bytes, this one has more`;
  return refuse("body_too_large", detail);
}

function tooQuiet(): Refusal {
  const detail = `Nothing came for ${limits.bodyMsMax} ms; end the body when there is no more to write`;
  return refuse("request_body_timeout", detail);
}

/** More came out of few bytes than any log holds. */
class Bomb extends Error {}

function whyBroken(thrown: unknown, encoding: Encoding | null): Refusal {
  if (thrown instanceof Bomb) return refuse("body_too_large", thrown.message);
  if (encoding !== null && thrown instanceof NotWhole) return undecodable(encoding);
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  if (encoding !== null && /^(?:Z_|ZSTD|ERR_ZLIB|ZLIB)/.test(code)) return undecodable(encoding);
  return refuse("invalid_request", "The body broke off");
}

async function* chunksOf(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    if (value.length > 0) yield value;
  }
}

async function* decoded(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  encoding: Encoding,
): AsyncGenerator<Uint8Array> {
  const read = { sent: 0, decoded: 0 };
  const { pipeline, Readable } = process.getBuiltinModule("node:stream");
  const decoder = encoding === "gzip" ? zlib().createGunzip() : zlib().createZstdDecompress();
  // What goes wrong on either side ends the iteration below.
  const source = counting(reader, read);
  const pieces = encoding === "gzip" ? source : framesOf(source);
  pipeline(Readable.from(pieces), decoder, () => undefined);
  for await (const chunk of decoder as AsyncIterable<Buffer>) {
    read.decoded += chunk.length;
    if (read.decoded > limits.decodedBytesMax + read.sent * ratioMax) {
      throw new Bomb(`A body may not decode to ${ratioMax} times what was sent`);
    }
    yield chunk;
  }
}

/** The body ends within a frame, or holds what is none. */
class NotWhole extends Error {}

async function* framesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const pieces = new ZstdPieces();
  for await (const chunk of chunks) {
    const cut = pieces.cut(chunk);
    if (cut === null) throw new NotWhole();
    yield* cut;
  }
  if (!pieces.whole) throw new NotWhole();
}

async function* counting(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  read: { sent: number },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunksOf(reader)) {
    read.sent += chunk.length;
    yield chunk;
  }
}
