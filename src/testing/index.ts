// rivulet/test: a real broker inside a test, in milliseconds.
//
//   await using broker = await startBroker();          // in memory, on a free port
//   await broker.send("orders", { key: "o-1", value: { total: 12 } });
//   const [order] = await broker.waitFor("orders", 1);
//
// Promise: the same node as `rivulet start` runs, with the same HTTP door on a port of its own; nothing is left behind
// when it is disposed of, not even a folder that it made. Works in bun test, in Deno's tests, and beside any runner.
// Left to others: nothing is mocked; what the node does is the node's business.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assert } from "../assert.ts";
import { createMemoryDisk } from "../journal/memory-disk.ts";
import { parseAddress } from "../address.ts";
import { startNode, type NodeOptions, type RunningNode } from "../node/node.ts";
import { version } from "../version.ts";
import { TestClient } from "./test-client.ts";

export type { NewRecord, ReadOptions, TestRecord } from "./records.ts";
export type { Receipt, TopicOptions } from "./test-client.ts";
export { startCluster, type TestCluster, type TestClusterOptions } from "./test-cluster.ts";
export type { TestNode } from "./test-node.ts";

export interface TestBrokerOptions {
  /** "memory" (default); "disk": a folder of its own, removed at the end; or a folder, which stays. */
  readonly storage?: "memory" | "disk" | { readonly dir: string };
  /** 0 (default): a free port. */
  readonly port?: number;
  /** Broker settings under Kafka's names, e.g. {"num.partitions": "3"}. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Starts a broker. Rejects with Fault for wrong settings and with Error when the folder is in use. */
export async function startBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const ground = groundOf(options);
  const port = options.port ?? 0;
  return new TestBroker(ground, await startOn(ground, port));
}

/** What stays the same over a restart. */
interface Ground {
  readonly storage: NodeOptions["storage"];
  readonly settings: Readonly<Record<string, string>>;
  /** A folder to remove at the end, or null. */
  readonly scratch: string | null;
}

function groundOf({ storage = "memory", settings = {} }: TestBrokerOptions): Ground {
  if (storage === "memory")
    return { storage: { memory: createMemoryDisk() }, settings, scratch: null };
  if (storage !== "disk") return { storage, settings, scratch: null };
  const scratch = mkdtempSync(join(tmpdir(), "rivulet-test-"));
  return { storage: { dir: scratch }, settings, scratch };
}

async function startOn({ storage, settings }: Ground, port: number): Promise<RunningNode> {
  const http = parseAddress(`127.0.0.1:${port}`);
  assert(http !== null, () => `The port must be 0-65535, got ${port}`);
  const node = await startNode({ storage, http, version, settings });
  if (!("heldBy" in node)) return node;
  throw new Error(`Cannot start: process ${node.heldBy?.pid ?? "?"} uses the data folder`);
}

export class TestBroker extends TestClient implements AsyncDisposable {
  readonly #ground: Ground;
  #node: RunningNode;

  constructor(ground: Ground, node: RunningNode) {
    super();
    this.#ground = ground;
    this.#node = node;
  }

  /** "http://127.0.0.1:40123" */
  override get url(): string {
    return this.#node.url;
  }

  get port(): number {
    return this.#node.port;
  }

  /** Stops in order and starts again on the same disk and port. In memory too: the disk outlives the node. */
  async restart(): Promise<void> {
    const { port } = this.#node;
    await this.#node.stop({ graceMs: 0 });
    this.#node = await startOn(this.#ground, port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node.stop({ graceMs: 0 });
    if (this.#ground.scratch !== null)
      rmSync(this.#ground.scratch, { recursive: true, force: true });
  }
}
