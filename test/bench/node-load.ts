// A node under load: what it answers a second beside a bare echo, its tail beside the machine's own pauses, and what a
// byte costs: memory, CPU time, bytes sent to the disk, bytes left on it.

import { startNodeProcess } from "../durability/node-process.ts";
import { load, refusals, requestBytes, type LoadResult } from "./http-load.ts";
import {
  createTopic,
  inFolder,
  noise,
  postRequest,
  startEcho,
  type PostKind,
} from "./node-folder.ts";
import { describePauses, startPauseMeter, type PauseMeter } from "./pause-meter.ts";
import { allocatedBytes, usageOf, type ProcessUsage } from "./process-usage.ts";
import { quantile, type BenchReport, type BenchRow } from "./report.ts";

const partitions = 8;

interface Load extends PostKind {
  readonly what: string;
  readonly connections: number;
}

const loads: readonly Load[] = [
  { what: "200 B raw, 64 in flight", topic: "raw", bytes: 200, as: "raw", connections: 64 },
  { what: "200 B JSON, 64 in flight", topic: "json", bytes: 150, as: "json", connections: 64 },
  { what: "200 B raw, 1 in flight", topic: "one", bytes: 200, as: "raw", connections: 1 },
  { what: "16 KB raw, 64 in flight", topic: "batch", bytes: 16_384, as: "raw", connections: 64 },
  { what: "1 MB raw, 8 in flight", topic: "large", bytes: 1_000_000, as: "raw", connections: 8 },
];

export async function loadSection(
  report: BenchReport,
  { loadMs }: { readonly loadMs: number },
): Promise<void> {
  const meter = await startPauseMeter();
  const speed: BenchRow[] = [];
  const cost: BenchRow[] = [];
  const pauses: string[] = [];
  try {
    for (const one of loads) {
      const echo = await echoRate(one, loadMs / 5);
      const found = await inFolder((data) => underLoad(one, { data, loadMs, meter }));
      speed.push(speedRow(one, found.result, echo));
      cost.push(costRow(one, found));
      pauses.push(`${one.what}: ${found.pauses}`);
    }
  } finally {
    await meter.stop();
  }
  report.table("Posts over HTTP, durable (acks=all), client on the same cores", speed, pauses);
  report.table("What it costs", cost, [
    "RSS in MB of the node alone; bounded when its last third is no more than its middle third",
    "written: bytes the node sent to the disk; on disk: allocated after a clean stop; both per byte of value",
  ]);
}

/** What the same client and the same bytes reach against the bare echo; answers a second. */
async function echoRate(one: Load, ms: number): Promise<number> {
  await using echo = await startEcho();
  const request = requestBytes({
    url: echo.url,
    method: "POST",
    path: "/echo",
    contentType: "application/octet-stream",
    body: noise(one.bytes),
  });
  const result = await load({ ...one, url: echo.url, ms, request: () => request });
  await echo.stop();
  return result.perSecond;
}

interface Found {
  readonly result: LoadResult;
  readonly before: ProcessUsage | null;
  readonly after: ProcessUsage | null;
  /** Resident memory through the load, evenly sampled. */
  readonly rssMb: readonly number[];
  /** Some seconds after the load. */
  readonly restedMb: number | null;
  readonly diskBytes: number;
  readonly pauses: string;
}

async function underLoad(
  one: Load,
  run: { readonly data: string; readonly loadMs: number; readonly meter: PauseMeter },
): Promise<Found> {
  await using node = await startNodeProcess({ data: run.data });
  await createTopic(node.url, { name: one.topic, partitions });
  const request = postRequest(node.url, one);
  const before = usageOf(node.pid);
  const bytesBefore = await allocatedBytes(run.data);
  const rssMb: number[] = [];
  const sampler = setInterval(() => {
    rssMb.push(usageOf(node.pid)?.rssMb ?? Number.NaN);
  }, run.loadMs / 60);
  run.meter.lap();
  const result = await load({ ...one, url: node.url, ms: run.loadMs, request: () => request });
  clearInterval(sampler);
  const pauses = describePauses(run.meter.lap());
  const after = usageOf(node.pid);
  await Bun.sleep(Math.min(3_000, run.loadMs / 2));
  const restedMb = usageOf(node.pid)?.rssMb ?? null;
  await node.stop();
  const diskBytes = (await allocatedBytes(run.data)) - bytesBefore;
  return { result, before, after, rssMb, restedMb, diskBytes, pauses };
}

function speedRow(one: Load, result: LoadResult, echoPerSecond: number): BenchRow {
  const at = (part: number) => quantile(result.latencyMs, part);
  return {
    posts: one.what,
    "posts/s": Math.round(result.perSecond),
    "MB/s": (result.perSecond * one.bytes) / 1e6,
    "echo/s": Math.round(echoPerSecond),
    "of echo": `${Math.round((result.perSecond / echoPerSecond) * 100)} %`,
    "p50 ms": at(0.5),
    "p99 ms": at(0.99),
    "p99.9 ms": at(0.999),
    "max ms": at(1),
    refused: refusals(result) || null,
  };
}

function costRow(one: Load, found: Found): BenchRow {
  const { before, after, result, rssMb } = found;
  const bytes = result.answered * one.bytes;
  const third = Math.floor(rssMb.length / 3);
  const highest = (from: number, end: number) => quantile(rssMb.slice(from, end), 1);
  const cpu = (after?.cpuSeconds ?? Number.NaN) - (before?.cpuSeconds ?? Number.NaN);
  const written = (after?.writtenBytes ?? Number.NaN) - (before?.writtenBytes ?? Number.NaN);
  return {
    posts: one.what,
    "RSS before": before?.rssMb ?? null,
    "middle third": highest(third, 2 * third),
    "last third": highest(2 * third, rssMb.length),
    peak: after?.peakMb ?? null,
    rested: found.restedMb,
    "CPU s/GB": cpu / (bytes / 1e9),
    "CPU us/post": (cpu * 1e6) / result.answered,
    "written/byte": written / bytes,
    "on disk/byte": found.diskBytes / bytes,
  };
}
