// The disk on real files: libSQL in Workers (disk.ts says what is promised; file-names.ts what lies in the folder).
//
//   main thread          writer Worker     one: inventory, roll, commit        started by open()
//   LibsqlDisk  ------>  reader Workers    a few: reads, in parallel           started behind the first few reads
//                        janitor Worker    one: spare, seal, remove            started when first needed
//
// Promise: the main thread holds no connection and never waits for the disk; each commit is one message with numbers
// and metas, batches are written from the slabs where they lie. Left to others: everything that disk.ts leaves.

import { statfs } from "node:fs/promises";
import { assert } from "../assert.ts";
import { Fault } from "../errors.ts";
import type { SlabPool } from "../bytes/slab.ts";
import { limits } from "../limits.ts";
import type { World } from "../world.ts";
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
import { folderBytes } from "./file-names.ts";
import { buffersOf, RowPacker, unpackHeads, unpackRows } from "./workers/packed-rows.ts";
import type { CommitBody, JanitorVerbs, ReaderVerbs, WriterVerbs } from "./workers/protocol.ts";
import { WorkerPort } from "./workers/worker-port.ts";

export interface LibsqlDiskOptions {
  /** Folder of the journal's files; made when missing. Nothing else lies in it. */
  readonly dir: string;
  /** Whose slices the commits borrow. */
  readonly slabs: SlabPool;
  readonly world: World;
  /** Reader Workers at most; each costs memory only once it is needed. */
  readonly readersMax?: number;
  /** The next file is made ahead when the active one has grown this far, bytes. */
  readonly spareAtBytes?: number;
}

/** Slabs that the writer keeps mapped; an older one is told again when it is used again. */
const slabsToldMax = 64;
/** Reads that the writer answers while it is idle, before the first reader is started: the controller's replay wants
 *  two, and a Worker takes 25-35 ms to come up. */
const writerReadsMax = 8;
/** How long the janitor rests before it asks again whether it may go on, ms. */
const janitorRestMs = 5;

export class LibsqlDisk implements Disk {
  readonly #options: Required<LibsqlDiskOptions>;
  readonly #writer: WorkerPort<WriterVerbs>;
  readonly #readers: WorkerPort<ReaderVerbs>[] = [];
  #janitor: WorkerPort<JanitorVerbs> | null = null;
  /** What the writer knows, so that it is told once. */
  readonly #toldSlabs = new Set<number>();
  readonly #toldGroups = new Map<number, string>();
  /** Bytes that the active file grew by since it began; null once its successor is made or being made. */
  #grownBytes: number | null = 0;
  #readsLeft = writerReadsMax;
  #closed = false;

  constructor(options: LibsqlDiskOptions) {
    this.#options = { readersMax: 2, spareAtBytes: limits.fileBytesMax / 4, ...options };
    this.#writer = new WorkerPort(new URL("./workers/writer-worker.ts", import.meta.url));
  }

  async open(): Promise<DiskInventory> {
    const found = await this.#writer.call("open", { dir: this.#options.dir });
    for (const [replica, groupId] of found.groups) this.#toldGroups.set(replica, groupId);
    const groups = new Map(found.groups);
    const unsealed = found.unsealed.map(({ name, fileBytes, rows }) => ({
      name,
      fileBytes,
      rows: { [Symbol.iterator]: () => unpackHeads(rows, groups) },
    }));
    return { ...found, unsealed };
  }

  async roll(name: string, image: readonly DiskRow[]): Promise<void> {
    const body = { ...this.#commitBody({ rows: image, durability: "full" }), name };
    await this.#writer.call("roll", body, buffersOf(body.rows));
    this.#grownBytes = 0;
  }

  async commit(commit: DiskCommit): Promise<number> {
    const body = this.#commitBody(commit);
    const grown = await this.#writer.call("commit", body, buffersOf(body.rows));
    this.#prepareSpare(grown);
    return grown;
  }

  async read(read: DiskRead): Promise<DiskReadResult> {
    const answer = this.#writerReads()
      ? this.#writer.call("read", read)
      : this.#reader().call("read", read);
    const { rows, damage } = await answer;
    return { rows: unpackRows(rows, read.groupId), damage };
  }

  #writerReads(): boolean {
    const early = this.#readers.length === 0 && this.#readsLeft > 0 && this.#writer.pending === 0;
    if (early) this.#readsLeft--;
    return early;
  }

  async seal(plan: SealPlan, pause: () => boolean): Promise<SealedHead> {
    const janitor = this.#startedJanitor();
    await janitor.call("seal", plan);
    for (;;) {
      while (pause() && !this.#closed) await this.#rest();
      if (this.#closed) throw new Fault("shutting_down", `Cannot seal ${plan.output}: closing`);
      const head = await janitor.call("step", null);
      if (head !== null) return head;
    }
  }

  async remove(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await Promise.all(this.#readers.map((reader) => reader.call("forget", names)));
    await this.#startedJanitor().call("remove", names);
    await this.#writer.call("forget", names);
  }

  async space(): Promise<{ readonly freeBytes: number; readonly usedBytes: number }> {
    const { dir } = this.#options;
    const [volume, usedBytes] = await Promise.all([statfs(dir), folderBytes(dir)]);
    return { freeBytes: volume.bavail * volume.bsize, usedBytes };
  }

  async close(index: StopIndex | null = null): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const others = [...this.#readers, this.#janitor];
    try {
      for (const port of others) await port?.idle();
      await this.#writer.call("close", index);
    } finally {
      for (const port of [...others, this.#writer]) port?.terminate();
    }
  }

  #commitBody(commit: DiskCommit): CommitBody {
    const packer = new RowPacker(commit.rows.length, 256);
    const slabs: [number, SharedArrayBuffer][] = [];
    const groups: [number, string][] = [];
    const used = new Set<number>();
    for (const row of commit.rows) {
      packer.addRow(row);
      this.#tellGroup(row, groups);
      const slab = row.batch?.slab ?? -1;
      if (slab >= 0) used.add(slab);
    }
    for (const slab of used) {
      if (!this.#toldSlabs.delete(slab)) slabs.push([slab, this.#options.slabs.buffer(slab)]);
      this.#toldSlabs.add(slab);
    }
    const { durability } = commit;
    return { rows: packer.finish(), durability, slabs, forgetSlabs: this.#oldSlabs(used), groups };
  }

  #tellGroup(row: DiskRow, groups: [number, string][]): void {
    assert(
      row.replica >= 0 === (row.groupId !== ""),
      () => `Row ${row.lsn} of replica ${row.replica} must name its group, got "${row.groupId}"`,
    );
    if (row.replica < 0 || this.#toldGroups.get(row.replica) === row.groupId) return;
    this.#toldGroups.set(row.replica, row.groupId);
    groups.push([row.replica, row.groupId]);
  }

  /** Least recently used slabs beyond the bound, none that this commit uses. */
  #oldSlabs(used: ReadonlySet<number>): number[] {
    const old: number[] = [];
    for (const slab of this.#toldSlabs) {
      if (this.#toldSlabs.size - old.length <= slabsToldMax || used.has(slab)) break;
      old.push(slab);
    }
    for (const slab of old) this.#toldSlabs.delete(slab);
    return old;
  }

  #prepareSpare(grown: number): void {
    if (this.#grownBytes === null) return;
    this.#grownBytes += grown;
    if (this.#grownBytes < this.#options.spareAtBytes || this.#closed) return;
    this.#grownBytes = null;
    // A failure is no fault: the roll makes the file itself then, and meets the same trouble.
    this.#startedJanitor()
      .call("prepare", null)
      .catch(() => undefined);
  }

  /** A reader that is idle, a new one while there may be more, else the least busy one. */
  #reader(): WorkerPort<ReaderVerbs> {
    const idle = this.#readers.find((reader) => reader.pending === 0);
    if (idle !== undefined) return idle;
    if (this.#readers.length < this.#options.readersMax) {
      const reader = this.#opened<ReaderVerbs>("./workers/reader-worker.ts");
      this.#readers.push(reader);
      return reader;
    }
    return this.#readers.reduce((a, b) => (b.pending < a.pending ? b : a));
  }

  #startedJanitor(): WorkerPort<JanitorVerbs> {
    this.#janitor ??= this.#opened<JanitorVerbs>("./workers/janitor-worker.ts");
    return this.#janitor;
  }

  /** A Worker that was told its folder; its failure shows in the calls that follow. */
  #opened<V extends ReaderVerbs | JanitorVerbs>(file: string): WorkerPort<V> {
    assert(!this.#closed, "Cannot use the disk: it was closed");
    const port = new WorkerPort<V>(new URL(file, import.meta.url));
    port.call("open", { dir: this.#options.dir }).catch(() => undefined);
    return port;
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.world.setTimer(janitorRestMs, resolve);
    });
  }
}
