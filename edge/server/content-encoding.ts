// gzip and zstd, both ways: bodies of requests are decoded within a limit, answers are encoded for those who ask.
//
// Promise: a body that grows beyond limits.decodedBytesMax is refused before more of it is held; at most `decodersMax`
// bodies are decoded at once, so that small bombs cannot take the node's memory together; answers below `encodedBytesMin`
// and server-sent events go out as they are (a tail's bytes are shared by all its readers). Decoding and large answers
// are the runtime's threads' work, not this one's. Left to others: Vary, which every answer carries (answer-heads.ts).

import { Buffer } from "node:buffer";
import process from "node:process";
import { promisify } from "node:util";
import type { Gzip, ZstdCompress } from "node:zlib";
import { refuse, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { zstdFrames } from "../../src/records/zstd-frames.ts";
import { clipped } from "./validate.ts";

export type Encoding = "gzip" | "zstd";

/** In order of preference: zstd costs a quarter of the time. */
const encodings: readonly Encoding[] = ["zstd", "gzip"];
export const acceptedEncodings = encodings.join(", ");

/** A smaller answer fits into one packet anyhow. */
const encodedBytesMin = 1_024;
/** Up to here an answer is encoded in place, in well under a millisecond. */
const inPlaceBytesMax = 32_768;
const decodersMax = 4;

/** Loaded by the first that needs it: it costs a start 5 ms and 3 MB. */
export const zlib = () => process.getBuiltinModule("node:zlib");

const gzipOptions = { level: 1 } as const;
const zstdOptions = () => ({ params: { [zlib().constants.ZSTD_c_compressionLevel]: 1 } });

/** The coding of a request's body; null: as it is. */
export function bodyEncoding(header: string | undefined): Encoding | null | Refusal {
  const name = (header ?? "identity").trim().toLowerCase();
  if (name === "identity") return null;
  if (name === "gzip" || name === "x-gzip") return "gzip";
  if (name === "zstd") return "zstd";
  const detail = `Content-Encoding must be identity, gzip or zstd, got ${clipped(name)}`;
  return refuse("unsupported_media_type", detail);
}

/** Decodes whole bodies, few at a time. One a door. */
export class BodyDecoder {
  #free = decodersMax;
  readonly #queue: (() => void)[] = [];

  /** The decoded bytes, owned by the caller. Refuses body_too_large, and invalid_request for what is not of that coding. */
  async decode(bytes: Uint8Array, encoding: Encoding): Promise<Uint8Array | Refusal> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    try {
      return encoding === "gzip" ? await decodeGzip(bytes) : await decodeZstd(bytes);
    } catch (thrown) {
      return refusalOfCodec(thrown, encoding);
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

async function decodeGzip(bytes: Uint8Array): Promise<Uint8Array> {
  const gunzip = promisify(zlib().gunzip);
  return plain(await gunzip(bytes, { maxOutputLength: limits.decodedBytesMax }));
}

/** The runtimes pass over a frame that is cut off: frames are measured first, then each is decoded alone. */
async function decodeZstd(bytes: Uint8Array): Promise<Uint8Array | Refusal> {
  const ends = zstdFrames(bytes);
  const unzstd = promisify(zlib().zstdDecompress);
  if (ends === null) return undecodable("zstd");
  const parts: Uint8Array[] = [];
  let left = limits.decodedBytesMax;
  let start = 0;
  for (const end of ends) {
    if (left < 1) return tooLarge();
    const part = await unzstd(bytes.subarray(start, end), { maxOutputLength: left });
    parts.push(part);
    left -= part.length;
    start = end;
  }
  return plain(parts.length === 1 ? Buffer.from(parts[0]) : Buffer.concat(parts));
}

function plain({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function refusalOfCodec(thrown: unknown, encoding: Encoding): Refusal {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  return code === "ERR_BUFFER_TOO_LARGE" ? tooLarge() : undecodable(encoding);
}

function tooLarge(): Refusal {
  const detail = `A body may have ${limits.decodedBytesMax} bytes after decoding, this one has more`;
  return refuse("body_too_large", detail);
}

export function undecodable(encoding: Encoding): Refusal {
  return refuse("invalid_request", `The body is not whole ${encoding} data; nothing was applied`);
}

/** The coding that the caller likes best of those we have; null: none, send it as it is. */
export function answerEncoding(header: string | undefined): Encoding | null {
  if (header === undefined) return null;
  const weights = new Map<string, number>();
  for (const part of header.toLowerCase().split(",")) {
    const [name = "", ...parameters] = part.split(";").map((text) => text.trim());
    const weight = parameters.find((text) => text.startsWith("q="))?.slice(2) ?? "1";
    weights.set(name, Number(weight) || 0);
  }
  let best: Encoding | null = null;
  let bestWeight = 0;
  for (const encoding of encodings) {
    const weight = weights.get(encoding) ?? weights.get("*") ?? 0;
    if (weight > bestWeight) [best, bestWeight] = [encoding, weight];
  }
  return (weights.get("identity") ?? 0) > bestWeight ? null : best;
}

/** A text that is worth encoding for this caller, or null. */
export function encodingOf(body: string, acceptEncoding: string | undefined): Encoding | null {
  return body.length < encodedBytesMin ? null : answerEncoding(acceptEncoding);
}

/** The encoded text as a body: small ones at once, large ones off this thread. */
export function encodeText(text: string, encoding: Encoding): BodyInit {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= inPlaceBytesMax) {
    return encoding === "gzip"
      ? zlib().gzipSync(bytes, gzipOptions)
      : zlib().zstdCompressSync(bytes, zstdOptions());
  }
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
  return encodeStream(source, encoding);
}

/** Each chunk of the source encoded and flushed, so that what was said can be read at once. A chunk is asked for when one
 *  is wanted; leaving is passed on. */
export function encodeStream(
  source: ReadableStream<Uint8Array>,
  encoding: Encoding,
): ReadableStream<Uint8Array> {
  const reader = source.getReader();
  const encoder = new ChunkEncoder(encoding);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        const encoded = done ? await encoder.end() : await encoder.encode(value);
        if (encoded.length > 0) controller.enqueue(encoded);
        if (done) controller.close();
      },
      async cancel(reason) {
        encoder.close();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 1 },
  );
}

class ChunkEncoder {
  readonly #stream: Gzip | ZstdCompress;
  readonly #flush: number;
  #out: Buffer[] = [];

  constructor(encoding: Encoding) {
    const { constants, createGzip, createZstdCompress } = zlib();
    const gzip = encoding === "gzip";
    this.#stream = gzip ? createGzip(gzipOptions) : createZstdCompress(zstdOptions());
    this.#flush = gzip ? constants.Z_SYNC_FLUSH : constants.ZSTD_e_flush;
    this.#stream.on("data", (bytes: Buffer) => this.#out.push(bytes));
  }

  encode(chunk: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#stream.once("error", reject);
      this.#stream.write(chunk);
      this.#stream.flush(this.#flush, () => {
        this.#stream.removeListener("error", reject);
        resolve(this.#taken());
      });
    });
  }

  end(): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#stream.once("error", reject);
      this.#stream.once("end", () => resolve(this.#taken()));
      this.#stream.end();
    });
  }

  close(): void {
    this.#stream.destroy();
  }

  #taken(): Uint8Array {
    const bytes = Buffer.concat(this.#out);
    this.#out = [];
    return bytes;
  }
}
