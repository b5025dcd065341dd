// The nodes of a real cluster as processes: formed, killed, paused, started again, each on its host of the network.
//
// Promise: close() leaves no process, mount or folder behind. Left to others: when something happens to a node
// (nemesis.ts), what clients do (workload.ts).

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { freePort } from "../../src/node/free-port.ts";
import type { Network } from "./network.ts";
import { mountSmallDisk, type SmallDisk } from "./small-disk.ts";

const root = join(import.meta.dirname, "..", "..");
const readyMsMax = 60_000;

export interface ClusterNode {
  readonly n: number;
  readonly url: string;
  readonly running: boolean;
  readonly paused: boolean;
  start(): void;
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>;
  pause(): void;
  resume(): void;
  /** What it printed, the last `lines` lines. */
  tail(lines: number): string;
}

export interface ClusterProcesses {
  readonly nodes: readonly ClusterNode[];
  /** Under the last node's folder; null where none can be mounted. */
  readonly smallDisk: SmallDisk | null;
  /** Resolves when every node answers /readyz with 200. Throws with their output after a minute. */
  untilReady(): Promise<void>;
  close(): Promise<void>;
}

/** Forms a cluster of `count` nodes and waits until each is ready. */
export async function startCluster(options: {
  readonly network: Network;
  readonly count: number;
  readonly args?: readonly string[];
}): Promise<ClusterProcesses> {
  const { network, count, args = [] } = options;
  const folder = mkdtempSync(join(tmpdir(), "rivulet-nemesis-"));
  const secret = join(folder, "secret");
  writeFileSync(secret, "a secret of this run alone\n", { mode: 0o600 });
  const nodes: Node[] = [];
  const smallDisk = network.canCut ? mountSmallDisk(join(folder, `node-${count}`)) : null;
  for (let n = 1; n <= count; n += 1) {
    const ip = network.ip(n);
    // In a namespace of its own any port is free; on loopback the nodes share them.
    const [http, peer] = network.canCut ? [7480, 7481] : [await freePort(ip), await freePort(ip)];
    const join_ = n === 1 ? [] : ["--join", nodes[0].url];
    const data = join(folder, `node-${n}`);
    const where = `--data ${data} --http ${ip}:${http} --peer ${ip}:${peer}`.split(" ");
    const safety = ["--cluster-secret-file", secret, ...(network.canCut ? ["--insecure"] : [])];
    const command = [process.execPath, join(root, "src", "main.ts"), "start"];
    const whole = network.on(n, [...command, ...where, ...safety, ...join_, ...args]);
    nodes.push(new Node({ n, url: `http://${ip}:${http}`, command: whole, log: `${data}.log` }));
  }
  const untilReady = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.untilReady()));
  };
  const close = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.kill()));
    smallDisk?.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const node of nodes) {
      node.start();
      await node.untilReady();
    }
  } catch (fault) {
    await close();
    throw fault;
  }
  return { nodes, smallDisk, untilReady, close };
}

class Node implements ClusterNode {
  readonly n: number;
  readonly url: string;
  paused = false;
  readonly #command: readonly string[];
  readonly #log: string;
  #child: ChildProcess | null = null;
  #gone: Promise<void> = Promise.resolve();

  constructor(of: {
    readonly n: number;
    readonly url: string;
    readonly command: readonly string[];
    readonly log: string;
  }) {
    this.n = of.n;
    this.url = of.url;
    this.#command = of.command;
    this.#log = of.log;
  }

  get running(): boolean {
    return this.#child !== null;
  }

  start(): void {
    if (this.#child !== null) return;
    const log = openSync(this.#log, "a");
    const [program, ...args] = this.#command;
    const child = spawn(program, args, { stdio: ["ignore", log, log] });
    this.#child = child;
    this.paused = false;
    this.#gone = new Promise((resolve) => {
      child.once("exit", () => {
        if (this.#child === child) this.#child = null;
        resolve();
      });
    });
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#gone;
  }

  pause(): void {
    this.paused = true;
    this.#child?.kill("SIGSTOP");
  }

  resume(): void {
    this.paused = false;
    this.#child?.kill("SIGCONT");
  }

  async untilReady(): Promise<void> {
    const deadline = performance.now() + readyMsMax;
    while (performance.now() < deadline) {
      if (this.#child === null) throw new Error(`Node ${this.n} ended:\n${this.tail(30)}`);
      if (await answers(`${this.url}/readyz`)) return;
      await Bun.sleep(20);
    }
    throw new Error(`Node ${this.n} is not ready after ${readyMsMax} ms:\n${this.tail(30)}`);
  }

  tail(lines: number): string {
    try {
      return readFileSync(this.#log, "utf8").split("\n").slice(-lines).join("\n");
    } catch {
      return "(it printed nothing)";
    }
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}
