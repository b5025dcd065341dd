// Nodes and data folders for the node's benches: a folder that is removed afterwards, a node in it, and what to write.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNodeProcess, type NodeProcess } from "../durability/node-process.ts";
import { load, refusals, requestBytes, type LoadResult } from "./http-load.ts";

const echoCommand = [process.execPath, join(import.meta.dirname, "bare-echo.ts")];

/** Runs `use` with a fresh folder and removes it afterwards. */
export async function inFolder<T>(use: (data: string) => Promise<T>): Promise<T> {
  const data = await mkdtemp(join(tmpdir(), "rivulet-bench-"));
  try {
    return await use(data);
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

/** A bare Hono echo on a free port, in a process of its own. */
export const startEcho = (): Promise<NodeProcess> =>
  startNodeProcess({ data: tmpdir(), command: echoCommand });

/** Spawn to the first 200 of /readyz, ms; the node runs on. Asked every 5 ms, so up to that much too long. */
export async function timedStart(
  start: () => Promise<NodeProcess>,
): Promise<{ readonly node: NodeProcess; readonly ms: number }> {
  const startedAt = performance.now();
  const node = await start();
  return { node, ms: performance.now() - startedAt };
}

export async function createTopic(
  url: string,
  topic: { readonly name: string; readonly partitions: number },
): Promise<void> {
  const response = await fetch(`${url}/v1/topics`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(topic),
  });
  if (response.status !== 201) throw new Error(`Cannot create a topic: ${await response.text()}`);
}

/** What one post carries: `bytes` of noise, as one raw record or as one record in JSON. */
export interface PostKind {
  readonly topic: string;
  readonly bytes: number;
  readonly as: "raw" | "json";
}

/** The request of a post of one record, the same bytes each time. */
export function postRequest(url: string, kind: PostKind): Uint8Array {
  const value = noise(kind.bytes);
  const json = kind.as === "json";
  const body = json
    ? Buffer.from(JSON.stringify({ records: [{ value: Buffer.from(value).toString("base64") }] }))
    : value;
  const contentType = json ? "application/json" : "application/octet-stream";
  return requestBytes({ url, method: "POST", path: pathOf(kind.topic), contentType, body });
}

export const pathOf = (topic: string): string => `/v1/topics/${topic}/records`;

/** Bytes that do not compress, so that nobody is flattered. */
export const noise = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (Math.imul(i + 1, 2_654_435_761) >>> 13) & 0xff);

/** Posts about `bytes` bytes in records of 1 MB, four in flight. Returns what was written. */
export async function fill(url: string, topic: string, bytes: number): Promise<number> {
  const recordBytes = Math.min(1_000_000, Math.max(1_000, Math.floor(bytes / 8)));
  const request = postRequest(url, { topic, bytes: recordBytes, as: "raw" });
  let written = 0;
  while (written < bytes) {
    const result = await load({ url, connections: 4, ms: 250, request: () => request });
    failOnRefusals(result);
    written += result.answered * recordBytes;
  }
  return written;
}

export function failOnRefusals(result: LoadResult): void {
  const refused = refusals(result);
  if (refused !== "") throw new Error(`The node refused posts: ${refused}`);
}
