// Producer ids: never given twice in a cluster's life.
//
// Promise: initProducerId() takes from a block that the controller committed to this node; what is left of a block at
// a stop is skipped, not reused. One refill is under way at a time, however many ask.

import type { Controller } from "../cluster/controller.ts";
import type { Refusal } from "../errors.ts";

/** Kafka's block size: a commit a thousand producers. */
const blockSize = 1_000;

export class ProducerIds {
  readonly #controller: Controller;
  #next = 0;
  #end = 0;
  #refilling: Promise<Refusal | null> | null = null;

  constructor(controller: Controller) {
    this.#controller = controller;
  }

  async next(): Promise<
    { readonly ok: true; readonly producerId: number; readonly epoch: number } | Refusal
  > {
    // A block may be used up by others before this caller wakes: look again.
    while (this.#next === this.#end) {
      this.#refilling ??= this.#refill().finally(() => {
        this.#refilling = null;
      });
      const refusal = await this.#refilling;
      if (refusal !== null) return refusal;
    }
    const producerId = this.#next;
    this.#next += 1;
    return { ok: true, producerId, epoch: 0 };
  }

  async #refill(): Promise<Refusal | null> {
    const applied = await this.#controller.submit({
      kind: "allocateProducerIds",
      count: blockSize,
    });
    if (!applied.ok) return applied;
    if (applied.change.kind !== "producerIds") return null;
    this.#next = applied.change.first;
    this.#end = applied.change.first + applied.change.count;
    return null;
  }
}
