// Nodes of one cluster as real processes on this machine, for tests that kill them: the README's commands on free ports.
//
// Promise: no process outlives the test; a node that is started again has the ports and the folder that it had.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../src/node/free-port.ts";
import { startNodeProcess, type NodeProcess } from "../durability/node-process.ts";

export interface ClusterMember {
  readonly data: string;
  readonly url: string;
  readonly peer: string;
  /** The one that runs now, or ran last. */
  process: NodeProcess;
}

export class ClusterProcesses implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "rivulet-three-"));
  readonly members: ClusterMember[] = [];
  #added = 0;

  /** Starts a node that forms the cluster, or joins it by the URL of the first. */
  async add(...args: readonly string[]): Promise<ClusterMember> {
    const host = "127.0.0.1";
    const url = `http://${host}:${await freePort(host)}`;
    const peer = `${host}:${await freePort(host)}`;
    this.#added += 1;
    const data = join(this.#folder, `data-${this.#added}`);
    const join_ = this.members.length === 0 ? [] : ["--join", this.members[0].url];
    const place = { data, url, peer };
    const member = { ...place, process: await run(place, [...join_, ...args]) };
    this.members.push(member);
    return member;
  }

  /** The same node once more, by the command that started it without --join. */
  async restart(member: ClusterMember, ...args: readonly string[]): Promise<void> {
    member.process = await run(member, args);
  }

  folder(name: string): string {
    return join(this.#folder, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(({ process }) => process[Symbol.asyncDispose]()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function run(
  { data, url, peer }: Omit<ClusterMember, "process">,
  args: readonly string[],
): Promise<NodeProcess> {
  const http = url.slice("http://".length);
  return startNodeProcess({ data, args: ["--http", http, "--peer", peer, ...args] });
}

/** Three nodes that vote in the controller. */
export async function threeNodes(): Promise<ClusterProcesses> {
  const cluster = new ClusterProcesses();
  try {
    await cluster.add();
    await Promise.all([cluster.add(), cluster.add()]);
    await until("three voters", async () => {
      const { controller } = await json(`${cluster.members[0].url}/v1/cluster`);
      const members = controller.members as readonly { readonly voter: boolean }[];
      return members.filter(({ voter }) => voter).length === 3;
    });
    return cluster;
  } catch (fault) {
    await cluster[Symbol.asyncDispose]();
    throw fault;
  }
}

/** What an answer holds, for tests to look into. */
export type Json = Readonly<Record<string, never>> & {
  readonly controller: { readonly leader: number | null; readonly members: readonly unknown[] };
  readonly items: readonly {
    readonly leader: number | null;
    readonly members: readonly { readonly nodeId: number; readonly voter: boolean }[];
  }[];
  readonly nodes: readonly { readonly nodeId: number; readonly state: string }[];
  readonly records: readonly { readonly value: string }[];
  readonly reason: string | null;
};

export async function json(url: string, init?: RequestInit): Promise<Json> {
  return (await (await fetch(url, init)).json()) as Json;
}

/** Waits until the look is true; a look that fails is false. */
export async function until(
  what: string,
  look: () => Promise<boolean>,
  msMax = 20_000,
): Promise<void> {
  const deadline = performance.now() + msMax;
  let last: unknown = "it was false";
  const failed = (fault: unknown): false => {
    last = fault;
    return false;
  };
  while (!(await look().catch(failed))) {
    if (performance.now() > deadline)
      throw new Error(`Waited ${msMax} ms in vain for ${what}: ${String(last)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
