// How fast one node appends through partition, core and journal: `bun run bench --only partition`. Printed, never judged.
//
//   append    batches of one 200 B record, 1 and 64 in flight, 1 and 64 partitions
//             over a disk in memory (what the CPU allows) and over files (fsync before each answer)
//   open      1,000 partitions of which one has anything to replay
//
// Promise: every append is answered by acks=all. CPU microseconds an append are steadier than time.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import type { SlabPool } from "../../src/bytes/slab.ts";
import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import type { Disk } from "../../src/journal/disk.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { createPartition, openPartition, type Partition } from "../../src/partition/partition.ts";
import { batchBytes, buildBatch } from "../../src/records/batch-builder.ts";
import { systemWorld } from "../../src/world.ts";
import { openReport, quantile, type BenchRow } from "./report.ts";

const world = systemWorld;
const nodeId = 1;
const valueBytes = 200;
const report = openReport("partition");
const runMs = report.smoke ? 50 : Number(report.flag("ms") ?? 1_500);

const records = [
  { key: null, value: new Uint8Array(valueBytes).fill(120), headers: [], timestamp: 1 },
];

interface Node {
  readonly journal: Journal;
  readonly host: Host;
  readonly slabs: SlabPool;
}

interface Load {
  readonly inFlight: number;
  readonly partitions: number;
}

async function start(disk: (slabs: SlabPool) => Disk): Promise<Node> {
  const slabs = createSlabPool();
  const journal = await openJournal({ world, disk: disk(slabs), slabs, freeBytesMin: 0 });
  return { journal, slabs, host: createReplicaHost({ world, journal, nodeId }) };
}

async function stop({ host, journal }: Node): Promise<void> {
  await host.close();
  await journal.close();
}

/** A batch made anew in the slab, as a door does. */
async function append(partition: Partition, slabs: SlabPool): Promise<void> {
  const batch = slabs.allocate(batchBytes(records));
  buildBatch(batch.bytes, records);
  const outcome = await partition.append({ batch, acks: "all", logAppendTime: -1 });
  batch.release();
  if (!outcome.ok) throw new Error(outcome.detail);
}

async function measure(name: string, node: Node, load: Load): Promise<BenchRow> {
  const partitions = Array.from({ length: load.partitions }, (_, i) =>
    createPartition({ ...node, groupId: `${load.inFlight}.${load.partitions}/${i}` }),
  );
  await Promise.all(partitions.map((partition) => partition.warm()));
  const latencies: number[] = [];
  const started = world.monotonic();
  const end = started + runMs;
  const cpu = process.cpuUsage();
  const client = async (id: number): Promise<void> => {
    for (let n = id; world.monotonic() < end; n += load.inFlight) {
      const before = world.monotonic();
      await append(partitions[n % partitions.length], node.slabs);
      latencies.push(world.monotonic() - before);
    }
  };
  await Promise.all(Array.from({ length: load.inFlight }, (_, id) => client(id)));
  const seconds = (world.monotonic() - started) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  latencies.sort((a, b) => a - b);
  return {
    disk: name,
    partitions: load.partitions,
    "in flight": load.inFlight,
    "appends/s": Math.round(latencies.length / seconds),
    "p50 ms": quantile(latencies, 0.5),
    "p99 ms": quantile(latencies, 0.99),
    "CPU us/append": (user + system) / latencies.length,
  };
}

async function appends(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "rivulet-partition-bench-"));
  const disks: readonly (readonly [string, (slabs: SlabPool) => Disk])[] = [
    ["memory", () => createMemoryDisk()],
    ["files", (slabs) => new LibsqlDisk({ dir, slabs, world })],
  ];
  const rows: BenchRow[] = [];
  for (const [name, disk] of disks) {
    const node = await start(disk);
    for (const inFlight of [1, 64]) {
      for (const partitions of [1, 64]) {
        rows.push(await measure(name, node, { inFlight, partitions }));
      }
    }
    await stop(node);
  }
  await rm(dir, { recursive: true, force: true });
  report.table(`append, batches of one ${valueBytes} B record, acks=all`, rows);
}

async function opening(): Promise<void> {
  const count = report.smoke ? 20 : 1_000;
  const disk = createMemoryDisk();
  const before = await start(() => disk);
  const made = Array.from({ length: count }, (_, i) =>
    createPartition({ ...before, groupId: `open/${i}` }),
  );
  await Promise.all(made.map((partition) => append(partition, before.slabs)));
  await stop(before);
  const started = world.monotonic();
  const node = await start(() => disk);
  const afterJournal = world.monotonic();
  const partitions = await Promise.all(
    node.host.groupIds().map((groupId) => openPartition({ ...node, groupId })),
  );
  const opened = world.monotonic();
  await append(partitions[0], node.slabs);
  const row = {
    partitions: count,
    "journal ms": afterJournal - started,
    "partitions ms": opened - afterJournal,
    "first append ms": world.monotonic() - opened,
  };
  await stop(node);
  report.table("open after a clean stop, disk in memory", [row]);
}

await appends();
await opening();
