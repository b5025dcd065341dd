// A damaged row under a partition whose only voter is this node: named, never served, and the rest goes on.

import { expect, test } from "bun:test";

import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { createReplicaHost } from "../../src/consensus/host.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../../src/journal/simulated-disk.ts";
import { createPartition, openPartition, type Partition } from "../../src/partition/partition.ts";
import { VirtualWorld } from "../consensus/virtual-world.ts";
import { batchOf, recordsIn } from "./batches.ts";

const groupId = "topic/0";

interface Started {
  readonly partition: Partition;
  readonly stop: () => Promise<void>;
}

async function start(world: VirtualWorld, disk: SimulatedDisk): Promise<Partition> {
  return (await startNode(world, disk)).partition;
}

async function startNode(world: VirtualWorld, disk: SimulatedDisk): Promise<Started> {
  const slabs = createSlabPool();
  const journal = await world.until(openJournal({ world, disk, slabs, freeBytesMin: 0 }));
  const host = createReplicaHost({ world, journal, nodeId: 1 });
  const options = { host, journal, slabs, groupId };
  const partition = host.groupIds().includes(groupId)
    ? await world.until(openPartition(options))
    : createPartition(options);
  const stop = async (): Promise<void> => {
    await world.until(host.close());
    await world.until(journal.close());
  };
  return { partition, stop };
}

function append(world: VirtualWorld, partition: Partition, value: string, baseSequence: number) {
  const batch = batchOf({ values: [value], producer: { id: 1, epoch: 0, baseSequence } });
  return world.until(partition.append({ batch, acks: "all", logAppendTime: -1 }));
}

/** The records of one page, or the refusal's code. */
async function read(world: VirtualWorld, partition: Partition, offset: number): Promise<unknown> {
  const found = await world.until(
    Promise.resolve(partition.fetch({ offset, maxBytes: 1_000_000 })),
  );
  return found.ok ? recordsIn(found.batches) : found.code;
}

/** lsn of the row that holds the offset. */
function rowOf(disk: SimulatedDisk, baseOffset: number): number {
  const rows = [...disk.platter.values()].flatMap((file) =>
    file.kind === "sealed" ? file.rows : file.commits.flat(),
  );
  return rows.find((row) => row.kind === 0 && row.baseOffset === baseOffset)!.lsn;
}

/** Flips a bit in the row that holds the offset. */
function damage(disk: SimulatedDisk, baseOffset: number): void {
  for (const [name, file] of disk.platter) {
    const rows = file.kind === "sealed" ? file.rows : file.commits.flat();
    const row = rows.find((r) => r.kind === 0 && r.baseOffset === baseOffset);
    if (row !== undefined) expect(disk.flip(name, row.lsn)).toBe(true);
  }
}

test("a damaged entry is refused by name, what is whole before and behind it is served, appends go on", async () => {
  const world = new VirtualWorld(5);
  const disk = createSimulatedDisk({ random: () => world.random() });
  const first = await start(world, disk);
  for (const [i, value] of ["a", "b", "c"].entries()) await append(world, first, value, i);
  await world.run(100);

  const next = disk.crash({ kind: "process" });
  damage(next, 1);
  const partition = await start(world, next);

  expect(await read(world, partition, 0)).toEqual(["0:a"]);
  expect(await read(world, partition, 1)).toBe("storage_damaged");
  expect(await read(world, partition, 2)).toEqual(["2:c"]);
  expect(partition.bounds()).toMatchObject({ logStartOffset: 0, highWatermark: 3 });
  expect(await append(world, partition, "d", 3)).toMatchObject({ ok: true, baseOffset: 3 });
  expect(await read(world, partition, 3)).toEqual(["3:d"]);
});

test("rows that are cut off behind a clean stop are refused by name, the fold passes over them, their offsets go to nobody", async () => {
  const world = new VirtualWorld(6);
  const disk = createSimulatedDisk({ random: () => world.random() });
  const first = await startNode(world, disk);
  for (const [i, value] of ["a", "b", "c"].entries())
    await append(world, first.partition, value, i);
  await first.stop();

  disk.cut(rowOf(disk, 1));
  let next = disk;
  for (const ending of ["stop", "crash", "stop"]) {
    const { partition, stop } = await startNode(world, next);
    expect(await read(world, partition, 0)).toEqual(["0:a"]);
    expect(await read(world, partition, 1)).toBe("storage_damaged");
    expect(await read(world, partition, 2)).toBe("storage_damaged");
    const { highWatermark } = partition.bounds();
    const value = `behind ${highWatermark}`;
    const batch = batchOf({ values: [value] });
    const appended = await world.until(partition.append({ batch, acks: "all", logAppendTime: -1 }));
    expect(appended).toMatchObject({ ok: true, baseOffset: highWatermark });
    expect(highWatermark).toBeGreaterThanOrEqual(3);
    expect(await read(world, partition, highWatermark)).toEqual([`${highWatermark}:${value}`]);
    if (ending === "stop") await stop();
    else next = next.crash({ kind: "process" });
  }
});
