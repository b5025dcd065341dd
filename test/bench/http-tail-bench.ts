// Those who wait, beside a bare Hono that only sends: fan-out of one topic to 1, 100 and 1,000 tailers, and what 10,000
// idle connections and 10,000 waiting long polls cost in memory and to writers.
//
// Servers are processes of their own; the client is this process, so that latencies of 1,000 tailers hold the reading of
// 1,000 sockets. The door's disk is in memory.

import { startServer, type BenchServer } from "./bench-server.ts";
import { usageOf } from "./process-usage.ts";
import { openReport, quantile, type BenchRow } from "./report.ts";

const report = openReport("http-tail");
/** 0: what the write alone costs, of which every event of the others holds its part. */
const tailerCounts = report.smoke ? [0, 1, 5] : [0, 1, 100, 1_000];
/** At least: the kernel counts CPU time in hundredths of a second. */
const eventsPerRun = report.smoke ? 100 : 100_000;
/** Both servers in turn, so that both have the same machine; the medians are told. */
const rounds = report.smoke ? 1 : 3;
const waiterCount = report.smoke ? 20 : 10_000;
const value = "x".repeat(200);

interface Kind {
  readonly name: string;
  readonly server: BenchServer;
  readonly tail: string;
  readonly wait: string;
  readonly write: string;
  readonly idle: string;
  readonly body: string;
}

const nothing = (): void => undefined;

/** An open connection that counts how often a mark came. */
interface Reader {
  readonly socket: Bun.Socket;
  seen: number;
}

async function openReader(kind: Kind, path: string, onSeen: () => void): Promise<Reader> {
  const { hostname, port } = new URL(kind.server.url);
  const opened = Promise.withResolvers<Reader>();
  const data = (socket: Bun.Socket, bytes: Buffer): void => {
    const reader = readers.get(socket);
    if (reader === undefined) return;
    // One mark an event: the value's own beginning.
    for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) reader.seen++;
    onSeen();
    opened.resolve(reader);
  };
  const socket = await Bun.connect({ hostname, port: Number(port), socket: { data } });
  const reader: Reader = { socket, seen: 0 };
  readers.set(socket, reader);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: ${hostname}\r\n\r\n`);
  return await (path === kind.wait ? reader : opened.promise);
}

const readers = new WeakMap<Bun.Socket, Reader>();
const mark = "data: {";

async function post(kind: Kind): Promise<void> {
  const headers = { "content-type": "application/json" };
  const url = kind.server.url + kind.write;
  const response = await fetch(url, { method: "POST", headers, body: kind.body });
  if (!response.ok) throw new Error(`${kind.name} answered ${response.status}`);
  await response.arrayBuffer();
}

/** Records one after another, each awaited at every tailer; a fifth more before, while the code is compiled. */
async function fanOut(kind: Kind, tailers: number): Promise<BenchRow> {
  let wanted = 0;
  let arrived = nothing;
  const all: Reader[] = [];
  const onSeen = (): void => {
    if (all.every(({ seen }) => seen >= wanted)) arrived();
  };
  const seenSlowly = tailers > 1 ? throttled(onSeen) : onSeen;
  for (let i = 0; i < tailers; i++) all.push(await openReader(kind, kind.tail, seenSlowly));
  const write = async (): Promise<void> => {
    wanted++;
    const here = new Promise<void>((resolve) => {
      arrived = tailers === 0 ? (resolve(), nothing) : resolve;
    });
    await Promise.all([post(kind), here]);
  };
  const ways = Math.max(tailers, 1);
  const events = Math.max(20, Math.floor(eventsPerRun / Math.max(ways, 25)));
  for (let i = 0; i < events / 5; i++) await write();
  const latency: number[] = [];
  const cpu = usageOf(kind.server.pid)?.cpuSeconds ?? Number.NaN;
  const startedAt = performance.now();
  for (let i = 0; i < events; i++) {
    const sentAt = performance.now();
    await write();
    latency.push(performance.now() - sentAt);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  const used = (usageOf(kind.server.pid)?.cpuSeconds ?? Number.NaN) - cpu;
  for (const { socket } of all) socket.end();
  return {
    load: `${tailers === 0 ? "the write alone" : `${tailers} tailers`}, ${kind.name}`,
    "events/s": (events * ways) / seconds,
    [cpuColumn]: (used * 1e6) / (events * ways),
    "p50 ms": quantile(latency, 0.5),
    "p99 ms": quantile(latency, 0.99),
    "p99.9 ms": quantile(latency, 0.999),
  };
}

const cpuColumn = "server CPU us an event";

/** A row for each kind: the median of each column over the rounds, and the CPU time beside the first kind's. */
async function fanOutOfAll(kinds: readonly Kind[], tailers: number): Promise<BenchRow[]> {
  const runs = kinds.map((): BenchRow[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, kind] of kinds.entries()) runs[i].push(await fanOut(kind, tailers));
  }
  const rows = runs.map(mediansOf);
  const first = Number(rows[0][cpuColumn]);
  return rows.map((row) => ({ ...row, "CPU, of bare Hono's": Number(row[cpuColumn]) / first }));
}

function mediansOf(rows: readonly BenchRow[]): BenchRow {
  const columns = Object.keys(rows[0]).map((name) => {
    const values = rows.map((row) => row[name]);
    return [
      name,
      values.every((value) => typeof value === "number") ? quantile(values, 0.5) : values[0],
    ];
  });
  return Object.fromEntries(columns) as BenchRow;
}

/** Counting all readers for each chunk of each would cost more than the chunks: once a turn is enough. */
function throttled(call: () => void): () => void {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    setImmediate(() => {
      due = false;
      call();
    });
  };
}

async function writeLatency(kind: Kind): Promise<number> {
  const latency: number[] = [];
  for (let i = 0; i < (report.smoke ? 5 : 200); i++) {
    const sentAt = performance.now();
    await post(kind);
    latency.push(performance.now() - sentAt);
  }
  return quantile(latency, 0.5);
}

/** Memory of connections that do nothing, or wait for a topic that nobody writes. */
async function waiting(kind: Kind, what: "idle" | "wait"): Promise<BenchRow> {
  const before = usageOf(kind.server.pid)?.anonMb ?? Number.NaN;
  const alone = await writeLatency(kind);
  const all: Reader[] = [];
  for (let i = 0; i < waiterCount; i++) {
    all.push(await openReader(kind, what === "idle" ? kind.idle : kind.wait, nothing));
  }
  const beside = await writeLatency(kind);
  const after = usageOf(kind.server.pid)?.anonMb ?? Number.NaN;
  for (const { socket } of all) socket.end();
  return {
    load: `${waiterCount} ${what === "idle" ? "idle connections" : "long polls"}, ${kind.name}`,
    "KB each": ((after - before) * 1_000) / waiterCount,
    "write p50 ms alone": alone,
    "write p50 ms beside": beside,
  };
}

const servers = await Promise.all([
  startServer("bare-streams.ts"),
  startServer("http-door.ts", "memory"),
]);
const [bareServer, doorServer] = servers;
const bare: Kind = {
  name: "bare Hono",
  server: bareServer,
  tail: "/events",
  wait: "/wait",
  write: "/events",
  idle: "/idle",
  body: JSON.stringify({ partition: 0, offset: 0, timestamp: 0, key: null, value, headers: [] }),
};
const door: Kind = {
  name: "door",
  server: doorServer,
  tail: "/v1/topics/t/tail",
  wait: "/v1/topics/quiet/records?from=latest&waitMs=30000",
  write: "/v1/topics/t/records",
  idle: "/livez",
  body: JSON.stringify({ records: [{ value }] }),
};
try {
  for (const name of ["t", "quiet"]) {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ name, partitions: 1 });
    await fetch(`${doorServer.url}/v1/topics`, { method: "POST", headers, body });
  }
  const rows: BenchRow[] = [];
  for (const count of tailerCounts) rows.push(...(await fanOutOfAll([bare, door], count)));
  report.table(
    "Fan-out: one record at a time to all tailers, written and read by one client",
    rows,
    [
      "latency: from the write's first byte until the write is answered and the last tailer has the record",
      `medians of ${rounds} rounds, the servers in turn; an event at one tailer holds the whole write, at 1,000 a thousandth`,
    ],
  );
  const idle: BenchRow[] = [];
  for (const what of ["idle", "wait"] as const) {
    for (const kind of [bare, door]) idle.push(await waiting(kind, what));
  }
  report.table("Those who wait", idle);
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}
