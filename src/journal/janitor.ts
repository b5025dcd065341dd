// The janitor: seals full files, carries live rows out of mostly dead ones, removes dead ones (janitor-plan.ts chooses).
//
//   plan --> log starts it relies on are durable --> disk.seal --> segments move over --> readers leave --> disk.remove
//
// Promise: one job at a time; what was live at any moment is in exactly one place that recovery finds; what dies while
// a job runs is dropped by the next one. It pauses while the flush queue is long, unless the writer waits for it (at
// most two full files). A file that cannot be sealed is kept as it is and named in troubles(). Left to others: the copy.

import { assert } from "../assert.ts";
import { Fault } from "../errors.ts";
import type { World } from "../world.ts";
import type { Disk, SealPlan } from "./disk.ts";
import { nextJob, type JanitorJob } from "./janitor-plan.ts";
import { JournalFile, rowOverheadBytes, sealedName, type JournalFiles } from "./journal-files.ts";
import type { ReplicaLog, SnapshotChunk } from "./replica-log.ts";
import { Segment } from "./segment.ts";
import type { JournalSettings } from "./settings.ts";
import type { Writer } from "./writer.ts";

/** Full files that may wait before the writer does. */
const fullFilesMax = 2;
/** After a job that found no room, or no writer to rely on. */
const retryMs = 5_000;

export interface JanitorParts {
  readonly world: World;
  readonly disk: Disk;
  readonly files: JournalFiles;
  readonly settings: JournalSettings;
  readonly logs: ReadonlyMap<number, ReplicaLog>;
  readonly writer: Writer;
}

export class Janitor {
  readonly #parts: JanitorParts;
  readonly #waiting: (() => void)[] = [];
  readonly #troubles = new Map<string, string>();
  #running = false;
  #closed = false;
  #rollRequestedFor: JournalFile | null = null;
  readonly counters = { sealed: 0, removed: 0 };

  constructor(parts: JanitorParts) {
    this.#parts = parts;
  }

  /** Something rolled, died or was trimmed. */
  wake(): void {
    if (!this.#running && !this.#closed) void this.#run();
  }

  /** Resolves when the writer may leave one more full file behind. */
  room(): Promise<void> {
    if (this.#hasRoom()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.wake();
    });
  }

  /** What it could not do, for people. */
  troubles(): Iterable<string> {
    return this.#troubles.values();
  }

  /** No new job begins; one that is under way is abandoned at its next step. */
  close(): void {
    this.#closed = true;
    this.#letWriterGo();
  }

  #hasRoom(): boolean {
    const full = this.#parts.files.full().filter((file) => !file.damaged);
    return this.#closed || full.length < fullFilesMax;
  }

  #letWriterGo(): void {
    if (this.#hasRoom()) for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      for (let job = this.#next(); job !== null; job = this.#next()) {
        await this.#do(job);
        this.#letWriterGo();
      }
    } catch (error) {
      if (!this.#closed) this.#parts.world.setTimer(retryMs, () => this.wake());
      if (!(error instanceof Fault)) throw error;
    } finally {
      this.#running = false;
    }
  }

  #next(): JanitorJob | null {
    const { files, settings } = this.#parts;
    if (this.#closed) return null;
    const job = nextJob(files.all(), settings.fileBytesMax);
    if (job?.kind !== "roll") return job;
    // Asked for once a file: the writer rolls before its next flush, and wakes the janitor.
    if (this.#rollRequestedFor === files.active()) return null;
    this.#rollRequestedFor = files.active();
    return job;
  }

  #do(job: JanitorJob): Promise<void> {
    switch (job.kind) {
      case "remove":
        return this.#removeDead(job.file);
      case "seal":
        return this.#seal(job.inputs);
      default:
        this.#parts.writer.requestRoll();
        return Promise.resolve();
    }
  }

  /** What the plan relies on reaches the disk before anything is deleted. */
  #relyOnLogStarts(): Promise<void> {
    const { writer, settings } = this.#parts;
    return settings.durability === "os" ? writer.mark("barrier") : writer.syncTrims();
  }

  async #removeDead(file: JournalFile): Promise<void> {
    await this.#relyOnLogStarts();
    if (this.#closed) return;
    this.#parts.files.replace([file], null);
    await this.#remove([file]);
  }

  async #remove(files: readonly JournalFile[]): Promise<void> {
    for (const file of files) await this.#parts.files.unread(file);
    if (this.#closed) return;
    await this.#parts.disk.remove(files.map((file) => file.name));
    this.counters.removed += files.length;
  }

  async #seal(inputs: readonly JournalFile[]): Promise<void> {
    const { disk, settings, writer } = this.#parts;
    const output = this.#outputOf(inputs);
    const plan = planOf(inputs, output.name, this.#parts.logs.values());
    const planned = inputs.reduce((sum, file) => sum + file.liveBytes, 0);
    await this.#relyOnLogStarts();
    if (this.#closed) return;
    const pause = () => this.#waiting.length === 0 && writer.queue.bytes > settings.flushBytesMax;
    try {
      const head = await disk.seal(plan, pause);
      if (this.#closed) return;
      output.fileBytes = head.fileBytes;
    } catch (error) {
      this.#keep(inputs, error);
      return;
    }
    this.#moveOver(inputs, output);
    output.totalBytes = planned;
    this.counters.sealed++;
    for (const input of inputs) this.#troubles.delete(input.name);
    await this.#remove(inputs);
  }

  #outputOf(inputs: readonly JournalFile[]): JournalFile {
    const range = { firstLsn: inputs[0].firstLsn, lastLsn: inputs.at(-1)!.lastLsn };
    const generation = Math.max(...inputs.map((file) => file.generation)) + 1;
    const name = sealedName(range, generation);
    return new JournalFile({ name, state: "sealed", range, generation, fileBytes: 0 });
  }

  #moveOver(inputs: readonly JournalFile[], output: JournalFile): void {
    for (const log of this.#parts.logs.values()) {
      moveSegments(log, inputs, output);
      for (const chunk of log.chunks()) if (inputs.includes(chunk.file)) moveChunk(chunk, output);
    }
    this.#parts.files.replace(inputs, output);
  }

  /** No room: later. Anything else: the files are kept as they are, and no longer count as waiting. */
  #keep(inputs: readonly JournalFile[], error: unknown): void {
    if (this.#closed) return;
    if (!(error instanceof Fault) || error.code === "storage_full") throw error;
    const named = inputs.filter((file) => file.name === error.members["file"]);
    for (const file of named.length > 0 ? named : inputs) {
      file.damaged = true;
      this.#troubles.set(file.name, `${file.name} is kept as it is: ${error.message}`);
    }
  }
}

/** Live ranges and chunks of the inputs, now. Cost: every segment of every replica once. */
export function planOf(
  inputs: readonly JournalFile[],
  output: string,
  logs: Iterable<ReplicaLog>,
): SealPlan {
  const parts = new Map(
    inputs.map((file) => [
      file,
      {
        name: file.name,
        live: [] as SealPlan["inputs"][number]["live"][number][],
        snapshots: [] as { replica: number; groupId: string; lsns: number[] }[],
      },
    ]),
  );
  for (const log of logs) {
    const { replica, groupId } = log;
    for (const { file, firstIndex, lastIndex } of log.segments)
      parts.get(file)?.live.push({ replica, groupId, firstIndex, lastIndex });
    for (const chunk of log.chunks()) {
      const snapshots = parts.get(chunk.file)?.snapshots;
      if (snapshots?.at(-1)?.replica === replica) snapshots.at(-1)!.lsns.push(chunk.lsn);
      else snapshots?.push({ replica, groupId, lsns: [chunk.lsn] });
    }
  }
  return { output, inputs: [...parts.values()] };
}

/** The segments of one replica in the inputs become one in the output. */
function moveSegments(log: ReplicaLog, inputs: readonly JournalFile[], output: JournalFile): void {
  const at = log.segments.findIndex((segment) => inputs.includes(segment.file));
  if (at < 0) return;
  const moved = log.segments.filter((segment) => inputs.includes(segment.file));
  moved.forEach((segment, i) => {
    const before = moved[i - 1];
    assert(
      before === undefined || before.lastIndex + 1 === segment.firstIndex,
      () => `Segments of ${log.groupId} must join: ${before?.lastIndex} and ${segment.firstIndex}`,
    );
    segment.end();
  });
  const [first, last] = [moved[0], moved.at(-1)!];
  const bounds = {
    firstIndex: first.firstIndex,
    lastIndex: last.lastIndex,
    firstOffset: first.firstOffset,
    nextOffset: last.nextOffset,
    maxTimestamp: Math.max(...moved.map((segment) => segment.maxTimestamp)),
    bytes: moved.reduce((sum, segment) => sum + segment.bytes, 0),
  };
  log.segments.splice(at, moved.length, new Segment(output, bounds, null));
}

function moveChunk(chunk: SnapshotChunk, output: JournalFile): void {
  chunk.file.liveBytes -= chunk.bytes + rowOverheadBytes;
  output.liveBytes += chunk.bytes + rowOverheadBytes;
  chunk.file = output;
}
