// Proposals of one partition that are not committed yet: what they would make of the fold if they all commit.
//
//   committed fold      | overlay: proposed or queued, in offset order      | log end
//   producer 7: seq 41  | producer 7: seq 42-43 (pending), 44 (pending)     |
//
// Promise: conditions are checked against fold + overlay, so a pipelined client meets the state that its own earlier
// appends will have made; a duplicate of a pending append finds the original and waits for it. The overlay dies with
// the term. Left to others: forming entries (appender.ts), checking (conditions.ts).

import type { Slice } from "../bytes/slab.ts";
import type { Refusal } from "../errors.ts";
import { hashText } from "./idempotency.ts";
import type { Acks, AppendOutcome } from "./append.ts";
import type { PartitionFold } from "./fold.ts";
import { nextProducerState, type ProducerBatch, type ProducerState } from "./producers.ts";

/** The key of a pending append. */
export interface PendingKey {
  readonly keyHash: Uint8Array;
  readonly bodyHash: Uint8Array;
  readonly partitionCount: number;
}

/** One batch on its way into the log. */
export interface PendingAppend {
  readonly kind: "append";
  readonly batch: Slice;
  readonly acks: Acks;
  readonly baseOffset: number;
  readonly recordCount: number;
  readonly maxTimestamp: number;
  readonly logAppendTime: number;
  readonly producer: ProducerBatch | null;
  readonly key: PendingKey | null;
  /** Called once, when it is decided. */
  readonly answer: (outcome: AppendOutcome) => void;
  /** Duplicates that wait for this one; null until there is one. */
  followers: ((outcome: AppendOutcome) => void)[] | null;
  /** acks=leader was told; the commit tells nobody. */
  answered: boolean;
}

/** A change of the fence on its way into the log. */
export interface PendingFence {
  readonly kind: "fence";
  readonly token: string | null;
  readonly answer: (outcome: Refusal | { readonly ok: true }) => void;
}

export type Pending = PendingAppend | PendingFence;

interface ProducerOverlay {
  state: ProducerState<PendingAppend>;
  pending: number;
}

export class Overlay {
  readonly #fold: PartitionFold;
  readonly #producers = new Map<number, ProducerOverlay>();
  readonly #keys = new Map<string, PendingAppend>();
  /** undefined: no change is pending. */
  #fence: string | null | undefined;
  #fencesPending = 0;

  constructor(fold: PartitionFold) {
    this.#fold = fold;
  }

  get fence(): string | null {
    return this.#fence === undefined ? this.#fold.fence : this.#fence;
  }

  producer(producerId: number): ProducerState<PendingAppend> | undefined {
    return this.#producers.get(producerId)?.state ?? this.#fold.producers.get(producerId);
  }

  key(keyHash: Uint8Array): PendingAppend | undefined {
    return this.#keys.size === 0 ? undefined : this.#keys.get(hashText(keyHash));
  }

  add(pending: Pending, time: number): void {
    if (pending.kind === "fence") {
      this.#fence = pending.token;
      this.#fencesPending += 1;
      return;
    }
    if (pending.key !== null) this.#keys.set(hashText(pending.key.keyHash), pending);
    if (pending.producer !== null) this.#addProducer(pending, pending.producer, time);
  }

  /** Committed: the fold holds it now. */
  remove(pending: Pending): void {
    if (pending.kind === "fence") {
      if (this.#fencesPending > 0 && --this.#fencesPending === 0) this.#fence = undefined;
      return;
    }
    if (pending.key !== null) this.#removeKey(pending, pending.key);
    if (pending.producer !== null) this.#removeProducer(pending.producer.producerId);
  }

  /** The term is over. */
  clear(): void {
    this.#producers.clear();
    this.#keys.clear();
    this.#fence = undefined;
    this.#fencesPending = 0;
  }

  #addProducer(pending: PendingAppend, producer: ProducerBatch, time: number): void {
    const { producerId } = producer;
    const { baseOffset, maxTimestamp } = pending;
    const state = nextProducerState<PendingAppend>(this.producer(producerId), producer, {
      baseOffset,
      maxTimestamp,
      time,
      pending,
    });
    const overlay = this.#producers.get(producerId);
    if (overlay === undefined) this.#producers.set(producerId, { state, pending: 1 });
    else Object.assign(overlay, { state, pending: overlay.pending + 1 });
  }

  #removeProducer(producerId: number): void {
    const overlay = this.#producers.get(producerId);
    if (overlay === undefined) return;
    overlay.pending -= 1;
    if (overlay.pending === 0) this.#producers.delete(producerId);
  }

  #removeKey(pending: PendingAppend, key: PendingKey): void {
    const text = hashText(key.keyHash);
    if (this.#keys.get(text) === pending) this.#keys.delete(text);
  }
}
