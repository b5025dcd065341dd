// The disk suite over each implementation.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import { createSimulatedDisk } from "../../src/journal/simulated-disk.ts";
import { systemWorld } from "../../src/world.ts";
import { diskSuite, type DiskUnderTest } from "./disk-suite.ts";

const nothingToSweep = () => Promise.resolve();

function kept(disk: DiskUnderTest["disk"]): DiskUnderTest {
  return { disk, slabs: createSlabPool(), reopen: () => disk, sweep: nothingToSweep };
}

diskSuite("disk in memory", () => Promise.resolve(kept(createMemoryDisk())));

diskSuite("simulated disk", () =>
  Promise.resolve(kept(createSimulatedDisk({ random: () => 0.5 }))),
);

diskSuite("disk on libSQL", async () => {
  const dir = await mkdtemp(join(tmpdir(), "rivulet-disk-suite-"));
  const slabs = createSlabPool();
  const made = () => new LibsqlDisk({ dir, slabs, world: systemWorld });
  const sweep = () => rm(dir, { recursive: true, force: true });
  return { disk: made(), slabs, reopen: made, sweep };
});
