// The journal over real files: the same model as over disks in memory, fewer steps.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
import { systemWorld } from "../../src/world.ts";
import { runJournalSuite } from "./journal-suite.ts";

/** SEEDS=n runs n seeds instead of the one of a normal run; SEED=n runs that one. */
const count = Number(process.env["SEEDS"] ?? 1);
const only = process.env["SEED"];
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)];

test("the journal over libSQL equals its model, with reopens", async () => {
  for (const seed of seeds) expect(await run(seed)).toBe("ok");
}, 600_000);

async function run(seed: number): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "rivulet-journal-"));
  try {
    await runJournalSuite({
      seed,
      steps: 250,
      time: "real",
      open: (_, slabs) => {
        const made = () => new LibsqlDisk({ dir, slabs: slabs(), world: systemWorld });
        return { disk: made(), reopen: made };
      },
      settings: { fileBytesMax: 200_000 },
    });
    return "ok";
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
