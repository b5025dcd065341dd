// Clients of a real cluster: they append and read through any node and write down what they were told.
//
// Each client asks one node for as long as it answers, and moves on to the next behind a failure or a long wait, as a
// person's client would: so some are always with living nodes, and a partition's gap is the cluster's, not the client's.
//
// Promise: an operation is told "refused" only where nothing can have been written: the node said so (sideEffects none)
// or no connection came about; anything else is unknown. Each value is used once. Left to others: judging (checker.ts).

import { History, type AppendOp, type ReadOp } from "./history.ts";

export interface WorkloadOptions {
  readonly urls: readonly string[];
  readonly topic: string;
  readonly partitions: number;
  readonly writers: number;
  readonly readers: number;
  readonly random: () => number;
}

/** Between two acknowledged appends of one partition, ms. */
export interface Gap {
  readonly partition: number;
  readonly ms: number;
  readonly endedAt: number;
}

/** A writer that hears nothing for this long goes to another node; what it sent may still be written. */
const requestMsMax = 4_000;
/** Reads of whole logs, when all is quiet. */
const logMsMax = 30_000;
const consistencies = ["local", "leader", "linearizable"] as const;

export class Workload {
  readonly history = new History();
  readonly codes = new Map<string, number>();
  /** Positions at or below the acknowledged end that were refused as out of range: a consumer would start over. */
  readonly outOfRange: string[] = [];
  readonly #options: WorkloadOptions;
  readonly #ends: number[];
  readonly #lastAck: number[];
  readonly #gaps: (Gap | null)[];
  /** The node that a client asks, once it had to leave its first. */
  readonly #nodes = new Map<number, number>();
  #values = 0;
  #stopped = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#ends = Array.from({ length: options.partitions }, () => 0);
    this.#lastAck = this.#ends.map(() => performance.now());
    this.#gaps = this.#ends.map(() => null);
  }

  start(): void {
    const { writers, readers } = this.#options;
    const clients = [
      ...Array.from({ length: writers }, (_, client) => this.#write(client)),
      ...Array.from({ length: readers }, (_, n) => this.#read(writers + n)),
    ];
    this.#running = Promise.all(clients);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** The longest gap of any partition since the last call. */
  longestGap(): Gap | null {
    const now = performance.now();
    const gaps = this.#gaps.map((gap, partition) => {
      const open = { partition, ms: now - this.#lastAck[partition], endedAt: now };
      return gap === null || open.ms > gap.ms ? open : gap;
    });
    this.#gaps.fill(null);
    return gaps.sort((a, b) => b.ms - a.ms)[0] ?? null;
  }

  async #write(client: number): Promise<void> {
    while (!this.#stopped) {
      const partition = this.#below(this.#options.partitions);
      const count = 1 + this.#below(4);
      const values = Array.from({ length: count }, () => `v${(this.#values += 1)}`);
      const op = this.history.append({ client, partition, values }, now());
      await this.#append(op);
      if (op.outcome === "unknown" || op.outcome === "refused") await Bun.sleep(20);
    }
  }

  async #append(op: AppendOp): Promise<void> {
    const path = `/v1/topics/${this.#options.topic}/partitions/${op.partition}/records`;
    const body = JSON.stringify({ records: op.values.map((value) => ({ value })) });
    const headers = { "content-type": "application/json" };
    const answer = await this.#ask(op.client, path, { method: "POST", headers, body });
    op.end = answer === null ? null : now();
    if (answer === null) return;
    if (answer.status === 200) {
      const { receipts } = answer.body as { receipts: { offset: number }[] };
      op.outcome = { offset: receipts[0].offset };
      this.#acknowledged(op.partition, receipts.at(-1)!.offset + 1);
      return;
    }
    const { sideEffects } = answer.body as { sideEffects?: string };
    op.outcome = sideEffects === "none" ? "refused" : "unknown";
    if (op.outcome === "unknown") op.end = null;
  }

  #acknowledged(partition: number, end: number): void {
    const at = performance.now();
    const ms = at - this.#lastAck[partition];
    this.#lastAck[partition] = at;
    this.#ends[partition] = Math.max(this.#ends[partition], end);
    const longest = this.#gaps[partition];
    if (longest === null || ms > longest.ms) this.#gaps[partition] = { partition, ms, endedAt: at };
  }

  async #read(client: number): Promise<void> {
    while (!this.#stopped) {
      const partition = this.#below(this.#options.partitions);
      const known = this.#ends[partition];
      const from = Math.max(0, known - this.#below(60));
      const consistency = consistencies[this.#below(consistencies.length)];
      const op = this.history.read({ client, partition, consistency, from }, now());
      await this.#readOnce(op);
      if (op.outcome === null) await Bun.sleep(20);
    }
  }

  async #readOnce(op: ReadOp): Promise<void> {
    const path = `/v1/topics/${this.#options.topic}/partitions/${op.partition}/records?offset=${op.from}&maxRecords=100`;
    const answer = await this.#ask(op.client, path, {
      headers: { "rivulet-consistency": op.consistency },
    });
    if (answer === null) return;
    op.end = now();
    const code = (answer.body as { code?: string }).code;
    if (code === "offset_out_of_range")
      this.outOfRange.push(`${op.consistency} ${op.partition}/${op.from}`);
    if (answer.status !== 200) return;
    const { records, partitions } = answer.body as {
      records: { value: string }[];
      partitions: { highWatermark: number }[];
    };
    const values = records.map((record) => record.value);
    op.outcome = { values, highWatermark: partitions[0].highWatermark };
  }

  /** Null: no answer, and the request may have reached the node. A connection that never came about is an answer. */
  async #ask(
    client: number,
    path: string,
    init: RequestInit,
  ): Promise<{ status: number; body: unknown } | null> {
    const { urls } = this.#options;
    const node = this.#nodes.get(client) ?? client;
    const url = urls[node % urls.length];
    try {
      const signal = AbortSignal.timeout(requestMsMax);
      const response = await fetch(url + path, { ...init, signal });
      const body: unknown = JSON.parse(await response.text());
      const { code = `http ${response.status}` } = body as { code?: string };
      this.#count(code);
      if (response.status >= 500) this.#nodes.set(client, node + 1);
      return { status: response.status, body };
    } catch (thrown) {
      this.#nodes.set(client, node + 1);
      const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "no answer";
      this.#count(code);
      return code === "ECONNREFUSED" || code === "ConnectionRefused"
        ? { status: 0, body: { sideEffects: "none" } }
        : null;
    }
  }

  #count(code: string): void {
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
  }

  #below(n: number): number {
    return Math.floor(this.#options.random() * n);
  }
}

/** Monotonic, integer ns. */
function now(): number {
  return Math.round(performance.now() * 1e6);
}

/** The whole log of a partition as one node holds it. */
export async function readLog(
  url: string,
  of: { readonly topic: string; readonly partition: number; readonly consistency: string },
): Promise<{ readonly start: number; readonly values: readonly string[] }> {
  const values: string[] = [];
  for (;;) {
    const path = `/v1/topics/${of.topic}/partitions/${of.partition}/records?offset=${values.length}&maxRecords=10000`;
    const response = await fetch(url + path, {
      headers: { "rivulet-consistency": of.consistency },
      signal: AbortSignal.timeout(logMsMax),
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`Read was answered ${response.status}: ${text}`);
    const { records } = JSON.parse(text) as { records: { offset: number; value: string }[] };
    if (records.length === 0) return { start: 0, values };
    for (const { offset, value } of records) {
      if (offset !== values.length)
        throw new Error(
          `Partition ${of.partition} of ${url}: wanted ${values.length}, got ${offset}`,
        );
      values.push(value);
    }
  }
}
