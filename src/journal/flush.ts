// One flush: the rows of one transaction, and what follows from them once they are durable.
//
//   [replica][reset][cut][entry][entry]...[snapshot chunk]...[drop]   each replica's steps, in queue order
//   [trim] [state]                                                    one packed row each, for all replicas
//
// Promise: build() touches no state, so a failed commit leaves everything as it was; apply() makes the state follow
// in the same order. Left to others: when to flush (writer.ts).

import { assert } from "../assert.ts";
import { offset } from "../quantities.ts";
import type { DiskRow } from "./disk.ts";
import { encodeReplicaFact, encodeStateFact, encodeTrimFact, factRow } from "./facts.ts";
import type { HardState, LogEntry, LogStart, WriteCompletion } from "./journal.ts";
import { rowOverheadBytes, type JournalFile } from "./journal-files.ts";
import { startsLater, type ReplicaLog } from "./replica-log.ts";
import type { ChunkRun, QueuedStep, QueuedWrite } from "./write-queue.ts";

type WriteStep = Extract<QueuedStep, { kind: "write" }>;

/** State that all replicas share and that rides along with a flush. */
export interface FlushExtras {
  /** Replicas whose commit moved since the last state row. */
  readonly dirty: Iterable<ReplicaLog>;
  /** Log starts that moved since the last trim row. */
  readonly trimmed: Iterable<ReplicaLog>;
  /** Facts of the journal itself at the end: a barrier, the clean-stop mark. */
  readonly marks: readonly ("barrier" | "cleanStop")[];
}

export class Flush {
  readonly writes: readonly QueuedWrite[];
  readonly rows: DiskRow[] = [];
  /** Holds a vote, a term, a drop, a trim or a mark: FULL under any durability. */
  full = false;
  #nextLsn: number;
  /** First entry or chunk row of each write, in order. */
  readonly #firstLsns: number[] = [];
  readonly #declared = new Set<ReplicaLog>();
  readonly #states = new Map<ReplicaLog, HardState>();
  readonly #trims: { readonly log: ReplicaLog; readonly start: LogStart }[] = [];

  constructor(writes: readonly QueuedWrite[], extras: FlushExtras, firstLsn: number) {
    this.writes = writes;
    this.#nextLsn = firstLsn;
    for (const write of writes) this.#addStep(write);
    this.#addTrims(extras.trimmed);
    if (this.rows.length > 0 || this.full || extras.marks.length > 0) this.#addStates(extras);
    for (const mark of extras.marks) this.#add((lsn) => factRow(mark, lsn));
    this.full ||= extras.marks.length > 0;
  }

  /** True: nothing to write, a commit index at most. */
  get empty(): boolean {
    return this.rows.length === 0;
  }

  #add(make: (lsn: number) => DiskRow): void {
    this.rows.push(make(this.#nextLsn++));
  }

  #addStep({ log, step }: QueuedWrite): void {
    switch (step.kind) {
      case "write":
        return this.#addWrite(log, step);
      case "chunks":
        this.#declare(log, null);
        this.#firstLsns.push(this.#nextLsn);
        return this.#addChunks(log, step.chunks);
      default:
        this.full = true;
        this.#firstLsns.push(this.#nextLsn);
        this.#declare(log, null);
        this.#add((lsn) => factRow("drop", lsn, owner(log)));
    }
  }

  #declare(log: ReplicaLog, configuration: Uint8Array | null): void {
    const known = log.declared || this.#declared.has(log);
    if (known && configuration === null) return;
    this.#declared.add(log);
    const fact = { groupId: log.groupId, incarnation: log.incarnation };
    const meta = encodeReplicaFact({ ...fact, configuration: configuration ?? log.configuration });
    this.#add((lsn) => factRow("replica", lsn, { ...owner(log), meta }));
  }

  #addWrite(log: ReplicaLog, step: WriteStep): void {
    const rowful =
      step.reset !== null ||
      step.entries.length > 0 ||
      step.hardStateMatters ||
      step.chunks !== null;
    if (rowful || step.configuration !== null) this.#declare(log, step.configuration);
    if (step.reset !== null) this.#addReset(log, step.reset);
    const first = step.entries[0];
    if (step.cuts) this.#addCut(log, first);
    this.#firstLsns.push(this.#nextLsn);
    for (const entry of step.entries) this.#add((lsn) => entryRow(log, entry, lsn));
    if (step.chunks !== null) this.#addChunks(log, step.chunks);
    if (step.hardState !== null) this.#states.set(log, step.hardState);
    this.full ||= step.hardStateMatters;
  }

  #addCut(log: ReplicaLog, { index: idx, baseOffset }: LogEntry): void {
    this.#add((lsn) => factRow("cut", lsn, { ...owner(log), idx, baseOffset }));
  }

  #addReset(log: ReplicaLog, start: LogStart): void {
    const columns = { idx: start.index, term: start.prevTerm, baseOffset: start.offset };
    this.#add((lsn) => factRow("reset", lsn, { ...owner(log), ...columns }));
    this.full = true;
  }

  #addChunks(log: ReplicaLog, step: ChunkRun): void {
    step.slices.forEach((batch, i) => {
      const position = { baseOffset: step.firstChunk + i, offsetCount: step.chunksTotal };
      this.#add((lsn) =>
        factRow("snapshot", lsn, { ...owner(log), ...position, idx: step.index, batch }),
      );
    });
  }

  #addTrims(trimmed: Iterable<ReplicaLog>): void {
    for (const log of trimmed) this.#trims.push({ log, start: log.logStart });
    if (this.#trims.length === 0) return;
    this.full = true;
    const meta = encodeTrimFact(
      this.#trims.map(({ log, start }) => ({ replica: log.replica, start })),
    );
    this.#add((lsn) => factRow("trim", lsn, { meta }));
  }

  /** Commits that moved ride along with a flush that takes place anyway. */
  #addStates({ dirty }: FlushExtras): void {
    for (const log of dirty) if (!this.#states.has(log)) this.#states.set(log, log.hardState);
    if (this.#states.size === 0) return;
    const states = [...this.#states].map(([log, hardState]) => ({
      replica: log.replica,
      hardState,
    }));
    this.#add((lsn) => factRow("state", lsn, { meta: encodeStateFact(states) }));
  }

  /** The rows are durable in `file` (null when there were none): the state follows. Returns what each write's caller
   *  hears. Entries' holds pass to the tail rings. */
  apply(file: JournalFile | null): WriteCompletion[] {
    for (const log of this.#declared) log.declared = true;
    const completions = this.writes.map((write, i) => {
      this.#applyStep(write, { file, firstLsn: this.#firstLsns[i] });
      const { hardState, lastIndex, lastTerm } = write.log;
      return { term: hardState.term, lastIndex, lastTerm };
    });
    if (file !== null) for (const [log, state] of this.#states) followState(log, state);
    for (const { log, start } of this.#trims)
      if (startsLater(start, log.durableStart)) log.durableStart = start;
    return completions;
  }

  #applyStep({ log, step }: QueuedWrite, at: { file: JournalFile | null; firstLsn: number }): void {
    if (step.kind === "write") applyWrite(log, step, at);
    if (step.kind === "chunks")
      applyChunks(log, step.chunks, { file: at.file!, firstLsn: at.firstLsn });
    if (step.kind === "drop") log.end();
  }
}

const owner = (log: ReplicaLog): { replica: number; groupId: string } => ({
  replica: log.replica,
  groupId: log.groupId,
});

function entryRow(log: ReplicaLog, entry: LogEntry, lsn: number): DiskRow {
  const { index: idx, term, kind, baseOffset, offsetCount } = entry;
  const { time, maxTimestamp, meta, batch } = entry;
  const position = { ...owner(log), lsn, idx, term, kind, baseOffset, offsetCount };
  return { ...position, time, maxTimestamp, meta, batch };
}

function applyWrite(
  log: ReplicaLog,
  step: WriteStep,
  { file, firstLsn }: { file: JournalFile | null; firstLsn: number },
): void {
  if (step.reset !== null) log.reset(step.reset);
  const first = step.entries[0];
  if (step.cuts) log.cut(first.index, offset(first.baseOffset));
  step.entries.forEach((entry, i) => {
    const batchBytes = entry.batch?.bytes.length ?? 0;
    assert(file !== null, "An entry became durable in no file");
    log.append(entry, { file, lsn: firstLsn + i, batchBytes });
    log.tail.push(entry);
  });
  const firstLsnOfChunks = firstLsn + step.entries.length;
  if (step.chunks !== null)
    applyChunks(log, step.chunks, { file: file!, firstLsn: firstLsnOfChunks });
  if (step.configuration !== null) log.configuration = step.configuration;
  if (step.hardState !== null) {
    log.hardState = step.hardState;
    log.stateDirty = true;
  }
}

/** A state row is durable; a later commit may have moved on meanwhile. */
function followState(log: ReplicaLog, state: HardState): void {
  if (log.hardState.commit === state.commit && log.hardState.term === state.term)
    log.stateDirty = false;
}

function applyChunks(
  log: ReplicaLog,
  step: ChunkRun,
  { file, firstLsn }: { file: JournalFile; firstLsn: number },
): void {
  step.slices.forEach((slice, i) => {
    const bytes = slice.bytes.length;
    file.totalBytes += bytes + rowOverheadBytes;
    const place = { index: step.index, chunk: step.firstChunk + i, chunks: step.chunksTotal };
    log.addChunk({ lsn: firstLsn + i, file, bytes }, place);
    slice.release();
  });
}
