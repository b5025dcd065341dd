// NDJSON in over raw sockets, six million lines a caller: what the node holds while receipts are read, are never read,
// are not wanted, and while a thousand callers say nothing. The node is a process of its own, its disk a folder.
//
//   bun test/bench/run.ts --only unread-lines [--lines N]
//
// Memory is the highest resident memory of the node while the load ran, over what it had before. The node's deadlines of
// 30 s run ten times as fast.

import { mkdtempSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer, type BenchServer } from "./bench-server.ts";
import { usageOf } from "./process-usage.ts";
import { openReport, type BenchRow } from "./report.ts";

const report = openReport("unread-lines");
const lineCount = Number(report.flag("lines") ?? (report.smoke ? 20_000 : 6_000_000));
const silentCount = report.smoke ? 20 : 1_000;
const speed = 10;
const perChunk = 1_000;
const block = `{"value":"${"x".repeat(80)}"}\n`.repeat(perChunk);
const chunk = Buffer.from(`${block.length.toString(16)}\r\n${block}\r\n`);

/** A connection with one NDJSON request on it: how much came back, and its last bytes. */
class Caller {
  readonly socket: Socket;
  closed = false;
  received = 0;
  last = "";

  constructor(url: string, query: string) {
    const { hostname, port } = new URL(url);
    this.socket = connect(Number(port), hostname);
    this.socket.on("data", (bytes) => {
      this.received += bytes.length;
      this.last = (this.last + bytes.toString("latin1")).slice(-1_000);
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => (this.closed = true));
    this.socket.setMaxListeners(0);
    this.socket.write(
      `POST /v1/topics/t/records${query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
  }

  /** The lines until all are sent, or until the node takes no more for `quietMs`. Gives how many were sent. */
  async send(count: number, quietMs: number): Promise<number> {
    for (let sent = 0; ;) {
      if (sent >= count || this.closed) return sent;
      const more = this.socket.write(chunk);
      sent += perChunk;
      if (more) continue;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const quiet = new Promise<"quiet">((resolve) => {
        timer = setTimeout(() => resolve("quiet"), quietMs);
      });
      const first = await Promise.race([once(this.socket, "drain"), quiet]);
      clearTimeout(timer);
      if (first === "quiet") return sent;
    }
  }

  /** Until the answer has its last line, or its connection is closed. */
  async end(): Promise<void> {
    while (!this.closed && codeOf(this.last) === "nothing") {
      await Promise.race([once(this.socket, "data"), once(this.socket, "close")]);
    }
  }
}

/** Runs a load against a fresh node and tells what it held. */
async function measured(
  load: string,
  run: (server: BenchServer) => Promise<Pick<BenchRow, string>>,
): Promise<BenchRow> {
  const folder = mkdtempSync(join(tmpdir(), "rivulet-bench-"));
  const server = await startServer("http-door.ts", folder, String(speed));
  try {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ name: "t", partitions: 1 });
    await fetch(`${server.url}/v1/topics`, { method: "POST", headers, body });
    const before = usageOf(server.pid);
    const startedAt = performance.now();
    const told = await run(server);
    const seconds = (performance.now() - startedAt) / 1_000;
    const after = usageOf(server.pid);
    const healthy = (await fetch(`${server.url}/livez`)).status;
    const { logEndOffset } = await offsetsOf(server);
    return {
      load,
      "lines written": logEndOffset,
      seconds,
      "MB more at most": (after?.peakMb ?? Number.NaN) - (before?.rssMb ?? Number.NaN),
      "MB more after": (after?.rssMb ?? Number.NaN) - (before?.rssMb ?? Number.NaN),
      "node goes on": healthy,
      ...told,
    };
  } finally {
    await server.stop();
  }
}

async function offsetsOf({ url }: BenchServer): Promise<{ readonly logEndOffset: number }> {
  const page = (await (await fetch(`${url}/v1/topics/t`)).json()) as {
    readonly partitions: number;
    readonly offsets?: readonly { readonly logEndOffset: number }[];
  };
  if (page.offsets !== undefined) return page.offsets[0];
  const last = (await (await fetch(`${url}/v1/topics/t/records?last=1`)).json()) as {
    readonly records: readonly { readonly offset: number }[];
  };
  return { logEndOffset: (last.records.at(-1)?.offset ?? -1) + 1 };
}

const codeOf = (text: string): string =>
  /"code":"([a-z_]+)"/.exec(text)?.[1] ?? (text.includes('"done":true') ? "done" : "nothing");

async function writing(server: BenchServer, query: string): Promise<BenchRow> {
  const caller = new Caller(server.url, query);
  const sent = await caller.send(lineCount, 20_000);
  caller.socket.write("0\r\n\r\n");
  await caller.end();
  caller.socket.destroy();
  return { "lines sent": sent, "receipts MB": caller.received / 1e6, ended: codeOf(caller.last) };
}

async function neverRead(server: BenchServer): Promise<BenchRow> {
  const caller = new Caller(server.url, "");
  caller.socket.pause();
  // Longer than the 30 s, ten times as fast, after which unread receipts end the request.
  const sent = await caller.send(lineCount, 45_000 / speed);
  caller.socket.resume();
  if (sent < lineCount) await caller.end();
  caller.socket.destroy();
  return { "lines sent": sent, "receipts MB": caller.received / 1e6, ended: codeOf(caller.last) };
}

async function silent(server: BenchServer): Promise<BenchRow> {
  const callers = Array.from({ length: silentCount }, () => new Caller(server.url, ""));
  await Promise.all(callers.map((caller) => caller.end()));
  const codes = new Set(callers.map((caller) => codeOf(caller.last)));
  for (const { socket } of callers) socket.destroy();
  return { "lines sent": 0, "receipts MB": 0, ended: [...codes].join(", ") };
}

const rows = [
  await measured("receipts are read", (server) => writing(server, "")),
  await measured("receipts=summary", (server) => writing(server, "?receipts=summary")),
  await measured("receipts are never read", neverRead),
  await measured(`${silentCount} callers say nothing`, silent),
];
report.table(`${lineCount.toLocaleString("en")} lines of 80 B over one raw socket`, rows, [
  "never read: the node stops reading when 1 MiB of receipts lies unread, and ends the request after 30 s (here 3 s)",
]);
