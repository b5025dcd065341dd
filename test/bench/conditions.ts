// Under which conditions a bench ran: runtime, machine, memory, the file system of the temporary folder.
//
// Promise: what is printed is read from this machine at this moment; a fact that cannot be read is named "unknown".

import { readFileSync, realpathSync } from "node:fs";
import { availableParallelism, cpus, freemem, loadavg, tmpdir, totalmem } from "node:os";
import process from "node:process";

export interface Conditions {
  /** "Bun 1.4.5" or "Deno 2.9.6". */
  readonly runtime: string;
  readonly system: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGb: number;
  readonly memoryFreeGb: number;
  /** Runnable tasks over the last minute, before the bench: above the cores, figures are another's. */
  readonly load: number;
  readonly folder: string;
  /** "ext4 (/dev/vda)". A tmpfs has no disk: its syncs cost nothing. */
  readonly fileSystem: string;
}

export function readConditions(): Conditions {
  const folder = realpathSync(tmpdir());
  return {
    runtime: runtime(),
    system: `${process.platform} ${process.arch}`,
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? "unknown",
    memoryGb: gigabytes(totalmem()),
    memoryFreeGb: gigabytes(freemem()),
    load: Math.round(loadavg()[0] * 100) / 100,
    folder,
    fileSystem: fileSystemOf(folder),
  };
}

/** Two lines for a person. */
export function printConditions(conditions: Conditions = readConditions()): void {
  const { runtime, system, cores, cpu, memoryGb, memoryFreeGb, load, folder, fileSystem } =
    conditions;
  console.log(`${runtime}, ${system}, ${cores} cores of ${cpu}, load ${load}`);
  console.log(`${memoryGb} GB memory, ${memoryFreeGb} GB free; ${folder} on ${fileSystem}`);
}

const gigabytes = (bytes: number): number => Math.round(bytes / 1e8) / 10;

function runtime(): string {
  const { bun, deno } = process.versions as Record<string, string | undefined>;
  if (bun !== undefined) return `Bun ${bun}`;
  return deno === undefined ? `Node ${process.version}` : `Deno ${deno}`;
}

/** The mount with the longest path above the folder, by the system's own list. */
function fileSystemOf(folder: string): string {
  let best = { path: "", name: "unknown" };
  for (const line of mountLines()) {
    const [device, path, type] = line.split(" ");
    const above = path === "/" || folder === path || folder.startsWith(`${path}/`);
    if (above && path.length >= best.path.length) best = { path, name: `${type} (${device})` };
  }
  return best.name;
}

function mountLines(): readonly string[] {
  try {
    return readFileSync("/proc/mounts", "utf8").trim().split("\n");
  } catch {
    return []; // no such list on this system
  }
}
