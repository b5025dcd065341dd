// Topics and what is known of them. Thin: one request each, the node's own words.

import { headerNames } from "../contract/names.ts";
import { RivuletError } from "./errors.ts";
import { segment, type Ask, type Transport } from "./transport.ts";

type ConfigValue = string | number | boolean;

export interface TopicOptions {
  readonly partitions?: number;
  readonly replicationFactor?: number;
  /** Under Kafka's names. */
  readonly configs?: Readonly<Record<string, ConfigValue>>;
}

export interface Topic {
  readonly name: string;
  readonly topicId: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly internal: boolean;
  readonly configs: Readonly<Record<string, string>>;
}

export interface TopicConfig {
  readonly name: string;
  readonly value: string;
  readonly source: "topic" | "broker" | "default";
  readonly effect: "works" | "no_effect";
  readonly note: string | null;
}

export interface Partition {
  readonly partition: number;
  readonly leader: number | null;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly logStartOffset: number;
  readonly highWatermark: number;
  readonly bytes: number;
}

export interface PartitionOffset {
  readonly partition: number;
  /** null: no record is that young. */
  readonly offset: number | null;
  readonly timestamp: number | null;
}

export interface FenceChange {
  readonly partition: number;
  /** 1-64 visible ASCII characters that writers show from now on; null clears it. */
  readonly token: string | null;
  /** The token that must be set now, else `fence_mismatch`; left out asks nothing. */
  readonly expected?: string;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface ListOptions extends CallOptions {
  readonly prefix?: string;
  /** The log's own topics too. */
  readonly internal?: boolean;
}

const topicPath = (name: string): string => `/v1/topics/${segment(name)}`;

export class Admin {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Rejects with `topic_already_exists` when it is there. Not sent again when its outcome is unknown: ensureTopic() is. */
  createTopic(name: string, options: TopicOptions & CallOptions = {}): Promise<Topic> {
    const { signal, ...wanted } = options;
    const body = { name, ...wanted };
    return this.#ask({ method: "POST", path: "/v1/topics", repeatable: false, signal }, body);
  }

  /** Creates it unless it is there as wanted. Rejects with `topic_already_exists` when it is there and differs. */
  ensureTopic(name: string, options: TopicOptions & CallOptions = {}): Promise<Topic> {
    const { signal, ...wanted } = options;
    return this.#ask({ method: "PUT", path: topicPath(name), repeatable: true, signal }, wanted);
  }

  describeTopic(name: string, { signal }: CallOptions = {}): Promise<Topic> {
    return this.#ask({ method: "GET", path: topicPath(name), repeatable: true, signal });
  }

  /** All topics by name, a page at a time. */
  listTopics(options: ListOptions = {}): AsyncGenerator<Topic, void> {
    const { prefix = "", internal = false, signal } = options;
    const query = new URLSearchParams({ limit: "1000" });
    if (prefix !== "") query.set("prefix", prefix);
    if (internal) query.set("internal", "true");
    return this.#pages({ method: "GET", path: "/v1/topics", query, repeatable: true, signal });
  }

  /** The topic and its records. Not sent again when its outcome is unknown. */
  async deleteTopic(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#ask({ method: "DELETE", path: topicPath(name), repeatable: false, signal });
  }

  /** Raises the number of partitions; keys go elsewhere from then on. */
  addPartitions(name: string, partitions: number, { signal }: CallOptions = {}): Promise<Topic> {
    const ask = { method: "PATCH", path: topicPath(name), repeatable: false, signal } as const;
    return this.#ask(ask, { partitions });
  }

  async listConfigs(name: string, { signal }: CallOptions = {}): Promise<readonly TopicConfig[]> {
    const path = `${topicPath(name)}/configs`;
    return await this.#items({ method: "GET", path, repeatable: true, signal });
  }

  /** null resets one. */
  alterConfigs(
    name: string,
    changes: Readonly<Record<string, ConfigValue | null>>,
    { signal }: CallOptions = {},
  ): Promise<Topic> {
    const path = `${topicPath(name)}/configs`;
    return this.#ask({ method: "PATCH", path, repeatable: true, signal }, changes);
  }

  listPartitions(name: string, { signal }: CallOptions = {}): Promise<readonly Partition[]> {
    const path = `${topicPath(name)}/partitions`;
    const query = new URLSearchParams({ limit: "1000" });
    return this.#items({ method: "GET", path, query, repeatable: true, signal });
  }

  /** Each partition's offset at a time: "earliest", "latest", ms since the epoch, a Date, or RFC 3339. */
  listOffsets(
    name: string,
    at: string | number | Date,
    { signal }: CallOptions = {},
  ): Promise<readonly PartitionOffset[]> {
    const query = new URLSearchParams({ at: String(at instanceof Date ? at.getTime() : at) });
    const path = `${topicPath(name)}/offsets`;
    return this.#items({ method: "GET", path, query, repeatable: true, signal });
  }

  /** Deletes the records before an offset; resolves to where the log starts now. */
  async deleteRecords(
    name: string,
    {
      partition,
      before,
      signal,
    }: CallOptions & { readonly partition: number; readonly before: number },
  ): Promise<number> {
    const path = `${topicPath(name)}/partitions/${partition}/records`;
    const query = new URLSearchParams({ before: String(before) });
    const ask = { method: "DELETE", path, query, repeatable: true, signal } as const;
    const { logStartOffset } = await this.#ask<{ readonly logStartOffset: number }>(ask);
    return logStartOffset;
  }

  /** Sets or clears the token that `send(..., { fence })` must show. A change that asks for an expected token is not sent
   *  again when its outcome is unknown. */
  async setFence(
    name: string,
    { partition, token, expected, signal }: FenceChange & CallOptions,
  ): Promise<void> {
    const path = `${topicPath(name)}/partitions/${partition}/fence`;
    const repeatable = expected === undefined;
    if (token !== null) {
      await this.#ask({ method: "PUT", path, repeatable, signal }, { token, expected });
      return;
    }
    const headers: Record<string, string> = repeatable ? {} : { [headerNames.fence]: expected };
    await this.#ask({ method: "DELETE", path, headers, repeatable, signal });
  }

  async #ask<T>(ask: Ask, body?: unknown): Promise<T> {
    const headers = { "content-type": "application/json" };
    const withBody = body === undefined ? ask : { ...ask, headers, body: JSON.stringify(body) };
    return (await this.#transport.request(withBody)).json as T;
  }

  async #items<T>(ask: Ask): Promise<readonly T[]> {
    const items: T[] = [];
    for await (const item of this.#pages<T>(ask)) items.push(item);
    return items;
  }

  async *#pages<T>(ask: Ask): AsyncGenerator<T, void> {
    const query = new URLSearchParams(ask.query);
    for (;;) {
      const { json, status } = await this.#transport.request({ ...ask, query });
      const { items, next } = json as { readonly items?: unknown; readonly next?: unknown };
      if (!Array.isArray(items)) {
        throw new RivuletError("The answer holds no list", { code: "bad_answer", status });
      }
      yield* items as T[];
      if (typeof next !== "string") return;
      query.set("after", next);
    }
  }
}
