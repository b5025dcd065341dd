// How fast the journal is over real files: `bun run bench --only journal`. Figures are printed, never judged.
//
//   append    entries of 200 B, 16 KB, 1 MB; 1 and 64 in flight; 1 and 64 replicas; every one durable when it counts
//   beside    the disk alone in the same run: the same bytes, written in sequence, fdatasync after each write
//   janitor   latency of 200 B commits alone, beside a filler, and beside one whose files are sealed all the time
//   reads     the tail from the cache, cold history from the disk
//   start     a journal of many replicas after a clean stop
//
// Bytes on the disk and CPU seconds are steadier than time: read those first.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import type { Journal, LogEntry } from "../../src/journal/journal.ts";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import type { JournalSettings } from "../../src/journal/settings.ts";
import { logIndex, offset, term, type ReplicaNumber } from "../../src/quantities.ts";
import { batchBytes, buildBatch, type NewRecord } from "../../src/records/batch-builder.ts";
import { systemWorld } from "../../src/world.ts";
import { usageOf } from "./process-usage.ts";
import { measureRawDisk } from "./raw-disk.ts";
import { openReport, quantile, type BenchRow } from "./report.ts";

const report = openReport("journal");
const runMs = report.smoke ? 50 : Number(report.flag("ms") ?? 1_500);

interface Load {
  readonly bytes: number;
  readonly inFlight: number;
  readonly replicas: number;
}

/** One replica under load: where its log ends. */
interface Writer {
  readonly replica: ReplicaNumber;
  index: number;
  offset: number;
}

class Bench {
  readonly dir: string;
  readonly slabs = createSlabPool();
  readonly journal: Journal;
  readonly writers: Writer[] = [];

  private constructor(dir: string, journal: Journal, slabs: Bench["slabs"]) {
    this.dir = dir;
    this.journal = journal;
    this.slabs = slabs;
  }

  static async open(
    settings: Partial<JournalSettings> = {},
    dir: string | null = null,
  ): Promise<Bench> {
    const folder = dir ?? (await mkdtemp(join(tmpdir(), "rivulet-journal-bench-")));
    const slabs = createSlabPool();
    const world = systemWorld;
    const disk = new LibsqlDisk({ dir: folder, slabs, world });
    // 64 appends of 1 MB and their overhead are more than a node lets wait.
    const bounds = { freeBytesMin: 0, queueBytesMax: 128 << 20 };
    const journal = await openJournal({ world, disk, slabs, ...bounds, ...settings });
    return new Bench(folder, journal, slabs);
  }

  create(replicas: number): void {
    for (let i = 0; i < replicas; i++) {
      const replica = this.journal.createReplica({ groupId: `bench/${i}`, incarnation: 1 });
      this.writers.push({ replica, index: 0, offset: 0 });
    }
  }

  /** One durable append of a batch; the bytes are made anew in the slab each time, as a door does. */
  async append(writer: Writer, batch: Uint8Array): Promise<void> {
    const slice = this.slabs.allocate(batch.length);
    slice.bytes.set(batch);
    const entry: LogEntry = {
      index: logIndex(++writer.index),
      term: term(1),
      kind: 0,
      baseOffset: offset(writer.offset++),
      offsetCount: 1,
      time: 1,
      maxTimestamp: 1,
      meta: null,
      batch: slice,
    };
    const done = this.journal.enqueue({ replica: writer.replica, entries: [entry] });
    slice.release();
    await done;
  }

  async close(): Promise<void> {
    await this.journal.close();
    await rm(this.dir, { recursive: true, force: true });
  }
}

const recordOf = (valueBytes: number): NewRecord[] => [
  { key: null, value: new Uint8Array(valueBytes).fill(120), headers: [], timestamp: 1 },
];

/** A real batch of one record whose stored size is `bytes`. */
function batchOf(bytes: number): Uint8Array {
  const overhead = batchBytes(recordOf(bytes)) - bytes;
  const records = recordOf(Math.max(0, bytes - overhead));
  const batch = new Uint8Array(batchBytes(records));
  buildBatch(batch, records);
  return batch;
}

interface Measured {
  readonly appends: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly writtenBytes: number | null;
  readonly latencies: readonly number[];
}

/** Keeps `inFlight` appends going for `ms`. */
async function run(bench: Bench, load: Load, ms: number): Promise<Measured> {
  const batch = batchOf(load.bytes);
  const before = usageOf(process.pid);
  const start = performance.now();
  const end = start + ms;
  const latencies: number[] = [];
  const lane = async (i: number) => {
    const writer = bench.writers[i % bench.writers.length];
    for (let now = performance.now(); now < end;) {
      await bench.append(writer, batch);
      const after = performance.now();
      latencies.push(after - now);
      now = after;
    }
  };
  await Promise.all(Array.from({ length: load.inFlight }, (_, i) => lane(i)));
  const seconds = (performance.now() - start) / 1_000;
  const after = usageOf(process.pid);
  const written =
    before?.writtenBytes == null || after?.writtenBytes == null
      ? null
      : after.writtenBytes - before.writtenBytes;
  const cpuSeconds = (after?.cpuSeconds ?? 0) - (before?.cpuSeconds ?? 0);
  return { appends: latencies.length, seconds, cpuSeconds, writtenBytes: written, latencies };
}

async function appendRow(load: Load): Promise<BenchRow> {
  const bench = await Bench.open();
  bench.create(load.replicas);
  await run(bench, load, runMs / 5); // warms up
  const before = bench.journal.metrics()["bytes_written"];
  const measured = await run(bench, load, runMs);
  const grown = bench.journal.metrics()["bytes_written"] - before;
  await bench.close();
  const appended = measured.appends * load.bytes;
  const raw = measureRawDisk({ bytes: load.bytes * load.inFlight, ms: runMs / 3 });
  return {
    "bytes an append": load.bytes,
    "in flight": load.inFlight,
    replicas: load.replicas,
    "appends/s": Math.round(measured.appends / measured.seconds),
    "MB/s": appended / measured.seconds / 1e6,
    "p50 ms": quantile(measured.latencies, 0.5),
    "p99 ms": quantile(measured.latencies, 0.99),
    "WAL bytes a byte": grown / appended,
    "disk bytes a byte": measured.writtenBytes === null ? null : measured.writtenBytes / appended,
    "CPU s a GB": (measured.cpuSeconds / appended) * 1e9,
    "us CPU an append": (measured.cpuSeconds / measured.appends) * 1e6,
    "disk alone MB/s": raw.megabytesPerSecond,
    "disk alone p50 ms": raw.p50Ms,
  };
}

async function appendTable(): Promise<void> {
  const rows: BenchRow[] = [];
  for (const bytes of [200, 16_384, 1_048_576])
    for (const inFlight of [1, 64])
      for (const replicas of inFlight === 1 ? [1] : [1, 64])
        if (bytes * inFlight <= 64 << 20) rows.push(await appendRow({ bytes, inFlight, replicas }));
  report.table("Journal append, durable (synchronous=FULL)", rows, [
    "disk alone: one write of (bytes x in flight) and fdatasync, in sequence, in the same run",
    "disk bytes a byte: what the process sent to the disk, the janitor's copy included",
  ]);
}

/** What goes on beside the commits that are measured. */
const besides = [
  { what: "nothing", filling: false, fileBytesMax: 64 << 20 },
  { what: "a filler, nothing sealed", filling: true, fileBytesMax: 1 << 30 },
  { what: "the same filler, 8 MB files sealed", filling: true, fileBytesMax: 8 << 20 },
] as const;

interface Beside {
  readonly latencies: number[];
  sealed: number;
  filledBytes: number;
}

/** Commit latency alone, beside a filler, and beside a filler whose files the janitor seals all the time: the second
 *  and third tell what the janitor costs. Rounds alternate, their commits are pooled. */
async function janitorTable(): Promise<void> {
  const found = besides.map((): Beside => ({ latencies: [], sealed: 0, filledBytes: 0 }));
  for (let round = 0; round < (report.smoke ? 1 : 3); round++)
    for (const [i, beside] of besides.entries()) await commitsBeside(beside, found[i]);
  const rows = besides.map(({ what }, i) => ({
    "beside it": what,
    commits: found[i].latencies.length,
    "p50 ms": quantile(found[i].latencies, 0.5),
    "p99 ms": quantile(found[i].latencies, 0.99),
    "max ms": quantile(found[i].latencies, 1),
    "MB filled": found[i].filledBytes / 1e6,
    "files sealed": found[i].sealed,
  }));
  report.table("Commit latency of 200 B, one in flight", rows, [
    "the filler: another replica that appends 64 KB every 5 ms (13 MB/s at most)",
  ]);
}

async function commitsBeside(
  { filling, fileBytesMax }: (typeof besides)[number],
  found: Beside,
): Promise<void> {
  const bench = await Bench.open({ fileBytesMax });
  bench.create(2);
  const filler = bench.writers.pop()!;
  const end = performance.now() + runMs;
  const filled = filling ? fill(bench, filler, end) : Promise.resolve();
  const { latencies } = await run(bench, { bytes: 200, inFlight: 1, replicas: 1 }, runMs);
  await filled;
  for (const latency of latencies) found.latencies.push(latency);
  found.sealed += bench.journal.metrics()["files_sealed"];
  found.filledBytes += filler.index * fillBytes;
  await bench.close();
}

const fillBytes = 65_536;
const fillEveryMs = 5;

/** Paced, so that both fillers write the same and the disk is not the bound. */
async function fill(bench: Bench, filler: Writer, end: number): Promise<void> {
  const batch = batchOf(fillBytes);
  for (let next = performance.now(); next < end; next += fillEveryMs) {
    await Bun.sleep(Math.max(0, next - performance.now()));
    await bench.append(filler, batch);
  }
}

async function readTable(): Promise<void> {
  const rows: BenchRow[] = [];
  for (const [what, settings] of [
    ["tail (cache)", { cacheBytesMax: 256 << 20 }],
    ["cold (disk)", { cacheBytesMax: 0, fileBytesMax: 16 << 20 }],
  ] as const) {
    const bench = await Bench.open(settings);
    bench.create(1);
    const [writer] = bench.writers;
    await run(bench, { bytes: 16_384, inFlight: 64, replicas: 1 }, runMs);
    rows.push({ read: what, ...(await scan(bench, writer)) });
    await bench.close();
  }
  report.table("Reads of 16 KB entries, 1 MB at a time", rows);
}

async function scan(bench: Bench, writer: Writer): Promise<BenchRow> {
  const start = performance.now();
  let bytes = 0;
  let entries = 0;
  for (let next = 1; next <= writer.index;) {
    const result = await bench.journal.read({
      replica: writer.replica,
      from: { index: logIndex(next) },
      endIndex: logIndex(writer.index + 1),
      maxBytes: 1 << 20,
      dataOnly: true,
    });
    for (const entry of result.entries) bytes += entry.batch!.bytes.length;
    entries += result.entries.length;
    next = result.entries.at(-1)!.index + 1;
    result.release();
  }
  const seconds = (performance.now() - start) / 1_000;
  return { entries, "MB/s": bytes / seconds / 1e6, "entries/s": Math.round(entries / seconds) };
}

/** Many replicas with a little data each, closed and opened again. */
async function startTable(): Promise<void> {
  const rows: BenchRow[] = [];
  for (const replicas of report.smoke ? [10] : [1, 1_000, 10_000]) {
    const bench = await Bench.open();
    bench.create(replicas);
    const batch = batchOf(200);
    await Promise.all(bench.writers.map((writer) => bench.append(writer, batch)));
    await bench.journal.close();
    const before = usageOf(process.pid)?.rssMb ?? 0;
    const start = performance.now();
    const again = await Bench.open({}, bench.dir);
    const openMs = performance.now() - start;
    const grown = (usageOf(process.pid)?.rssMb ?? 0) - before;
    await again.close();
    rows.push({ replicas, "open ms": openMs, "RSS grown MB": grown });
  }
  report.table("Open after a clean stop", rows);
}

await appendTable();
await janitorTable();
await readTable();
await startTable();
