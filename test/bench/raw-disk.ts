// What the disk under the temporary folder can do at most: a file that grows by so many bytes a write, each write
// followed by fdatasync, nothing beside it. Every durable figure of a bench is read against this one, of the same run:
// the same disk has given 35 and 413 MB/s within minutes.

import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quantile, type BenchRow } from "./report.ts";

export interface RawDiskLimit {
  readonly bytes: number;
  readonly writesPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Sizes that stand for a small record, a usual batch and a large one. */
export const rawDiskSizes = [200, 16_384, 1_048_576] as const;

/** The file starts anew at this size, so that a fast disk is not filled. */
const fileBytesMax = 512 << 20;

export interface RawDiskOptions {
  /** Bytes a write. */
  readonly bytes: number;
  /** How long to measure, ms; one write is always made. */
  readonly ms: number;
  /** Default: a new folder under the system's temporary one. */
  readonly folder?: string;
}

/** Measures on this thread, which it blocks. The file is removed afterwards. */
export function measureRawDisk(options: RawDiskOptions): RawDiskLimit {
  const folder = mkdtempSync(join(options.folder ?? tmpdir(), "rivulet-raw-disk-"));
  const fd = openSync(join(folder, "raw"), "w");
  try {
    const tookMs = writeFor(fd, options);
    const seconds = tookMs.reduce((sum, ms) => sum + ms, 0) / 1_000;
    const writesPerSecond = tookMs.length / seconds;
    return {
      bytes: options.bytes,
      writesPerSecond,
      megabytesPerSecond: (writesPerSecond * options.bytes) / 1e6,
      p50Ms: quantile(tookMs, 0.5),
      p99Ms: quantile(tookMs, 0.99),
    };
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  }
}

function writeFor(fd: number, { bytes, ms }: RawDiskOptions): number[] {
  const chunk = crypto.getRandomValues(new Uint8Array(Math.min(bytes, 65_536)));
  const data = Uint8Array.from({ length: bytes }, (_, i) => chunk[i % chunk.length]);
  const took: number[] = [];
  let at = 0;
  const end = performance.now() + ms;
  for (let now = performance.now(); took.length === 0 || now < end;) {
    writeSync(fd, data, 0, bytes, at);
    fdatasyncSync(fd);
    const after = performance.now();
    took.push(after - now);
    now = after;
    at = at + bytes > fileBytesMax ? 0 : at + bytes;
  }
  return took;
}

/** One row a size, for BenchReport.table(). */
export function rawDiskRows(ms: number, folder?: string): BenchRow[] {
  return rawDiskSizes.map((bytes) => {
    const limit = measureRawDisk({ bytes, ms, ...(folder === undefined ? {} : { folder }) });
    return {
      "bytes a write": bytes,
      "writes/s": Math.round(limit.writesPerSecond),
      "MB/s": limit.megabytesPerSecond,
      "p50 ms": limit.p50Ms,
      "p99 ms": limit.p99Ms,
    };
  });
}
