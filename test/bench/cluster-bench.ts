// Three nodes beside one, in the same run: `bun run bench --only cluster`. Printed, never judged.
//
//   loads     posts of one record each, acks=all, fsync on every node; through the partition's leader, through a follower,
//             and to a node alone; rounds alternate
//   gaps      cluster-gaps.ts
//   catch-up  a follower is down while `--mb` are written; from its start until it has all of them
//
// All nodes and the client share the cores of this machine: a replicated byte is written, synced and sent by the same ones
// three times. MB are 10^6 bytes of values. --loads TEXT, --gaps N, --mb N choose; --no-gaps, --no-loads leave out.

import { load, refusals } from "./http-load.ts";
import { inFolder, postRequest } from "./node-folder.ts";
import { gapRows, leaderOf, settled } from "./cluster-gaps.ts";
import { startNodeProcess } from "../durability/node-process.ts";
import { threeNodes, type ClusterProcesses } from "../node/cluster-processes.ts";
import { describePauses, startPauseMeter } from "./pause-meter.ts";
import { usageOf } from "./process-usage.ts";
import { openReport, quantile, type BenchRow } from "./report.ts";

const report = openReport("cluster");
const { smoke } = report;
const rounds = smoke ? 1 : Number(report.flag("rounds") ?? 3);
const roundMs = smoke ? 150 : 2_000;
const megabytes = smoke ? 1 : Number(report.flag("mb") ?? 100);
const gaps = smoke ? 1 : Number(report.flag("gaps") ?? 7);
const topic = "loads";

interface Way {
  readonly name: string;
  readonly url: string;
  readonly pids: readonly number[];
}

interface Load {
  readonly bytes: number;
  readonly inFlight: number;
}

const loads: readonly Load[] = [
  { bytes: 200, inFlight: 1 },
  { bytes: 200, inFlight: 64 },
  { bytes: 1_000, inFlight: 1 },
  { bytes: 1_000, inFlight: 64 },
  { bytes: 16_384, inFlight: 64 },
  { bytes: 1_000_000, inFlight: 8 },
];

interface Found {
  readonly perSecond: number[];
  readonly latencyMs: number[];
  readonly cpuUs: number[];
  refused: string;
}

async function loadRows(ways: readonly Way[]): Promise<readonly BenchRow[]> {
  const rows: BenchRow[] = [];
  const wanted = report.flag("loads") ?? "";
  for (const one of loads) {
    const name = `${one.bytes.toLocaleString("en")} B, ${one.inFlight} in flight`;
    if (!name.includes(wanted)) continue;
    const found = new Map(ways.map((way) => [way, emptyFound()]));
    // The round below 0 warms up.
    for (let round = smoke ? 0 : -1; round < rounds; round++)
      for (const [way, figures] of found)
        await oneRound(way, one, round < 0 ? emptyFound() : figures);
    for (const [way, figures] of found) rows.push(rowOf(`${name}: ${way.name}`, one, figures));
  }
  return rows;
}

const emptyFound = (): Found => ({ perSecond: [], latencyMs: [], cpuUs: [], refused: "" });

async function oneRound(way: Way, { bytes, inFlight }: Load, into: Found): Promise<void> {
  const request = postRequest(way.url, { topic, bytes, as: "raw" });
  const before = cpuSeconds(way.pids);
  const options = { url: way.url, connections: inFlight, ms: roundMs, request: () => request };
  const result = await load(options);
  into.cpuUs.push(((cpuSeconds(way.pids) - before) * 1e6) / result.answered);
  into.perSecond.push(result.perSecond);
  into.latencyMs.push(...result.latencyMs);
  into.refused = refusals(result);
}

const cpuSeconds = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => sum + (usageOf(pid)?.cpuSeconds ?? Number.NaN), 0);

function rowOf(name: string, { bytes }: Load, found: Found): BenchRow {
  const rate = quantile(found.perSecond, 0.5);
  return {
    load: name,
    "records/s": rate,
    "MB/s": (rate * bytes) / 1e6,
    "p50 ms": quantile(found.latencyMs, 0.5),
    "p99 ms": quantile(found.latencyMs, 0.99),
    "p99.9 ms": quantile(found.latencyMs, 0.999),
    "CPU us a record": quantile(found.cpuUs, 0.5),
    refused: found.refused === "" ? null : found.refused,
  };
}

async function waysOf(cluster: ClusterProcesses, alone: Way): Promise<readonly Way[]> {
  for (const url of [alone.url, cluster.members[0].url]) {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ name: topic, partitions: 1 });
    const response = await fetch(`${url}/v1/topics`, { method: "POST", headers, body });
    if (response.status !== 201) throw new Error(`Cannot create a topic: ${await response.text()}`);
    await (await fetch(`${url}/v1/topics/${topic}/records`, { method: "POST", body: "x" })).text();
  }
  const leader = await leaderOf(cluster, topic);
  const follower = cluster.members.find((member) => member !== leader)!;
  const pids = cluster.members.map(({ process }) => process.pid);
  return [
    alone,
    { name: "three, leader", url: leader.url, pids },
    { name: "three, follower", url: follower.url, pids },
  ];
}

async function catchUpRow(cluster: ClusterProcesses): Promise<BenchRow> {
  const leader = await leaderOf(cluster, topic);
  const follower = cluster.members.find((member) => member !== leader)!;
  await follower.process.killHard();
  const bytes = 100_000;
  const request = postRequest(leader.url, { topic, bytes, as: "raw" });
  let written = 0;
  while (written < megabytes * 1e6) {
    const options = {
      url: leader.url,
      connections: 8,
      ms: smoke ? 20 : 200,
      request: () => request,
    };
    written += (await load(options)).answered * bytes;
  }
  await cluster.restart(follower);
  const began = performance.now();
  await settled(cluster, topic);
  const seconds = (performance.now() - began) / 1_000;
  return {
    what: "follower that was down",
    MB: written / 1e6,
    s: seconds,
    "MB/s": written / 1e6 / seconds,
  };
}

const meter = await startPauseMeter();
const began = performance.now();
await using cluster = await threeNodes();
const formedMs = performance.now() - began;
if (!process.argv.includes("--no-loads"))
  await inFolder(async (data) => {
    await using single = await startNodeProcess({ data });
    const ways = await waysOf(cluster, { name: "one node", url: single.url, pids: [single.pid] });
    const firstMs = performance.now() - began;
    meter.lap();
    const rows = await loadRows(ways);
    report.table("Posts, durable on a majority (acks=all), client on the same cores", rows, [
      `three nodes formed in ${formedMs.toFixed(0)} ms, first topic written at ${firstMs.toFixed(0)} ms`,
      `${rounds} rounds of ${roundMs} ms, alternating; medians; latencies of all rounds; CPU of all nodes`,
      describePauses(meter.lap()),
    ]);
    report.table(
      "Catching up, three processes",
      [await catchUpRow(cluster)],
      [describePauses(meter.lap())],
    );
  });
if (!process.argv.includes("--no-gaps")) {
  const few = Math.ceil(gaps / 2);
  const rows = await gapRows(cluster, { kill: gaps, silence: smoke ? 0 : few, transfer: 2 * gaps });
  report.table("A writer's longest wait, through the nodes that did not lead", rows, [
    describePauses(meter.lap()),
  ]);
}
await meter.stop();
