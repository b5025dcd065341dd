import { describe, expect, test } from "bun:test";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import { createMemoryDisk } from "../../src/journal/memory-disk.ts";
import type { Disk } from "../../src/journal/disk.ts";
import { entryKinds, type Journal } from "../../src/journal/journal.ts";
import { logIndex, offset, term, type ReplicaNumber } from "../../src/quantities.ts";
import { systemWorld } from "../../src/world.ts";
import { contentOf, entryOf, releaseAll, type EntryPlan } from "./entries.ts";

interface Bench {
  readonly disk: Disk;
  readonly slabs: ReturnType<typeof createSlabPool>;
  readonly journal: Journal;
}

async function open(
  disk: Disk,
  more: Partial<Parameters<typeof openJournal>[0]> = {},
): Promise<Bench> {
  const slabs = createSlabPool({ slabBytes: 64 * 1024 });
  const journal = await openJournal({ world: systemWorld, disk, slabs, ...more });
  return { disk, slabs, journal };
}

async function append(
  { journal, slabs }: Bench,
  replica: ReplicaNumber,
  plans: readonly EntryPlan[],
): Promise<void> {
  const entries = plans.map((plan) => entryOf(slabs, plan));
  const write = journal.enqueue({ replica, entries });
  releaseAll(entries);
  await write;
}

const plans = (from: number, count: number, more: Partial<EntryPlan> = {}): EntryPlan[] =>
  Array.from({ length: count }, (_, i) => ({
    index: from + i,
    term: 1,
    baseOffset: from + i - 1,
    ...more,
  }));

async function bytesOf(
  journal: Journal,
  replica: ReplicaNumber,
  index: number,
): Promise<Uint8Array> {
  const result = await journal.read({
    replica,
    from: { index: logIndex(index) },
    endIndex: logIndex(index + 1),
    maxBytes: 0,
    dataOnly: false,
  });
  const bytes = new Uint8Array(result.entries[0].batch!.bytes);
  result.release();
  return bytes;
}

describe("openJournal()", () => {
  test("a written entry is read from the cache at once, and after a reopen from the disk", async () => {
    const disk = createMemoryDisk();
    const first = await open(disk);
    const replica = first.journal.createReplica({ groupId: "controller", incarnation: 1 });
    expect(replica).toBe(0 as ReplicaNumber);
    await append(first, replica, plans(1, 3));
    const cached = first.journal.read({
      replica,
      from: { offset: offset(1) },
      endIndex: logIndex(9),
      maxBytes: 1e3,
      dataOnly: true,
    });
    if (cached instanceof Promise) throw new Error("Read at the tail must not wait");
    expect(cached.entries.map((entry) => entry.index as number)).toEqual([2, 3]);
    cached.release();
    await first.journal.enqueue({
      replica,
      hardState: {
        term: term(1),
        vote: 1,
        commit: logIndex(3),
      },
    });
    await first.journal.close();
    expect(first.slabs.bytesInUse).toBe(0);

    const second = await open(disk);
    expect(second.journal.state(replica)).toMatchObject({
      groupId: "controller",
      hardState: { term: 1, vote: 1, commit: 3 },
      lastIndex: 3,
      nextOffset: 3,
      epochs: [{ term: 1, index: 1, offset: 0 }],
    });
    expect(await bytesOf(second.journal, replica, 2)).toEqual(contentOf(plans(2, 1)[0]));
    expect(second.journal.createReplica({ groupId: "t/0", incarnation: 1 }) as number).toBe(1);
    await second.journal.close();
  });

  test("files roll, are sealed and removed; every entry stays readable", async () => {
    const disk = createMemoryDisk();
    const tiny = { fileBytesMax: 4_000, flushBytesMax: 1_000, cacheBytesMax: 0 };
    const first = await open(disk, tiny);
    const replica = first.journal.createReplica({ groupId: "t/0", incarnation: 1 });
    for (let i = 1; i <= 200; i++) await append(first, replica, plans(i, 1));
    expect(first.journal.metrics()["files_sealed"]).toBeGreaterThan(1);
    for (let i = 1; i <= 200; i++)
      expect(await bytesOf(first.journal, replica, i)).toEqual(contentOf(plans(i, 1)[0]));
    await first.journal.close();
    const second = await open(disk, tiny);
    for (let i = 1; i <= 200; i++)
      expect(await bytesOf(second.journal, replica, i)).toEqual(contentOf(plans(i, 1)[0]));
    await second.journal.close();
  });

  test("a tail is replaced, epochs follow, before and after a reopen", async () => {
    const disk = createMemoryDisk();
    const first = await open(disk);
    const replica = first.journal.createReplica({ groupId: "t/0", incarnation: 1 });
    await append(first, replica, plans(1, 5));
    await append(first, replica, [
      { index: 3, term: 2, baseOffset: 2, kind: entryKinds.noop },
      { index: 4, term: 2, baseOffset: 2 },
    ]);
    const check = async (journal: Journal) => {
      expect(journal.state(replica)).toMatchObject({ lastIndex: 4, lastTerm: 2, nextOffset: 3 });
      expect(journal.term(replica, logIndex(2)) as number).toBe(1);
      expect(journal.term(replica, logIndex(3)) as number).toBe(2);
      expect(journal.term(replica, logIndex(5))).toBeNull();
      const plan = { index: 4, term: 2, baseOffset: 2 };
      expect(await bytesOf(journal, replica, 4)).toEqual(contentOf(plan));
    };
    await check(first.journal);
    await first.journal.close();
    const second = await open(disk);
    await check(second.journal);
    await second.journal.close();
  });
});
