// The sums over a row, and the check of its batches: what the writer stores and every reader compares.
//
//   batch_crc   CRC-32C over the first 61 bytes of each batch (0 without a batch)
//   crc         CRC-32C over   group id (UTF-8)
//                            | lsn replica idx term kind base_offset offset_count time max_timestamp
//                            | batch length (-1: none), batch_crc, meta length (-1: none)    12 float64, little-endian
//                            | meta
//
// Promise: a flipped bit anywhere in a row, or a row that is taken for another group's, is found. Each RecordBatch's
// own CRC covers what lies behind its header. A batch column that is no run of whole RecordBatches v2 (a chunk of a
// snapshot, an empty value) is covered whole by batch_crc. The headers have a sum of their own because SQLite reads a
// whole overflow chain to return one byte of it (measured: substr(batch, 1, 61) over 200 rows of 1 MB took 61 ms, the
// other columns 0.3 ms): so a start verifies heads without touching batches.

import { assert } from "../assert.ts";
import { crc32c } from "../bytes/crc32c.ts";
import { int32At, uint32At } from "../bytes/big-endian.ts";
import { batchHeaderBytes, bytesBeforeLength, field, magic } from "../records/batch-layout.ts";
import type { DiskRow, DiskRowHead } from "./disk.ts";

/** The numeric columns, in the order of the file and of packed columns. */
export type RowNumbers = Omit<DiskRowHead, "groupId" | "meta">;

const littleEndian = new Uint8Array(new Float64Array([1]).buffer)[7] === 0x3f;
assert(littleEndian, "The journal's format wants a little-endian machine");

const columns = new Float64Array(12);
const columnBytes = new Uint8Array(columns.buffer);
const encoder = new TextEncoder();

/** CRC of the group id, from which the crc of each of its rows goes on. Cache it per replica. */
export function groupSeed(groupId: string): number {
  return groupId === "" ? 0 : crc32c(encoder.encode(groupId));
}

/** The crc column. `batchBytes` is -1 for a row without a batch. Cost: one or two native calls, no allocation. */
export function rowCrc(
  seed: number,
  row: RowNumbers,
  rest: { readonly batchCrc: number; readonly meta: Uint8Array | null },
): number {
  columns[0] = row.lsn;
  columns[1] = row.replica;
  columns[2] = row.idx;
  columns[3] = row.term;
  columns[4] = row.kind;
  columns[5] = row.baseOffset;
  columns[6] = row.offsetCount;
  columns[7] = row.time;
  columns[8] = row.maxTimestamp;
  columns[9] = row.batchBytes;
  columns[10] = rest.batchCrc;
  columns[11] = rest.meta === null ? -1 : rest.meta.length;
  // -0 and 0 are one integer to SQLite: adding 0 makes them one here.
  for (let i = 0; i < columns.length; i++) columns[i] += 0;
  const sum = crc32c(columnBytes, seed);
  return rest.meta === null || rest.meta.length === 0 ? sum : crc32c(rest.meta, sum);
}

/** The batch_crc column. Cost: one native call a batch. */
export function batchCrcOf(batch: Uint8Array | null): number {
  if (batch === null) return 0;
  if (!isBatchRun(batch)) return crc32c(batch);
  let sum = 0;
  for (let at = 0; at < batch.length; at += totalBytesAt(batch, at))
    sum = crc32c(batch.subarray(at, at + batchHeaderBytes), sum);
  return sum;
}

/** What is wrong with the batch column of a row whose crc holds; null when nothing is. Reads every byte once. */
export function batchDamage(batch: Uint8Array | null, batchCrc: number): string | null {
  const sum = batchCrcOf(batch);
  if (sum !== batchCrc) return `batch headers sum to ${hex(sum)}, stored ${hex(batchCrc)}`;
  if (batch === null || !isBatchRun(batch)) return null;
  for (let at = 0, n = 0; at < batch.length; at += totalBytesAt(batch, at), n++) {
    const end = at + totalBytesAt(batch, at);
    const own = crc32c(batch.subarray(at + field.attributes, end));
    const stored = uint32At(batch, at + field.crc);
    if (own !== stored) return `batch ${n} sums to ${hex(own)}, its header says ${hex(stored)}`;
  }
  return null;
}

/** What is wrong with a row as read from a file; null when nothing is. */
export function headDamage(
  seed: number,
  row: RowNumbers,
  stored: {
    readonly crc: number;
    readonly batchCrc: number;
    readonly meta: Uint8Array | null;
  },
): string | null {
  const sum = rowCrc(seed, row, stored);
  return sum === stored.crc ? null : `row sums to ${hex(sum)}, stored ${hex(stored.crc)}`;
}

/** Length of the batch as the crc sees it. */
export function batchBytesOf(row: Pick<DiskRow, "batch">): number {
  return row.batch === null ? -1 : row.batch.bytes.length;
}

function isBatchRun(bytes: Uint8Array): boolean {
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < batchHeaderBytes || bytes[at + field.magic] !== magic) return false;
    const total = totalBytesAt(bytes, at);
    if (total < batchHeaderBytes || total > bytes.length - at) return false;
    at += total;
  }
  return at > 0;
}

function totalBytesAt(bytes: Uint8Array, at: number): number {
  return int32At(bytes, at + field.length) + bytesBeforeLength;
}

export function hex(sum: number): string {
  return `0x${(sum >>> 0).toString(16).padStart(8, "0")}`;
}

/** CRC-32C over numbers as float64, for spans and heads of sealed files. */
export function numbersCrc(seed: number, values: readonly number[]): number {
  return crc32c(new Uint8Array(Float64Array.from(values, (n) => n + 0).buffer), seed);
}
