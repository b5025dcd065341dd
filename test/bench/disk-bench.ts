// How fast the disk under the journal is, without the journal: `bun run bench --only disk`. Printed, never judged.
//
//   commit    rows of 200 B, 16 KB, 1 MB, few and many a transaction, FULL; beside it, in turns, the same bytes written
//             and synced raw; then the same rows with durability "os"
//   read      the same rows by lsn from the WAL, and by position from the sealed file
//   seal      one file's rows into a sealed one
//   start     an inventory of that file after no clean stop, and after one
//
// Bytes written a byte and CPU seconds a GB (all threads) are steadier than time: read those first.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import type { Slice } from "../../src/bytes/slab.ts";
import type { DiskRead, DiskRow, SealedHead } from "../../src/journal/disk.ts";
import { encodeReplicaFact, factRow } from "../../src/journal/facts.ts";
import { imageRows } from "../../src/journal/image.ts";
import { journalName, sealedName } from "../../src/journal/journal-files.ts";
import { entryKinds } from "../../src/journal/journal.ts";
import { LibsqlDisk } from "../../src/journal/libsql-disk.ts";
import { systemWorld } from "../../src/world.ts";
import { measureRawDisk } from "./raw-disk.ts";
import { openReport, quantile, type BenchRow } from "./report.ts";

const report = openReport("disk");
const runMs = report.smoke ? 30 : Number(report.flag("ms") ?? 1_000);
const fileBytesMax = report.smoke ? 2 << 20 : 64 << 20;
const fileRowsMax = 100_000;
const groupId = "bench/0";

const loads = [
  { bytes: 200, rows: 1 },
  { bytes: 200, rows: 64 },
  { bytes: 200, rows: 512 },
  { bytes: 16_384, rows: 1 },
  { bytes: 16_384, rows: 64 },
  { bytes: 1_048_576, rows: 1 },
  { bytes: 1_048_576, rows: 8 },
] as const;
type Load = (typeof loads)[number];

const titleOf = ({ bytes, rows }: Load): string => `${bytes} B x ${rows}`;

/** One disk in a folder of its own, one replica. */
class Bench {
  readonly dir: string;
  readonly slabs = createSlabPool();
  readonly load: Load;
  readonly slice: Slice;
  disk: LibsqlDisk;
  active = "";
  lsn = 1;
  index = 1;

  constructor(dir: string, load: Load) {
    this.dir = dir;
    this.load = load;
    this.slice = this.slabs.allocate(load.bytes);
    crypto.getRandomValues(this.slice.bytes.subarray(0, 65_536));
    this.disk = this.#made();
  }

  #made(): LibsqlDisk {
    return new LibsqlDisk({ dir: this.dir, slabs: this.slabs, world: systemWorld });
  }

  async reopen(): Promise<number> {
    await this.disk.close();
    this.disk = this.#made();
    const start = performance.now();
    const { unsealed } = await this.disk.open();
    for (const file of unsealed) for (const row of file.rows) this.lsn = row.lsn + 1;
    return performance.now() - start;
  }

  async roll(): Promise<void> {
    this.active = journalName(this.lsn);
    const image = imageRows({ nextReplica: 1, replicas: [] }, this.lsn);
    await this.disk.roll(this.active, image);
    this.lsn += image.length;
    const meta = encodeReplicaFact({ groupId, incarnation: 1, configuration: null });
    const fact = factRow("replica", this.lsn++, { replica: 0, groupId, meta });
    await this.disk.commit({ rows: [fact], durability: "full" });
  }

  row(): DiskRow {
    const idx = this.index++;
    const time = 1_795_000_000_000 + idx;
    return {
      lsn: this.lsn++,
      replica: 0,
      groupId,
      idx,
      term: 1,
      kind: entryKinds.data,
      baseOffset: idx - 1,
      offsetCount: 1,
      time,
      maxTimestamp: time,
      meta: null,
      batch: this.slice,
    };
  }

  /** Commits until the time or the file is over; ms of each, and the bytes that the file grew by. */
  async fill(ms: number, durability: "full" | "os"): Promise<{ took: number[]; grown: number }> {
    const took: number[] = [];
    let grown = 0;
    const end = performance.now() + ms;
    while (took.length === 0 || (performance.now() < end && !this.#full(grown))) {
      const rows = Array.from({ length: this.load.rows }, () => this.row());
      const start = performance.now();
      grown += await this.disk.commit({ rows, durability });
      took.push(performance.now() - start);
    }
    return { took, grown };
  }

  #full(grown: number): boolean {
    return grown >= fileBytesMax || this.index + this.load.rows >= fileRowsMax;
  }

  /** Reads everything, 1 MB a call; rows a second. */
  async readAll(readOf: (index: number) => DiskRead): Promise<number> {
    const start = performance.now();
    let rows = 0;
    for (let index = 1; index < this.index;) {
      const result = await this.disk.read(readOf(index));
      if (result.damage !== null) throw new Error(result.damage.detail);
      index += result.rows.length;
      rows += result.rows.length;
    }
    return (rows / (performance.now() - start)) * 1_000;
  }
}

const bounds = { replica: 0, groupId, parts: "rows", maxRows: 2_000, maxBytes: 1 << 20 } as const;

async function withBench<T>(load: Load, work: (bench: Bench) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), "rivulet-disk-bench-"));
  const bench = new Bench(dir, load);
  try {
    await bench.disk.open();
    await bench.roll();
    return await work(bench);
  } finally {
    await bench.disk.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function commits(load: Load, durability: "full" | "os"): Promise<BenchRow> {
  return withBench(load, async (bench) => {
    const cpu = process.cpuUsage();
    const { took, grown } = await bench.fill(runMs, durability);
    const { user, system } = process.cpuUsage(cpu);
    const seconds = took.reduce((sum, ms) => sum + ms, 0) / 1_000;
    const bytes = took.length * load.rows * load.bytes;
    const writeBytes = Math.round(grown / took.length);
    const raw = durability === "os" ? null : measureRawDisk({ bytes: writeBytes, ms: runMs / 2 });
    return {
      load: `${titleOf(load)} ${durability}`,
      "rows/s": (took.length * load.rows) / seconds,
      "MB/s": bytes / 1e6 / seconds,
      "p50 ms": quantile(took, 0.5),
      "p99 ms": quantile(took, 0.99),
      "written/byte": grown / bytes,
      "CPU s/GB": (user + system) / 1e6 / (bytes / 1e9),
      "raw p50 ms": raw?.p50Ms ?? null,
      "raw MB/s": raw === null ? null : (raw.megabytesPerSecond * bytes) / grown,
    };
  });
}

async function cold(load: Load): Promise<BenchRow> {
  return withBench(load, async (bench) => {
    await bench.fill(runMs * 4, "os");
    const input = bench.active;
    const rows = bench.index - 1;
    const first = 3;
    const unsealed = await bench.readAll((index) => ({
      ...bounds,
      file: input,
      rows: {
        lsns: Array.from(
          { length: Math.min(2_000, rows - index + 1) },
          (_, i) => first + index - 1 + i,
        ),
      },
    }));
    const unclean = await bench.reopen();
    await bench.disk.commit({ rows: [factRow("cleanStop", bench.lsn++)], durability: "full" });
    const clean = await bench.reopen();
    const output = sealedName({ firstLsn: 1, lastLsn: bench.lsn - 1 }, 0);
    await bench.roll();
    const start = performance.now();
    const head: SealedHead = await bench.disk.seal(
      {
        output,
        inputs: [
          {
            name: input,
            live: [{ replica: 0, groupId, firstIndex: 1, lastIndex: rows }],
            snapshots: [],
          },
        ],
      },
      () => false,
    );
    const sealMs = performance.now() - start;
    const range = { endIndex: rows + 1, fromOffset: null, fromTimestamp: null, dataOnly: true };
    const sealed = await bench.readAll((fromIndex) => ({
      ...bounds,
      file: output,
      rows: { ...range, fromIndex },
    }));
    const bytes = rows * load.bytes;
    return {
      load: titleOf(load),
      rows,
      "unsealed rows/s": unsealed,
      "sealed rows/s": sealed,
      "sealed MB/s": (sealed * load.bytes) / 1e6,
      "seal MB/s": bytes / 1e3 / sealMs,
      "sealed/byte": head.fileBytes / bytes,
      "start unclean ms": unclean,
      "start clean ms": clean,
    };
  });
}

const rows: BenchRow[] = [];
for (const load of loads)
  for (const durability of ["full", "os"] as const) rows.push(await commits(load, durability));
report.table("Commits: rows of one size x rows a transaction", rows, [
  "raw: write + fdatasync of as many bytes as a commit wrote, in the same run; raw MB/s counts the rows' bytes alone",
]);
const coldRows: BenchRow[] = [];
for (const load of [loads[2], loads[4], loads[6]]) coldRows.push(await cold(load));
report.table("Reads, seal and start of one file", coldRows);
process.exit(0);
