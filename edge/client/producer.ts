// Many records from many places of a program, sent in batches.
//
//   send(topic, record) -> lane of its topic and partition -> batches (lane.ts) -> its receipt
//
// Promise: each record is written once however often its batch is sent, records of one lane in the order of send(); what
// waits here is bounded. A lane is: by default a topic's records without a partition, and each partition that is
// named; with {idempotence: "producer"} each partition. A failure that nobody awaited is told by the next flush().

import { headerNames } from "../contract/names.ts";
import { gzipped } from "./compression.ts";
import { RivuletError, type Receipt } from "./errors.ts";
import { Lane, type Batch, type Waiting } from "./lane.ts";
import { keyBytes, recordText, type NewRecord } from "./new-record.ts";
import { TopicPlacement } from "./placement.ts";
import { Identities } from "./producer-identity.ts";
import type { Transport } from "./transport.ts";
import { newIdempotencyKey, placesOf, writeAsk, type Place } from "./writing.ts";

export interface ProducerOptions {
  /** How long the first record of a batch waits for company, ms. Default 0: what is sent in one piece of code goes
   *  together, and while a batch is on its way the next one grows. */
  readonly lingerMs?: number;
  /** Bytes of a batch as sent. Default 512 KiB: half of a topic's default max.message.bytes. */
  readonly maxBytes?: number;
  /** Records of a batch, 1 to 10,000. Default 1,000. */
  readonly maxCount?: number;
  /** Bytes that may wait; default 16 MiB. When they do, send() rejects with `buffer_full`: await ready() before it. */
  readonly bufferBytesMax?: number;
  /** "key" (default): an Idempotency-Key for each batch. "producer": an id and sequences, without any limit of time or
   *  number; for processes that live long. It places records itself, so the topic must be there. */
  readonly idempotence?: "key" | "producer";
  /** "gzip": batches of 4 KiB and more go out compressed, where the platform has CompressionStream. Default "none": on a
   *  quick network it costs more than it saves. */
  readonly compression?: "gzip" | "none";
  /** Aborting it rejects all that waits, with its reason; what is on its way may be written. */
  readonly signal?: AbortSignal;
}

export class Producer implements AsyncDisposable {
  readonly #transport: Transport;
  readonly #options: ProducerOptions;
  readonly #bufferBytesMax: number;
  readonly #encoder = new TextEncoder();
  /** By topic and partition. */
  readonly #lanes = new Map<string, Lane>();
  /** By topic; only where the client places records. */
  readonly #placements = new Map<string, TopicPlacement>();
  readonly #identities: Identities;
  #bufferedBytes = 0;
  #roomWaiters: (() => void)[] = [];
  /** The first failure since the last flush. */
  #failure: { readonly error: unknown } | null = null;
  #closed = false;

  constructor(transport: Transport, options: ProducerOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#bufferBytesMax = options.bufferBytesMax ?? 16 * 1024 * 1024;
    this.#identities = new Identities(transport, options.signal);
  }

  /** Bytes that wait for their receipts. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Resolves when the record is committed. Rejects with RivuletError or the reason of an abort; need not be awaited. */
  send(topic: string, record: NewRecord): Promise<Receipt> {
    const sent = new Promise<Receipt>((resolve, reject) => {
      const fail = (error: unknown): void => {
        this.#failure ??= { error };
        reject(error);
      };
      try {
        const bytes = this.#admit(record);
        const release = (): void => this.#release(bytes.length);
        this.#enqueue(topic, record, {
          bytes,
          resolve(receipt) {
            release();
            resolve(receipt);
          },
          reject(error) {
            release();
            fail(error);
          },
        });
      } catch (thrown) {
        fail(thrown);
      }
    });
    // A failure is told by flush() too: unawaited it must not end a process as an unhandled rejection.
    sent.catch(() => undefined);
    return sent;
  }

  /** Resolves when less than half of the buffer is used, so that many who wait find room and batches are full. */
  ready(): Promise<void> {
    if (this.#hasRoom()) return Promise.resolve();
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  /** Resolves when all that was sent before is committed. Rejects with the first failure since the last flush(), after
   *  everything has an outcome. */
  async flush(): Promise<void> {
    await Promise.all([...this.#placements.values()].map((placement) => placement.placed()));
    await Promise.all([...this.#lanes.values()].map((lane) => lane.flush()));
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure.error;
  }

  /** Flushes; send() rejects from then on. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The record's JSON, for which there is room. */
  #admit(record: NewRecord): Uint8Array {
    if (this.#closed) throw new RivuletError("The producer was closed", { code: "closed" });
    const bytes = this.#encoder.encode(recordText(record));
    if (this.#bufferedBytes >= this.#bufferBytesMax) {
      const message = `${this.#bufferedBytes} bytes wait already; await ready() before more`;
      throw new RivuletError(message, { code: "buffer_full", retryable: true });
    }
    this.#bufferedBytes += bytes.length;
    return bytes;
  }

  #release(bytes: number): void {
    this.#bufferedBytes -= bytes;
    if (!this.#hasRoom()) return;
    const waiters = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const tell of waiters) tell();
  }

  #hasRoom(): boolean {
    return this.#bufferedBytes < this.#bufferBytesMax / 2;
  }

  #enqueue(topic: string, record: NewRecord, waiting: Waiting): void {
    const { partition = null } = record;
    if (partition !== null || this.#options.idempotence !== "producer") {
      this.#lane(topic, partition).add(waiting);
      return;
    }
    this.#placement(topic).place({
      key: keyBytes(record),
      placed: (partition) => this.#lane(topic, partition).add(waiting),
      refused: (error) => waiting.reject(error),
    });
  }

  #placement(topic: string): TopicPlacement {
    let placement = this.#placements.get(topic);
    if (placement === undefined) {
      placement = new TopicPlacement(this.#transport, topic, this.#options.signal);
      this.#placements.set(topic, placement);
    }
    return placement;
  }

  #lane(topic: string, partition: number | null): Lane {
    const name = JSON.stringify([topic, partition]);
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      const { lingerMs = 0, maxBytes = 512 * 1024, maxCount = 1_000 } = this.#options;
      const options = { lingerMs, maxBytes, maxCount };
      const send = (batch: Batch) => this.#sendBatch(batch, { name, topic, partition });
      lane = new Lane(this.#transport.environment, options, send);
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  async #sendBatch(batch: Batch, to: Destination): Promise<readonly Place[]> {
    const { topic, partition } = to;
    const { signal, idempotence, compression } = this.#options;
    const { count } = batch;
    // Once, before the first attempt: what is sent again is the same bytes.
    const coded = compression === "gzip" ? await gzipped(batch.body) : null;
    const body = coded ?? batch.body;
    if (partition !== null) this.#placements.get(topic)?.batchLeft(partition);
    try {
      const identity =
        idempotence === "producer"
          ? (await this.#identities.current()).headers(to.name, count)
          : { [headerNames.idempotencyKey]: newIdempotencyKey(this.#transport.environment) };
      const headers = coded === null ? identity : { ...identity, "content-encoding": "gzip" };
      const ask = writeAsk({ topic, partition, body, headers, signal });
      return placesOf(await this.#transport.request(ask), count);
    } catch (thrown) {
      this.#identities.drop();
      throw thrown;
    }
  }
}

interface Destination {
  /** The lane's name, under which its sequences are counted. */
  readonly name: string;
  readonly topic: string;
  readonly partition: number | null;
}
