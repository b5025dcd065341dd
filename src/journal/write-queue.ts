// The write queue: one FIFO a replica, flushed round-robin (group commit).
//
//   r0  [w][w][w][w]...        a flush takes one write of each replica in turn until it is full,
//   r3  [w]                    so that a hot replica does not starve the others
//   r7  [w][w]                 and every flush takes a prefix of each FIFO
//
// Promise: order per replica is kept; the bytes queued and under way are bounded; a failed write takes what stands
// behind it in its FIFO along (its index would leave a hole). Left to others: rows, transactions (flush.ts, writer.ts).

import type { Slice } from "../bytes/slab.ts";
import type { HardState, LogEntry, LogStart, WriteCompletion } from "./journal.ts";
import type { ReplicaLog } from "./replica-log.ts";

/** What one queued step makes durable. Batches and chunks are held until it settles. */
export type QueuedStep =
  | {
      readonly kind: "write";
      readonly reset: LogStart | null;
      readonly entries: readonly LogEntry[];
      /** The first entry replaces the log's tail. */
      readonly cuts: boolean;
      readonly hardState: HardState | null;
      /** Term or vote differ from what was queued before. */
      readonly hardStateMatters: boolean;
      readonly configuration: Uint8Array | null;
      /** The last chunks of the write's snapshot: with them it becomes the newest. */
      readonly chunks: ChunkRun | null;
    }
  | { readonly kind: "chunks"; readonly chunks: ChunkRun }
  | { readonly kind: "drop" };

/** A run of a snapshot's chunks. */
export interface ChunkRun {
  readonly index: number;
  readonly firstChunk: number;
  readonly chunksTotal: number;
  readonly slices: readonly Slice[];
}

export interface QueuedWrite {
  readonly log: ReplicaLog;
  readonly step: QueuedStep;
  readonly bytes: number;
  /** Belongs to the same write as the step before it. */
  readonly continues: boolean;
  /** Called once, after the state follows the commit; null on all but the last step of a write. */
  readonly settle: {
    readonly resolve: (completion: WriteCompletion) => void;
    readonly reject: (reason: unknown) => void;
  } | null;
}

/** Bytes that a row occupies in the queue beside its batch and meta. */
const rowBytes = 100;

export function stepBytes(step: QueuedStep): number {
  let bytes = rowBytes;
  if (step.kind === "write")
    for (const { batch, meta } of step.entries)
      bytes += rowBytes + (batch?.bytes.length ?? 0) + (meta?.length ?? 0);
  for (const slice of slicesOf(step)) bytes += rowBytes + slice.bytes.length;
  return bytes;
}

/** Gives back what the step holds: its settled write needs it no longer. */
export function releaseStep(step: QueuedStep): void {
  if (step.kind === "write") for (const entry of step.entries) entry.batch?.release();
  for (const slice of slicesOf(step)) slice.release();
}

function slicesOf(step: QueuedStep): readonly Slice[] {
  return step.kind === "drop" ? [] : (step.chunks?.slices ?? []);
}

export class WriteQueue {
  /** Insertion order is the round. */
  readonly #fifos = new Map<ReplicaLog, Fifo>();
  #bytes = 0;

  /** Bytes that wait; what a flush took no longer counts. */
  get bytes(): number {
    return this.#bytes;
  }

  get empty(): boolean {
    return this.#fifos.size === 0;
  }

  holds(log: ReplicaLog): boolean {
    return this.#fifos.has(log);
  }

  push(write: QueuedWrite): void {
    let fifo = this.#fifos.get(write.log);
    if (fifo === undefined) this.#fifos.set(write.log, (fifo = new Fifo()));
    fifo.push(write);
    this.#bytes += write.bytes;
  }

  /** Takes a prefix of each FIFO, at least one write, beyond it at most bytesMax. */
  take(bytesMax: number): QueuedWrite[] {
    const taken: QueuedWrite[] = [];
    let bytes = 0;
    for (const [log, fifo] of this.#fifos) {
      const next = fifo.peek()!;
      if (taken.length > 0 && bytes + next.bytes > bytesMax) break;
      fifo.shift();
      taken.push(next);
      bytes += next.bytes;
      // A Map visits what is added while it is walked: the replica goes to the end of the round.
      this.#fifos.delete(log);
      if (fifo.peek() !== undefined) this.#fifos.set(log, fifo);
    }
    this.#bytes -= bytes;
    return taken;
  }

  /** Takes everything that one replica queued. */
  takeAllOf(log: ReplicaLog): QueuedWrite[] {
    const fifo = this.#fifos.get(log);
    if (fifo === undefined) return [];
    this.#fifos.delete(log);
    const taken = fifo.rest();
    for (const write of taken) this.#bytes -= write.bytes;
    return taken;
  }

  someOf(log: ReplicaLog, holds: (write: QueuedWrite) => boolean): boolean {
    return this.#fifos.get(log)?.rest().some(holds) ?? false;
  }

  logs(): ReplicaLog[] {
    return [...this.#fifos.keys()];
  }
}

/** An array with a moving head: shift() without moving what is left. */
class Fifo {
  readonly #writes: QueuedWrite[] = [];
  #head = 0;

  push(write: QueuedWrite): void {
    this.#writes.push(write);
  }

  peek(): QueuedWrite | undefined {
    return this.#writes[this.#head];
  }

  shift(): void {
    this.#head++;
    if (this.#head < 1_024 || this.#head * 2 < this.#writes.length) return;
    this.#writes.splice(0, this.#head);
    this.#head = 0;
  }

  rest(): QueuedWrite[] {
    return this.#writes.slice(this.#head);
  }
}
