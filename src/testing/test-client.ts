// What a test does with a broker or a cluster: topics, records, requests, over the HTTP door.

import {
  readTopic,
  recordJson,
  type NewRecord,
  type ReadOptions,
  type TestRecord,
} from "./records.ts";

/** Where one record went. */
export interface Receipt {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
}

export interface TopicOptions {
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly configs?: Readonly<Record<string, string | number | boolean>>;
}

export abstract class TestClient {
  /** "http://127.0.0.1:40123" */
  abstract get url(): string;

  /** A request to the broker: the path begins with a slash. */
  fetch(path: string, init?: RequestInit): Promise<Response> {
    return fetch(this.url + path, init);
  }

  /** Creates a topic. Rejects with the problem's words. */
  async createTopic(name: string, options: TopicOptions = {}): Promise<void> {
    await this.#ask("/v1/topics", { name, ...options });
  }

  /** Writes records, creates the topic when it is not there; one receipt each, in order. They are durable then. */
  async send(
    topic: string,
    records: NewRecord | readonly NewRecord[],
  ): Promise<readonly Receipt[]> {
    const list: readonly NewRecord[] = Array.isArray(records) ? records : [records];
    const path = `/v1/topics/${encodeURIComponent(topic)}/records`;
    const answer = await this.#ask(path, { records: list.map(recordJson) });
    return (answer as { readonly receipts: readonly Receipt[] }).receipts;
  }

  /** What the topic holds now, oldest first within a partition. */
  async read(topic: string, options: ReadOptions = {}): Promise<readonly TestRecord[]> {
    return await readTopic(this.url, topic, { ...options, enough: () => false, waitMsMax: 0 });
  }

  /** Waits until the topic, read from its beginning, holds `wanted` records or satisfies `wanted`, and returns them.
   *  The topic may be created meanwhile. Rejects after timeoutMs (5 s) and says what was there. */
  async waitFor(
    topic: string,
    wanted: number | ((records: readonly TestRecord[]) => boolean),
    options: ReadOptions & { readonly timeoutMs?: number } = {},
  ): Promise<readonly TestRecord[]> {
    const enough =
      typeof wanted === "number"
        ? (records: readonly TestRecord[]) => records.length >= wanted
        : wanted;
    const { timeoutMs = 5_000 } = options;
    const records = await readTopic(this.url, topic, { ...options, enough, waitMsMax: timeoutMs });
    if (enough(records)) return records;
    const sought =
      typeof wanted === "number" ? `${wanted} records` : "records that satisfy the test";
    const values = records.slice(-5).map(({ value }) => JSON.stringify(value));
    throw new Error(
      `Waited ${timeoutMs} ms for ${sought} in ${topic}, got ${records.length}; the last: ${values.join(", ")}`,
    );
  }

  async #ask(path: string, body: unknown): Promise<unknown> {
    const response = await this.fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const json = (await response.json()) as { readonly detail?: string; readonly code?: string };
    if (response.status === 200 || response.status === 201) return json;
    throw new Error(
      `${path} answered ${response.status} ${json.code ?? ""}: ${JSON.stringify(json)}`,
    );
  }
}
