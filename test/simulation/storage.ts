// The simulated node's storage: the real journal over a disk that loses, delays and fails what the seed says.
//
// Files are tiny, so that rolling, sealing and merging happen all the time. Promise: crash() leaves what such a crash
// would leave; fail() asks for one fault. Left to others: when (simulation.ts).

import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../../src/journal/simulated-disk.ts";
import type { VirtualWorld } from "../consensus/virtual-world.ts";

const delayMsMax = { roll: 5, commit: 20, read: 5, seal: 50, remove: 5, space: 1 } as const;

export class SimulatedStorage {
  slabs = createSlabPool();
  faults = 0;
  /** The writer has stopped for good. */
  #broken = false;
  readonly #world: VirtualWorld;
  #disk: SimulatedDisk;
  #journal: Journal | null = null;

  constructor(world: VirtualWorld) {
    this.#world = world;
    this.#disk = createSimulatedDisk({
      random: () => world.random(),
      delay: (verb) =>
        new Promise((resolve) => void world.setTimer(world.below(delayMsMax[verb]), resolve)),
    });
  }

  /** The disk failed for good: only a restart helps. */
  get needsRestart(): boolean {
    return this.#broken && this.#journal?.health().state === "failed";
  }

  async open(): Promise<Journal> {
    this.slabs = createSlabPool();
    this.#journal = await openJournal({
      world: this.#world,
      disk: this.#disk,
      slabs: this.slabs,
      fileBytesMax: 100_000,
      fileRowsMax: 200,
      cacheBytesMax: this.#world.below(2) === 0 ? 4_000_000 : 20_000,
      freeBytesMin: 0,
      snapshotChunkBytes: 1_024,
    });
    return this.#journal;
  }

  crash(): void {
    this.#broken = false;
    this.#disk = this.#disk.crash({ kind: this.#world.below(2) === 0 ? "process" : "power" });
  }

  /** Asks for one fault; tells which. */
  fail(): string {
    this.faults += 1;
    const code = this.#world.below(3) === 0 ? "storage_failed" : "storage_full";
    const verb = this.#world.below(4) === 0 ? "roll" : "commit";
    if (code === "storage_failed") this.#broken = true;
    this.#disk.failNext(verb, code);
    return `${verb} ${code}`;
  }
}
