// Beside Durable Streams' own server, where the work is the same: append a record, read what is there, follow live.
//
//   bun test/bench/run.ts --only durable-streams [--install]
//
// Both servers are processes of their own with a folder as their disk, and both answer an append when it is synced. A
// record is a JSON object with a text of 200 B; theirs is a stream of JSON messages, ours a topic of one partition. They
// take turns; medians are told. Their package is a reference server on Node, ours runs on Bun: each at its home.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer, type BenchServer } from "./bench-server.ts";
import {
  durableStreams,
  install,
  installed,
  startDurableStreams,
} from "./durable-streams-server.ts";
import { load, refusals, requestBytes } from "./http-load.ts";
import { usageOf } from "./process-usage.ts";
import { openReport, quantile, type BenchRow } from "./report.ts";

const report = openReport("durable-streams");
const rounds = report.smoke ? 1 : 3;
const loadMs = report.smoke ? 100 : 3_000;
const preloaded = report.smoke ? 2_000 : 100_000;
const perBatch = 1_000;
const liveEvents = report.smoke ? 20 : 200;
const value = "x".repeat(200);
const record = { value };
const jsonType = "application/json";

interface Kind {
  readonly name: string;
  readonly server: BenchServer;
  /** Makes the topic or stream of a name. */
  make(name: string): Promise<void>;
  readonly append: (name: string) => string;
  /** The body that appends these records. */
  readonly body: (records: readonly unknown[]) => string;
  readonly read: (name: string) => string;
  readonly tail: (name: string) => string;
  /** Headers of a read. */
  readonly accept: string;
}

async function ask(url: string, method: string, body?: string): Promise<void> {
  const headers = { "content-type": jsonType };
  const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
  if (!response.ok)
    throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
}

const ours = (server: BenchServer): Kind => ({
  name: "Rivulet",
  server,
  make: (name) => ask(`${server.url}/v1/topics`, "POST", JSON.stringify({ name, partitions: 1 })),
  append: (name) => `/v1/topics/${name}/records`,
  body: (records) => JSON.stringify({ records }),
  read: (name) => `/v1/topics/${name}/records?from=earliest`,
  tail: (name) => `/v1/topics/${name}/tail`,
  accept: "application/x-ndjson",
});

const theirs = (server: BenchServer): Kind => ({
  name: "Durable Streams",
  server,
  make: (name) => ask(`${server.url}/${name}`, "PUT"),
  append: (name) => `/${name}`,
  body: (records) => JSON.stringify(records.length === 1 ? records[0] : records),
  read: (name) => `/${name}?offset=-1`,
  tail: (name) => `/${name}?offset=now&live=sse`,
  accept: jsonType,
});

const nothing = (): void => undefined;
const cpuOf = ({ server }: Kind): number => usageOf(server.pid)?.cpuSeconds ?? Number.NaN;

async function appending(kind: Kind, connections: number): Promise<BenchRow> {
  const { url } = kind.server;
  const body = Buffer.from(kind.body([record]));
  const path = kind.append("writes");
  const bytes = requestBytes({ url, method: "POST", path, contentType: jsonType, body });
  const cpu = cpuOf(kind);
  const done = await load({ url, connections, ms: loadMs, request: () => bytes });
  return {
    "records/s": done.perSecond,
    "server CPU us": ((cpuOf(kind) - cpu) * 1e6) / done.answered,
    "p50 ms": quantile(done.latencyMs, 0.5),
    "p99 ms": quantile(done.latencyMs, 0.99),
    refused: refusals(done) || null,
  };
}

/** All records from the first on, in one answer. */
async function reading(kind: Kind): Promise<BenchRow> {
  const cpu = cpuOf(kind);
  const startedAt = performance.now();
  const answer = await fetch(kind.server.url + kind.read("full"), {
    headers: { accept: kind.accept, "accept-encoding": "identity" },
  });
  let bytes = 0;
  for await (const piece of answer.body!) bytes += piece.length;
  const seconds = (performance.now() - startedAt) / 1_000;
  if (bytes < preloaded * value.length) throw new Error(`${kind.name} sent ${bytes} bytes`);
  return {
    "records/s": preloaded / seconds,
    "MB/s of values": (preloaded * value.length) / 1e6 / seconds,
    "server CPU us": ((cpuOf(kind) - cpu) * 1e6) / preloaded,
  };
}

/** One append after another, each awaited at every tailer. */
async function following(kind: Kind, tailers: number): Promise<BenchRow> {
  const { hostname, port } = new URL(kind.server.url);
  let seen = 0;
  let wanted = 0;
  let arrived = nothing;
  const data = (_: Bun.Socket, bytes: Buffer): void => {
    for (let at = bytes.indexOf(value); at >= 0; at = bytes.indexOf(value, at + 1)) seen++;
    if (seen >= wanted) arrived();
  };
  const sockets: Bun.Socket[] = [];
  for (let i = 0; i < tailers; i++) {
    const opened = Promise.withResolvers<void>();
    const first = (socket: Bun.Socket, bytes: Buffer): void => {
      opened.resolve();
      data(socket, bytes);
    };
    const socket = await Bun.connect({ hostname, port: Number(port), socket: { data: first } });
    socket.write(`GET ${kind.tail("live")} HTTP/1.1\r\nhost: ${hostname}\r\n\r\n`);
    await opened.promise;
    sockets.push(socket);
  }
  const latency: number[] = [];
  const events = Math.max(20, Math.floor(liveEvents / Math.sqrt(tailers)) * 2);
  const body = kind.body([record]);
  const cpu = cpuOf(kind);
  for (let i = 0; i < events; i++) {
    wanted += tailers;
    const here = new Promise<void>((resolve) => (arrived = resolve));
    const sentAt = performance.now();
    await Promise.all([ask(kind.server.url + kind.append("live"), "POST", body), here]);
    latency.push(performance.now() - sentAt);
  }
  const used = cpuOf(kind) - cpu;
  for (const socket of sockets) socket.end();
  return {
    "records/s": (events * tailers * 1_000) / latency.reduce((sum, ms) => sum + ms, 0),
    "server CPU us": (used * 1e6) / (events * tailers),
    "p50 ms": quantile(latency, 0.5),
    "p99 ms": quantile(latency, 0.99),
  };
}

const loads: readonly (readonly [string, (kind: Kind) => Promise<BenchRow>])[] = [
  ["append, one at a time", (kind) => appending(kind, 1)],
  ["append, 64 in flight", (kind) => appending(kind, 64)],
  ["read all", reading],
  ["follow, 1 tailer", (kind) => following(kind, 1)],
  ["follow, 100 tailers", (kind) => following(kind, report.smoke ? 5 : 100)],
];

/** A row a server: medians over the rounds; of the second also how its figures stand to the first's. */
async function compared(name: string, run: (kind: Kind) => Promise<BenchRow>): Promise<BenchRow[]> {
  const runs = kinds.map((): BenchRow[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, kind] of kinds.entries()) runs[i].push(await run(kind));
  }
  const medians = runs.map(mediansOf);
  return medians.map((row, i) => ({
    load: `${name}, ${kinds[i].name}`,
    ...row,
    "records/s, of theirs": Number(row["records/s"]) / Number(medians[0]["records/s"]),
    "CPU, of theirs": Number(row["server CPU us"]) / Number(medians[0]["server CPU us"]),
  }));
}

function mediansOf(rows: readonly BenchRow[]): BenchRow {
  const columns = Object.keys(rows[0]).map((name) => {
    const values = rows.map((row) => row[name]);
    const all = values.every((one) => typeof one === "number");
    return [name, all ? quantile(values, 0.5) : (values.find((one) => one !== null) ?? null)];
  });
  return Object.fromEntries(columns) as BenchRow;
}

if (process.argv.includes("--install") && !installed()) await install();
const folder = mkdtempSync(join(tmpdir(), "rivulet-bench-"));
const kinds: Kind[] = [];
try {
  if (installed()) kinds.push(theirs(await startDurableStreams(join(folder, "theirs"))));
  kinds.push(ours(await startServer("http-door.ts", join(folder, "ours"))));
  for (const kind of kinds) {
    for (const name of ["writes", "full", "live"]) await kind.make(name);
    const batch = kind.body(Array.from({ length: perBatch }, () => record));
    for (let i = 0; i < preloaded; i += perBatch) {
      await ask(kind.server.url + kind.append("full"), "POST", batch);
    }
    // Once before it counts, while the code is compiled.
    for (const [, run] of loads) await run(kind);
  }
  const rows: BenchRow[] = [];
  for (const [name, run] of loads) rows.push(...(await compared(name, run)));
  const beside = installed()
    ? `${durableStreams} on Node, file-backed; both sync before they answer; medians of ${rounds} rounds in turn`
    : `not installed: ${durableStreams}; run with --install to compare (npm, into a temporary folder)`;
  report.table("Beside Durable Streams' own server: JSON records of 200 B", rows, [beside]);
} finally {
  await Promise.all(kinds.map((kind) => kind.server.stop()));
  rmSync(folder, { recursive: true, force: true });
}
