import { describe, setDefaultTimeout, test } from "bun:test";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../../src/journal/simulated-disk.ts";
import { settle, type VirtualWorld } from "../broker/virtual-world.ts";
import { runJournalSuite, type SuiteDisk } from "./journal-suite.ts";

// Real files and processes on a machine that others use too.
setDefaultTimeout(20_000);

/** SEEDS=n runs n seeds instead of the few of a normal run; SEED=n runs that one. */
const count = Number(process.env["SEEDS"] ?? 12);
const only = process.env["SEED"];
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)];

const inMemory = (): SuiteDisk => ({ disk: createMemoryDisk() });

function simulated(world: VirtualWorld): SuiteDisk {
  const delay = () => settle(Math.floor(world.random() * 3));
  return wrapped(createSimulatedDisk({ random: () => world.random(), delay }));
}

const wrapped = (disk: SimulatedDisk): SuiteDisk => ({
  disk,
  crash: (kind) => wrapped(disk.crash({ kind })),
});

describe("the journal equals its model", () => {
  test("over a disk in memory, with reopens", async () => {
    for (const seed of seeds) await runJournalSuite({ seed, steps: 250, open: inMemory });
  }, 600_000);

  test("over a disk that loses power, crashing at every step of a commit, roll, seal or removal", async () => {
    for (const seed of seeds) await runJournalSuite({ seed, steps: 250, open: simulated });
  }, 600_000);

  test("with durability=os: a process crash loses nothing, a power cut a suffix", async () => {
    const settings = { durability: "os" } as const;
    for (const seed of seeds)
      await runJournalSuite({ seed, steps: 250, open: simulated, settings });
  }, 600_000);
});
