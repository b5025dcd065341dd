// Two nodes' transport: the wait for an answer, what goes through, what a packet and a gigabyte cost, and whether a beat
// waits behind bulk. This process is a Bun node; the other is a process of its own, on Bun or Deno.
//
//   --runtime bun|deno   the other node, default both in turn

import { connect } from "node:http2";
import { join } from "node:path";
import { int64At } from "../../src/bytes/big-endian.ts";
import { createHttp2Transport } from "../../src/transport/http2-transport.ts";
import type { PeerTls } from "../../src/transport/peer-auth.ts";
import type { InPacket, Lane, Transport } from "../../src/transport/transport.ts";
import { systemWorld } from "../../src/world.ts";
import { tlsOf } from "../transport/certificates.ts";
import { usageOf } from "./process-usage.ts";
import { type BenchRow, openReport, quantile } from "./report.ts";

const report = openReport("transport");
const runtimes = report.flag("runtime")?.split(",") ?? ["bun", "deno"];
const seconds = report.smoke ? 0.1 : 3;

interface Pair {
  readonly transport: Transport;
  readonly pid: number;
  /** What is done with each answer. */
  readonly onAnswer: Map<Lane, () => void>;
  readonly barePort: number;
  end(): Promise<void>;
}

async function openPair(runtime: string, tls: PeerTls | null): Promise<Pair> {
  const onAnswer = new Map<Lane, () => void>();
  const up = Promise.withResolvers<void>();
  const transport = createHttp2Transport({
    world: systemWorld,
    nodeId: 1,
    clusterId: "bench",
    bootId: String(process.pid),
    listen: { host: "127.0.0.1", port: 0 },
    tls,
    log: { write: () => undefined },
  });
  await transport.open({
    onPacket: ({ lane }: InPacket) => onAnswer.get(lane)?.(),
    onUp: () => up.resolve(),
    onBroken: (_, lane) => console.error(`Lane ${lane} broke`),
    onDown: () => undefined,
  });
  const script = join(import.meta.dirname, "transport-echo.ts");
  const given = JSON.stringify({ tls, peer: { nodeId: 1, ...transport.address } });
  const deno = join(import.meta.dirname, "../../node_modules/.bin/deno");
  const command = runtime === "bun" ? [process.execPath] : [deno, "run", "-A", "--no-lock"];
  const child = Bun.spawn([...command, script, given], { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  const { pid, barePort, ...address } = JSON.parse(new TextDecoder().decode(value)) as {
    pid: number;
    barePort: number;
    host: string;
    port: number;
  };
  transport.setPeers([{ nodeId: 2, ...address }]);
  await up.promise;
  return {
    transport,
    pid,
    onAnswer,
    barePort,
    async end() {
      await transport.close();
      await child.exited;
    },
  };
}

interface Load {
  readonly lane: Lane;
  readonly size: number;
  readonly inFlight: number;
  /** The next packet goes at the earliest so long after the former, ms. */
  readonly paceMs?: number;
}

interface Done {
  readonly packets: number;
  readonly seconds: number;
  /** ms, one of each packet. */
  readonly latencies: Float64Array;
}

/** Keeps `inFlight` packets under way for a while. */
function drive(pair: Pair, { lane, size, inFlight, paceMs = 0 }: Load): Promise<Done> {
  const head = new Uint8Array(16);
  const body = size > 16 ? [new Uint8Array(size - 16)] : [];
  const sentAt: number[] = [];
  const latencies: number[] = [];
  const startedAt = performance.now();
  const done = Promise.withResolvers<Done>();
  const send = (): void => {
    sentAt.push(performance.now());
    if (!pair.transport.send(2, lane, { head, body })) done.reject(new Error("Not taken"));
  };
  let answered = 0;
  pair.onAnswer.set(lane, () => {
    const now = performance.now();
    latencies.push(now - sentAt[answered]);
    answered += 1;
    if (now - startedAt < seconds * 1_000) {
      const earlyMs = startedAt + answered * paceMs - now;
      if (earlyMs <= 0) send();
      else setTimeout(send, earlyMs);
    } else if (answered === sentAt.length)
      done.resolve({
        packets: answered,
        seconds: (now - startedAt) / 1_000,
        latencies: Float64Array.from(latencies).sort(),
      });
  });
  for (let i = 0; i < inFlight; i += 1) send();
  return done.promise;
}

/** The same without frames, lanes and copies: bytes written to one stream, counted at its other end. */
async function bare(pair: Pair, { size, inFlight }: Load, tls: PeerTls | null): Promise<Done> {
  const origin = `${tls === null ? "http" : "https"}://127.0.0.1:${pair.barePort}`;
  const session = connect(origin, tls === null ? {} : { ca: tls.ca });
  const stream = session.request({ ":method": "POST", ":path": "/peer/v1/lanes/bulk" });
  const packet = Buffer.alloc(size);
  const sentAt: number[] = [];
  const latencies: number[] = [];
  const startedAt = performance.now();
  const done = Promise.withResolvers<Done>();
  const send = (): void => {
    sentAt.push(performance.now());
    stream.write(packet);
  };
  stream.on("data", (counts: Buffer) => {
    const now = performance.now();
    const answered = int64At(counts, counts.length - 8) / size;
    while (latencies.length < answered) {
      latencies.push(now - sentAt[latencies.length]);
      if (now - startedAt < seconds * 1_000) send();
    }
    if (latencies.length === sentAt.length)
      done.resolve({
        packets: answered,
        seconds: (now - startedAt) / 1_000,
        latencies: Float64Array.from(latencies).sort(),
      });
  });
  for (let i = 0; i < inFlight; i += 1) send();
  const result = await done.promise;
  session.destroy();
  return result;
}

async function measured(
  name: string,
  pair: Pair,
  load: Load,
  run: () => Promise<Done> = () => drive(pair, load),
): Promise<BenchRow> {
  const before = [usageOf(process.pid), usageOf(pair.pid)];
  const { packets, seconds, latencies } = await run();
  const after = [usageOf(process.pid), usageOf(pair.pid)];
  const [own, other] = after.map(
    (usage, i) => (usage?.cpuSeconds ?? 0) - (before[i]?.cpuSeconds ?? 0),
  );
  const gigabytes = (packets * load.size) / 1e9;
  return {
    load: name,
    "packets/s": Math.round(packets / seconds),
    "MB/s": rounded((packets * load.size) / 1e6 / seconds, 1),
    "p50 ms": rounded(quantile(latencies, 0.5), 3),
    "p99 ms": rounded(quantile(latencies, 0.99), 3),
    "max ms": rounded(latencies.at(-1) ?? 0, 1),
    "sender us/packet": rounded((own / packets) * 1e6, 1),
    "receiver us/packet": rounded((other / packets) * 1e6, 1),
    "CPU s/GB": rounded((own + other) / gigabytes, 2),
  };
}

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

const loads: readonly (readonly [string, Load])[] = [
  ["200 B, one after the other", { lane: "append", size: 200, inFlight: 1 }],
  ["200 B x 256", { lane: "append", size: 200, inFlight: 256 }],
  ["1 KB x 64", { lane: "append", size: 1_024, inFlight: 64 }],
  ["16 KB x 32", { lane: "append", size: 16_384, inFlight: 32 }],
  ["1 MB x 4, bulk", { lane: "bulk", size: 1_048_576, inFlight: 4 }],
];

const beat: Load = { lane: "control", size: 200, inFlight: 1 };

async function run(runtime: string, tls: PeerTls | null): Promise<void> {
  const pair = await openPair(runtime, tls);
  const what = `Bun to ${runtime === "bun" ? "Bun" : "Deno"}, ${tls === null ? "cleartext" : "TLS"}`;
  const rows: BenchRow[] = [];
  for (const [name, load] of loads) {
    await drive(pair, load);
    rows.push(await measured(name, pair, load));
  }
  const plain: Load = { lane: "append", size: 16_384, inFlight: 32 };
  const run = () => bare(pair, plain, tls);
  await run();
  rows.push(await measured("16 KB x 32 on a bare stream", pair, plain, run));
  report.table(`${what}: each packet is answered by its head`, rows, [
    "Latency is from send() to the answer. CPU is of both processes, the bench's own part with it.",
  ]);
  const beside: BenchRow[] = [await measured("nothing", pair, beat)];
  for (const [name, load] of [
    ["256 KB, bulk, paced", { lane: "bulk", size: 262_144, inFlight: 1, paceMs: 5 }],
    ["256 KB x 4, bulk", { lane: "bulk", size: 262_144, inFlight: 4 }],
    ["1 MB x 16, bulk", { lane: "bulk", size: 1_048_576, inFlight: 16 }],
    ["16 KB x 32, append", { lane: "append", size: 16_384, inFlight: 32 }],
  ] as const) {
    const bulk = drive(pair, load);
    const row = await measured(name, pair, beat);
    const { packets, seconds } = await bulk;
    const rate = rounded((packets * load.size) / 1e6 / seconds, 0);
    beside.push({ ...row, "MB/s": rate, "sender us/packet": null, "receiver us/packet": null });
  }
  const columns = ["load", "MB/s", "p50 ms", "p99 ms", "max ms"];
  report.table(
    `${what}: a beat of 200 B on the control lane, one after the other, beside`,
    beside.map((row) => Object.fromEntries(columns.map((name) => [name, row[name] ?? null]))),
    ["MB/s is what goes beside it."],
  );
  await pair.end();
}

for (const runtime of runtimes) for (const tls of [null, tlsOf("bench")]) await run(runtime, tls);
process.exit(0);
