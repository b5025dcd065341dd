// A whole node in a process of its own, from outside: `bun test/bench/node-bench.ts`, or `bun run bench --only node`.
//
//   --sections start,load,delete   which to run; all by default
//   --gb 2                         bytes on disk for "start with a full folder"
//   --partitions 1000              partitions for "start with many partitions"
//   --seconds 15                   how long each load lasts
//
// Promise: every figure is of a real process (src/main.ts) that is asked over HTTP; beside it stands what the same client
// reaches against a bare Hono echo, or how long a bare process takes. Figures are printed, never judged.

import { openReport } from "./report.ts";
import { startSection } from "./node-start.ts";
import { loadSection } from "./node-load.ts";
import { deleteSection } from "./node-delete.ts";

const report = openReport("node");
const number = (name: string, full: number, smoke: number): number =>
  Number(report.flag(name) ?? (report.smoke ? smoke : full));

const sizes = {
  gigabytes: number("gb", 2, 0.004),
  partitions: number("partitions", 1_000, 20),
  loadMs: number("seconds", 15, 0.2) * 1_000,
  starts: report.smoke ? 1 : 7,
} as const;

const sections = {
  start: () => startSection(report, sizes),
  load: () => loadSection(report, sizes),
  delete: () => deleteSection(report, sizes),
} as const;

const wanted = report.flag("sections")?.split(",") ?? Object.keys(sections);
for (const [name, section] of Object.entries(sections)) if (wanted.includes(name)) await section();
