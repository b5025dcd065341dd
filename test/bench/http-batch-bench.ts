// Batches over HTTP beside their limit: JSON requests of many records, and streams of lines, each beside a bare Hono that
// gives the same bytes back; in the same run, round for round.
//
// The door stands over a real broker, once with its disk in memory and once on a folder. The client is this process.

import { mkdtempSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer, type BenchServer } from "./bench-server.ts";
import { load, refusals, requestBytes } from "./http-load.ts";
import { usageOf } from "./process-usage.ts";
import { openReport, quantile, type BenchRow } from "./report.ts";

const report = openReport("http-batch");
const rounds = report.smoke ? 1 : 5;
const roundMs = report.smoke ? 100 : 1_200;
const connections = 8;
const lineCount = report.smoke ? 2_000 : 200_000;
const chunkBytes = 65_536;

interface Load {
  readonly name: string;
  readonly server: BenchServer;
  readonly isLimit: boolean;
  readonly records: number;
  readonly bytes: number;
  /** Runs once and says how many requests were answered in how many ms. */
  run(): Promise<{ readonly answered: number; readonly ms: number; readonly refused: string }>;
}

const shapes = [
  { count: 1_000, valueBytes: 100 },
  { count: 100, valueBytes: 1_000 },
] as const;

function batchLoad(
  kind: { name: string; server: BenchServer; path: string; isLimit: boolean },
  { count, valueBytes }: (typeof shapes)[number],
): Load {
  const value = "x".repeat(valueBytes);
  const records = Array.from({ length: count }, (_, i) => ({ key: `user-${i}`, value }));
  const body = Buffer.from(JSON.stringify({ records }));
  const { server, path, name, isLimit } = kind;
  const { url } = server;
  const contentType = "application/json";
  const request = requestBytes({ url, method: "POST", path, contentType, body });
  return {
    name: `${count} x ${valueBytes} B, ${name}`,
    server,
    isLimit,
    records: count,
    bytes: count * valueBytes,
    async run() {
      const found = await load({ url, connections, ms: roundMs, request: () => request });
      return { answered: found.answered, ms: found.wallMs, refused: refusals(found) };
    },
  };
}

/** One connection sends all lines in pieces of 64 KB, as fast as they are taken, and reads the answer to its end. */
function streamLoad(kind: {
  name: string;
  server: BenchServer;
  path: string;
  isLimit: boolean;
}): Load {
  const line = `${JSON.stringify({ key: "user-1", value: "x".repeat(100) })}\n`;
  const perChunk = Math.floor(chunkBytes / line.length);
  const piece = Buffer.from(line.repeat(perChunk));
  const pieces = Math.ceil(lineCount / perChunk);
  return {
    ...kind,
    name: `stream of 100 B lines, ${kind.name}`,
    records: pieces * perChunk,
    bytes: pieces * perChunk * 100,
    async run() {
      const startedAt = performance.now();
      const last = await stream(kind.server.url, kind.path, { piece, pieces });
      const refused = /"error"/.test(last) ? last.slice(0, 200) : "";
      return { answered: 1, ms: performance.now() - startedAt, refused };
    },
  };
}

function stream(
  url: string,
  path: string,
  { piece, pieces }: { piece: Buffer; pieces: number },
): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const chunk = Buffer.concat([
    Buffer.from(`${piece.length.toString(16)}\r\n`),
    piece,
    Buffer.from("\r\n"),
  ]);
  return new Promise((resolve, reject) => {
    let tail = "";
    let left = pieces;
    const push = (): void => {
      while (left > 0) {
        left--;
        if (!socket.write(chunk)) return;
      }
      if (left === 0) socket.write("0\r\n\r\n");
      left = -1;
    };
    socket.on("connect", () => {
      socket.write(
        `POST ${path} HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n`,
      );
      push();
    });
    socket.on("drain", push);
    socket.on("data", (bytes: Buffer) => {
      tail = (tail + bytes.toString("latin1", Math.max(0, bytes.length - 400))).slice(-400);
      // A short answer may come with its length and without the mark of the last chunk.
      if (!/\r\n0\r\n\r\n$|"done":true.*\}\n|"error":.*\}\n/.test(tail)) return;
      socket.destroy();
      resolve(tail);
    });
    socket.on("error", reject);
  });
}

async function loadsOf(
  bare: BenchServer,
  echo: BenchServer,
  doors: readonly [string, BenchServer][],
) {
  const loads: Load[] = [];
  for (const [, server] of doors) {
    const init = {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"name":"t","partitions":4}',
    };
    await fetch(`${server.url}/v1/topics`, init);
  }
  for (const shape of shapes) {
    const limit = { name: "bare Hono echo", server: echo, path: "/echo", isLimit: true };
    loads.push(batchLoad(limit, shape));
    for (const [name, server] of doors) {
      loads.push(batchLoad({ name, server, path: "/v1/topics/t/records", isLimit: false }, shape));
    }
  }
  loads.push(streamLoad({ name: "bare Hono echo", server: bare, path: "/lines", isLimit: true }));
  for (const [name, server] of doors) {
    for (const receipts of ["each", "summary"]) {
      const path = `/v1/topics/t/records?receipts=${receipts}`;
      loads.push(
        streamLoad({ name: `${name}, receipts=${receipts}`, server, path, isLimit: false }),
      );
    }
  }
  return loads;
}

interface Found {
  readonly perSecond: number[];
  readonly cpuUs: number[];
  refused: string;
}

async function measure(loads: readonly Load[]): Promise<Map<Load, Found>> {
  const found = new Map<Load, Found>(
    loads.map((one) => [one, { perSecond: [], cpuUs: [], refused: "" }]),
  );
  for (let round = report.smoke ? 0 : -1; round < rounds; round++) {
    for (const [one, figures] of found) {
      const before = usageOf(one.server.pid)?.cpuSeconds ?? Number.NaN;
      const { answered, ms, refused } = await one.run();
      const cpu = (usageOf(one.server.pid)?.cpuSeconds ?? Number.NaN) - before;
      if (round < 0) continue;
      figures.perSecond.push((answered * one.records * 1_000) / ms);
      figures.cpuUs.push((cpu * 1e6) / (answered * one.records));
      figures.refused ||= refused;
    }
  }
  return found;
}

const dir = mkdtempSync(join(tmpdir(), "rivulet-http-batch-"));
const servers = await Promise.all([
  startServer("bare-streams.ts"),
  startServer("bare-echo.ts"),
  startServer("http-door.ts", "memory"),
  startServer("http-door.ts", dir),
]);
const [bare, echo, memory, folder] = servers;
try {
  const loads = await loadsOf(bare, echo, [
    ["door, memory", memory],
    ["door, disk", folder],
  ]);
  let limit = Number.NaN;
  const rows: BenchRow[] = [];
  for (const [one, { perSecond, cpuUs, refused }] of await measure(loads)) {
    const rate = quantile(perSecond, 0.5);
    if (one.isLimit) limit = rate;
    rows.push({
      load: one.name,
      "records/s": rate,
      "MB/s of values": (rate * one.bytes) / one.records / 1e6,
      "of the echo": rate / limit,
      "server CPU us a record": quantile(cpuUs, 0.5),
      refused: refused === "" ? null : refused,
    });
  }
  report.table(`Batches over HTTP, ${connections} connections; streams over one`, rows, [
    `client: this process; ${rounds} rounds, alternating; medians; a stream is ${lineCount} lines`,
  ]);
} finally {
  await Promise.all(servers.map((server) => server.stop()));
}
