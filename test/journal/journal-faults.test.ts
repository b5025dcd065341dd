// The journal on a disk that fails: what callers hear, what stays readable, what health() says, how it goes on.

import { describe, expect, test } from "bun:test";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { Fault } from "../../src/errors.ts";
import { journalName } from "../../src/journal/journal-files.ts";
import { entryKinds, type Journal } from "../../src/journal/journal.ts";
import { storedRows } from "../../src/journal/memory-disk.ts";
import { openJournal } from "../../src/journal/open-journal.ts";
import type { JournalSettings } from "../../src/journal/settings.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../../src/journal/simulated-disk.ts";
import { logIndex, offset, term, type ReplicaNumber } from "../../src/quantities.ts";
import { settle, VirtualWorld } from "../broker/virtual-world.ts";
import { contentOf, entryOf, releaseAll, type EntryPlan } from "./entries.ts";

interface Rig {
  readonly world: VirtualWorld;
  readonly disk: SimulatedDisk;
  readonly slabs: ReturnType<typeof createSlabPool>;
  readonly journal: Journal;
}

async function rig(
  disk: SimulatedDisk | null = null,
  settings: Partial<JournalSettings> = {},
): Promise<Rig> {
  const world = new VirtualWorld(7);
  const on = disk ?? createSimulatedDisk({ random: () => world.random() });
  const slabs = createSlabPool({ slabBytes: 16 * 1024 });
  const journal = await openJournal({ world, disk: on, slabs, freeBytesMin: 0, ...settings });
  return { world, disk: on, slabs, journal };
}

const planAt = (index: number, more: Partial<EntryPlan> = {}): EntryPlan => ({
  index,
  term: 1,
  baseOffset: index - 1,
  ...more,
});

function write(rig: Rig, replica: ReplicaNumber, plans: readonly EntryPlan[]): Promise<unknown> {
  const entries = plans.map((plan) => entryOf(rig.slabs, plan));
  try {
    return rig.journal.enqueue({ replica, entries });
  } finally {
    releaseAll(entries);
  }
}

const command = (index: number): EntryPlan =>
  planAt(index, { kind: entryKinds.command, baseOffset: 0 });

async function faultOf(failing: Promise<unknown>): Promise<Fault> {
  const thrown = await failing.then(
    () => null,
    (error: unknown) => error,
  );
  if (!(thrown instanceof Fault)) throw new Error(`A Fault was expected, got ${String(thrown)}`);
  return thrown;
}

async function read(
  rig: Rig,
  replica: ReplicaNumber,
  index: number,
  endIndex = index + 1,
): Promise<number[]> {
  const result = await rig.journal.read({
    replica,
    from: { index: logIndex(index) },
    endIndex: logIndex(endIndex),
    maxBytes: 1e6,
    dataOnly: false,
  });
  for (const entry of result.entries)
    expect(Buffer.compare(entry.batch!.bytes, contentOf(planAt(entry.index)))).toBe(0);
  result.release();
  return result.entries.map((entry) => entry.index);
}

describe("no space left", () => {
  test("callers hear unknown, what follows fails, housekeeping waits, and it goes on when there is room", async () => {
    // A flush of one write each: the second stands behind the first.
    const one = await rig(null, { flushBytesMax: 50 });
    const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
    const b = one.journal.createReplica({ groupId: "b/0", incarnation: 1 });
    await write(one, a, [planAt(1)]);
    one.disk.failNext("commit", "storage_full");
    const first = faultOf(write(one, a, [planAt(2)]));
    const second = faultOf(write(one, a, [planAt(3)]));
    const third = planAt(4, { kind: entryKinds.command });
    const behind = faultOf(write(one, a, [third]));
    expect((await behind).code).toBe("storage_full");
    expect([(await first).code, (await first).sideEffects]).toEqual(["storage_full", "unknown"]);
    expect([(await second).code, (await second).sideEffects]).toEqual(["storage_full", "none"]);
    expect(one.journal.health().state).toBe("full");
    expect(() => write(one, a, [planAt(2)])).toThrow(Fault);
    // A vote waits for room instead of failing.
    const hardState = { term: term(2), vote: 3, commit: logIndex(0) };
    const vote = one.journal.enqueue({ replica: b, hardState });
    expect(await read(one, a, 1)).toEqual([1]);
    one.world.advance(1_000);
    await vote;
    expect(one.journal.health().state).toBe("ok");
    await write(one, a, [planAt(2)]);
    await one.journal.close();
    const again = await rig(one.disk);
    expect(await read(again, a, 1, 3)).toEqual([1, 2]);
    expect(again.journal.state(b).hardState).toEqual(hardState);
    await again.journal.close();
  });

  test("housekeeping behind a failed write of the same replica fails too: its index would leave a hole", async () => {
    const one = await rig(null, { flushBytesMax: 50 });
    const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
    one.disk.failNext("commit", "storage_full");
    const first = faultOf(write(one, a, [command(1)]));
    const second = faultOf(write(one, a, [command(2)]));
    expect([(await first).sideEffects, (await second).sideEffects]).toEqual(["unknown", "none"]);
    const again = write(one, a, [command(1)]);
    one.world.advance(1_000);
    await again;
    expect(one.journal.state(a).lastIndex as number).toBe(1);
    await one.journal.close();
  });

  test("below the mark client data is refused before it is queued; commands go on", async () => {
    const one = await rig(null, { freeBytesMin: 2_000, fileBytesMax: 1_000 });
    const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
    await write(one, a, [planAt(1)]);
    one.disk.capacityBytes = 2_000;
    one.world.advance(5_000);
    await settle();
    expect(one.journal.health().state).toBe("full");
    expect(() => write(one, a, [planAt(2)])).toThrow("wanted 2000");
    await write(one, a, [planAt(2, { kind: entryKinds.command, baseOffset: 1 })]);
    one.disk.capacityBytes = 1_000_000;
    one.world.advance(1_000);
    await settle();
    await write(one, a, [planAt(3, { baseOffset: 1 })]);
    await one.journal.close();
  });

  test("retention frees a full disk", async () => {
    const settings = {
      fileBytesMax: 4_000,
      fileRowsMax: 30,
      freeBytesMin: 6_000,
      cacheBytesMax: 0,
    };
    const one = await rig(null, settings);
    one.disk.capacityBytes = 30_000;
    const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
    let index = 0;
    for (; one.journal.health().state !== "full" && index < 1_000; index++) {
      await write(one, a, [planAt(index + 1, { bytes: 400 })]);
      one.world.advance(5_000);
      await settle(2);
    }
    expect(() => write(one, a, [planAt(index + 1)])).toThrow(Fault);
    const commit = logIndex(index);
    await one.journal.enqueue({ replica: a, hardState: { term: term(1), vote: 1, commit } });
    const start = await one.journal.retentionPoint(
      a,
      { timestampMin: null, bytesMax: 800 },
      logIndex(index + 1),
    );
    expect(start!.index).toBe(logIndex(index - 1));
    await one.journal.trim(a, start!);
    for (let i = 0; i < 10; i++) {
      one.world.advance(5_000);
      await settle();
    }
    expect(one.journal.health().state).not.toBe("full");
    expect((await one.disk.space()).usedBytes).toBeLessThan(8_000);
    await write(one, a, [planAt(index + 1)]);
    await one.journal.close();
  });
});

describe("a failing disk", () => {
  test("EIO stops the writer until restart; what was acknowledged stays readable", async () => {
    const one = await rig();
    const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
    await write(one, a, [planAt(1)]);
    one.disk.failNext("commit", "storage_failed");
    const fault = await faultOf(write(one, a, [planAt(2)]));
    expect([fault.code, fault.sideEffects]).toEqual(["storage_failed", "unknown"]);
    expect(one.journal.health().state).toBe("failed");
    expect(() => write(one, a, [planAt(2)])).toThrow(Fault);
    await faultOf(one.journal.drop(a));
    expect(await read(one, a, 1)).toEqual([1]);
    await one.journal.close();
    const again = await rig(one.disk.crash({ kind: "power" }));
    expect(await read(again, a, 1)).toEqual([1]);
    await again.journal.close();
  });

  test("a hung flush shows its age", async () => {
    const world = new VirtualWorld(1);
    let hang: Promise<void> = Promise.resolve();
    const disk = createSimulatedDisk({ random: () => world.random(), delay: () => hang });
    const slabs = createSlabPool();
    const journal = await openJournal({ world, disk, slabs, freeBytesMin: 0 });
    const a = journal.createReplica({ groupId: "a/0", incarnation: 1 });
    const { promise, resolve: release } = Promise.withResolvers<void>();
    hang = promise;
    const done = write({ world, disk, slabs, journal }, a, [planAt(1)]);
    await settle();
    world.advance(6_000);
    expect(journal.health().oldestFlushMs).toBe(6_000);
    hang = Promise.resolve();
    release();
    await done;
    expect(journal.health().oldestFlushMs).toBe(0);
    await journal.close();
  });
});

/** Where the data entry of an index lies. */
function lsnOf(disk: SimulatedDisk, index: number): { file: string; lsn: number } {
  for (const [file, stored] of disk.platter) {
    const rows = stored.kind === "sealed" ? stored.rows : stored.commits.flat();
    const row = rows.find((one) => one.kind === entryKinds.data && one.idx === index);
    if (row !== undefined) return { file, lsn: row.lsn };
  }
  throw new Error(`Index ${index} is in no file`);
}

describe("damage", () => {
  const settings = { cacheBytesMax: 0, fileBytesMax: 1_000_000 };

  async function written(count: number, more: Partial<JournalSettings> = {}): Promise<Rig> {
    const one = await rig(null, { ...settings, ...more });
    const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
    for (let i = 1; i <= count; i++) await write(one, a, [planAt(i)]);
    return one;
  }

  test("found on read: what comes before is served, the row is named, the replica knows", async () => {
    const one = await written(5);
    const { file, lsn } = lsnOf(one.disk, 3);
    one.disk.flip(file, lsn);
    const a = one.journal.state(0 as ReplicaNumber).replica;
    expect(await read(one, a, 1, 6)).toEqual([1, 2]);
    const fault = await faultOf(read(one, a, 3));
    expect(fault.code).toBe("storage_damaged");
    expect(fault.members).toEqual({ file, row: lsn, group: "a/0", index: 3, offset: 2 });
    expect(one.journal.state(a).damage.length).toBe(1);
    expect(await read(one, a, 4, 6)).toEqual([4, 5]);
    await one.journal.close();
  });

  test("found at open: the replica is marked, nothing is shortened, the writer leaves the damaged file", async () => {
    const one = await written(5);
    const { file, lsn } = lsnOf(one.disk, 3);
    one.disk.flip(file, lsn);
    const again = await rig(one.disk.crash({ kind: "process" }), settings);
    const state = again.journal.state(0 as ReplicaNumber);
    expect(state.damage.map((one) => [one.file, one.lsn, one.index as number])).toEqual([
      [file, lsn, 3],
    ]);
    expect([state.lastIndex, state.nextOffset] as number[]).toEqual([5, 5]);
    expect(await read(again, state.replica, 1, 6)).toEqual([1, 2]);
    expect((await faultOf(read(again, state.replica, 3))).members["row"]).toBe(lsn);
    expect(await read(again, state.replica, 4, 6)).toEqual([4, 5]);
    await write(again, state.replica, [planAt(6)]);
    expect(lsnOf(again.disk, 6).file).not.toBe(file);
    await again.journal.close();
    const third = await rig(again.disk, settings);
    expect((await faultOf(read(third, state.replica, 3))).code).toBe("storage_damaged");
    expect(await read(third, state.replica, 4, 7)).toEqual([4, 5]);
    expect(await read(third, state.replica, 6, 7)).toEqual([6]);
    await third.journal.close();
  });

  test("a damaged tail keeps its index and offset: nothing takes its place", async () => {
    const one = await written(3);
    const { file, lsn } = lsnOf(one.disk, 3);
    one.disk.flip(file, lsn);
    const again = await rig(one.disk.crash({ kind: "process" }), settings);
    const { replica, lastIndex, nextOffset } = again.journal.state(0 as ReplicaNumber);
    expect([lastIndex, nextOffset] as number[]).toEqual([3, 3]);
    await write(again, replica, [planAt(4)]);
    expect((await faultOf(read(again, replica, 3))).members["index"]).toBe(3);
    expect(await read(again, replica, 4)).toEqual([4]);
    await again.journal.close();
  });

  test("a damaged vote may be anyone's: every replica is marked", async () => {
    const one = await rig(null, settings);
    const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
    const b = one.journal.createReplica({ groupId: "b/0", incarnation: 1 });
    await write(one, a, [planAt(1)]);
    await write(one, b, [planAt(1)]);
    const hardState = { term: term(1), vote: 1, commit: logIndex(1) };
    await one.journal.enqueue({ replica: a, hardState });
    const [file] = [...one.disk.platter.keys()];
    const stored = one.disk.platter.get(file)!;
    const rows = stored.kind === "sealed" ? [] : stored.commits.flat();
    one.disk.flip(file, rows.find((row) => row.kind === 37)!.lsn);
    const again = await rig(one.disk.crash({ kind: "process" }), settings);
    expect(again.journal.state(a).damage.length).toBe(1);
    expect(again.journal.state(b).damage.length).toBe(1);
    await again.journal.close();
  });

  test("a file with a damaged live row is never sealed, and the writer is not held up by it", async () => {
    const one = await written(3, { fileRowsMax: 30, flushBytesMax: 500 });
    const { file, lsn } = lsnOf(one.disk, 2);
    one.disk.flip(file, lsn);
    const a = 0 as ReplicaNumber;
    for (let i = 4; i <= 120; i++) await write(one, a, [planAt(i)]);
    await settle();
    expect(one.disk.platter.has(file)).toBe(true);
    expect(one.journal.health().detail).toContain(file);
    expect(one.journal.metrics()["files_sealed"]).toBeGreaterThan(1);
    expect(await read(one, a, 1, 3)).toEqual([1]);
    for (let i = 3; i <= 120; i++) expect(await read(one, a, i)).toEqual([i]);
    await one.journal.close();
    const again = await rig(one.disk, settings);
    for (let i = 3; i <= 120; i++) expect(await read(again, a, i)).toEqual([i]);
    await again.journal.close();
  });
});

test("a cold read that a new leader's tail overtakes begins anew", async () => {
  const world = new VirtualWorld(1);
  let hang: Promise<void> = Promise.resolve();
  const disk = createSimulatedDisk({
    random: () => world.random(),
    delay: (verb) => (verb === "read" ? hang : Promise.resolve()),
  });
  const one = await rig(disk, { cacheBytesMax: 0 });
  const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
  await write(one, a, [planAt(1), planAt(2), planAt(3)]);
  const { promise, resolve: release } = Promise.withResolvers<void>();
  hang = promise;
  const reading = one.journal.read({
    replica: a,
    from: { index: logIndex(1) },
    endIndex: logIndex(9),
    maxBytes: 1e5,
    dataOnly: false,
  });
  await write(one, a, [planAt(2, { term: 2 })]);
  hang = Promise.resolve();
  release();
  const { entries } = await reading;
  expect(entries.map((entry) => [entry.index, entry.term] as number[])).toEqual([
    [1, 1],
    [2, 2],
  ]);
  releaseAll(entries);
  await one.journal.close();
});

/** Flips a bit of the nth row of the file's image. */
function flipImage(on: SimulatedDisk, file: string, ...copies: number[]): SimulatedDisk {
  const stored = on.platter.get(file)!;
  for (const copy of copies)
    on.flip(file, stored.kind === "unsealed" ? stored.commits[0][copy].lsn : -1);
  return on;
}

/** A journal of two unsealed files, the second one with an image of a/0, entries 1 to 12. */
async function twoFiles(): Promise<{ disk: SimulatedDisk; a: ReplicaNumber; files: string[] }> {
  const never = new Promise<void>(() => undefined);
  const disk = createSimulatedDisk({
    random: () => 0.9, // what is under way at the crash did not take place
    delay: (verb) => (verb === "seal" ? never : Promise.resolve()),
  });
  const one = await rig(disk, { fileRowsMax: 10 });
  const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
  for (let i = 1; i <= 12; i++) await write(one, a, [planAt(i)]);
  return { disk, a, files: [...disk.platter.keys()] };
}

test.each([
  ["the first copy", [0]],
  ["the second copy", [1]],
  ["both copies, behind a whole file,", [0, 1]],
] as const)("an image of which %s is damaged costs nothing, and is told", async (_, copies) => {
  const { disk, a, files } = await twoFiles();
  const again = await rig(flipImage(disk.crash({ kind: "process" }), files[1], ...copies));
  const { lastIndex, nextOffset, damage } = again.journal.state(a);
  expect([lastIndex, nextOffset, damage]).toEqual([logIndex(12), offset(12), []]);
  for (let i = 1; i <= 12; i++) expect(await read(again, a, i)).toEqual([i]);
  expect(again.journal.metrics()["damage"]).toBe(copies.length);
  expect(again.journal.health().detail).toContain(`${files[1]}: row`);
  await write(again, a, [planAt(13)]);
  await again.journal.close();
});

test.each([[0], [1]])("the first file's image survives damage to its copy %d", async (copy) => {
  const one = await rig();
  const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
  await write(one, a, [planAt(1)]);
  const [first] = one.disk.platter.keys();
  const again = await rig(flipImage(one.disk.crash({ kind: "process" }), first, copy));
  expect(again.journal.state(a).damage).toEqual([]);
  expect(again.journal.health().detail).toContain("is damaged");
  await write(again, a, [planAt(2)]);
  for (let i = 1; i <= 2; i++) expect(await read(again, a, i)).toEqual([i]);
  await again.journal.close();
});

test("an image of which both copies are damaged halts the start when no file before it tells the same", async () => {
  const { disk, files } = await twoFiles();
  const lost = await faultOf(rig(flipImage(disk.crash({ kind: "process" }), files[0], 0, 1)));
  expect([lost.code, lost.members["file"]]).toEqual(["storage_damaged", files[0]]);
});

test("numbers of damaged rows at the end are not given again", async () => {
  const one = await rig();
  const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
  await write(one, a, [planAt(1), planAt(2)]);
  const disk = one.disk.crash({ kind: "process" });
  const [first] = disk.platter.keys();
  const last = storedRows(disk.platter.get(first)!).at(-1)!.lsn;
  expect([disk.flip(first, last - 1), disk.flip(first, last)]).toEqual([true, true]);
  const again = await rig(disk);
  const [, second] = disk.platter.keys();
  expect(second).toBe(journalName(last + 1));
  await again.journal.close();
});

test("enqueue() refuses when the queue is full, and queues nothing", async () => {
  const one = await rig(null, { queueBytesMax: 3_000 });
  const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
  const first = write(one, a, [planAt(1, { bytes: 2_500 })]);
  const thrown = () => write(one, a, [planAt(2, { bytes: 2_500 })]);
  expect(thrown).toThrow("wait for the disk");
  await first;
  expect(one.journal.state(a).lastIndex as number).toBe(1);
  await write(one, a, [planAt(2, { bytes: 2_500 })]);
  expect(one.journal.state(a).nextOffset).toBe(offset(2));
  await one.journal.close();
});

test("a commit beyond the end of a log halts the start", async () => {
  const one = await rig();
  const a = one.journal.createReplica({ groupId: "a/0", incarnation: 1 });
  await write(one, a, [planAt(1), planAt(2)]);
  await one.journal.enqueue({
    replica: a,
    hardState: { term: term(1), vote: 1, commit: logIndex(2) },
  });
  const disk = one.disk.crash({ kind: "process" });
  for (const stored of disk.platter.values())
    if (stored.kind === "unsealed")
      for (const [i, rows] of stored.commits.entries())
        stored.commits[i] = rows.filter((row) => row.idx !== 2 || row.kind !== entryKinds.data);
  const fault = await faultOf(rig(disk));
  expect(fault.code).toBe("storage_damaged");
  expect(fault.message).toContain("a/0");
});
