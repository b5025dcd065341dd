// The HTTP door beside its limit: a bare Hono echo of the same bytes, in the same run, round for round.
//
// Servers are processes of their own; the client is this process, which looks at no more of an answer than its status
// and length (http-load.ts). Rounds alternate between the servers; figures are medians of rounds. The door stands over
// a real broker (--loads TEXT: only loads whose name holds the text, beside the echo), once with its disk in memory (what
// the door itself costs) and once on a real folder.

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer as start, type BenchServer as Server } from "./bench-server.ts";
import { load, requestBytes, refusals } from "./http-load.ts";
import { usageOf } from "./process-usage.ts";
import { openReport, quantile, type BenchRow } from "./report.ts";

const report = openReport("http");
const rounds = report.smoke ? 1 : 5;
const roundMs = report.smoke ? 100 : 1_500;
const connections = 64;
const valueBytes = 200;
const value = "x".repeat(valueBytes);

interface Load {
  readonly name: string;
  readonly server: Server;
  /** Records that one answer stands for. */
  readonly records: number;
  readonly request: Uint8Array;
}

interface Found {
  readonly perSecond: number[];
  readonly p99: number[];
  /** CPU time of the server, all threads, microseconds an answer. */
  readonly cpuUs: number[];
  refused: string;
}

/** The same JSON body goes to the echo and to the door. */
function bodyOf(count: number): Uint8Array {
  const records = Array.from({ length: count }, (_, i) => ({ key: `user-${i}`, value }));
  return Buffer.from(JSON.stringify({ records }));
}

const post = (server: Server, path: string, body: Uint8Array, type = "application/json") =>
  requestBytes({ url: server.url, method: "POST", path, contentType: type, body });

async function loadsOf(echo: Server, memory: Server, folder: Server): Promise<Load[]> {
  const loads: Load[] = [
    {
      name: "bare Hono echo, 1 record",
      server: echo,
      records: 1,
      request: post(echo, "/echo", bodyOf(1)),
    },
    {
      name: "bare Hono echo, 100 records",
      server: echo,
      records: 100,
      request: post(echo, "/echo", bodyOf(100)),
    },
  ];
  for (const [disk, server] of [
    ["memory", memory],
    ["disk", folder],
  ] as const) {
    const path = "/v1/topics/t/records";
    await fetch(`${server.url}/v1/topics`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"name":"t","partitions":4}',
    });
    for (const count of [1, 100]) {
      const name = `write, JSON, ${count} a request (${disk})`;
      loads.push({ name, server, records: count, request: post(server, path, bodyOf(count)) });
    }
    const raw = post(server, `${path}?key=user-1`, Buffer.from(value), "text/plain");
    loads.push({ name: `write, raw, 1 a request (${disk})`, server, records: 1, request: raw });
    for (const count of [1, 100]) {
      const read = `/v1/topics/t/partitions/0/records?last=${count}`;
      const { url } = server;
      const head = { url, method: "GET", path: read, contentType: "", body: new Uint8Array(0) };
      const name = `read at the tail, ${count} a request (${disk})`;
      loads.push({ name, server, records: count, request: requestBytes(head) });
    }
  }
  return loads;
}

async function measure(loads: readonly Load[]): Promise<Map<Load, Found>> {
  const found = new Map(
    loads.map((one): [Load, Found] => [one, { perSecond: [], p99: [], cpuUs: [], refused: "" }]),
  );
  // The rounds below 0 warm up: a server's code is compiled over its first seconds of load.
  for (let round = report.smoke ? 0 : -3; round < rounds; round++) {
    for (const [one, figures] of found) {
      const { url, pid } = one.server;
      const before = usageOf(pid)?.cpuSeconds ?? Number.NaN;
      const result = await load({ url, connections, ms: roundMs, request: () => one.request });
      const cpuSeconds = (usageOf(pid)?.cpuSeconds ?? Number.NaN) - before;
      if (round < 0) continue;
      figures.cpuUs.push((cpuSeconds * 1e6) / result.answered);
      figures.perSecond.push(result.perSecond);
      figures.p99.push(quantile(result.latencyMs, 0.99));
      figures.refused = refusals(result);
    }
  }
  return found;
}

const dir = mkdtempSync(join(tmpdir(), "rivulet-http-bench-"));
const servers = await Promise.all([
  start("bare-echo.ts"),
  start("http-door.ts", "memory"),
  start("http-door.ts", dir),
]);
const [echo, memory, folder] = servers;
try {
  const all = await loadsOf(echo, memory, folder);
  const wanted = report.flag("loads") ?? "";
  const found = await measure(
    all.filter(({ server, name }) => server === echo || name.includes(wanted)),
  );
  const limit = new Map<number, number>();
  const rows: BenchRow[] = [];
  for (const [{ name, records, server }, { perSecond, p99, cpuUs, refused }] of found) {
    const rate = quantile(perSecond, 0.5);
    if (server === echo) limit.set(records, rate);
    rows.push({
      load: name,
      "requests/s": rate,
      "records/s": rate * records,
      "of the echo": rate / (limit.get(records) ?? Number.NaN),
      "server CPU us": quantile(cpuUs, 0.5),
      "p99 ms": quantile(p99, 0.5),
      refused: refused === "" ? null : refused,
    });
  }
  report.table(
    `HTTP door, ${connections} connections with one request each, ${valueBytes} B values`,
    rows,
    [
      `client: this process; servers: three others; ${rounds} rounds of ${roundMs} ms, alternating; medians`,
    ],
  );
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}
