// What idle partitions cost: `bun run bench --only idle`. Printed, never judged.
//
//   three nodes in this process, over a network and disks in memory; each group has a replica on each of them and has
//   committed one entry; then nothing is written for a while
//
//   cpu     user and system time of the process over that while, divided by three: percent of one core a node
//   beats   packets and bytes that a node sent
//   bytes   heap that a replica takes, its core and the journal's memory of it included
//   loss    node 1 is killed: how long until every group that it led has another leader that can write, and the longest
//           that the loop did not turn meanwhile
//
// and three real nodes (processes, folders, HTTP/2): a topic of `--processes` partitions (default 1,000), first as it was
// created, when no replica has a core yet, then after a record was written to each partition
//
// Promise: every figure is of a while in which each group had a leader and nobody asked for anything.

import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import type { Replica, StateMachine } from "../../src/consensus/replica.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { MemoryNetwork } from "../../src/transport/memory-network.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { systemWorld } from "../../src/world.ts";
import { threeNodes, type ClusterProcesses } from "../node/cluster-processes.ts";
import { usageOf, type ProcessUsage } from "./process-usage.ts";
import { openReport, type BenchRow } from "./report.ts";

const world = systemWorld;
const nodeIds = [1, 2, 3];
const voters = nodeIds.map((nodeId) => ({ nodeId, incarnation: 1 }));
const report = openReport("idle");
const idleMs = report.smoke ? 100 : Number(report.flag("ms") ?? 10_000);
const counts = report.smoke
  ? [1, 20]
  : (report.flag("partitions")?.split(",").map(Number) ?? [1, 1_000, 10_000]);
const lossMsMax = 60_000;
const realPartitions = report.smoke ? 10 : Number(report.flag("processes") ?? 1_000);
const writersMax = 64;
const postTriesMax = 20;
/** Groups that are elected at a time. */
const electingMax = 200;

/** Leaders that became ready, ever. */
let elections = 0;

const idleMachine: StateMachine = {
  restore: () => {},
  apply: () => {},
  snapshot: () => new Uint8Array(0),
  onRole: () => {},
  onReady: () => void (elections += 1),
  onFlushed: () => {},
  onLost: () => {},
};

interface Node {
  readonly host: Host;
  readonly journal: Journal;
  readonly transport: Transport;
}

async function start(network: MemoryNetwork, nodeId: number): Promise<Node> {
  const slabs = createSlabPool();
  const disk = createMemoryDisk();
  const journal = await openJournal({ world, disk, slabs, freeBytesMin: 0 });
  const transport = network.transport(nodeId);
  const host = createReplicaHost({ world, journal, nodeId, transport, slabs });
  await transport.open(host);
  return { host, journal, transport };
}

async function elect(nodes: readonly Node[], groups: number): Promise<void> {
  for (let from = 0; from < groups; from += electingMax) {
    const leaders: Promise<unknown>[] = [];
    for (let i = from; i < Math.min(groups, from + electingMax); i += 1) {
      const groupId = `0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b/${i}`;
      const replicas = nodes.map(({ host }): Replica =>
        host.create(groupId, idleMachine, { incarnation: 1, voters }),
      );
      leaders.push(replicas[i % nodes.length].lead());
    }
    await Promise.all(leaders);
  }
}

function sent(nodes: readonly Node[]): { packets: number; bytes: number } {
  let [packets, bytes] = [0, 0];
  for (const { transport } of nodes) {
    const metrics = transport.metrics();
    packets += metrics["packets_sent"];
    bytes += metrics["bytes_sent"];
  }
  return { packets, bytes };
}

function heapBytes(): number {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}

async function measure(groups: number): Promise<BenchRow> {
  const network = new MemoryNetwork(world);
  const nodes: Node[] = [];
  for (const nodeId of nodeIds) nodes.push(await start(network, nodeId));
  const peers = nodeIds.map((nodeId) => ({ nodeId, host: "memory", port: nodeId }));
  for (const { transport } of nodes) transport.setPeers(peers);
  const heapBefore = heapBytes();
  const startedAt = world.monotonic();
  await elect(nodes, groups);
  const electMs = world.monotonic() - startedAt;
  await sleep(1_000);
  const heap = heapBytes() - heapBefore;
  const before = sent(nodes);
  const cpu = process.cpuUsage();
  const idleFrom = world.monotonic();
  await sleep(idleMs);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (world.monotonic() - idleFrom) / 1_000;
  const after = sent(nodes);
  const loss = await lose(network, nodes);
  for (const { host, journal, transport } of nodes) {
    await host.close();
    await journal.close();
    await transport.close();
  }
  const perNode = nodes.length * seconds;
  return {
    partitions: groups,
    "cpu % a node": (user + system) / 1e4 / perNode,
    "packets/s a node": (after.packets - before.packets) / perNode,
    "bytes/s a node": (after.bytes - before.bytes) / perNode,
    "heap bytes a replica": Math.max(0, heap) / (groups * nodes.length),
    "elect all, ms": electMs,
    ...loss,
  };
}

async function lose(network: MemoryNetwork, [first]: readonly Node[]): Promise<BenchRow> {
  const led = [...first.host.led()].length;
  const before = elections;
  const cpu = process.cpuUsage();
  const killedAt = world.monotonic();
  network.kill(1);
  let longestMs = 0;
  for (let turnAt = killedAt; world.monotonic() - killedAt < lossMsMax;) {
    await sleep(5);
    longestMs = Math.max(longestMs, world.monotonic() - turnAt);
    turnAt = world.monotonic();
    const ms = turnAt - killedAt;
    if (elections - before < led) continue;
    const { user, system } = process.cpuUsage(cpu);
    return {
      "led by node 1": led,
      "led again, ms": ms,
      "longest turn, ms": longestMs,
      "cpu ms an election": (user + system) / 1e3 / led,
    };
  }
  throw new Error(`Not every group had a leader within ${lossMsMax} ms`);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void world.setTimer(ms, resolve));
}

/** Of each node over a while: percent of a core, MB. */
async function idleOf({ members }: ClusterProcesses, what: string): Promise<BenchRow> {
  const usages = (): readonly (ProcessUsage | null)[] =>
    members.map(({ process: { pid } }) => usageOf(pid));
  const before = usages();
  await sleep(idleMs);
  const after = usages();
  const mean = (of: (usage: ProcessUsage, i: number) => number): number | null => {
    const values = after.map((usage, i) => (usage === null ? null : of(usage, i)));
    const known = values.filter((value) => value !== null);
    return known.length === 0 ? null : known.reduce((a, b) => a + b, 0) / known.length;
  };
  return {
    partitions: realPartitions,
    state: what,
    "cpu % a node": mean((usage, i) => ((usage.cpuSeconds - before[i]!.cpuSeconds) / idleMs) * 1e5),
    "rss MB a node": mean(({ rssMb }) => rssMb),
  };
}

/** A machine that is busy with others may let a node fall silent: what may be tried again is. */
async function post(url: string, body: unknown): Promise<void> {
  const headers = { "content-type": "application/json" };
  for (let tries = 1; ; tries += 1) {
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await response.text();
    if (response.ok) return;
    if (response.status !== 503 || tries === postTriesMax)
      throw new Error(`${url}: ${response.status} ${text}`);
  }
}

async function writeToEach({ members }: ClusterProcesses): Promise<void> {
  let next = 0;
  const writer = async (): Promise<void> => {
    while (next < realPartitions) {
      const partition = next++;
      const { url } = members[partition % members.length];
      await post(`${url}/v1/topics/t/partitions/${partition}/records`, {
        records: [{ value: "x" }],
      });
    }
  };
  await Promise.all(Array.from({ length: writersMax }, writer));
}

async function measureProcesses(): Promise<BenchRow[]> {
  await using cluster = await threeNodes();
  const found = [await idleOf(cluster, "no topic")];
  await post(`${cluster.members[0].url}/v1/topics`, { name: "t", partitions: realPartitions });
  await sleep(2_000);
  found.push(await idleOf(cluster, "created, never used"));
  await writeToEach(cluster);
  await sleep(5_000);
  found.push(await idleOf(cluster, "used once"));
  return found;
}

// The world's timers keep no process alive, and Bun spins in a loop that nothing keeps alive but an await.
const alive = setInterval(() => {}, 1_000_000);
const rows: BenchRow[] = [];
for (const groups of counts) rows.push(await measure(groups));
report.table(`Three nodes, idle for ${idleMs / 1_000} s`, rows, [
  "a replica: one of three of a partition",
]);
const title = `Three nodes as processes, idle for ${idleMs / 1_000} s`;
report.table(title, await measureProcesses());
clearInterval(alive);
