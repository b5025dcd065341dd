import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Consumer, type Receipt } from "../../../edge/client/client.ts";
import { startNodeProcess, type NodeProcess } from "../../durability/node-process.ts";

let data: string;
let node: NodeProcess;

beforeAll(async () => {
  data = mkdtempSync(join(tmpdir(), "rivulet-client-kill-"));
  node = await startNodeProcess({ data });
}, 30_000);

afterAll(async () => {
  await node[Symbol.asyncDispose]();
  rmSync(data, { recursive: true, force: true });
});

const records = 3_000;
const keys = 20;

/** Values by key in the order in which they came, until all are there. */
async function collect(consumer: Consumer): Promise<Map<string, number[]>> {
  const byKey = new Map<string, number[]>();
  let count = 0;
  for await (const record of consumer) {
    const key = String(record.key);
    byKey.set(key, [...(byKey.get(key) ?? []), record.json<number>()]);
    if (++count === records) break;
  }
  return byKey;
}

describe("kill -9 of the node, twice, while a producer writes and a consumer tails", () => {
  for (const idempotence of ["key", "producer"] as const) {
    test(`{idempotence: "${idempotence}"}: each record is written once and comes once, in order`, async () => {
      const topic = `killed-${idempotence}`;
      // The node comes back on another port.
      const client = connect("http://node", {
        fetch: (url, init) => fetch(url.replace("http://node", node.url), init),
      });
      await client.admin.createTopic(topic, { partitions: 3 });
      const consumer = client.consume(topic);
      await consumer.open();
      const collected = collect(consumer);
      const producer = client.producer({ idempotence, maxCount: 50, bufferBytesMax: 16_384 });
      const sent: Promise<Receipt>[] = [];
      for (let i = 0; i < records; i++) {
        await producer.ready();
        sent.push(producer.send(topic, { key: `k${i % keys}`, value: i }));
        if (i % 1_000 !== 999 || i === records - 1) continue;
        await node.killHard();
        node = await startNodeProcess({ data });
      }
      await producer.close();
      expect(new Set((await Promise.all(sent)).map(placeOf)).size).toBe(records);
      for (const [key, values] of await collected) {
        const wanted = Array.from(
          { length: records / keys },
          (_, i) => i * keys + Number(key.slice(1)),
        );
        expect(values).toEqual(wanted);
      }
      const partitions = await client.admin.listPartitions(topic);
      expect(partitions.reduce((sum, { highWatermark }) => sum + highWatermark, 0)).toBe(records);
    }, 60_000);
  }
});

const placeOf = ({ partition, offset }: Receipt): string => `${partition}/${offset}`;
