// A disk that can be filled: a small tmpfs under one node's data folder, and a file that takes what room is left.
//
// Promise: close() unmounts it. Needs root on Linux, as network namespaces do. Left to others: when it is full.

import { spawnSync } from "node:child_process";
import { rmSync, statfsSync, writeFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

const mebibyte = 1024 * 1024;
/** Holds a few minutes of load beside the three files' room below which a node takes no appends. */
const diskBytes = 1_024 * mebibyte;
/** Left by fill(): less than a node wants free. */
const leftBytes = 64 * mebibyte;

export interface SmallDisk {
  fill(): void;
  free(): void;
  close(): void;
}

/** Mounts it at `folder`. Throws with what mount said. */
export function mountSmallDisk(folder: string): SmallDisk {
  mkdirSync(folder, { recursive: true });
  const options = ["-t", "tmpfs", "-o", `size=${diskBytes}`, "tmpfs", folder];
  const { status, stderr } = spawnSync("mount", options, { encoding: "utf8" });
  if (status !== 0) throw new Error(`mount ${options.join(" ")}: ${stderr}`);
  const ballast = join(folder, "ballast");
  return {
    fill() {
      const { bavail, bsize } = statfsSync(folder);
      const bytes = Math.max(0, bavail * bsize - leftBytes);
      writeFileSync(ballast, new Uint8Array(bytes));
    },
    free: () => rmSync(ballast, { force: true }),
    close: () => void spawnSync("umount", ["-l", folder]),
  };
}
