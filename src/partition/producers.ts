// Producers of one partition: who wrote which sequences last, so that a retried batch is told from a new one (KIP-98).
//
// Promise: check() and next() are pure, and the table is a fold of the log: it knows no clock but the time of entries.
// The last five batches of a producer are remembered, as Kafka does, for a client keeps at most five in flight.
// Left to others: reading headers (records), proposals in flight (overlay.ts).
//
//   state   epoch 3   | seq 10-14 at 100 | 15-15 at 105 | 16-20 at 106 |      next sequence 21
//   batch   epoch 3     16-20  -> duplicate, answers offset 106
//                       21-..  -> append
//                       12-13  -> duplicate_sequence_number (older than remembered) or out_of_order

import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";

/** Sequences are int32 and wrap from 2^31 - 1 to 0. */
const sequenceCount = 2 ** 31;
/** Kafka's ProducerStateEntry keeps as many batches as a client may have in flight. */
const batchesKept = 5;
/** Kafka's producer.id.expiration.ms, counted in entry time. */
const producerAgeMsMax = 24 * 3_600_000;

/** What a batch's header says of its producer. producerId -1: none. */
export interface ProducerBatch {
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
}

/** One remembered batch. `pending` is the proposal that has not committed yet; the fold never sets it. */
export interface WrittenBatch<T = unknown> {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: number;
  /** Largest record timestamp, ms. */
  readonly maxTimestamp: number;
  readonly pending: T | null;
}

export interface ProducerState<T = unknown> {
  readonly epoch: number;
  /** Time of the producer's last entry. */
  readonly time: number;
  /** Oldest first, at least one, at most five. */
  readonly batches: readonly WrittenBatch<T>[];
}

export type SequenceVerdict<T> =
  | { readonly kind: "append" }
  | { readonly kind: "duplicate"; readonly batch: WrittenBatch<T> }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/** Last sequence of a batch; wraps like Kafka's DefaultRecordBatch.incrementSequence. */
export function lastSequenceOf(batch: ProducerBatch): number {
  return (batch.baseSequence + batch.recordCount - 1) % sequenceCount;
}

/** Whether a batch of an idempotent producer may follow `state` (undefined: nothing is known of the producer, then any
 *  sequence begins, because retention or expiry may have removed what came before; KIP-360). */
export function checkSequence<T>(
  state: ProducerState<T> | undefined,
  batch: ProducerBatch,
): SequenceVerdict<T> {
  if (state === undefined) return append;
  if (batch.producerEpoch < state.epoch) return staleEpoch(state, batch);
  if (batch.producerEpoch > state.epoch) {
    return batch.baseSequence === 0 ? append : outOfOrder(batch, 0);
  }
  const last = lastSequenceOf(batch);
  const written = state.batches.find(
    (b) => b.firstSequence === batch.baseSequence && b.lastSequence === last,
  );
  if (written !== undefined) return { kind: "duplicate", batch: written };
  const expected = (state.batches.at(-1)!.lastSequence + 1) % sequenceCount;
  if (batch.baseSequence === expected) return append;
  return precedes(last, state.batches[0].firstSequence)
    ? forgotten(batch)
    : outOfOrder(batch, expected);
}

/** The producer's state after the batch, which check() allowed. */
export function nextProducerState<T>(
  state: ProducerState<T> | undefined,
  batch: ProducerBatch,
  written: {
    readonly baseOffset: number;
    readonly maxTimestamp: number;
    readonly time: number;
    readonly pending: T | null;
  },
): ProducerState<T> {
  const entry: WrittenBatch<T> = {
    firstSequence: batch.baseSequence,
    lastSequence: lastSequenceOf(batch),
    baseOffset: written.baseOffset,
    maxTimestamp: written.maxTimestamp,
    pending: written.pending,
  };
  const kept =
    state !== undefined && state.epoch === batch.producerEpoch
      ? state.batches.slice(1 - batchesKept)
      : [];
  return { epoch: batch.producerEpoch, time: written.time, batches: [...kept, entry] };
}

/** The fold: producers in order of their last write, so that the oldest falls out first. */
export class ProducerTable {
  readonly #states = new Map<number, ProducerState<never>>();

  get size(): number {
    return this.#states.size;
  }

  get(producerId: number): ProducerState<never> | undefined {
    return this.#states.get(producerId);
  }

  /** A committed batch with a producer id and a sequence. Cost: O(1). */
  apply(
    batch: ProducerBatch,
    at: { readonly baseOffset: number; readonly maxTimestamp: number; readonly time: number },
  ): void {
    const { producerId } = batch;
    const state = nextProducerState<never>(this.#states.get(producerId), batch, {
      ...at,
      pending: null,
    });
    this.#states.delete(producerId);
    this.#states.set(producerId, state);
    if (this.#states.size > limits.producersPerPartitionMax) this.#dropOldest();
  }

  /** Forgets producers that wrote nothing for 24 h of entry time. Cost: O(forgotten). */
  expire(time: number): void {
    for (const [producerId, state] of this.#states) {
      if (state.time + producerAgeMsMax > time) return;
      this.#states.delete(producerId);
    }
  }

  /** Columns, for a snapshot: five numbers a producer, four a batch. */
  columns(): { readonly producers: Float64Array; readonly batches: Float64Array } {
    const producers: number[] = [];
    const batches: number[] = [];
    for (const [producerId, state] of this.#states) {
      producers.push(producerId, state.epoch, state.time, state.batches.length);
      for (const b of state.batches) {
        batches.push(b.firstSequence, b.lastSequence, b.baseOffset, b.maxTimestamp);
      }
    }
    return { producers: Float64Array.from(producers), batches: Float64Array.from(batches) };
  }

  /** Rebuilds an empty table from columns(). */
  restore(columns: { readonly producers: Float64Array; readonly batches: Float64Array }): void {
    const { producers, batches } = columns;
    this.#states.clear();
    let at = 0;
    for (let i = 0; i < producers.length; i += 4) {
      const kept: WrittenBatch<never>[] = [];
      for (let n = producers[i + 3]; n > 0; n -= 1, at += 4) kept.push(writtenAt(batches, at));
      this.#states.set(producers[i], {
        epoch: producers[i + 1],
        time: producers[i + 2],
        batches: kept,
      });
    }
  }

  #dropOldest(): void {
    const oldest = this.#states.keys().next();
    if (oldest.done !== true) this.#states.delete(oldest.value);
  }
}

function writtenAt(batches: Float64Array, at: number): WrittenBatch<never> {
  return {
    firstSequence: batches[at],
    lastSequence: batches[at + 1],
    baseOffset: batches[at + 2],
    maxTimestamp: batches[at + 3],
    pending: null,
  };
}

const append = { kind: "append" } as const;

/** Serial-number comparison: a lies before b, at less than half of the sequence space. */
function precedes(a: number, b: number): boolean {
  const distance = (b - a + sequenceCount) % sequenceCount;
  return distance > 0 && distance < sequenceCount / 2;
}

function staleEpoch<T>(state: ProducerState<T>, batch: ProducerBatch): SequenceVerdict<T> {
  const { producerId, producerEpoch } = batch;
  const detail = `Cannot append batch of producer ${producerId}: epoch must be at least ${state.epoch}, got ${producerEpoch}`;
  const members = { expectedEpoch: state.epoch, currentEpoch: producerEpoch };
  return { kind: "refused", refusal: refuse("invalid_producer_epoch", detail, { members }) };
}

function outOfOrder<T>(batch: ProducerBatch, expected: number): SequenceVerdict<T> {
  const { producerId, baseSequence } = batch;
  const detail = `Cannot append batch of producer ${producerId}: base sequence must be ${expected}, got ${baseSequence}`;
  const members = { expectedSequence: expected, sequence: baseSequence };
  return { kind: "refused", refusal: refuse("out_of_order_sequence_number", detail, { members }) };
}

function forgotten<T>(batch: ProducerBatch): SequenceVerdict<T> {
  const { producerId, baseSequence } = batch;
  const detail = `Cannot append batch of producer ${producerId}: sequence ${baseSequence} was written earlier than the ${batchesKept} batches whose offsets are remembered`;
  const members = { sequence: baseSequence };
  return { kind: "refused", refusal: refuse("duplicate_sequence_number", detail, { members }) };
}
