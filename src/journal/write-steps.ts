// Turns one ReplicaWrite into queued steps, after asserting that it follows from what is queued before it.
//
//   { reset, entries, hardState, configuration, snapshot of 3 MiB }
//     -> [chunks 0-3] [chunks 4-7] [write: reset, entries, hard state, configuration, chunks 8-11]
//
// Chunks count for nothing until the last one is there, so the write is atomic although others' pass between its steps:
// a log that begins anew at a snapshot is never without it.
//
// Promise: "nothing is inferred from order" (DESIGN section 4): a hole, a lost commit or a swapped offset is a bug
// found here, before a row is made of it. Every batch is retained once. Left to others: rows (flush.ts).

import { assert } from "../assert.ts";
import type { Slice } from "../bytes/slab.ts";
import type { LogEntry, LogStart, ReplicaWrite } from "./journal.ts";
import type { ReplicaLog } from "./replica-log.ts";
import { stepBytes, type ChunkRun, type QueuedStep } from "./write-queue.ts";

/** Chunks of a snapshot per step: others' writes pass between two steps. */
const chunksPerStep = 4;

export interface PlannedStep {
  readonly step: QueuedStep;
  readonly bytes: number;
  /** Nothing but a commit index, or nothing at all: no row comes of it. */
  readonly rowless: boolean;
}

/** Asserts, retains and moves the queued end of the log. `chunks` are the snapshot's bytes in slices, held by the steps. */
export function stepsOf(
  log: ReplicaLog,
  write: ReplicaWrite,
  chunks: readonly Slice[],
): PlannedStep[] {
  const entries = write.entries ?? [];
  if (write.reset !== undefined) followReset(log, write.reset);
  const cuts = entries.length > 0 && followEntries(log, entries);
  const hardStateMatters = followHardState(log, write);
  for (const entry of entries) entry.batch?.retain();
  const { reset = null, hardState = null, configuration = null } = write;
  const runs = chunkRuns(write.snapshot?.index ?? 0, chunks);
  const last = runs.pop() ?? null;
  const facts = { reset, entries, cuts, hardState, hardStateMatters, configuration };
  const step: QueuedStep = { kind: "write", ...facts, chunks: last };
  const rowful = reset ?? configuration ?? last ?? (hardStateMatters || entries.length > 0);
  return [
    ...runs.map((run) => planned({ kind: "chunks", chunks: run }, false)),
    planned(step, rowful === false),
  ];
}

function planned(step: QueuedStep, rowless: boolean): PlannedStep {
  return { step, bytes: rowless ? 0 : stepBytes(step), rowless };
}

function followReset(log: ReplicaLog, start: LogStart): void {
  log.queued.lastIndex = start.index - 1;
  log.queued.lastTerm = start.prevTerm;
  log.queued.nextOffset = start.offset;
}

/** Returns whether the entries replace a tail. */
function followEntries(log: ReplicaLog, entries: readonly LogEntry[]): boolean {
  const { queued, groupId } = log;
  const first = entries[0];
  const cuts = first.index <= queued.lastIndex;
  assert(
    first.index <= queued.lastIndex + 1,
    () =>
      `Cannot append to ${groupId}: index must be at most ${queued.lastIndex + 1}, got ${first.index}`,
  );
  assert(
    !cuts || first.index > log.hardState.commit,
    () =>
      `Cannot cut ${groupId}: index must be above commit ${log.hardState.commit}, got ${first.index}`,
  );
  let last = cuts
    ? { index: first.index - 1, term: 0, end: first.baseOffset as number }
    : { index: queued.lastIndex, term: queued.lastTerm, end: queued.nextOffset };
  for (const entry of entries) last = followEntry(groupId, entry, last);
  queued.lastIndex = last.index;
  queued.lastTerm = last.term;
  queued.nextOffset = last.end;
  return cuts;
}

interface End {
  readonly index: number;
  readonly term: number;
  readonly end: number;
}

function followEntry(groupId: string, entry: LogEntry, last: End): End {
  const { index, term, baseOffset, offsetCount } = entry;
  assert(
    index === last.index + 1 && term >= last.term && baseOffset === last.end,
    () =>
      `Cannot append to ${groupId}: entry must follow index ${last.index}, term ${last.term}, offset ` +
      `${last.end}, got index ${index}, term ${term}, offset ${baseOffset}`,
  );
  return { index, term, end: baseOffset + offsetCount };
}

/** Returns whether term or vote changed. */
function followHardState(log: ReplicaLog, { hardState }: ReplicaWrite): boolean {
  if (hardState === undefined) return false;
  const { queued, groupId } = log;
  assert(
    hardState.term >= queued.term && hardState.commit <= queued.lastIndex,
    () =>
      `Hard state of ${groupId} must have term >= ${queued.term} and commit <= ${queued.lastIndex}, ` +
      `got term ${hardState.term}, commit ${hardState.commit}`,
  );
  const matters = hardState.term !== queued.term || hardState.vote !== queued.vote;
  queued.term = hardState.term;
  queued.vote = hardState.vote;
  return matters;
}

function chunkRuns(index: number, slices: readonly Slice[]): ChunkRun[] {
  const runs: ChunkRun[] = [];
  for (let firstChunk = 0; firstChunk < slices.length; firstChunk += chunksPerStep) {
    const run = slices.slice(firstChunk, firstChunk + chunksPerStep);
    runs.push({ index, firstChunk, chunksTotal: slices.length, slices: run });
  }
  return runs;
}
