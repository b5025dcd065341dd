// Crashes and faults of the disk, seen from where a door stands: what was acknowledged is there, whatever happened.

import { afterEach, describe, expect, test } from "bun:test";
import type { LocalBroker } from "../../src/broker/local-broker.ts";
import { entryKinds } from "../../src/journal/journal.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../../src/journal/simulated-disk.ts";
import { batchOf, valuesIn, valuesOf } from "./batches.ts";
import { must } from "./harness.ts";
import { at, fetchOf, produce } from "./requests.ts";
import { settle, until, VirtualWorld } from "./virtual-world.ts";
import { startNodeOn, stopNodes } from "./whole-node.ts";

afterEach(stopNodes);

const partitions = 3;

interface Acknowledged {
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
}

const keyed = (partition: number, key: string) =>
  produce("t", batchOf(key), {
    partition,
    idempotency: { principal: "p", key, bodyHash: new Uint8Array(16), partitionCount: 1 },
  });

/** Every record of a partition: its value at each offset. */
async function readAll(broker: LocalBroker, partition: number): Promise<readonly string[]> {
  const values: string[] = [];
  for (;;) {
    const fetched = must(await broker.fetch(fetchOf("t", at(partition, values.length))));
    const [found] = fetched.partitions;
    if (!found.ok) throw new Error(found.detail);
    for (const batch of found.batches) values.push(...valuesIn(batch));
    fetched.release();
    if (found.batches.length === 0) return values;
  }
}

/** Writes until the disk has crashed; notes what was acknowledged. */
async function write(broker: LocalBroker, name: string, acknowledged: Acknowledged[]) {
  for (let i = 0; ; i += 1) {
    const key = `${name}-${i}`;
    const partition = i % partitions;
    const [outcome] = await broker.produce(keyed(partition, key));
    if (!outcome.ok) return;
    acknowledged.push({ partition, offset: outcome.baseOffset, key });
  }
}

async function checkAll(broker: LocalBroker, acknowledged: readonly Acknowledged[]) {
  const logs = await Promise.all(
    Array.from({ length: partitions }, (_, partition) => readAll(broker, partition)),
  );
  for (const { partition, offset, key } of acknowledged) expect(logs[partition][offset]).toBe(key);
  for (const values of logs) expect(new Set(values).size).toBe(values.length);
  for (const { partition, offset, key } of acknowledged.slice(-5))
    expect(await broker.produce(keyed(partition, key))).toMatchObject([
      { ok: true, baseOffset: offset, duplicate: true },
    ]);
}

describe("after a crash, every acknowledged record is there once, at its offset, its key remembered", () => {
  for (const kind of ["process", "power"] as const)
    test.each([1, 2, 3, 4, 5, 6, 7, 8])(`${kind}, seed %p`, async (seed) => {
      const world = new VirtualWorld(seed);
      const random = (): number => world.random();
      const delay = (): Promise<void> => settle(Math.floor(random() * 3));
      let disk: SimulatedDisk = createSimulatedDisk({ random, delay });
      const acknowledged: Acknowledged[] = [];
      for (let life = 0; life < 4; life += 1) {
        const node = await startNodeOn(() => disk, { world, journal: { fileBytesMax: 16_384 } });
        if (life === 0) must(await node.broker.createTopic({ name: "t", partitions }));
        await checkAll(node.broker, acknowledged);
        for (let w = 0; w < 4; w += 1) void write(node.broker, `${life}-${w}`, acknowledged);
        await settle(20 + Math.floor(random() * 60));
        node.abandon();
        disk = disk.crash({ kind });
      }
      expect(acknowledged.length).toBeGreaterThan(0);
      const last = await startNodeOn(() => disk, { world });
      await checkAll(last.broker, acknowledged);
    });
});

async function faultyNode(capacityBytes?: number) {
  const world = new VirtualWorld();
  const random = (): number => world.random();
  const size = capacityBytes === undefined ? {} : { capacityBytes };
  const disk = createSimulatedDisk({ random, ...size });
  const node = await startNodeOn(() => disk, { world, journal: { fileBytesMax: 16_384 } });
  must(await node.broker.createTopic({ name: "t", partitions }));
  return { ...node, disk };
}

describe("a disk that fails", () => {
  test("EIO: the writer hears it, the node is not ready, what was acknowledged stays readable", async () => {
    const { broker, disk } = await faultyNode();
    must((await broker.produce(produce("t", batchOf("kept"))))[0]);
    disk.failNext("commit", "storage_failed");
    const [failed] = await broker.produce(produce("t", batchOf("lost")));
    expect(failed).toMatchObject({ code: "storage_failed", sideEffects: "unknown" });
    const [later] = await broker.produce(produce("t", batchOf("later")));
    expect(later).toMatchObject({ ok: false, code: "storage_failed" });
    expect(broker.status()).toMatchObject({ ready: false });
    expect(broker.status().reason).toContain("failed");
    expect(await readAll(broker, 0)).toEqual(["kept"]);
    expect(await broker.createTopic({ name: "u" })).toMatchObject({ code: "storage_failed" });
  });

  const cures: [string, (broker: LocalBroker) => Promise<unknown>][] = [
    ["deleted records", (broker) => broker.deleteRecords("t", 0, -1)],
    ["retention", (broker) => broker.runRetention()],
    ["a deleted topic", (broker) => broker.deleteTopic("t")],
  ];
  test.each(cures)(
    "ENOSPC: appends are refused, %s free the disk, appends go on",
    async (_, cure) => {
      const { broker, disk, world } = await faultyNode(200_000);
      const big = "x".repeat(4_000);
      const fill = async (): Promise<string> => {
        for (;;) {
          const [outcome] = await broker.produce(produce("t", batchOf(big)));
          if (!outcome.ok) return outcome.code;
        }
      };
      expect(await fill()).toBe("storage_full");
      const kept = await readAll(broker, 0);
      expect(kept.length).toBeGreaterThan(10);
      expect(broker.status()).toMatchObject({ ready: false });
      must(await broker.alterConfigs("t", { "retention.bytes": "10000" }));
      await cure(broker);
      const room = (): boolean => {
        world.advance(1_000);
        return broker.status().ready;
      };
      await until(room, "room on the disk");
      must(await broker.topicForWrite("t"));
      must((await broker.produce(produce("t", batchOf("again"))))[0]);
      expect(disk.counters.crashes).toBe(0);
    },
  );
});

test("a damaged row is named, never served, and what is whole around it is", async () => {
  const { broker, disk, world } = await faultyNode();
  for (const value of ["a", "b", "c", "d"])
    must((await broker.produce(produce("t", batchOf(value))))[0]);
  must((await broker.produce(produce("t", batchOf("other"), { partition: 1 })))[0]);
  const victim = rowsOf(disk).find((row) => row.kind === entryKinds.data && row.baseOffset === 2)!;
  await broker.close();
  expect(disk.flip(victim.file, victim.lsn)).toBe(true);
  const after = (await startNodeOn(() => disk, { world })).broker;
  const values = async (partition: number, offset: number) =>
    valuesOf(await after.fetch(fetchOf("t", at(partition, offset))))[0];
  expect(await values(0, 0)).toEqual(["a", "b"]);
  expect(await values(0, 2)).toBe("storage_damaged");
  expect(await values(0, 3)).toEqual(["d"]);
  expect(await values(1, 0)).toEqual(["other"]);
  expect(await after.produce(produce("t", batchOf("e")))).toMatchObject([{ baseOffset: 4 }]);
});

function rowsOf(disk: SimulatedDisk) {
  return [...disk.platter].flatMap(([file, stored]) =>
    stored.kind === "unsealed" ? stored.commits.flat().map((row) => ({ ...row, file })) : [],
  );
}
