// Rows that are gone from the end of a file while the node was down: they are named and refused, their indexes and
// offsets go to nobody else, and every later start says the same.

import { describe, expect, test } from "bun:test";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import { Fault } from "../../src/errors.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { storedRows } from "../../src/journal/memory-disk.ts";
import { checkAccounts, openJournal } from "../../src/journal/open-journal.ts";
import { createSimulatedDisk, type SimulatedDisk } from "../../src/journal/simulated-disk.ts";
import { logIndex, offset, term, type ReplicaNumber } from "../../src/quantities.ts";
import { settle, VirtualWorld } from "../broker/virtual-world.ts";
import { entryOf, releaseAll } from "./entries.ts";

const a = 0 as ReplicaNumber;
const b = 1 as ReplicaNumber;
const recordsPerEntry = 3;

class Rig {
  readonly world = new VirtualWorld(11);
  readonly slabs = createSlabPool({ slabBytes: 16 * 1024 });
  disk: SimulatedDisk;
  journal!: Journal;

  constructor(seal: "seal" | "never seal" = "never seal") {
    const never = new Promise<void>(() => undefined);
    this.disk = createSimulatedDisk({
      random: () => 0.9,
      delay: (verb) => (verb === "seal" && seal !== "seal" ? never : Promise.resolve()),
    });
  }

  async start(fileRowsMax = 1_000): Promise<void> {
    const { world, disk, slabs } = this;
    const settings = { cacheBytesMax: 0, freeBytesMin: 0, fileRowsMax, snapshotChunkBytes: 64 };
    this.journal = await openJournal({ world, disk, slabs, ...settings });
  }

  async append(replica: ReplicaNumber, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const { lastIndex, nextOffset } = this.journal.state(replica);
      const plan = { index: lastIndex + 1, term: 1, baseOffset: nextOffset };
      const entries = [entryOf(this.slabs, { ...plan, offsetCount: recordsPerEntry })];
      const commit = logIndex(lastIndex + 1);
      const hardState = { term: term(1), vote: 1, commit };
      await this.journal.enqueue({ replica, entries, hardState });
      releaseAll(entries);
    }
  }

  async crash(): Promise<void> {
    await settle();
    this.disk = this.disk.crash({ kind: "process" });
  }

  /** Row of the entry. */
  lsnOf(replica: ReplicaNumber, index: number): number {
    const rows = [...this.disk.platter.values()].flatMap((file) => storedRows(file));
    return rows.find((row) => row.kind === 0 && row.replica === replica && row.idx === index)!.lsn;
  }

  /** Offsets of the entries that are served from an offset on, or the code. */
  async read(replica: ReplicaNumber, at: number): Promise<number[] | string> {
    const from = { offset: offset(at) };
    const endIndex = logIndex(1_000);
    const request = { replica, from, endIndex, maxBytes: 1e6, dataOnly: true };
    try {
      const result = await this.journal.read(request);
      result.release();
      return result.entries.map((entry) => entry.baseOffset);
    } catch (thrown) {
      if (thrown instanceof Fault) return thrown.code;
      throw thrown;
    }
  }

  /** What is said of each replica: its end, and the places of its damage. */
  told(): unknown {
    return [...this.journal.replicas()].map(({ lastIndex, lastTerm, nextOffset, damage }) => ({
      end: [lastIndex, lastTerm, nextOffset].map(Number),
      damage: damage.map((one) => [one.index, one.baseOffset, one.offsetCount].map(Number)),
    }));
  }
}

async function twoReplicas(rig: Rig): Promise<void> {
  await rig.start();
  for (const groupId of ["a/0", "b/0"]) rig.journal.createReplica({ groupId, incarnation: 1 });
  await rig.append(a, 2);
  await rig.append(b, 4);
  await rig.append(a, 3);
}

const lost = [
  { end: [5, 1, 15], damage: [[3, 6, 9]] },
  { end: [4, 1, 12], damage: [] },
];

describe("the newest file is cut after a clean stop", () => {
  test("what is lost is named, its offsets go to nobody, and later starts say the same", async () => {
    const rig = new Rig();
    await twoReplicas(rig);
    await rig.journal.close();
    const [file] = [...rig.disk.platter.keys()];
    rig.disk.cut(rig.lsnOf(a, 3));
    await rig.start();
    expect(rig.told()).toEqual(lost);
    expect(rig.journal.state(a).damage[0]).toMatchObject({ file, replica: a, groupId: "a/0" });
    expect(rig.journal.metrics()["damage"]).toBe(2);
    expect(rig.journal.health().detail).toContain("are missing");
    checkAccounts(rig.journal);

    await rig.append(a, 2);
    await rig.append(b, 1);
    for (const ending of ["none", "crash", "close", "close", "crash"]) {
      if (ending === "crash") await rig.crash();
      if (ending === "close") await rig.journal.close();
      if (ending !== "none") await rig.start();
      const found = [await rig.read(a, 0), await rig.read(a, 6), await rig.read(a, 14)];
      expect([ending, ...found]).toEqual([ending, [0, 3], "storage_damaged", "storage_damaged"]);
      expect(await rig.read(a, 15)).toEqual([15, 18]);
      expect(await rig.read(b, 0)).toEqual([0, 3, 6, 9]);
      expect(await rig.read(b, 12)).toEqual([12]);
      expect(rig.told()).toEqual([
        { end: [7, 1, 21], damage: [[3, 6, 9]] },
        { end: [5, 1, 15], damage: [] },
      ]);
      checkAccounts(rig.journal);
    }
    await rig.journal.close();
  });

  test("a crash before the next file is there takes nothing away", async () => {
    const rig = new Rig();
    await twoReplicas(rig);
    await rig.journal.close();
    rig.disk.cut(rig.lsnOf(a, 3));
    await rig.disk.open();
    await rig.crash();
    await rig.start();
    expect(rig.told()).toEqual(lost);
  });

  test("at the very end of the log reads of what is lost are refused too, also at the second start", async () => {
    const rig = new Rig();
    await twoReplicas(rig);
    await rig.journal.close();
    rig.disk.cut(rig.lsnOf(a, 3));
    for (let start = 1; start <= 3; start++) {
      await rig.start();
      expect([await rig.read(a, 6), await rig.read(a, 14)]).toEqual([
        "storage_damaged",
        "storage_damaged",
      ]);
      expect(await rig.read(a, 15)).toEqual([]);
      await rig.crash();
    }
  });

  test("every row of the file is lost, its image too", async () => {
    const rig = new Rig();
    await twoReplicas(rig);
    await rig.journal.close();
    rig.disk.cut(1);
    await rig.start();
    expect(rig.told()).toEqual([
      { end: [5, 1, 15], damage: [[1, 0, 15]] },
      { end: [4, 1, 12], damage: [[1, 0, 12]] },
    ]);
    expect(await rig.read(b, 0)).toBe("storage_damaged");
    await rig.append(b, 1);
    expect(await rig.read(b, 12)).toEqual([12]);
  });

  test("rows that held no entry are lost without harm: told, and no replica is damaged", async () => {
    const rig = new Rig();
    await twoReplicas(rig);
    await rig.journal.close();
    rig.disk.cut(rig.lsnOf(a, 5) + 1);
    await rig.start();
    expect(rig.told()).toEqual([
      { end: [5, 1, 15], damage: [] },
      { end: [4, 1, 12], damage: [] },
    ]);
    expect(rig.journal.state(a).hardState).toEqual({ term: term(1), vote: 1, commit: logIndex(5) });
    expect(rig.journal.health().detail).toContain("are missing");
  });

  test("a second loss, while the first one is known, is told as exactly", async () => {
    const rig = new Rig();
    await twoReplicas(rig);
    await rig.journal.close();
    rig.disk.cut(rig.lsnOf(a, 3));
    await rig.start();
    await rig.append(b, 3);
    await rig.journal.close();
    rig.disk.cut(rig.lsnOf(b, 6));
    await rig.start();
    const told = [lost[0], { end: [7, 1, 21], damage: [[6, 15, 6]] }];
    expect(rig.told()).toEqual(told);
    await rig.crash();
    await rig.start();
    expect(rig.told()).toEqual(told);
  });

  test("without the stop's index nobody can tell where the logs ended: every start halts and names the file", async () => {
    const rig = new Rig();
    await twoReplicas(rig);
    await rig.journal.close();
    const [file] = [...rig.disk.platter.keys()];
    rig.disk.cut(rig.lsnOf(a, 3), { index: true });
    for (let start = 1; start <= 3; start++) {
      const fault: unknown = await rig.start().catch((thrown: unknown) => thrown);
      expect(fault).toBeInstanceOf(Fault);
      expect(fault).toMatchObject({ code: "storage_damaged", members: { file } });
      await rig.crash();
      expect([...rig.disk.platter.keys()]).toEqual([file]);
    }
  });

  test("a snapshot that is lost gives way to the one before it", async () => {
    const rig = new Rig();
    await twoReplicas(rig);
    const save = (index: number, fill: number) =>
      rig.journal.enqueue({
        replica: a,
        snapshot: { index: logIndex(index), bytes: new Uint8Array(200).fill(fill) },
      });
    await save(2, 2);
    await rig.append(a, 1);
    await save(6, 6);
    await rig.journal.close();
    rig.disk.cut(rig.lsnOf(a, 6) + 2);
    await rig.start();
    for (let start = 1; start <= 2; start++) {
      expect((await rig.journal.readSnapshot(a))?.bytes[0]).toBe(2);
      expect(rig.journal.state(a).lastIndex).toBe(logIndex(6));
      await rig.journal.close();
      await rig.start();
    }
  });
});

test("the newest file is gone after a clean stop: the file before it takes no appends in its stead", async () => {
  const rig = new Rig();
  await rig.start(14);
  rig.journal.createReplica({ groupId: "a/0", incarnation: 1 });
  await rig.append(a, 12);
  await rig.journal.close();
  const [file, gone] = [...rig.disk.platter.keys()];
  const rows = storedRows(rig.disk.platter.get(file)!).filter((row) => row.kind === 0);
  const next = rows.at(-1)!.idx + 1;
  rig.disk.platter.delete(gone);
  const at = (next - 1) * recordsPerEntry;
  const damage = [[next, at, 36 - at]];
  for (let start = 1; start <= 3; start++) {
    await rig.start(14);
    expect(rig.told()).toEqual([{ end: [12, 1, 36], damage }]);
    expect(await rig.read(a, at)).toBe("storage_damaged");
    checkAccounts(rig.journal);
    await rig.crash();
  }
});

test("a full file's lost tail is told by the image of the next file", async () => {
  const rig = new Rig();
  await rig.start(14);
  rig.journal.createReplica({ groupId: "a/0", incarnation: 1 });
  await rig.append(a, 12);
  await rig.crash();
  const [file, next] = [...rig.disk.platter.keys()];
  expect(next).toBeDefined();
  const rows = storedRows(rig.disk.platter.get(file)!).filter((row) => row.kind === 0);
  const last = rows.at(-1)!.idx;
  rig.disk.cut(rig.lsnOf(a, last - 1));
  const damage = [[last - 1, (last - 2) * recordsPerEntry, 2 * recordsPerEntry]];
  for (let start = 1; start <= 3; start++) {
    await rig.start(14);
    expect(rig.told()).toEqual([{ end: [12, 1, 36], damage }]);
    expect(await rig.read(a, (last - 2) * recordsPerEntry)).toBe("storage_damaged");
    expect((await rig.read(a, last * recordsPerEntry))[0]).toBe(last * recordsPerEntry);
    await rig.crash();
  }
});
