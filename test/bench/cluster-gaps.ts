// How long writers wait when their leader is killed, falls silent, or hands over: the longest time between two answers of
// a writer, one request under way each, through the two nodes that do not lead.
//
// What a writer is told to try again it tries again at once; a refusal is an answer nobody waits for, so only a written
// record ends a gap.

import type { ClusterProcesses, ClusterMember } from "../node/cluster-processes.ts";
import { json, until } from "../node/cluster-processes.ts";
import { quantile, type BenchRow } from "./report.ts";

const topic = "gaps";
/** Writers write for so long before something happens, and after it is over. */
const steadyMs = 500;
/** As long as a node stands still: longer than any election. */
const silentMs = 6_000;

interface Gaps {
  readonly what: string;
  readonly longestMs: number[];
  refusals: number;
}

export async function gapRows(
  cluster: ClusterProcesses,
  rounds: { readonly kill: number; readonly silence: number; readonly transfer: number },
): Promise<readonly BenchRow[]> {
  await createTopic(cluster.members[0].url);
  const killed: Gaps = { what: "kill -9 of the leader", longestMs: [], refusals: 0 };
  for (let i = 0; i < rounds.kill; i++)
    await round(cluster, killed, async (leader) => {
      await leader.process.killHard();
      return () => cluster.restart(leader);
    });
  const silent: Gaps = { what: "SIGSTOP of the leader", longestMs: [], refusals: 0 };
  for (let i = 0; i < rounds.silence; i++)
    await round(cluster, silent, async (leader) => {
      process.kill(leader.process.pid, "SIGSTOP");
      await pause(silentMs);
      return () => Promise.resolve(void process.kill(leader.process.pid, "SIGCONT"));
    });
  const handed: Gaps = { what: "leadership transfer", longestMs: [], refusals: 0 };
  for (let i = 0; i < rounds.transfer; i++)
    await round(cluster, handed, async (leader) => {
      await transfer(leader);
      return () => Promise.resolve();
    });
  const all = [killed, silent, handed].filter(({ longestMs }) => longestMs.length > 0);
  return all.map(({ what, longestMs, refusals }) => ({
    event: what,
    rounds: longestMs.length,
    "median ms": quantile(longestMs, 0.5),
    "max ms": quantile(longestMs, 1),
    "told to retry": refusals,
  }));
}

/** One disturbance under writers; `disturb` returns what ends it. */
async function round(
  cluster: ClusterProcesses,
  gaps: Gaps,
  disturb: (leader: ClusterMember) => Promise<() => Promise<void>>,
): Promise<void> {
  const leader = await leaderOf(cluster);
  const others = cluster.members.filter((member) => member !== leader);
  const writers = others.map(
    ({ url }, i) => new Writer(url, `${gaps.what}/${gaps.longestMs.length}/${i}`),
  );
  await Promise.all(writers.map((writer) => writer.untilWritten()));
  await pause(steadyMs);
  for (const writer of writers) writer.longestMs = 0;
  const heal = await disturb(leader);
  await Promise.all(writers.map((writer) => writer.untilWritten()));
  await pause(steadyMs);
  for (const writer of writers) writer.stop();
  gaps.longestMs.push(Math.max(...writers.map(({ longestMs }) => longestMs)));
  gaps.refusals += writers.reduce((sum, writer) => sum + writer.refusals, 0);
  await Promise.all(writers.map(({ ended }) => ended));
  await heal();
  await settled(cluster);
}

class Writer {
  longestMs = 0;
  refusals = 0;
  readonly ended: Promise<void>;
  readonly #url: string;
  readonly #name: string;
  #written = 0;
  #stopped = false;
  #waiting: (() => void)[] = [];

  constructor(url: string, name: string) {
    this.#url = url;
    this.#name = name;
    this.ended = this.#write();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Two more records are written, so one was begun after this call. */
  async untilWritten(): Promise<void> {
    for (let i = 0; i < 2; i++) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async #write(): Promise<void> {
    const body = "x".repeat(200);
    let since = performance.now();
    while (!this.#stopped) {
      const headers = {
        "content-type": "text/plain",
        "idempotency-key": encodeURIComponent(`${this.#name}/${this.#written}`),
      };
      const path = `/v1/topics/${topic}/records`;
      const response = await fetch(this.#url + path, { method: "POST", headers, body });
      await response.arrayBuffer();
      if (response.status >= 300) {
        this.refusals += 1;
        continue;
      }
      this.#written += 1;
      const now = performance.now();
      this.longestMs = Math.max(this.longestMs, now - since);
      since = now;
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
    // Who still waits would wait for ever.
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

async function createTopic(url: string): Promise<void> {
  const body = JSON.stringify({ name: topic, partitions: 1, replicationFactor: 3 });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/v1/topics`, { method: "POST", headers, body });
  if (response.status !== 201) throw new Error(`Cannot create a topic: ${await response.text()}`);
  const written = await fetch(`${url}/v1/topics/${topic}/records`, { method: "POST", body: "x" });
  await written.arrayBuffer();
}

/** The member that leads the topic, as a living node says. */
export async function leaderOf(cluster: ClusterProcesses, of = topic): Promise<ClusterMember> {
  const url = cluster.members[0].url;
  const { items } = await json(`${url}/v1/cluster/partitions?topic=${of}`);
  const leader = await memberOf(cluster, items[0].leader);
  if (leader === null) throw new Error(`Topic ${of} has no leader`);
  return leader;
}

async function memberOf(
  cluster: ClusterProcesses,
  nodeId: number | null,
): Promise<ClusterMember | null> {
  const { nodes } = await json(`${cluster.members[0].url}/v1/cluster`);
  const row = nodes.find((node) => node.nodeId === nodeId) as
    { readonly http?: string } | undefined;
  return cluster.members.find(({ url }) => url === row?.http) ?? null;
}

/** Hands the leadership to another node; resolves when that leads. */
async function transfer(leader: ClusterMember): Promise<void> {
  const { nodes } = await json(`${leader.url}/v1/cluster`);
  const others = nodes.filter((node) => (node as { readonly http?: string }).http !== leader.url);
  const to = others[Math.floor(Math.random() * others.length)].nodeId;
  const response = await fetch(`${leader.url}/v1/cluster/transfer`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ topic, partition: 0, to }),
  });
  const text = await response.text();
  if (response.status !== 200) console.error(`Not handed over: ${text}`);
}

/** Every replica has everything, and somebody leads. */
export async function settled(cluster: ClusterProcesses, of = topic): Promise<void> {
  await until(
    "all replicas to be level",
    async () => {
      const { items } = await json(`${cluster.members[0].url}/v1/cluster/partitions?topic=${of}`);
      const members = items[0].members as readonly { lagEntries?: number; inSync?: boolean }[];
      return (
        items[0].leader !== null &&
        members.length === 3 &&
        members.every(({ lagEntries, inSync }) => lagEntries === 0 && inSync === true)
      );
    },
    60_000,
  );
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
