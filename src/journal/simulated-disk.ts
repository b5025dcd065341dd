// A disk with faults, for the simulator: memory-disk.ts, and a second platter that tells what power loss leaves.
//
//   commit (os)    |....cache....|      lost at a power cut: a suffix of the unsynced commits, chosen by the seed
//   commit (full)  |....platter..|      kept
//   under way      roll, commit, seal, remove: at a crash each either took place or did not, in order
//   failed         ENOSPC: gone once the next commit overwrote it, until then a crash may bring it back
//                  EIO: may be on the platter or not; every later commit fails too
//
// Promise: the same seed and calls give the same faults; crash() returns what a reopen would see and makes the old
// object deaf: its calls never settle. Left to others: when to crash, which faults to ask for.

import { Fault, type Code } from "../errors.ts";
import type {
  Disk,
  DiskCommit,
  DiskInventory,
  DiskRead,
  DiskReadResult,
  DiskRow,
  SealedHead,
  SealPlan,
  StopIndex,
} from "./disk.ts";
import {
  MemoryDisk,
  platterBytes,
  storedRows,
  type Platter,
  type StoredFile,
} from "./memory-disk.ts";

export type DiskVerb = "roll" | "commit" | "read" | "seal" | "remove" | "space";

export interface SimulatedDiskOptions {
  /** A number in [0, 1): the seed of every choice. */
  readonly random: () => number;
  /** Waits between a call and its effect; turns of the event loop or virtual time. */
  readonly delay?: (verb: DiskVerb) => Promise<void>;
  /** Size of the volume, bytes. */
  readonly capacityBytes?: number;
}

export interface Crash {
  /** "process": what the operating system has, stays. "power": what was not synced may be lost. */
  readonly kind: "process" | "power";
}

interface Pending {
  readonly verb: DiskVerb;
  readonly effect: () => unknown;
}

/** Commits whose effect is in doubt. */
interface Limbo {
  readonly file: string;
  readonly rows: Parameters<MemoryDisk["append"]>[0];
}

/** A disk that does what it is told to fail at. */
export function createSimulatedDisk(options: SimulatedDiskOptions): SimulatedDisk {
  return new SimulatedDisk(options, new Map(), new Set());
}

export class SimulatedDisk implements Disk {
  readonly #options: Required<SimulatedDiskOptions>;
  readonly #disk: MemoryDisk;
  /** Commits of each unsealed file that are on the platter. */
  readonly #synced = new Map<string, number>();
  readonly #pending = new Set<Pending>();
  readonly #faults: { readonly verb: DiskVerb; readonly code: Code }[] = [];
  /** Deleted, but the folder was not synced since. */
  readonly #unlinked = new Map<string, StoredFile>();
  #order: Promise<unknown> = Promise.resolve();
  #limbo: Limbo | null = null;
  #broken = false;
  #crashed = false;
  /** Counts closes. */
  #life = 0;
  capacityBytes: number;
  readonly counters = { commits: 0, fullCommits: 0, crashes: 0 };

  constructor(options: SimulatedDiskOptions, platter: Platter, damaged: Iterable<string>) {
    const capacityBytes = options.capacityBytes ?? Number.MAX_SAFE_INTEGER;
    this.#options = { delay: () => Promise.resolve(), ...options, capacityBytes };
    this.capacityBytes = capacityBytes;
    this.#disk = new MemoryDisk(platter);
    for (const row of damaged) this.#disk.damagedRows.add(row);
    for (const [name, file] of platter)
      if (file.kind === "unsealed") this.#synced.set(name, file.commits.length);
  }

  /** The next call of this verb rejects with the code. */
  failNext(verb: DiskVerb, code: "storage_full" | "storage_failed"): void {
    this.#faults.push({ verb, code });
  }

  /** Failures that were asked for and have not happened yet never will. */
  forgetFailures(): void {
    this.#faults.length = 0;
  }

  /** A bit of the row flips; false when no such row is stored. */
  flip(file: string, lsn: number): boolean {
    const found = this.#disk.platter.get(file);
    if (found === undefined || !storedRows(found).some((row) => row.lsn === lsn)) return false;
    this.#disk.damagedRows.add(`${file}/${lsn}`);
    return true;
  }

  /** Loses the newest file's last rows from `lsn` on, and the index of the last clean stop when asked to. */
  cut(lsn: number, also: { readonly index: boolean } = { index: false }): void {
    const file = [...this.#disk.platter.values()].findLast(
      (one) => one.kind === "unsealed" && one.commits.flat().some((row) => row.lsn === lsn),
    );
    if (file?.kind !== "unsealed") return;
    const left = file.commits.map((rows) => rows.filter((row) => row.lsn < lsn));
    file.commits.splice(0, file.commits.length, ...left);
    if (also.index && this.#disk.mark !== null)
      this.#disk.mark = { ...this.#disk.mark, index: null };
  }

  /** Names and rows, for tests that choose a victim. */
  get platter(): Platter {
    return this.#disk.platter;
  }

  /** Ends this disk and returns the one that a start after the crash would open. */
  crash({ kind }: Crash): SimulatedDisk {
    this.#settlePending();
    this.#crashed = true;
    this.counters.crashes++;
    const files: Platter = new Map();
    for (const [name, file] of this.#disk.platter)
      files.set(name, this.#survivor(name, file, kind));
    if (kind === "power")
      for (const [name, file] of this.#unlinked) if (this.#coin()) files.set(name, file);
    const options = { ...this.#options, capacityBytes: this.capacityBytes };
    const next = new SimulatedDisk(options, files, this.#disk.damagedRows);
    next.#disk.mark = this.#disk.mark;
    return next;
  }

  /** What was under way took place, up to some moment. */
  #settlePending(): void {
    for (const { verb, effect } of this.#pending) {
      // Nobody is left to hear that it failed.
      if (this.#coin()) void Promise.resolve(effect()).catch(() => undefined);
      else if (verb === "commit" || verb === "roll") break;
    }
  }

  #survivor(name: string, file: StoredFile, kind: Crash["kind"]): StoredFile {
    if (file.kind === "sealed") return file;
    const limbo = this.#limbo?.file === name && this.#coin() ? [this.#limbo.rows] : [];
    const written = [...file.commits, ...limbo];
    const synced = this.#synced.get(name) ?? 0;
    const lost = written.length - synced;
    const kept = kind === "process" ? lost : Math.floor(this.#options.random() * (lost + 1));
    return { kind: "unsealed", commits: written.slice(0, synced + kept) };
  }

  #coin(): boolean {
    return this.#options.random() < 0.5;
  }

  open(): Promise<DiskInventory> {
    return this.#disk.open();
  }

  roll(name: string, image: readonly DiskRow[]): Promise<void> {
    const rows = this.#disk.copy(image);
    return this.#inOrder("roll", () => {
      this.#disk.begin(name, rows);
      this.#synced.set(name, 1);
      this.#unlinked.clear();
    });
  }

  commit({ rows, durability }: DiskCommit): Promise<number> {
    const copies = this.#disk.copy(rows);
    return this.#inOrder(
      "commit",
      () => {
        const grown = this.#disk.append(copies);
        const { name, file } = this.#disk.active();
        this.#limbo = null;
        this.counters.commits++;
        if (durability === "full") {
          this.counters.fullCommits++;
          this.#synced.set(name, file.commits.length);
        }
        return grown;
      },
      () => (this.#limbo = { file: this.#disk.active().name, rows: copies }),
    );
  }

  /** Rolls and commits run one after the other, and after EIO none does. */
  #inOrder<T>(verb: "roll" | "commit", effect: () => T, failed?: () => void): Promise<T> {
    const run = () => this.#perform(verb, effect, failed);
    const done = this.#order.then(run, run);
    this.#order = done.catch(() => undefined);
    return done;
  }

  async #perform<T>(verb: DiskVerb, effect: () => T | Promise<T>, failed?: () => void): Promise<T> {
    const pending = { verb, effect };
    this.#pending.add(pending);
    const life = this.#life;
    await this.#options.delay(verb);
    if (this.#crashed || life !== this.#life) return new Promise<T>(() => undefined);
    this.#pending.delete(pending);
    const fault = this.#faultOf(verb);
    if (fault === null) return effect();
    failed?.();
    throw fault;
  }

  #faultOf(verb: DiskVerb): Fault | null {
    const at = this.#faults.findIndex((fault) => fault.verb === verb);
    const asked = at < 0 ? null : this.#faults.splice(at, 1)[0];
    const writes = verb === "commit" || verb === "roll";
    const full = (writes || verb === "seal") && this.#usedBytes() > this.capacityBytes;
    const code = asked?.code ?? (writes && this.#broken ? "storage_failed" : null);
    if (code === null && !full) return null;
    if (code === "storage_failed" && writes) this.#broken = true;
    return new Fault(code ?? "storage_full", `The simulated disk failed at ${verb}`, {
      sideEffects: writes ? "unknown" : "none",
    });
  }

  #usedBytes(): number {
    return platterBytes(this.#disk.platter);
  }

  read(read: DiskRead): Promise<DiskReadResult> {
    return this.#perform("read", () => this.#disk.read(read));
  }

  async seal(plan: SealPlan, pause: () => boolean): Promise<SealedHead> {
    while (pause() && !this.#crashed) await this.#options.delay("seal");
    return this.#perform("seal", () => {
      this.#unlinked.clear();
      return this.#disk.seal(plan);
    });
  }

  remove(names: readonly string[]): Promise<void> {
    return this.#perform("remove", () => {
      for (const name of names) {
        const file = this.#disk.platter.get(name);
        if (file !== undefined) this.#unlinked.set(name, file);
      }
      return this.#disk.remove(names);
    });
  }

  space(): Promise<{ readonly freeBytes: number; readonly usedBytes: number }> {
    return this.#perform("space", () => {
      const usedBytes = this.#usedBytes();
      return { freeBytes: Math.max(0, this.capacityBytes - usedBytes), usedBytes };
    });
  }

  /** What is still under way ends with the Workers: it never settles. */
  close(index: StopIndex | null = null): Promise<void> {
    this.#life++;
    this.#pending.clear();
    return this.#disk.close(index);
  }
}
