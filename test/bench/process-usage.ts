// What a process has used, as the kernel counts it: memory, CPU time of all its threads, bytes sent to the disk.
//
// Read from /proc, so on Linux alone; elsewhere usageOf() gives null and a bench says so.

import { readFileSync } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

export interface ProcessUsage {
  /** Resident memory, MB (10^6): all of it, and the part that no file backs. */
  readonly rssMb: number;
  readonly anonMb: number;
  /** Highest resident memory since the process began, MB. */
  readonly peakMb: number;
  /** User and system time of all threads, seconds. */
  readonly cpuSeconds: number;
  /** Bytes that this process caused to be sent to the disk; null where the kernel does not tell. */
  readonly writtenBytes: number | null;
}

/** The kernel's clock tick; 100 a second on every Linux that we know. */
const ticksPerSecond = 100;

export function usageOf(pid: number): ProcessUsage | null {
  const status = readProc(pid, "status");
  const stat = readProc(pid, "stat");
  if (status === null || stat === null) return null;
  const megabytes = (field: string) => numberAfter(status, field) * 1.024e-3;
  // The second field is the program's name in parentheses and may hold blanks: count from behind it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const io = readProc(pid, "io");
  return {
    rssMb: megabytes("VmRSS:"),
    anonMb: megabytes("RssAnon:") + megabytes("RssShmem:"),
    peakMb: megabytes("VmHWM:"),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    writtenBytes: io === null ? null : numberAfter(io, "\nwrite_bytes:"),
  };
}

function readProc(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return null;
  }
}

function numberAfter(text: string, field: string): number {
  const at = text.indexOf(field);
  return at < 0 ? 0 : Number.parseInt(text.slice(at + field.length), 10);
}

/** Bytes that the files of a folder take on the disk (allocated blocks, as `du` counts). */
export async function allocatedBytes(folder: string): Promise<number> {
  let sum = 0;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) sum += await allocatedBytes(path);
    // A file may go between the listing and the question.
    else sum += ((await lstat(path).catch(() => null))?.blocks ?? 0) * 512;
  }
  return sum;
}
