// A real node in a process of its own, for tests that kill it: start, wait until ready, kill -9, start again.
//
// Promise: no process outlives the test (dispose kills it), ports are free ones, the folder is the caller's.

import { join } from "node:path";
import { spawn, type ChildProcess } from "node:child_process";

const root = join(import.meta.dirname, "..", "..");
const readyMsMax = 20_000;

/** A running node. `url` is where its HTTP door listens. */
export interface NodeProcess extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** Everything it wrote to stdout and stderr so far. */
  output(): string;
  /** kill -9; resolves when the process is gone. */
  killHard(): Promise<void>;
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number>;
}

export interface NodeProcessOptions {
  readonly data: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Command and arguments before `start`; the default runs src/main.ts on this Bun. */
  readonly command?: readonly string[];
  /** The path that answers 200 once the node counts as started; a damaged node lives without being ready. */
  readonly until?: "/readyz" | "/livez";
}

/** Starts a node on a free port and resolves when /readyz (or `until`) answers 200. Throws with its output when it does not. */
export async function startNodeProcess(options: NodeProcessOptions): Promise<NodeProcess> {
  const [program, ...before] = options.command ?? [process.execPath, join(root, "src", "main.ts")];
  const args = [...before, "start", "--data", options.data, "--http", "127.0.0.1:0"];
  const child = spawn(program, [...args, ...(options.args ?? [])], {
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = collect(child);
  const exited = new Promise<number>((resolve) => {
    child.once("exit", (code, signal) => resolve(code ?? (signal === null ? -1 : 128)));
  });
  const url = await untilReady(child, { output, exited, path: options.until ?? "/readyz" });
  return {
    url,
    pid: child.pid ?? 0,
    output,
    async killHard() {
      child.kill("SIGKILL");
      await exited;
    },
    async stop() {
      child.kill("SIGTERM");
      return exited;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function collect(child: ChildProcess): () => string {
  const chunks: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8");
    stream?.on("data", (chunk: string) => chunks.push(chunk));
  }
  return () => chunks.join("");
}

async function untilReady(
  child: ChildProcess,
  {
    output,
    exited,
    path,
  }: {
    readonly output: () => string;
    readonly exited: Promise<number>;
    readonly path: string;
  },
): Promise<string> {
  const life = { gone: false };
  void exited.then(() => (life.gone = true));
  const deadline = performance.now() + readyMsMax;
  while (!life.gone && performance.now() < deadline) {
    // Not any URL: a node that joins tells of others before it tells its own. A bench's server says nothing else.
    const url = /(?:\bURL +|"url":"|^)(http:\/\/127\.0\.0\.1:\d+)/.exec(output())?.[1];
    if (url !== undefined && (await answers(url + path))) return url;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  child.kill("SIGKILL");
  throw new Error(`The node did not become ready within ${readyMsMax} ms:\n${output()}`);
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url);
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}
