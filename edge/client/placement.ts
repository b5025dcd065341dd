// Which partition a record goes to when the client places it: its key's, or the topic's current one.
//
// Promise: the order of records given is kept while the number of partitions is asked for. Keyless records stay on one
// partition while a batch fills, then go on to the next (as Kafka's sticky partitioner does).

import { RivuletError } from "./errors.ts";
import { partitionForKey } from "./murmur2.ts";
import { segment, type Transport } from "./transport.ts";

/** How old a number of partitions may be, ms: Kafka's metadata.max.age.ms. */
const countAgeMsMax = 300_000;

/** A record that is to be placed: placed(where) or refused(why). */
export interface Unplaced {
  readonly key: Uint8Array | null;
  placed(partition: number): void;
  refused(error: unknown): void;
}

export class TopicPlacement {
  readonly #transport: Transport;
  readonly #topic: string;
  readonly #signal: AbortSignal | undefined;
  /** Number of partitions; 0 until it is known. */
  #partitions = 0;
  #knownAt = 0;
  #waiting: Unplaced[] = [];
  #asking: Promise<void> | null = null;
  #sticky: number;

  constructor(transport: Transport, topic: string, signal: AbortSignal | undefined) {
    this.#transport = transport;
    this.#topic = topic;
    this.#signal = signal;
    this.#sticky = Math.floor(transport.environment.random() * 2 ** 20);
  }

  /** Places it now, or in turn when the number of partitions is known. */
  place(record: Unplaced): void {
    const age = this.#transport.environment.monotonic() - this.#knownAt;
    const known = this.#partitions > 0 && age < countAgeMsMax && this.#asking === null;
    if (known) return record.placed(this.#partitionOf(record.key));
    this.#waiting.push(record);
    this.#asking ??= this.#ask();
  }

  /** Resolves when nothing waits to be placed. Never rejects. */
  async placed(): Promise<void> {
    await this.#asking;
  }

  /** A batch left for this partition. */
  batchLeft(partition: number): void {
    if (this.#partitions === 0 || this.#sticky % this.#partitions !== partition) return;
    this.#sticky = (partition + 1) % this.#partitions;
  }

  #partitionOf(key: Uint8Array | null): number {
    const partitions = this.#partitions;
    return key === null ? this.#sticky % partitions : partitionForKey(key, partitions);
  }

  async #ask(): Promise<void> {
    let failure: unknown = null;
    try {
      this.#partitions = await askPartitions(this.#transport, this.#topic, this.#signal);
      this.#knownAt = this.#transport.environment.monotonic();
    } catch (thrown) {
      failure = thrown;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#asking = null;
    for (const record of waiting) {
      if (failure === null) record.placed(this.#partitionOf(record.key));
      else record.refused(failure);
    }
  }
}

async function askPartitions(
  transport: Transport,
  topic: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const path = `/v1/topics/${segment(topic)}`;
  const { json, status } = await transport.request({
    method: "GET",
    path,
    repeatable: true,
    signal,
  });
  const { partitions } = json as { readonly partitions?: unknown };
  if (typeof partitions === "number" && partitions > 0) return partitions;
  const message = "The topic's description has no partitions";
  throw new RivuletError(message, { code: "bad_answer", status });
}
