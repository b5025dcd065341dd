// The simulated node's storage: a journal that loses what was not flushed, and fails when it is told to.

import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { Fault } from "../../src/errors.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { ArrayJournal } from "../consensus/array-journal.ts";
import type { VirtualWorld } from "../consensus/virtual-world.ts";

export class SimulatedStorage {
  readonly slabs = createSlabPool();
  faults = 0;
  /** The writer stopped for good. */
  needsRestart = false;
  readonly #world: VirtualWorld;
  #journal: ArrayJournal;

  constructor(world: VirtualWorld) {
    this.#world = world;
    this.#journal = new ArrayJournal(world);
  }

  async open(): Promise<Journal> {
    this.#journal.flushMs = this.#world.below(20);
    this.#journal.coldReads = this.#world.below(2) === 0;
    return this.#journal;
  }

  crash(): void {
    this.needsRestart = false;
    this.#journal = this.#journal.crash();
  }

  /** The next flush fails. */
  fail(): string {
    this.faults += 1;
    this.#journal.failNext = new Fault("storage_full", "no room", { sideEffects: "unknown" });
    return "storage_full";
  }
}
