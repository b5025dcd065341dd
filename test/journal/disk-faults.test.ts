// A full disk and a failing one, made by the system: what was acknowledged stays readable, callers hear which it was.

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { diskIn, summary, tempRoot } from "./disk-rows.ts";

// Real files and processes on a machine that others use too.
setDefaultTimeout(20_000);

const temp = tempRoot("faults");
afterAll(() => temp.sweep());
const script = join(import.meta.dir, "disk-full-child.ts");

interface Outcome {
  readonly acknowledged: number;
  readonly fault: unknown;
  readonly after: unknown;
  readonly readable: number;
}

async function run(shell: string): Promise<Outcome | null> {
  const child = Bun.spawn(["sh", "-c", shell], { stdout: "pipe", stderr: "ignore" });
  const text = await new Response(child.stdout).text();
  await child.exited;
  return text.startsWith("{") ? (JSON.parse(text) as Outcome) : null;
}

test("a write that fails stops the writer until restart; a start finds what was acknowledged", async () => {
  const dir = temp.dir("eio");
  // Files may not grow beyond 2,000 blocks of 512 bytes: the system fails the write that would.
  const outcome = await run(
    `trap '' XFSZ; ulimit -f 2000; exec ${process.execPath} ${script} ${dir}`,
  );
  expect(outcome).toMatchObject({
    fault: ["storage_failed", "unknown"],
    after: ["storage_failed", "unknown"],
    readable: outcome?.acknowledged,
  });
  expect(outcome!.acknowledged).toBeGreaterThan(20);
  const disk = diskIn(dir);
  const { entries, damage } = summary(await disk.open());
  expect(damage).toEqual([]);
  expect(entries.length).toBe(outcome!.acknowledged);
  await disk.close();
});

test("a full disk is told as such, and what was acknowledged stays readable", async () => {
  const dir = temp.dir("enospc");
  mkdirSync(dir);
  const mounted = `mount -t tmpfs -o size=1m none ${dir} && exec ${process.execPath} ${script} ${dir}`;
  const outcome = await run(`unshare -rm sh -c '${mounted}'`);
  if (outcome === null) {
    console.log("skipped: this system lets nobody mount a small file system");
    return;
  }
  expect(outcome).toMatchObject({
    fault: ["storage_full", "unknown"],
    after: ["storage_full", "unknown"],
    readable: outcome.acknowledged,
  });
  expect(outcome.acknowledged).toBeGreaterThan(20);
});
