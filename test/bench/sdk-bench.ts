// The client end to end, beside the limit of what it stands on: the same batches, prepared, through bare fetch.
//
// The node is a process of its own with its disk in memory; client and bench share this one. Rounds alternate between
// the loads; figures are medians of rounds. (--loads TEXT: only loads whose name holds the text.)

import { join } from "node:path";
import { connect, type Client, type NewRecord } from "../../edge/client/client.ts";
import { bundle } from "../../edge/client/pack.ts";
import { openReport, quantile, type BenchRow } from "./report.ts";

const report = openReport("sdk");
const rounds = report.smoke ? 1 : 5;
const recordsPerRound = report.smoke ? 2_000 : 40_000;
const batchCount = 1_000;
const child = Bun.spawn(["bun", join(import.meta.dirname, "http-door.ts"), "memory"], {
  stdout: "pipe",
  stderr: "inherit",
});
const { value: line } = await child.stdout.getReader().read();
const url = new TextDecoder().decode(line).trim();
const client = connect(url);

interface Load {
  readonly name: string;
  readonly valueBytes: number;
  /** Moves so many records. */
  run(count: number): Promise<void>;
}

function records(count: number, valueBytes: number): NewRecord[] {
  const value = "x".repeat(valueBytes);
  return Array.from({ length: count }, (_, i) => ({ key: `user-${i % 1_000}`, value }));
}

/** The limit: one batch at a time, its bytes made beforehand, of the answer only its status. */
function bareFetch(valueBytes: number): Load {
  const body = JSON.stringify({ records: records(batchCount, valueBytes) });
  const init = { method: "POST", headers: { "content-type": "application/json" }, body };
  return {
    name: `bare fetch, ${batchCount} a request`,
    valueBytes,
    async run(count) {
      for (let sent = 0; sent < count; sent += batchCount) {
        const response = await fetch(`${url}/v1/topics/bare-${valueBytes}/records`, init);
        await response.arrayBuffer();
        if (response.status !== 200) throw new Error(`Answered ${response.status}`);
      }
    },
  };
}

function producing(valueBytes: number, idempotence: "key" | "producer"): Load {
  const topic = `sdk-${idempotence}-${valueBytes}`;
  return {
    name: `producer, idempotence "${idempotence}"`,
    valueBytes,
    async run(count) {
      // Two batches on their way or next, two in the making: more would be made while nothing is sent.
      const bufferBytesMax = 4 * batchCount * (valueBytes + 30);
      const sized = { maxCount: batchCount, maxBytes: 900_000, bufferBytesMax };
      const producer = client.producer({ idempotence, ...sized });
      const [record] = records(1, valueBytes);
      for (let i = 0; i < count; i++) {
        if (producer.bufferedBytes > bufferBytesMax / 2) await producer.ready();
        void producer.send(topic, record);
      }
      await producer.close();
    },
  };
}

function tailing(valueBytes: number): Load {
  return {
    name: "consume() from the start",
    valueBytes,
    async run(count) {
      let left = count;
      for await (const record of client.consume(`bare-${valueBytes}`, { from: "earliest" })) {
        if (record.offset < 0 || --left === 0) break;
      }
    },
  };
}

function paging(valueBytes: number): Load {
  return {
    name: "read() page by page",
    valueBytes,
    async run(count) {
      let from: Parameters<Client["read"]>[1] = { maxRecords: batchCount };
      for (let left = count; left > 0;) {
        const page = await client.read(`bare-${valueBytes}`, from);
        left -= page.records.length;
        from = { from: { cursor: page.cursor }, maxRecords: batchCount };
      }
    },
  };
}

async function throughput(): Promise<void> {
  const loads = [100, 1_000].flatMap((valueBytes) => [
    bareFetch(valueBytes),
    producing(valueBytes, "key"),
    producing(valueBytes, "producer"),
    tailing(valueBytes),
    paging(valueBytes),
  ]);
  const wanted = report.flag("loads") ?? "";
  const chosen = loads.filter(({ name }) => name.startsWith("bare") || name.includes(wanted));
  for (const topic of new Set([100, 1_000].flatMap((bytes) => topicsOf(bytes)))) {
    await client.admin.ensureTopic(topic, { partitions: 1 });
  }
  const found = new Map(
    chosen.map((load) => [load, { perSecond: [] as number[], cpuUs: [] as number[] }]),
  );
  // Round -1 warms up.
  for (let round = -1; round < rounds; round++) {
    for (const [load, figures] of found) {
      const cpuBefore = process.cpuUsage();
      const startedAt = performance.now();
      await load.run(recordsPerRound);
      const seconds = (performance.now() - startedAt) / 1_000;
      const { user, system } = process.cpuUsage(cpuBefore);
      if (round < 0) continue;
      figures.perSecond.push(recordsPerRound / seconds);
      figures.cpuUs.push((user + system) / recordsPerRound);
    }
  }
  printThroughput(found);
}

const topicsOf = (bytes: number): string[] => [
  `bare-${bytes}`,
  `sdk-key-${bytes}`,
  `sdk-producer-${bytes}`,
];

function printThroughput(found: ReadonlyMap<Load, { perSecond: number[]; cpuUs: number[] }>): void {
  const limit = new Map<number, number>();
  const rows: BenchRow[] = [];
  for (const [{ name, valueBytes }, { perSecond, cpuUs }] of found) {
    const rate = quantile(perSecond, 0.5);
    if (name.startsWith("bare")) limit.set(valueBytes, rate);
    rows.push({
      load: name,
      "value B": valueBytes,
      "records/s": rate,
      "MB/s": (rate * valueBytes) / 1e6,
      "of bare fetch": rate / (limit.get(valueBytes) ?? Number.NaN),
      "client CPU us": quantile(cpuUs, 0.5),
    });
  }
  const how = `${rounds} rounds of ${recordsPerRound} records, alternating; medians; one partition, one batch in flight`;
  report.table("The client, one process, against a node in another (disk in memory)", rows, [how]);
}

/** One record at a time: from send() to the consumer's hand. */
async function latency(): Promise<void> {
  await client.admin.ensureTopic("live", { partitions: 1 });
  const consumer = client.consume("live");
  await consumer.open();
  const producer = client.producer();
  const [received, acknowledged]: [number[], number[]] = [[], []];
  for (let i = 0; i < (report.smoke ? 100 : 3_000); i++) {
    const startedAt = performance.now();
    const sent = producer.send("live", { value: i }).then(() => performance.now() - startedAt);
    await consumer.next();
    received.push(performance.now() - startedAt);
    acknowledged.push(await sent);
  }
  await consumer.return();
  const rows = [row("send() to receipt", acknowledged), row("send() to next()", received)];
  report.table("One record at a time, produced and tailed by one process", rows);
}

function row(name: string, ms: readonly number[]): BenchRow {
  return {
    load: name,
    "p50 ms": quantile(ms, 0.5),
    "p99 ms": quantile(ms, 0.99),
    "p99.9 ms": quantile(ms, 0.999),
  };
}

async function sizes(): Promise<void> {
  const minified = new TextEncoder().encode(await bundle("minified"));
  const rows = [
    { form: "minified", bytes: minified.length },
    { form: "gzipped", bytes: Bun.gzipSync(minified, { level: 9 }).length },
  ];
  report.table("@rivulet/client", rows);
}

try {
  await throughput();
  await latency();
  await sizes();
} finally {
  child.kill("SIGTERM");
  await child.exited;
}
