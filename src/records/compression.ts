// The codecs of record batches: what compresses and decompresses the records section, within a limit.
//
// Promise: decompression never holds more than the limit (plus the codec's own window) and never hangs: a bomb is
// refused, and so is what is cut off or followed by other bytes. Synchronous: the caller is a validator or a reader
// whose input is bounded by max.message.bytes. Left to others: snappy and lz4, which come with the Kafka door.

import { Buffer } from "node:buffer";
import process from "node:process";
import { assert } from "../assert.ts";
import { refuse, type Refusal } from "../errors.ts";
import type { Codec } from "./batch-layout.ts";
import { zstdFrames } from "./zstd-frames.ts";

/** Loaded by the first compressed batch: it costs a start 5 ms and 3 MB, and many nodes never meet one. */
const zlib = () => process.getBuiltinModule("node:zlib");

interface CodecRow {
  readonly compress: (bytes: Uint8Array) => Uint8Array;
  readonly decompress: (bytes: Uint8Array, bytesMax: number) => Uint8Array | Refusal;
}

const rows: Readonly<Record<Codec, CodecRow | null>> = {
  none: {
    compress: (bytes) => bytes,
    decompress: (bytes, bytesMax) => (bytes.length <= bytesMax ? bytes : tooLarge(bytesMax)),
  },
  gzip: { compress: (bytes) => plain(zlib().gzipSync(bytes)), decompress: gunzip },
  snappy: null,
  lz4: null,
  zstd: { compress: zstdCompress, decompress: zstdDecompress },
};

/** Whether batches of this codec can be read and written here. */
export function isSupported(codec: Codec): boolean {
  return rows[codec] !== null;
}

/** Compressed bytes, owned by the caller (with `none` the very same array). The codec is supported. */
export function compress(codec: Codec, bytes: Uint8Array): Uint8Array {
  const row = rows[codec];
  assert(row !== null, () => `Cannot compress: gzip, zstd or none is wanted, got ${codec}`);
  return row.compress(bytes);
}

/** The decompressed bytes, owned by the caller (with `none` the very same array). Refuses
 *  `unsupported_compression_type`, `message_too_large` beyond bytesMax (a client that hears it sends smaller batches),
 *  `invalid_record` when the data is broken, cut off or followed by more. */
export function decompress(
  codec: Codec,
  bytes: Uint8Array,
  bytesMax: number,
): Uint8Array | Refusal {
  const row = rows[codec];
  if (row !== null) return row.decompress(bytes, bytesMax);
  return refuse(
    "unsupported_compression_type",
    `Cannot decompress records: gzip, zstd or none is wanted, got ${codec}`,
  );
}

function gunzip(bytes: Uint8Array, bytesMax: number): Uint8Array | Refusal {
  try {
    return plain(zlib().gunzipSync(bytes, { maxOutputLength: bytesMax }));
  } catch (thrown) {
    return refusalOfCodec(thrown, { codec: "gzip", bytesMax });
  }
}

function zstdCompress(bytes: Uint8Array): Uint8Array {
  return plain(zlib().zstdCompressSync(bytes));
}

/** Both runtimes return what they have of a frame that is cut off, and pass over what follows it in silence; Deno stops
 *  after the first frame. So the frames are measured first and each is decompressed alone. */
function zstdDecompress(bytes: Uint8Array, bytesMax: number): Uint8Array | Refusal {
  const ends = zstdFrames(bytes);
  if (ends === null) return broken("zstd", "a frame is cut off or followed by other bytes");
  const parts: Uint8Array[] = [];
  let left = bytesMax;
  let start = 0;
  for (const end of ends) {
    const part = zstdFrame(bytes.subarray(start, end), left);
    if (!(part instanceof Uint8Array)) return part;
    parts.push(part);
    left -= part.length;
    start = end;
  }
  return parts.length === 1 ? parts[0] : plain(Buffer.concat(parts));
}

function zstdFrame(frame: Uint8Array, bytesMax: number): Uint8Array | Refusal {
  // The decoder takes no limit of 0, and room may run out exactly at the end of a frame.
  if (bytesMax < 1) return tooLarge(bytesMax);
  try {
    return plain(zlib().zstdDecompressSync(frame, { maxOutputLength: bytesMax }));
  } catch (thrown) {
    return refusalOfCodec(thrown, { codec: "zstd", bytesMax });
  }
}

/** A Buffer's views are Buffers, whose slice() shares and whose toJSON() surprises: readers get plain arrays. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function refusalOfCodec(
  thrown: unknown,
  at: { readonly codec: Codec; readonly bytesMax: number },
): Refusal {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  if (code === "ERR_BUFFER_TOO_LARGE") return tooLarge(at.bytesMax);
  return broken(at.codec, thrown instanceof Error ? thrown.message : String(thrown));
}

function tooLarge(bytesMax: number): Refusal {
  return refuse(
    "message_too_large",
    `Cannot decompress records: at most ${bytesMax} bytes are wanted, there are more`,
  );
}

function broken(codec: Codec, found: string): Refusal {
  return refuse("invalid_record", `Cannot decompress records: ${codec} data is wanted, ${found}`);
}
