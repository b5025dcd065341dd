// Opens the journal over a disk: recovery, the barrier, then the parts that the Journal's verbs are made of.
//
//   inventory -> recover(), or the stop index -> [new file, when there is none or the active one is damaged] -> barrier row, FULL -> Journal
//
// Promise: journal.ts. The barrier comes before anything is acknowledged or voted: what recovery saw may have been in
// the operating system's cache only, and a vote must not be given on it twice. Left to others: see each part's head.

import { assert } from "../assert.ts";
import type { Slice, SlabPool } from "../bytes/slab.ts";
import { Fault } from "../errors.ts";
import { replicaNumber, type LogIndex, type ReplicaNumber, type Term } from "../quantities.ts";
import type { World } from "../world.ts";
import type { Disk, StopIndex } from "./disk.ts";
import { Janitor } from "./janitor.ts";
import { JournalFiles, rowOverheadBytes, type JournalFile } from "./journal-files.ts";
import type {
  Damage,
  FoundTimestamp,
  Journal,
  JournalHealth,
  LogStart,
  ReadRequest,
  ReadResult,
  ReplicaState,
  ReplicaWrite,
  WriteCompletion,
} from "./journal.ts";
import { Reading } from "./reading.ts";
import { emptyReplica, recover, type Recovered } from "./recovery.ts";
import { ReplicaLog, startsLater } from "./replica-log.ts";
import { journalSettings, type JournalSettings } from "./settings.ts";
import { SpaceWatch } from "./space-watch.ts";
import { TailCache } from "./tail-cache.ts";
import { makeIndex, restoreIndex } from "./stop-index.ts";
import { stepsOf } from "./write-steps.ts";
import { holdsData, Writer } from "./writer.ts";

export interface OpenJournalOptions extends Partial<JournalSettings> {
  readonly world: World;
  readonly disk: Disk;
  /** Where batches live; the journal takes its own slices (snapshots) from it too. */
  readonly slabs: SlabPool;
}

/** Recovers what the disk holds and opens for writing. Rejects with Fault storage_damaged when the state cannot be
 *  told, storage_full or storage_failed when the barrier cannot be written. Cost: row heads of at most three files. */
export async function openJournal(options: OpenJournalOptions): Promise<Journal> {
  const { disk } = options;
  const files = new JournalFiles();
  const inventory = await disk.open();
  const { index = null } = inventory;
  const recovered =
    index === null ? recover(inventory, files) : restoreIndex(inventory, index, files);
  const journal = new OpenJournal(options, files, recovered);
  await journal.start(recovered.rollWanted || files.all().at(-1)?.state !== "active");
  return journal;
}

/** Asserts that every file's account of live bytes equals what the replicas say. For tests; costs every segment. */
export function checkAccounts(journal: Journal): void {
  assert(journal instanceof OpenJournal, "Only an open journal has accounts");
  journal.checkAccounts();
}

const stateOfSpace = { ok: "ok", low: "low_space", full: "full" } as const;

class OpenJournal implements Journal {
  readonly #settings: JournalSettings;
  readonly #disk: Disk;
  readonly #slabs: SlabPool;
  readonly #logs: Map<number, ReplicaLog>;
  readonly #files: JournalFiles;
  readonly #cache: TailCache;
  readonly #writer: Writer;
  readonly #reading: Reading;
  readonly #janitor: Janitor;
  readonly #space: SpaceWatch;
  readonly #bystanders: readonly Damage[];
  /** Damage that recovery found; what reads find since is counted by them. */
  readonly #damageAtOpen: number;
  #nextReplica: number;
  #closing: Promise<void> | null = null;

  constructor(options: OpenJournalOptions, files: JournalFiles, recovered: Recovered) {
    const { world, disk, slabs } = options;
    const settings = journalSettings(options);
    const logs = recovered.logs;
    const cache = new TailCache(slabs, settings.cacheBytesMax);
    const { freeBytesMin } = settings;
    this.#settings = settings;
    this.#disk = disk;
    this.#slabs = slabs;
    this.#logs = logs;
    this.#files = files;
    this.#cache = cache;
    this.#bystanders = recovered.bystanders;
    this.#damageAtOpen = [...logs.values()].reduce(
      (sum, log) => sum + log.damage.length,
      recovered.bystanders.length,
    );
    this.#nextReplica = recovered.nextReplica;
    this.#space = new SpaceWatch({ world, disk, freeBytesMin });
    this.#reading = new Reading({ disk, files, cache });
    const parts = { world, disk, files, cache, settings, logs };
    this.#writer = new Writer(
      {
        ...parts,
        nextReplica: () => this.#nextReplica,
        roomForFullFile: () => this.#janitor.room(),
        onRolled: () => {
          this.#janitor.wake();
          void this.#space.look();
        },
        onWritten: () => this.#space.onWritten(),
        onDropped: (log) => {
          this.#logs.delete(log.replica);
          // Whole files may be dead now; the next roll, which would look too, never comes on a full disk.
          this.#janitor.wake();
        },
      },
      recovered.nextLsn,
    );
    this.#janitor = new Janitor({ world, disk, files, settings, logs, writer: this.#writer });
  }

  async start(rollFirst: boolean): Promise<void> {
    if (rollFirst) await this.#writer.rollAtOpen();
    else await this.#writer.mark("barrier");
    await this.#space.look();
    this.#janitor.wake();
  }

  *replicas(): IterableIterator<ReplicaState> {
    yield* this.#logs.values();
  }

  state(replica: ReplicaNumber): ReplicaState {
    return this.#log(replica);
  }

  #log(replica: ReplicaNumber): ReplicaLog {
    const log = this.#logs.get(replica);
    assert(log !== undefined, () => `Replica ${replica} is not in the journal`);
    return log;
  }

  createReplica(identity: { groupId: string; incarnation: number }): ReplicaNumber {
    const number = this.#nextReplica++;
    const image = emptyReplica(number, identity.groupId, identity.incarnation);
    this.#logs.set(number, new ReplicaLog(image, false));
    return replicaNumber(number);
  }

  enqueue(write: ReplicaWrite): Promise<WriteCompletion> {
    const log = this.#log(write.replica);
    const { snapshotChunkBytes } = this.#settings;
    this.#admit(write);
    const steps = stepsOf(log, write, this.#chunksOf(write.snapshot?.bytes, snapshotChunkBytes));
    const alone = steps.length === 1 ? steps[0] : null;
    if (alone !== null && alone.rowless && !this.#writer.busyWith(log))
      return Promise.resolve(this.#commitOnly(log, write));
    return new Promise((resolve, reject) => {
      steps.forEach((step, i) => {
        const settle = i === steps.length - 1 ? { resolve, reject } : null;
        this.#writer.push({ log, ...step, continues: i > 0, settle });
      });
    });
  }

  /** A commit index alone: no row, no transaction. */
  #commitOnly(log: ReplicaLog, write: ReplicaWrite): WriteCompletion {
    if (write.hardState !== undefined) log.hardState = write.hardState;
    this.#writer.committed(log);
    const { hardState, lastIndex, lastTerm } = log;
    return { term: hardState.term, lastIndex, lastTerm };
  }

  /** Refuses before anything is queued. */
  #admit(write: ReplicaWrite): void {
    const { fault, stopped } = this.#writer;
    if (this.#closing !== null)
      throw new Fault("shutting_down", "Cannot append: the journal is closing");
    if (fault !== null && !stopped) throw fault;
    const entries = write.entries ?? [];
    if (!holdsData(entries)) return;
    const full = fault ?? this.#shortOfSpace();
    if (full !== null) throw full;
    const bytes = entries.reduce((sum, { batch }) => sum + (batch?.bytes.length ?? 0), 0);
    const { queueBytesMax } = this.#settings;
    const pending = this.#writer.bytesPending;
    if (pending + bytes <= queueBytesMax || pending === 0) return;
    const detail = `Cannot queue ${bytes} bytes: ${pending} of ${queueBytesMax} wait for the disk`;
    throw new Fault("overloaded", detail);
  }

  #shortOfSpace(): Fault | null {
    if (this.#space.level !== "full") return null;
    const { freeBytes } = this.#space;
    const { freeBytesMin } = this.#settings;
    const detail = `Cannot append: ${freeBytes} bytes are free on the disk, wanted ${freeBytesMin}`;
    return new Fault("storage_full", detail);
  }

  #chunksOf(bytes: Uint8Array | undefined, chunkBytes: number): Slice[] {
    if (bytes === undefined) return [];
    const count = Math.max(1, Math.ceil(bytes.length / chunkBytes));
    return Array.from({ length: count }, (_, i) => {
      const part = bytes.subarray(i * chunkBytes, (i + 1) * chunkBytes);
      const slice = this.#slabs.allocate(part.length);
      slice.bytes.set(part);
      return slice;
    });
  }

  drop(replica: ReplicaNumber): Promise<void> {
    const log = this.#log(replica);
    const { fault, stopped } = this.#writer;
    if (fault !== null && !stopped) return Promise.reject(fault);
    return new Promise((resolve, reject) => {
      const settle = { resolve: () => resolve(), reject };
      const step = { kind: "drop" } as const;
      this.#writer.push({ log, step, bytes: 0, continues: false, settle });
    });
  }

  trim(replica: ReplicaNumber, start: LogStart): Promise<void> {
    const log = this.#log(replica);
    if (!startsLater(start, log.logStart)) return this.#writer.syncTrims();
    const { groupId, lastIndex, hardState, snapshotIndex } = log;
    assert(
      start.index <= Math.min(lastIndex, hardState.commit) + 1,
      () => `Log start of ${groupId} must be at most ${hardState.commit + 1}, got ${start.index}`,
    );
    assert(
      snapshotIndex === 0 || start.index <= snapshotIndex + 1,
      () =>
        `Log start of ${groupId} must not pass its snapshot at ${snapshotIndex}, got ${start.index}`,
    );
    log.trim(start);
    this.#writer.trimmed(log);
    this.#janitor.wake();
    return this.#writer.syncTrims();
  }

  read(request: ReadRequest): ReadResult | Promise<ReadResult> {
    return this.#reading.read(this.#log(request.replica), request);
  }

  readCached(request: ReadRequest): ReadResult | null {
    return this.#reading.cached(this.#log(request.replica), request);
  }

  term(replica: ReplicaNumber, index: LogIndex): Term | null {
    return this.#log(replica).termAt(index);
  }

  async findTimestamp(
    replica: ReplicaNumber,
    timestamp: number,
    endIndex: LogIndex,
  ): Promise<FoundTimestamp | null> {
    return this.#reading.findTimestamp(this.#log(replica), timestamp, endIndex);
  }

  async retentionPoint(
    replica: ReplicaNumber,
    keep: { readonly timestampMin: number | null; readonly bytesMax: number | null },
    endIndex: LogIndex,
  ): Promise<LogStart | null> {
    return this.#reading.retentionPoint(this.#log(replica), keep, endIndex);
  }

  async readSnapshot(
    replica: ReplicaNumber,
  ): Promise<{ readonly index: LogIndex; readonly bytes: Uint8Array } | null> {
    return this.#reading.readSnapshot(this.#log(replica));
  }

  liveBytes(replica: ReplicaNumber): number {
    return this.#log(replica).liveBytes();
  }

  get healthState(): JournalHealth["state"] {
    const { fault, stopped } = this.#writer;
    if (fault !== null) return stopped ? "full" : "failed";
    return stateOfSpace[this.#space.level];
  }

  health(): JournalHealth {
    const { bytesPending: queuedBytes, oldestFlushMs } = this.#writer;
    return { state: this.healthState, detail: this.#detail(), queuedBytes, oldestFlushMs };
  }

  #detail(): string {
    const fault = this.#writer.fault ?? this.#shortOfSpace();
    if (fault !== null) return fault.message;
    const low = this.#space.level === "low";
    return low ? `${this.#space.freeBytes} bytes are free on the disk` : this.#noted();
  }

  /** Damage that touches no replica, and what keeps the janitor from its work. */
  #noted(): string {
    const damage = this.#bystanders.map((one) => `${one.file}: ${one.detail}`);
    return [...damage, ...this.#janitor.troubles()].join("; ");
  }

  metrics(): Readonly<Record<string, number>> {
    const { flushes, rows, bytes, rolls, failedFlushes } = this.#writer.counters;
    return {
      flushes,
      rows_written: rows,
      bytes_written: bytes,
      rolls,
      failed_flushes: failedFlushes,
      queue_bytes: this.#writer.bytesPending,
      cache_hits: this.#cache.hits,
      cache_misses: this.#cache.misses,
      cache_entries: this.#cache.entries,
      slab_bytes_in_use: this.#slabs.bytesInUse,
      slab_bytes_allocated: this.#slabs.bytesAllocated,
      disk_reads: this.#reading.counters.diskReads,
      disk_rows_read: this.#reading.counters.diskRows,
      damage: this.#damageAtOpen + this.#reading.counters.damaged,
      damaged_rows_met: this.#reading.counters.damaged,
      files: this.#files.all().length,
      files_sealed: this.#janitor.counters.sealed,
      files_removed: this.#janitor.counters.removed,
      free_bytes: this.#space.freeBytes,
      used_bytes: this.#space.usedBytes,
      replicas: this.#logs.size,
    };
  }

  checkAccounts(): void {
    const live = new Map(this.#files.all().map((file) => [file, 0]));
    const add = (file: JournalFile, bytes: number) =>
      live.set(file, (live.get(file) ?? NaN) + bytes);
    for (const log of this.#logs.values()) {
      for (const segment of log.segments) add(segment.file, segment.cost);
      for (const chunk of log.chunks()) add(chunk.file, chunk.bytes + rowOverheadBytes);
    }
    for (const [file, bytes] of live)
      assert(
        file.liveBytes === bytes && bytes <= file.totalBytes,
        () =>
          `File ${file.name} must have ${bytes} live bytes of ${file.totalBytes}, got ${file.liveBytes}`,
      );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** While anything is damaged the index tells ends alone, and the next start looks at every row again. So it does when a
   *  log start moved behind the last flush: no row tells of it, and the janitor must not rely on it (simulator, seed 88). */
  #index(): StopIndex | null {
    const files = this.#files;
    if (this.#writer.fault !== null) return null;
    const damaged = files.all().some((file) => file.damaged) || this.#noted() !== "";
    const logs = [...this.#logs.values()];
    const whole = !damaged && logs.every((log) => log.damage.length === 0 && startIsTold(log));
    const { nextLsn } = this.#writer;
    return makeIndex({ logs, files, nextReplica: this.#nextReplica, nextLsn }, { whole });
  }

  async #close(): Promise<void> {
    this.#space.close();
    this.#janitor.close();
    await this.#writer.close();
    this.#cache.clear(this.#logs.values());
    await this.#disk.close(this.#index());
  }
}

/** A row or an image tells the log start. */
function startIsTold({ logStart, durableStart }: ReplicaLog): boolean {
  return !startsLater(logStart, durableStart);
}
