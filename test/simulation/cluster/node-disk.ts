// The disk of one simulated node and the real journal over it: outlives processes, is slow, hangs, fails, lies.
//
// Files are tiny, so that rolling, sealing and merging happen all the time. Promise: crash() leaves what such a crash
// would leave; each fault takes place once. A crash can be ordered for the moment of the next commit, before or after
// its effect. Left to others: when (nemesis.ts).

import { createSlabPool } from "../../../src/bytes/slab-pool.ts";
import type { SlabPool } from "../../../src/bytes/slab.ts";
import { openJournal } from "../../../src/journal/open-journal.ts";
import type { Journal } from "../../../src/journal/journal.ts";
import {
  createSimulatedDisk,
  type DiskVerb,
  type SimulatedDisk,
} from "../../../src/journal/simulated-disk.ts";
import type { Stream } from "./random.ts";
import type { ProcessWorld, VirtualTime } from "./virtual-time.ts";

const delayMsMax = { roll: 4, commit: 3, read: 2, seal: 30, remove: 3, space: 1 } as const;

export interface DiskSettings {
  /** Multiplies every delay. */
  readonly slowness: number;
  readonly fileRowsMax: number;
  readonly cacheBytesMax: number;
}

export class NodeDisk {
  /** Tells this disk from any other that ever was. */
  readonly lineage: number;
  slabs: SlabPool = createSlabPool();
  readonly #time: VirtualTime;
  readonly #random: Stream;
  readonly #settings: DiskSettings;
  #disk: SimulatedDisk;
  #world: ProcessWorld | null = null;
  #journal: Journal | null = null;
  /** Nothing completes before this moment. */
  #hungUntil = 0;
  #slowUntil = 0;
  #slowFactor = 1;
  /** Called when a commit begins, once. */
  #atCommit: (() => void) | null = null;

  constructor(
    parts: { readonly lineage: number; readonly time: VirtualTime; readonly random: Stream },
    settings: DiskSettings,
  ) {
    this.lineage = parts.lineage;
    this.#time = parts.time;
    this.#random = parts.random;
    this.#settings = settings;
    this.#disk = createSimulatedDisk({
      random: () => this.#random.next(),
      delay: (verb) => this.#delay(verb),
    });
  }

  /** The writer has stopped for good: only a restart helps. */
  get failed(): boolean {
    return this.#journal?.healthState === "failed";
  }

  async open(world: ProcessWorld): Promise<Journal> {
    this.slabs = createSlabPool();
    this.#world = world;
    this.#journal = await openJournal({
      world,
      disk: this.#disk,
      slabs: this.slabs,
      fileBytesMax: 200_000,
      fileRowsMax: this.#settings.fileRowsMax,
      cacheBytesMax: this.#settings.cacheBytesMax,
      freeBytesMin: 0,
      snapshotChunkBytes: 1_024,
    });
    return this.#journal;
  }

  crash(kind: "process" | "power"): void {
    this.#journal = null;
    this.#atCommit = null;
    this.#disk = this.#disk.crash({ kind });
  }

  /** One at a time: each is met when the disk is tried again, a second later. */
  failNext(verb: "commit" | "roll", code: "storage_full" | "storage_failed"): void {
    this.#disk.forgetFailures();
    this.#disk.failNext(verb, code);
  }

  hang(ms: number): void {
    this.#hungUntil = Math.max(this.#hungUntil, this.#time.now + ms);
  }

  slow(ms: number, factor: number): void {
    this.#slowUntil = this.#time.now + ms;
    this.#slowFactor = factor;
  }

  /** Calls back when the next commit begins. */
  atNextCommit(fn: () => void): void {
    this.#atCommit = fn;
  }

  /** Ends slowness and hanging, and failures to come. */
  heal(): void {
    this.#disk.forgetFailures();
    this.#hungUntil = 0;
    this.#slowUntil = 0;
    this.#atCommit = null;
  }

  /** Flips a bit of some row that holds an entry; false when there is none. */
  flip(): boolean {
    const files = [...this.#disk.platter];
    const [name, file] = files[this.#random.below(files.length)] ?? [];
    if (name === undefined || file === undefined) return false;
    const rows = file.kind === "sealed" ? file.rows : file.commits.flat();
    const entries = rows.filter((row) => row.kind < 32);
    return entries.length > 0 && this.#disk.flip(name, this.#random.pick(entries).lsn);
  }

  #delay(verb: DiskVerb): Promise<void> {
    const world = this.#world!;
    const atCommit = this.#atCommit;
    if (verb === "commit" && atCommit !== null) {
      this.#atCommit = null;
      // Before, while, or after it takes effect.
      this.#time.after(this.#random.next() * delayMsMax.commit * 2, atCommit);
    }
    const slow = this.#time.now < this.#slowUntil ? this.#slowFactor : 1;
    const ms = this.#random.next() * delayMsMax[verb] * this.#settings.slowness * slow;
    const hung = Math.max(0, this.#hungUntil - this.#time.now);
    return new Promise((resolve) => void this.#time.after(hung + ms, resolve, world));
  }
}
