// Records on their way to one place, a batch at a time: what keeps their order.
//
//   add() -> queue -> (linger) -> batch -> sent, sent again with the same bytes -> every record's promise settled
//                        ^                   |
//                        +--- next batch <---+     while one is on its way, the next one grows
//
// Promise: one batch in flight; records settle in order, but that a bad one fails alone: the node names it, and the
// others of its batch, of which nothing was appended, go again without it. Left to others: how a batch is sent.

import type { Environment } from "./environment.ts";
import { RivuletError, type Receipt } from "./errors.ts";
import type { Place } from "./writing.ts";

export interface LaneOptions {
  readonly lingerMs: number;
  readonly maxBytes: number;
  readonly maxCount: number;
}

/** One record that waits for its receipt. */
export interface Waiting {
  /** Its JSON text. */
  readonly bytes: Uint8Array;
  resolve(receipt: Receipt): void;
  reject(error: unknown): void;
}

export interface Batch {
  /** {"records": [...]}, the same for every attempt. */
  readonly body: Uint8Array;
  readonly count: number;
}

/** Sends a batch, however often it takes; each record's place in order. Rejects when all of it failed. */
export type SendBatch = (batch: Batch) => Promise<readonly Place[]>;

export class Lane {
  readonly #environment: Environment;
  readonly #options: LaneOptions;
  readonly #send: SendBatch;
  #queue: Waiting[] = [];
  /** Where the queue begins: what stands before it has left, and is cut off when it is the larger part. */
  #head = 0;
  #queuedBytes = 0;
  #running = false;
  /** Ends the wait for more records; null while none waits. */
  #hurry: (() => void) | null = null;
  /** Less than maxBytes once the node refused a batch as too large. */
  #maxBytes: number;
  #added = 0;
  #settled = 0;
  #flushes: { readonly upTo: number; readonly resolve: () => void }[] = [];

  constructor(environment: Environment, options: LaneOptions, send: SendBatch) {
    this.#environment = environment;
    this.#options = options;
    this.#maxBytes = options.maxBytes;
    this.#send = send;
  }

  add(waiting: Waiting): void {
    this.#added++;
    this.#queue.push(waiting);
    this.#queuedBytes += waiting.bytes.length;
    if (this.#full()) this.#hurry?.();
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  /** Sends what waits without lingering; resolves when what was added before is settled. Never rejects. */
  flush(): Promise<void> {
    if (this.#settled === this.#added) return Promise.resolve();
    this.#hurry?.();
    return new Promise((resolve) => this.#flushes.push({ upTo: this.#added, resolve }));
  }

  #full(): boolean {
    const { maxCount } = this.#options;
    return this.#waiting() >= maxCount || this.#queuedBytes >= this.#maxBytes;
  }

  #waiting(): number {
    return this.#queue.length - this.#head;
  }

  async #run(): Promise<void> {
    while (this.#waiting() > 0) {
      await this.#linger();
      const batch = this.#take();
      try {
        this.#settle(batch, await this.#send({ body: bodyOf(batch), count: batch.length }));
      } catch (thrown) {
        this.#fail(batch, thrown);
      }
    }
    this.#running = false;
  }

  /** Until the batch is full, the time is over or somebody flushes; at least to the end of the running code. */
  #linger(): Promise<void> {
    return new Promise((resolve) => {
      const { lingerMs } = this.#options;
      if (lingerMs === 0 || this.#full() || this.#flushes.length > 0) {
        this.#environment.defer(resolve);
        return;
      }
      const done = (): void => {
        cancel();
        this.#hurry = null;
        resolve();
      };
      const cancel = this.#environment.setTimer(lingerMs, done);
      this.#hurry = done;
    });
  }

  /** From the front: as many as fit, at least one. */
  #take(): Waiting[] {
    let bytes = 0;
    let end = this.#head;
    for (; end < this.#queue.length; end++) {
      bytes += this.#queue[end].bytes.length + 1;
      const full = bytes > this.#maxBytes || end - this.#head >= this.#options.maxCount;
      if (full && end > this.#head) break;
    }
    const batch = this.#queue.slice(this.#head, end);
    this.#head = end;
    if (end * 2 > this.#queue.length) this.#requeue([]);
    for (const waiting of batch) this.#queuedBytes -= waiting.bytes.length;
    return batch;
  }

  #settle(batch: readonly Waiting[], places: readonly Place[]): void {
    for (const [i, waiting] of batch.entries()) {
      const place = places[i];
      if (place instanceof RivuletError) waiting.reject(place);
      else waiting.resolve(place);
    }
    this.#count(batch.length);
  }

  #count(settled: number): void {
    this.#settled += settled;
    const due = this.#flushes.filter(({ upTo }) => upTo <= this.#settled);
    this.#flushes = this.#flushes.filter(({ upTo }) => upTo > this.#settled);
    for (const { resolve } of due) resolve();
  }

  /** All of the batch failed, or a part of it can be told apart. */
  #fail(batch: readonly Waiting[], thrown: unknown): void {
    if (!(thrown instanceof RivuletError)) return this.#rejectAll(batch, thrown);
    if (thrown.receipts !== null) return this.#settle(batch, thrown.receipts);
    // Only what was certainly not appended may go again in other company: it would go under another key.
    if (thrown.sideEffects !== "none" || batch.length === 1) return this.#rejectAll(batch, thrown);
    if (thrown.status === 413) return this.#smaller(batch);
    const bad = badPlaces(thrown, batch.length);
    if (bad.size === 0) return this.#rejectAll(batch, thrown);
    for (const [place, error] of bad) batch[place].reject(error);
    this.#again(batch.filter((_, place) => !bad.has(place)));
    this.#count(bad.size);
  }

  #rejectAll(batch: readonly Waiting[], thrown: unknown): void {
    for (const waiting of batch) waiting.reject(thrown);
    this.#count(batch.length);
  }

  /** In smaller batches from now on: a topic's max.message.bytes may be less than ours. */
  #smaller(batch: readonly Waiting[]): void {
    const bytes = batch.reduce((sum, waiting) => sum + waiting.bytes.length + 1, 0);
    this.#maxBytes = Math.ceil(bytes / 2);
    this.#again(batch);
  }

  /** At the front of what waits. */
  #requeue(batch: readonly Waiting[]): void {
    this.#queue = batch.concat(this.#queue.slice(this.#head));
    this.#head = 0;
  }

  #again(batch: readonly Waiting[]): void {
    this.#requeue(batch);
    for (const waiting of batch) this.#queuedBytes += waiting.bytes.length;
  }
}

/** The records that a 400 names, each with an error of its own. */
function badPlaces(error: RivuletError, count: number): Map<number, RivuletError> {
  const bad = new Map<number, RivuletError>();
  for (const { index, code, detail } of error.problem?.errors ?? []) {
    if (index === undefined || index >= count) continue;
    const { status, problem } = error;
    bad.set(index, new RivuletError(`${code}: ${detail}`, { code, status, problem }));
  }
  return bad;
}

const opening = new TextEncoder().encode('{"records":[');
const closing = new TextEncoder().encode("]}");
const comma = 0x2c;

function bodyOf(batch: readonly Waiting[]): Uint8Array {
  const room = batch.reduce((sum, { bytes }) => sum + bytes.length + 1, -1);
  const body = new Uint8Array(opening.length + room + closing.length);
  body.set(opening);
  let at = opening.length;
  for (const { bytes } of batch) {
    if (at > opening.length) body[at++] = comma;
    body.set(bytes, at);
    at += bytes.length;
  }
  body.set(closing, at);
  return body;
}
