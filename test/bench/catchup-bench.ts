// How fast an empty follower is caught up, and what writers feel of it: `bun run bench --only catchup`.
//
//   three nodes in this process, files on the disk (fsync), a network in memory; node 3 has no replicas yet while
//   `--mb` are written to one partition in batches of 64 KB, led by node 1; then it gets one
//
//   alone    nobody writes meanwhile
//   live     a writer of another partition on the same nodes sends 1 KB at a time, one in flight
//   broken   the connection to node 3 is reset every 500 ms
//
// Promise: printed, never judged. MB are 10^6 bytes of batches. The three nodes share this process's core and disk, so a
// byte that is caught up is read, copied, written and synced by the same machine.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import type { SlabPool } from "../../src/bytes/slab.ts";
import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import type { Replica, StateMachine } from "../../src/consensus/replica.ts";
import { entryKinds, type Journal, type LogEntry } from "../../src/journal/journal.ts";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { batchBytes, buildBatch } from "../../src/records/batch-builder.ts";
import { MemoryNetwork } from "../../src/transport/memory-network.ts";
import type { Transport } from "../../src/transport/transport.ts";
import { systemWorld } from "../../src/world.ts";
import { openReport, quantile, type BenchRow } from "./report.ts";

const world = systemWorld;
const nodeIds = [1, 2, 3];
const identity = (nodeId: number) => ({ nodeId, incarnation: 1 });
const report = openReport("catchup");
const megabytes = report.smoke ? 1 : Number(report.flag("mb") ?? 200);
const batchValueBytes = 64 * 1024;
const liveValueBytes = 1024;
/** Appends under way while the log is filled. */
const fillInFlight = 32;
const resetEveryMs = 500;

interface Node {
  readonly host: Host;
  readonly journal: Journal;
  readonly transport: Transport;
  readonly slabs: SlabPool;
}

/** Tells when an entry is committed at its leader. */
class Commits implements StateMachine {
  readonly #waiting = new Map<number, () => void>();
  #applied = 0;

  restore(): void {}
  snapshot(): Uint8Array {
    return new Uint8Array(0);
  }
  onRole(): void {}
  onReady(): void {}
  onFlushed(): void {}
  onLost(): void {}
  apply(entries: readonly LogEntry[]): void {
    for (const { index } of entries) {
      this.#applied = index;
      this.#waiting.get(index)?.();
      this.#waiting.delete(index);
    }
  }

  until(index: number): Promise<void> {
    if (index <= this.#applied) return Promise.resolve();
    return new Promise((resolve) => void this.#waiting.set(index, resolve));
  }
}

async function start(network: MemoryNetwork, dir: string, nodeId: number): Promise<Node> {
  const slabs = createSlabPool();
  const disk = new LibsqlDisk({ dir: join(dir, `${nodeId}`), slabs, world });
  const journal = await openJournal({ world, disk, slabs, freeBytesMin: 0 });
  const transport = network.transport(nodeId);
  const host = createReplicaHost({ world, journal, nodeId, transport, slabs });
  await transport.open(host);
  return { host, journal, transport, slabs };
}

async function append(node: Node, group: Group, valueBytes: number): Promise<void> {
  const value = new Uint8Array(valueBytes).fill(120);
  const records = [{ key: null, value, headers: [], timestamp: 1 }];
  const batch = node.slabs.allocate(batchBytes(records));
  buildBatch(batch.bytes, records);
  const { replica, commits } = group;
  const proposed = replica.propose(
    {
      kind: entryKinds.data,
      baseOffset: replica.nextOffset,
      offsetCount: 1,
      maxTimestamp: 1,
      meta: null,
      batch,
    },
    replica.role.term,
  );
  batch.release();
  if (!proposed.ok) throw new Error(proposed.detail);
  await commits.until(proposed.index);
}

interface Group {
  readonly replica: Replica;
  readonly commits: Commits;
}

/** Led by node 1; a replica on each of the nodes given. */
async function create(nodes: readonly Node[], groupId: string): Promise<Group> {
  const voters = nodeIds.map(identity);
  const made = nodes.map(({ host }) => {
    const commits = new Commits();
    return { replica: host.create(groupId, commits, { incarnation: 1, voters }), commits };
  });
  await made[0].replica.lead();
  return made[0];
}

async function fill(node: Node, group: Group): Promise<void> {
  let left = Math.ceil((megabytes * 1e6) / batchValueBytes);
  const writer = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await append(node, group, batchValueBytes);
    }
  };
  await Promise.all(Array.from({ length: fillInFlight }, writer));
}

/** Appends one after the other until told to stop; latencies, ms. */
function writeLive(node: Node, group: Group): () => Promise<number[]> {
  const latencies: number[] = [];
  const ending = new AbortController();
  const writer = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const before = world.monotonic();
      await append(node, group, liveValueBytes);
      latencies.push(world.monotonic() - before);
    }
  };
  const done = writer();
  return async () => {
    ending.abort();
    await done;
    return latencies.sort((a, b) => a - b);
  };
}

type Case = "alone" | "live" | "broken";

async function measure(name: Case): Promise<BenchRow> {
  const dir = await mkdtemp(join(tmpdir(), "rivulet-catchup-bench-"));
  const network = new MemoryNetwork(world);
  const nodes: Node[] = [];
  for (const nodeId of nodeIds) nodes.push(await start(network, dir, nodeId));
  const peers = nodeIds.map((nodeId) => ({ nodeId, host: "memory", port: nodeId }));
  for (const { transport } of nodes) transport.setPeers(peers);
  const big = await create(nodes.slice(0, 2), "big/0");
  const live = await create(nodes, "live/0");
  const fillFrom = world.monotonic();
  await fill(nodes[0], big);
  const fillSeconds = (world.monotonic() - fillFrom) / 1_000;

  const idle = await lap(nodes[0], live);
  const cpu = process.cpuUsage();
  const from = world.monotonic();
  const stop = name === "live" ? writeLive(nodes[0], live) : null;
  const late = nodes[2].host.create("big/0", new Commits(), {
    incarnation: 1,
    voters: nodeIds.map(identity),
  });
  while (late.commitIndex < big.replica.commitIndex) {
    await sleep(name === "broken" ? resetEveryMs : 5);
    if (name === "broken") network.reset(1, 3);
  }
  const seconds = (world.monotonic() - from) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  const during = stop === null ? [] : await stop();
  for (const { host, journal, transport } of nodes) {
    await host.close();
    await journal.close();
    await transport.close();
  }
  await rm(dir, { recursive: true, force: true });
  return {
    case: name,
    "fill MB/s": megabytes / fillSeconds,
    "catch-up MB/s": megabytes / seconds,
    "CPU s/GB": (user + system) / 1e6 / (megabytes / 1e3),
    "live p50 ms before": quantile(idle, 0.5),
    "p50 ms": during.length === 0 ? null : quantile(during, 0.5),
    "p99 ms": during.length === 0 ? null : quantile(during, 0.99),
  };
}

async function lap(node: Node, group: Group): Promise<number[]> {
  const stop = writeLive(node, group);
  await sleep(report.smoke ? 20 : 500);
  return stop();
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void world.setTimer(ms, resolve));
}

// The world's timers keep no process alive, and Bun spins in a loop that nothing keeps alive but an await.
const alive = setInterval(() => {}, 1_000_000);
const rows: BenchRow[] = [];
for (const name of ["alone", "live", "broken"] as const) rows.push(await measure(name));
clearInterval(alive);
report.table(`An empty follower gets ${megabytes} MB`, rows);
