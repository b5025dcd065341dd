// `bun run bench`: every bench of this folder, each in a process of its own, one after the other.
//
//   bun test/bench/run.ts [--only NAME[,NAME]] [--smoke] [--json] [flags of a bench]
//
// Promise: the conditions and the disk's own limits stand once above all tables, the machine's pauses below each bench;
// figures are printed, never judged: the exit code is 1 only when a bench crashed or there is none of that name.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { printConditions, readConditions } from "./conditions.ts";
import { describePauses, startPauseMeter, type Pauses } from "./pause-meter.ts";
import { rawDiskRows } from "./raw-disk.ts";
import { flagOf, tableLines } from "./report.ts";

const root = join(import.meta.dirname, "..", "..");
const suffix = "-bench.ts";

const args = process.argv.slice(2);
const smoke = args.includes("--smoke");
const json = args.includes("--json");

interface BenchRun {
  readonly bench: string;
  readonly exitCode: number;
  readonly seconds: number;
  readonly pauses: Pauses;
  /** What it printed, JSON lines parsed; empty unless --json. */
  readonly output: readonly unknown[];
}

const all = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(suffix))
  .map((file) => file.slice(0, -suffix.length))
  .sort();
const only = flagOf(args, "only")?.split(",") ?? null;
const unknown = only?.filter((name) => !all.includes(name)) ?? [];
if (unknown.length > 0) {
  console.error(`There is no bench ${unknown.join(", ")}; there are ${all.join(", ")}`);
  process.exit(1);
}

const conditions = readConditions();
const disk = rawDiskRows(smoke ? 20 : 1_000);
if (!json) {
  printConditions(conditions);
  const title = "The disk alone: sequential write + fdatasync";
  console.log(["", ...tableLines(title, disk)].join("\n"));
}
const runs: BenchRun[] = [];
for (const bench of only ?? all) runs.push(await run(bench));
if (json) console.log(JSON.stringify({ conditions, disk, runs }, null, 2));

const crashed = runs.filter((one) => one.exitCode !== 0).map((one) => one.bench);
if (crashed.length > 0) console.error(`Crashed: ${crashed.join(", ")}`);
process.exit(crashed.length === 0 ? 0 : 1);

async function run(bench: string): Promise<BenchRun> {
  if (!json) console.log(`\n== ${bench}`);
  const meter = await startPauseMeter();
  const startedAt = performance.now();
  const child = Bun.spawn(
    [process.execPath, join("test", "bench", bench + suffix), ...args, "--no-conditions"],
    { cwd: root, stdin: "ignore", stdout: json ? "pipe" : "inherit", stderr: "inherit" },
  );
  const output = json ? parseLines(await new Response(child.stdout).text()) : [];
  const exitCode = await child.exited;
  const seconds = (performance.now() - startedAt) / 1_000;
  const pauses = meter.lap();
  await meter.stop();
  if (!json) console.log(`\n  ${describePauses(pauses)}`);
  return { bench, exitCode, seconds, pauses, output };
}

/** A bench that prints words although asked for JSON keeps them as text. */
function parseLines(text: string): unknown[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    try {
      return JSON.parse(line) as unknown;
    } catch {
      return line;
    }
  });
}
