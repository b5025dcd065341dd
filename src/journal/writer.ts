// The writer: takes flushes from the queue, commits them, rolls to the next file, and stops when the disk says so.
//
//   enqueue ---> queue --(end of turn)--> flush n ---------> settled
//                             gathers     flush n + 1 ----------------> settled
//
// Promise: one flush is under way at a time and the next gathers meanwhile (group commit); state follows a commit
// before anyone hears of it; after a failed commit nothing of the same replica is written behind it. Storage states:
//
//   running --ENOSPC--> stopped --(room, and a barrier row commits)--> running
//   running --any other fault--> failed (until restart: an fsync is never retried)
//
// Tried and left, November 2026: handing flush n + 1 to the Worker before flush n was answered. 200 B at 64 in flight,
// medians of five alternating runs, one against two under way: appends/s on 1 replica 22,000 and 13,000, on 64 replicas
// 11,000 and 9,000; HTTP posts/s on 1 partition 10,700 and 7,400, on 64 partitions 5,000 and 6,300, each within a factor
// of two of noise, with the same rows a flush (about 52 of 64 on 1 partition): the callers are answered by flush n, so there
// is rarely anything to hand over before. Not worth a second failure in flight.
//
// Left to others: rows (flush.ts), what is dead (janitor.ts), free space (space-watch.ts).

import { assert } from "../assert.ts";
import { Fault } from "../errors.ts";
import type { World } from "../world.ts";
import type { Disk } from "./disk.ts";
import { factRow } from "./facts.ts";
import { Flush, type FlushExtras } from "./flush.ts";
import { imageRows, type JournalImage } from "./image.ts";
import { JournalFile, journalName, type JournalFiles } from "./journal-files.ts";
import { entryKinds, type LogEntry } from "./journal.ts";
import type { JournalSettings } from "./settings.ts";
import type { ReplicaLog } from "./replica-log.ts";
import type { TailCache } from "./tail-cache.ts";
import { releaseStep, WriteQueue, type QueuedWrite } from "./write-queue.ts";

/** How often a stopped writer looks for room. */
const probeMs = 1_000;

export interface WriterParts {
  readonly world: World;
  readonly disk: Disk;
  readonly files: JournalFiles;
  readonly cache: TailCache;
  readonly settings: JournalSettings;
  readonly logs: ReadonlyMap<number, ReplicaLog>;
  /** The next number that createReplica() gives. */
  readonly nextReplica: () => number;
  /** Resolves when fewer than two full files wait for the janitor. */
  readonly roomForFullFile: () => Promise<void>;
  /** A file became full, or bytes were written: the janitor and the space watch look around. */
  readonly onRolled: () => void;
  readonly onWritten: () => void;
  /** A drop became durable. */
  readonly onDropped: (log: ReplicaLog) => void;
}

interface Waiter {
  readonly mark: "cleanStop" | "barrier" | null;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class Writer {
  readonly #parts: WriterParts;
  readonly queue = new WriteQueue();
  /** Replicas whose commit moved since the last state row. */
  readonly #dirty = new Set<ReplicaLog>();
  /** Replicas whose log start moved since the last trim row or image. */
  readonly #trimmed = new Set<ReplicaLog>();
  #waiters: Waiter[] = [];
  #nextLsn: number;
  #scheduled = false;
  #running = false;
  #rollWanted = false;
  /** Replicas of the flush that is under way. */
  #underWay: ReadonlySet<ReplicaLog> = new Set();
  #flushStart: number | null = null;
  #flushBytes = 0;
  /** Null while running. */
  #fault: Fault | null = null;
  #stopped = false;
  /** Wakes the writer while it waits for room. */
  #onWaiter: (() => void) | null = null;
  /** The clean-stop mark is written. */
  #ended = false;
  readonly counters = { flushes: 0, rows: 0, bytes: 0, rolls: 0, failedFlushes: 0 };

  constructor(parts: WriterParts, nextLsn: number) {
    this.#parts = parts;
    this.#nextLsn = nextLsn;
  }

  get nextLsn(): number {
    return this.#nextLsn;
  }

  /** The fault that stopped the writer, null while it runs. */
  get fault(): Fault | null {
    return this.#fault;
  }

  /** True: stopped for want of room, and looking for it. */
  get stopped(): boolean {
    return this.#stopped;
  }

  get bytesPending(): number {
    return this.queue.bytes + this.#flushBytes;
  }

  get oldestFlushMs(): number {
    return this.#flushStart === null ? 0 : this.#parts.world.monotonic() - this.#flushStart;
  }

  /** Something of the replica waits or is under way: what comes now settles behind it. */
  busyWith(log: ReplicaLog): boolean {
    return this.queue.holds(log) || this.#underWay.has(log);
  }

  push(write: QueuedWrite): void {
    this.queue.push(write);
    this.#schedule();
  }

  trimmed(log: ReplicaLog): void {
    this.#trimmed.add(log);
  }

  /** A commit index that needs no row. */
  committed(log: ReplicaLog): void {
    log.stateDirty = true;
    this.#dirty.add(log);
  }

  /** Resolves when every log start that moved until now is durable. */
  syncTrims(): Promise<void> {
    return this.#trimmed.size === 0 ? Promise.resolve() : this.mark(null);
  }

  /** Flushes what is queued now, and the mark behind it. */
  mark(mark: Waiter["mark"]): Promise<void> {
    if (this.#fault !== null && !this.#stopped) return Promise.reject(this.#fault);
    if (this.#ended) return Promise.reject(new Fault("shutting_down", "The journal is closed"));
    return new Promise((resolve, reject) => {
      this.#waiters.push({ mark, resolve, reject });
      this.#onWaiter?.();
      this.#schedule();
    });
  }

  /** Flushes what is queued and the clean-stop mark; nothing is written behind it, not even a new file. */
  async close(): Promise<void> {
    // A stopped or failed writer leaves no mark: the next start is an unclean one, as it must be.
    if (this.#fault === null) await this.mark("cleanStop").catch(() => undefined);
    this.#ended = true;
  }

  /** Starts a new file before the next flush. */
  requestRoll(): void {
    this.#rollWanted = true;
    this.#schedule();
  }

  /** Starts a new file now; only before anything was queued (first start, damage found at open). */
  async rollAtOpen(): Promise<void> {
    assert(this.queue.empty && !this.#running, "The first roll must precede every write");
    await this.#roll();
  }

  #schedule(): void {
    if (this.#scheduled || this.#running || this.#fault !== null) return;
    this.#scheduled = true;
    this.#parts.world.defer(() => {
      this.#scheduled = false;
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#fault === null && this.#hasWork()) {
        if (this.#mustRoll()) await this.#makeRoomAndRoll();
        else await this.#flush(this.queue.take(this.#parts.settings.flushBytesMax));
      }
    } catch (error) {
      this.#fail(asFault(error));
    } finally {
      this.#running = false;
    }
  }

  #hasWork(): boolean {
    if (this.#ended) return false;
    return !this.queue.empty || this.#waiters.length > 0 || this.#mustRoll();
  }

  #mustRoll(): boolean {
    const { fileBytesMax, fileRowsMax } = this.#parts.settings;
    const active = this.#parts.files.active();
    return this.#rollWanted || active.fileBytes >= fileBytesMax || active.rows >= fileRowsMax;
  }

  async #makeRoomAndRoll(): Promise<void> {
    const { settings, disk } = this.#parts;
    await this.#waitForRoom();
    if (this.#fault !== null || this.#ended) return;
    try {
      // The next image tells of rows in the old file: they are on the platter before it.
      if (settings.durability === "os") await this.#barrier(disk);
      await this.#roll();
    } catch (error) {
      this.#stop(asFault(error));
    }
  }

  /** Entries wait until the janitor made room; marks go on, for the janitor itself relies on them. */
  async #waitForRoom(): Promise<void> {
    const room = { made: false };
    const made = this.#parts.roomForFullFile().then(() => (room.made = true));
    while (!room.made && this.#fault === null && !this.#ended) {
      if (this.#waiters.some((waiter) => this.#isReady(waiter))) await this.#flush([]);
      else await Promise.race([made, new Promise<void>((wake) => (this.#onWaiter = wake))]);
    }
  }

  async #roll(): Promise<void> {
    const { disk, files, logs } = this.#parts;
    const replicas = [...logs.values()].filter((log) => log.declared && !log.dropped);
    const states = replicas.map((log) => ({ log, start: log.logStart, hard: log.hardState }));
    const image: JournalImage = {
      nextReplica: this.#parts.nextReplica(),
      replicas: replicas.map((log) => log.image()),
    };
    const rows = imageRows(image, this.#nextLsn);
    const name = journalName(this.#nextLsn);
    this.#rollWanted = false;
    await disk.roll(name, rows);
    const range = { firstLsn: this.#nextLsn, lastLsn: this.#nextLsn + rows.length - 1 };
    const before = files.all().at(-1);
    if (before?.state === "active") before.state = "full";
    files.add(new JournalFile({ name, state: "active", range, generation: 0, fileBytes: 0 }));
    files.active().rows = rows.length;
    this.#nextLsn += rows.length;
    this.counters.rolls++;
    for (const { log, start, hard } of states) this.#followImage(log, start, hard.commit);
    this.#parts.onRolled();
  }

  #followImage(log: ReplicaLog, start: ReplicaLog["durableStart"], commit: number): void {
    log.durableStart = start;
    if (log.logStart === start) this.#trimmed.delete(log);
    if (log.hardState.commit !== commit) return;
    log.stateDirty = false;
    this.#dirty.delete(log);
  }

  async #flush(writes: readonly QueuedWrite[]): Promise<void> {
    const waiters = this.#takeWaiters();
    const flush = new Flush(writes, this.#extras(waiters), this.#nextLsn);
    this.#underWay = new Set(writes.map((write) => write.log));
    try {
      if (!flush.empty) await this.#commit(flush);
    } catch (error) {
      this.#flushFailed(writes, waiters, asFault(error));
      return;
    } finally {
      this.#underWay = new Set();
      this.#flushStart = null;
      this.#flushBytes = 0;
    }
    this.#flushed(flush, waiters);
  }

  /** The clean-stop mark must be the last row: it waits until the queue is empty. */
  #takeWaiters(): Waiter[] {
    const taken = this.#waiters.filter((waiter) => this.#isReady(waiter));
    this.#waiters = this.#waiters.filter((waiter) => !this.#isReady(waiter));
    return taken;
  }

  #isReady({ mark }: Waiter): boolean {
    return mark !== "cleanStop" || this.queue.empty;
  }

  #extras(waiters: readonly Waiter[]): FlushExtras {
    const marks = waiters.flatMap(({ mark }) => (mark === null ? [] : [mark]));
    return { dirty: liveOf(this.#dirty), trimmed: liveOf(this.#trimmed), marks };
  }

  async #commit(flush: Flush): Promise<void> {
    const { disk, files, settings, world } = this.#parts;
    this.#flushStart = world.monotonic();
    this.#flushBytes = flush.writes.reduce((sum, write) => sum + write.bytes, 0);
    const durability = flush.full ? "full" : settings.durability;
    const grown = await disk.commit({ rows: flush.rows, durability });
    const active = files.active();
    active.fileBytes += grown;
    active.rows += flush.rows.length;
    this.#nextLsn += flush.rows.length;
    active.lastLsn = this.#nextLsn - 1;
    this.counters.flushes++;
    this.counters.rows += flush.rows.length;
    this.counters.bytes += grown;
  }

  #flushed(flush: Flush, waiters: readonly Waiter[]): void {
    const { files, cache } = this.#parts;
    const completions = flush.apply(flush.empty ? null : files.active());
    for (const log of this.#trimmed)
      if (log.durableStart === log.logStart || log.dropped) this.#trimmed.delete(log);
    this.#followStates(flush);
    cache.added(...entriesOf(flush.writes));
    flush.writes.forEach((write, i) => write.settle?.resolve(completions[i]));
    this.#ended = waiters.some(({ mark }) => mark === "cleanStop");
    for (const waiter of waiters) waiter.resolve();
    this.#parts.onWritten();
  }

  #followStates(flush: Flush): void {
    for (const { log, step } of flush.writes) {
      if (log.stateDirty) this.#dirty.add(log);
      if (step.kind !== "drop") continue;
      this.#dirty.delete(log);
      this.#parts.onDropped(log);
    }
    for (const log of this.#dirty) if (!log.stateDirty || log.dropped) this.#dirty.delete(log);
  }

  #flushFailed(writes: readonly QueuedWrite[], waiters: readonly Waiter[], fault: Fault): void {
    this.counters.failedFlushes++;
    for (const write of writes) rejectWrite(write, unknownEffects(fault));
    for (const log of new Set(writes.map((write) => write.log))) this.#rejectQueued(log, fault);
    this.#stop(fault);
    if (this.#stopped) this.#waiters.unshift(...waiters);
    else for (const waiter of waiters) waiter.reject(fault);
  }

  /** Everything that the replica still has queued fails: behind a failed write its index would leave a hole. */
  #rejectQueued(log: ReplicaLog, fault: Fault): void {
    let begun = true;
    for (const write of this.queue.takeAllOf(log)) {
      begun &&= write.continues;
      rejectWrite(write, begun ? unknownEffects(fault) : fault);
    }
    log.abandonPartial();
    log.queued = log.durableEnd();
  }

  #stop(fault: Fault): void {
    if (fault.code !== "storage_full") {
      this.#fail(fault);
      return;
    }
    this.#fault = fault;
    this.#stopped = true;
    // Client data hears at once; what retention needs waits for room.
    for (const log of this.queue.logs())
      if (this.queue.someOf(log, ({ step }) => step.kind === "write" && holdsData(step.entries)))
        this.#rejectQueued(log, fault);
    this.#probeLater();
  }

  #fail(fault: Fault): void {
    this.#fault = fault;
    this.#stopped = false;
    for (const log of this.queue.logs()) this.#rejectQueued(log, fault);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(fault);
  }

  async #barrier(disk: Disk): Promise<void> {
    const rows = [factRow("barrier", this.#nextLsn)];
    const active = this.#parts.files.active();
    active.fileBytes += await disk.commit({ rows, durability: "full" });
    active.rows++;
    active.lastLsn = this.#nextLsn++;
  }

  #probeLater(): void {
    this.#parts.world.setTimer(probeMs, () => void this.probe());
  }

  /** Looks for room; with some, a barrier row decides. Overwrites what the failed commit may have left behind. */
  async probe(): Promise<void> {
    if (!this.#stopped || this.#running || this.#ended) return;
    this.#running = true;
    try {
      const { disk, settings } = this.#parts;
      const { freeBytes } = await disk.space();
      if (freeBytes < settings.flushBytesMax) return this.#probeLater();
      await this.#barrier(disk);
      this.#stopped = false;
      this.#fault = null;
    } catch (error) {
      this.#stop(asFault(error));
    } finally {
      this.#running = false;
    }
    if (this.#fault === null && this.#hasWork()) this.#schedule();
  }
}

/** A write that carries records of clients: refused first when room is short. */
export function holdsData(entries: readonly LogEntry[]): boolean {
  return entries.some((entry) => entry.kind === entryKinds.data);
}

function entriesOf(writes: readonly QueuedWrite[]): [ReplicaLog[], number] {
  const logs = new Set<ReplicaLog>();
  let entries = 0;
  for (const { log, step } of writes) {
    if (step.kind !== "write" || step.entries.length === 0) continue;
    logs.add(log);
    entries += step.entries.length;
  }
  return [[...logs], entries];
}

const liveOf = (logs: Set<ReplicaLog>): ReplicaLog[] => [...logs].filter((log) => !log.dropped);

function rejectWrite(write: QueuedWrite, fault: Fault): void {
  releaseStep(write.step);
  write.settle?.reject(fault);
}

function unknownEffects(fault: Fault): Fault {
  const { code, message, members } = fault;
  return new Fault(code, message, { cause: fault, sideEffects: "unknown", members });
}

/** A disk throws Faults; anything else is a bug in it, and the journal stops all the same. */
function asFault(error: unknown): Fault {
  if (error instanceof Fault) return new Fault(error.code, error.message, { cause: error });
  const detail = error instanceof Error ? error.message : String(error);
  return new Fault("storage_failed", `Cannot write the journal: ${detail}`, { cause: error });
}
