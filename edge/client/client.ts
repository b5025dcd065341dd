// Rivulet's client: everything over fetch, the same in Workers, browsers, Bun, Deno and Node 20.
//
//   const rivulet = connect("http://127.0.0.1:7480");
//   await rivulet.send("orders", { key: "o-1", value: { total: 12 } });
//   for await (const record of rivulet.consume("orders", { from: "earliest" })) console.log(record.json());
//
// Promise: no dependency, nothing of a runtime but what the web platform has; connect() itself asks nothing.

import { Admin } from "./admin.ts";
import { Consumer, type ConsumeOptions } from "./consumer.ts";
import { defaultEnvironment, type Environment, type Fetch } from "./environment.ts";
import { RivuletError, type Receipt } from "./errors.ts";
import { recordText, type NewRecord } from "./new-record.ts";
import { Producer, type ProducerOptions } from "./producer.ts";
import { pageOf, readAsk, type Page, type ReadOptions } from "./reading.ts";
import { Transport } from "./transport.ts";
import { headerNames } from "../contract/names.ts";
import { newIdempotencyKey, placesOf, writeAsk } from "./writing.ts";

export type {
  Admin,
  CallOptions,
  ListOptions,
  Partition,
  PartitionOffset,
  Topic,
  TopicConfig,
  TopicOptions,
} from "./admin.ts";
export type { Consumer, ConsumeOptions, Gap } from "./consumer.ts";
export type { Fetch } from "./environment.ts";
export { clientCodes, RivuletError } from "./errors.ts";
export type { Problem, Receipt, SideEffects } from "./errors.ts";
export type { HeaderValue, NewRecord } from "./new-record.ts";
export type { Producer, ProducerOptions } from "./producer.ts";
export type { ReadRecord } from "./read-record.ts";
export type { Page, ReadOptions, Start } from "./reading.ts";

export interface ConnectOptions {
  /** Sent as `Authorization: Bearer`; a function is asked for each attempt. */
  readonly token?: string | (() => string | Promise<string>);
  /** Instead of the platform's. */
  readonly fetch?: Fetch;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends everything that this client does. */
  readonly signal?: AbortSignal;
  /** Time for one attempt, ms; default 30,000 (Kafka's request.timeout.ms). */
  readonly attemptMsMax?: number;
  /** Time for all attempts of one request, ms; default 120,000 (Kafka's delivery.timeout.ms). A consumer comes back for as long as it is read. */
  readonly retryMsMax?: number;
  /** Told before each wait for another attempt. */
  readonly onRetry?: (error: RivuletError, delayMs: number) => void;
}

export interface SendOptions {
  /** Where all of them go. */
  readonly partition?: number;
  /** The offset that the first record must get; else `expected_offset_mismatch`. Wants `partition`. */
  readonly expectedOffset?: number;
  /** The token that must be the partition's (`admin.setFence()`); else `fence_mismatch`. Wants `partition`. */
  readonly fence?: string;
  /** The same key with the same records is written once, by whomever. Default: a new one. */
  readonly idempotencyKey?: string;
  /** "all" (default): committed. "1": durable on the leader. */
  readonly acks?: "all" | "1";
  readonly signal?: AbortSignal;
}

/** A client of one node, or of several that stand for each other. Throws TypeError for what is no http(s) URL. */
export function connect(urls: string | readonly string[], options: ConnectOptions = {}): Client {
  return new Client(urls, options);
}

export class Client {
  readonly admin: Admin;
  readonly #transport: Transport;

  constructor(
    urls: string | readonly string[],
    options: ConnectOptions,
    environment: Environment = defaultEnvironment,
  ) {
    const { fetch = environment.fetch, headers = {}, token, signal, onRetry } = options;
    const { attemptMsMax = 30_000, retryMsMax = 120_000 } = options;
    this.#transport = new Transport(
      { ...environment, fetch },
      {
        urls: (typeof urls === "string" ? [urls] : urls).map(baseUrl),
        headers,
        token,
        signal,
        onRetry,
        attemptMsMax,
        retryMsMax,
      },
    );
    if (urls.length === 0) throw new TypeError("At least one URL is wanted");
    this.admin = new Admin(this.#transport);
  }

  /** Writes in one request; one receipt a record, in order. The records of one partition are one atomic batch. Rejects
   *  with RivuletError; one whose `receipts` is not null tells of a write that succeeded in part. */
  async send(topic: string, record: NewRecord, options?: SendOptions): Promise<Receipt>;
  async send(
    topic: string,
    records: readonly NewRecord[],
    options?: SendOptions,
  ): Promise<readonly Receipt[]>;
  async send(
    topic: string,
    records: NewRecord | readonly NewRecord[],
    options: SendOptions = {},
  ): Promise<Receipt | readonly Receipt[]> {
    const list = (Array.isArray(records) ? records : [records]) as readonly NewRecord[];
    const { environment } = this.#transport;
    const { partition = null, expectedOffset, fence, acks, signal } = options;
    const key = options.idempotencyKey ?? newIdempotencyKey(environment);
    const headers: Record<string, string> = { [headerNames.idempotencyKey]: key };
    if (expectedOffset !== undefined) headers[headerNames.expectedOffset] = String(expectedOffset);
    if (fence !== undefined) headers[headerNames.fence] = fence;
    const body = `{"records":[${list.map(recordText).join(",")}]}`;
    const query = new URLSearchParams(acks === undefined ? {} : { acks });
    const ask = writeAsk({ topic, partition, body, headers, query, signal });
    const places = placesOf(await this.#transport.request(ask), list.length);
    return (Array.isArray(records) ? places : places[0]) as Receipt | readonly Receipt[];
  }

  /** For many records: batches, back-pressure, flush(). */
  producer(options: ProducerOptions = {}): Producer {
    return new Producer(this.#transport, options);
  }

  /** Follows a topic; nothing is asked before the first next(), or open(). */
  consume(topic: string, options: ConsumeOptions = {}): Consumer {
    return new Consumer(this.#transport, topic, options);
  }

  /** One page, from the earliest on unless told otherwise; go on at its cursor. */
  async read(topic: string, options: ReadOptions = {}): Promise<Page> {
    return pageOf((await this.#transport.request(readAsk(topic, options))).json);
  }
}

/** Without the slash at its end: paths begin with one. */
function baseUrl(text: string): string {
  const { protocol, origin, pathname, username } = new URL(text);
  const http = protocol === "http:" || protocol === "https:";
  if (http && username === "") return origin + pathname.replace(/\/+$/, "");
  throw new TypeError(
    `Cannot connect to ${protocol}//...: wanted an http(s) URL without credentials`,
  );
}
