// Start to ready: spawn to the first 200 of /readyz, for each state in which a folder can be found, and the memory that
// the node then idles with. Aims: 150 ms after a clean stop, 500 ms after kill -9, 80 MB idle.

import type { NodeProcess } from "../durability/node-process.ts";
import { startNodeProcess } from "../durability/node-process.ts";
import { createTopic, fill, inFolder, startEcho, timedStart } from "./node-folder.ts";
import { allocatedBytes, usageOf } from "./process-usage.ts";
import { quantile, type BenchReport, type BenchRow } from "./report.ts";

export interface StartSizes {
  readonly gigabytes: number;
  readonly partitions: number;
  /** Starts measured of each kind. */
  readonly starts: number;
}

/** The read model's Worker rests 5 s before it ends; what is left is what a node idles with. */
const idleAfterMs = 6_500;

export async function startSection(report: BenchReport, sizes: StartSizes): Promise<void> {
  const { starts } = sizes;
  const idleMs = report.smoke ? 0 : idleAfterMs;
  const rows: BenchRow[] = [await bareRow({ starts, idleMs })];
  rows.push(await emptyRow({ starts, idleMs }));
  for (const one of folders(sizes)) {
    rows.push(...(await inFolder((data) => folderRows({ ...one, data, starts, idleMs }))));
  }
  report.table(
    "Start to ready, on the page cache's terms: files were written moments before",
    rows,
    [
      "aims: 150 ms after a clean stop, 500 ms after kill -9, 80 MB idle; asked every 5 ms; idle: the last start of each row, 6.5 s later",
    ],
  );
}

interface Folder {
  readonly what: string;
  prepare(url: string): Promise<unknown>;
}

function folders({ gigabytes, partitions }: StartSizes): readonly Folder[] {
  return [
    {
      what: "one topic, 4 MB",
      async prepare(url) {
        await createTopic(url, { name: "small", partitions: 3 });
        await fill(url, "small", 4e6);
      },
    },
    {
      what: `${partitions} partitions`,
      async prepare(url) {
        await createTopic(url, { name: "many", partitions });
        await writeToEach(url, partitions);
      },
    },
    {
      what: `${gigabytes} GB`,
      async prepare(url) {
        await createTopic(url, { name: "large", partitions: 8 });
        await fill(url, "large", gigabytes * 1e9);
      },
    },
  ];
}

/** One record into each partition, so that none has an empty log. */
async function writeToEach(url: string, partitions: number): Promise<void> {
  const records = Array.from({ length: partitions }, (_, partition) => ({ partition, value: "x" }));
  const response = await fetch(`${url}/v1/topics/many/records`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ records }),
  });
  if (response.status !== 200) throw new Error(`Cannot write: ${await response.text()}`);
}

interface Repeat {
  readonly starts: number;
  readonly idleMs: number;
}

async function bareRow({ starts, idleMs }: Repeat): Promise<BenchRow> {
  const found = await repeat(starts, (last) =>
    once(startEcho, { idleMs: last ? idleMs : 0, end: "stop" }),
  );
  return rowOf("a bare Hono echo (the limit)", found, null);
}

async function emptyRow({ starts, idleMs }: Repeat): Promise<BenchRow> {
  const found = await repeat(starts, (last) =>
    inFolder((data) =>
      once(() => startNodeProcess({ data }), { idleMs: last ? idleMs : 0, end: "stop" }),
    ),
  );
  return rowOf("an empty folder", found, null);
}

/** One folder, prepared once, found after clean stops and then after kills. */
async function folderRows(
  folder: Folder & Repeat & { readonly data: string },
): Promise<readonly BenchRow[]> {
  const { data, starts, idleMs } = folder;
  const start = () => startNodeProcess({ data });
  const first = await start();
  try {
    await folder.prepare(first.url);
    await first.stop();
  } finally {
    await first.killHard();
  }
  const rows: BenchRow[] = [];
  for (const end of ["stop", "kill"] as const) {
    // The start that follows the other kind of end is not counted.
    await once(start, { idleMs: 0, end });
    const found = await repeat(starts, (last) => once(start, { idleMs: last ? idleMs : 0, end }));
    const after = end === "stop" ? "clean stop" : "kill -9";
    rows.push(rowOf(`${folder.what}, ${after}`, found, await allocatedBytes(data)));
  }
  return rows;
}

/** In turn; the last one is told so. */
async function repeat<T>(times: number, run: (last: boolean) => Promise<T>): Promise<T[]> {
  const found: T[] = [];
  for (let i = 0; i < times; i++) found.push(await run(i === times - 1));
  return found;
}

interface Start {
  readonly ms: number;
  readonly cpuMs: number;
  readonly idleMb: number;
  readonly anonMb: number;
}

async function once(
  start: () => Promise<NodeProcess>,
  options: { readonly idleMs: number; readonly end: "stop" | "kill" },
): Promise<Start> {
  const { node, ms } = await timedStart(start);
  await using _ = node;
  const ready = usageOf(node.pid);
  await Bun.sleep(options.idleMs);
  const idle = usageOf(node.pid);
  await (options.end === "stop" ? node.stop() : node.killHard());
  return {
    ms,
    cpuMs: (ready?.cpuSeconds ?? Number.NaN) * 1_000,
    idleMb: idle?.rssMb ?? Number.NaN,
    anonMb: idle?.anonMb ?? Number.NaN,
  };
}

function rowOf(what: string, found: readonly Start[], bytes: number | null): BenchRow {
  const median = (of: (start: Start) => number) => quantile(found.map(of), 0.5);
  return {
    "start with": what,
    "ms p50": Math.round(median((start) => start.ms)),
    "ms max": Math.round(
      quantile(
        found.map((start) => start.ms),
        1,
      ),
    ),
    "CPU ms": Math.round(median((start) => start.cpuMs)),
    "idle RSS MB": found.at(-1)?.idleMb ?? null,
    "of it anonymous": found.at(-1)?.anonMb ?? null,
    "MB on disk": bytes === null ? null : bytes / 1e6,
  };
}
