// {idempotence: "producer"}: an id of the cluster's, and a sequence for each partition, by which the node tells a batch
// that comes again from a new one.
//
// Promise: a sequence is given to one batch only. After a batch that failed nobody knows what the node expects next, so
// the next batch goes under a new id, which begins at 0.

import { headerNames } from "../contract/names.ts";
import { RivuletError } from "./errors.ts";
import type { Transport } from "./transport.ts";

/** Sequences are int32 and wrap from 2^31 - 1 to 0. */
const sequenceCount = 2 ** 31;

export class ProducerIdentity {
  readonly #id: number;
  readonly #epoch: number;
  readonly #next = new Map<string, number>();

  constructor(id: number, epoch: number) {
    this.#id = id;
    this.#epoch = epoch;
  }

  static async ask(transport: Transport, signal: AbortSignal | undefined) {
    // An id that is lost with its answer costs nothing: there are 2^53.
    const ask = { method: "POST", path: "/v1/producers", repeatable: true, signal } as const;
    const { json, status } = await transport.request(ask);
    const { producerId, epoch } = json as { producerId?: unknown; epoch?: unknown };
    if (typeof producerId === "number" && typeof epoch === "number") {
      return new ProducerIdentity(producerId, epoch);
    }
    throw new RivuletError("The answer holds no producer id", { code: "bad_answer", status });
  }

  /** Headers of the partition's next batch of so many records. */
  headers(partition: string, count: number): Record<string, string> {
    const sequence = this.#next.get(partition) ?? 0;
    this.#next.set(partition, (sequence + count) % sequenceCount);
    return {
      [headerNames.producerId]: String(this.#id),
      [headerNames.producerEpoch]: String(this.#epoch),
      [headerNames.producerSequence]: String(sequence),
    };
  }
}

/** The identity in use, shared by all partitions of a producer. */
export class Identities {
  readonly #transport: Transport;
  readonly #signal: AbortSignal | undefined;
  #current: Promise<ProducerIdentity> | null = null;

  constructor(transport: Transport, signal: AbortSignal | undefined) {
    this.#transport = transport;
    this.#signal = signal;
  }

  /** One question at a time, however many partitions wait for it. */
  current(): Promise<ProducerIdentity> {
    this.#current ??= ProducerIdentity.ask(this.#transport, this.#signal);
    return this.#current;
  }

  /** A batch failed: the next one begins anew. */
  drop(): void {
    this.#current = null;
  }
}
