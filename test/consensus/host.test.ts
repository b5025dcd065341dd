// The host over a journal in arrays: elections, recovery, snapshots, fairness, and what it refuses to open.

import { describe, expect, test } from "bun:test";

import { createReplicaHost, type Host } from "../../src/consensus/host.ts";
import type { EntryDraft, Role, StateMachine } from "../../src/consensus/replica.ts";
import { Fault, type Refusal } from "../../src/errors.ts";
import { entryKinds, type LogEntry } from "../../src/journal/journal.ts";
import {
  logIndex,
  offset,
  term,
  type LogIndex,
  type Offset,
  type Term,
} from "../../src/quantities.ts";
import { ArrayJournal } from "./array-journal.ts";
import { VirtualWorld } from "./virtual-world.ts";

/** Remembers everything that it was told; its state is the list of applied indexes of commands. */
class Recorder implements StateMachine {
  applied: number[] = [];
  restored: number | null = null;
  roles: Role[] = [];
  ready: number[] = [];
  flushed: number[] = [];
  lost: { index: number; refusal: Refusal }[] = [];

  restore(index: LogIndex, snapshot: Uint8Array): void {
    this.restored = index;
    this.applied = JSON.parse(new TextDecoder().decode(snapshot)) as number[];
  }

  apply(entries: readonly LogEntry[]): void {
    for (const { kind, index } of entries)
      if (kind === entryKinds.command) this.applied.push(index);
  }

  snapshot(): Uint8Array {
    return new TextEncoder().encode(JSON.stringify(this.applied));
  }

  onRole(role: Role): void {
    this.roles.push(role);
  }

  onReady(at: Term): void {
    this.ready.push(at);
  }

  onFlushed(index: LogIndex): void {
    this.flushed.push(index);
  }

  onLost(index: LogIndex, refusal: Refusal): void {
    this.lost.push({ index, refusal });
  }
}

const world = () => new VirtualWorld(3);
const hostOf = (w: VirtualWorld, journal: ArrayJournal): Host =>
  createReplicaHost({ world: w, journal, nodeId: 1 });
const command = (baseOffset: Offset, bytes = 1): EntryDraft => ({
  kind: entryKinds.command,
  baseOffset,
  offsetCount: 0,
  maxTimestamp: -1,
  meta: new Uint8Array(bytes),
  batch: null,
});

async function commands(w: VirtualWorld, host: Host, groupId: string, count: number) {
  const machine = new Recorder();
  const replica = host.create(groupId, machine);
  const at = await w.until(replica.lead());
  for (let i = 0; i < count; i += 1) replica.propose(command(replica.nextOffset), at);
  await w.run(100);
  return { machine, replica };
}

/** What a promise came to, whether resolved or rejected. */
const outcomeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.catch((error: unknown) => error);

describe("a sole voter", () => {
  test("writes nothing before its first use, then term and no-op in one flush", async () => {
    const w = world();
    const journal = new ArrayJournal(w);
    const host = hostOf(w, journal);
    const machine = new Recorder();
    const replica = host.create("a/0", machine);
    await w.run(1_000);
    expect(journal.counters.writes).toBe(0);
    expect(await w.until(replica.lead())).toBe(term(1));
    expect(journal.counters).toMatchObject({ writes: 1, flushes: 1 });
    expect(journal.state(replica.number)).toMatchObject({
      lastIndex: 1,
      hardState: { term: 1, vote: 1 },
    });
    expect(journal.state(replica.number).configuration).not.toBeNull();
    expect(machine).toMatchObject({ ready: [1], flushed: [1], lost: [] });
  });

  test("commits after the flush, applies once and in order", async () => {
    const w = world();
    const journal = new ArrayJournal(w);
    const { machine, replica } = await commands(w, hostOf(w, journal), "a/0", 5);
    expect(machine.applied).toEqual([2, 3, 4, 5, 6]);
    expect(replica).toMatchObject({
      commitIndex: 6,
      appliedIndex: 6,
      lastIndex: 6,
      confirmedTerm: 1,
    });
  });

  test("refuses proposals of another term and before it is ready", async () => {
    const w = world();
    const host = hostOf(w, new ArrayJournal(w));
    const replica = host.create("a/0", new Recorder());
    expect(replica.propose(command(offset(0)), term(0))).toMatchObject({
      code: "not_leader_or_follower",
    });
    const at = await w.until(replica.lead());
    expect(replica.propose(command(offset(0)), term(at + 1))).toMatchObject({
      code: "not_leader_or_follower",
    });
    expect(replica.propose(command(offset(0)), at)).toMatchObject({ ok: true });
  });

  test("stamps entries with a time that never runs back, though the clock does", async () => {
    const w = world();
    const journal = new ArrayJournal(w);
    const { replica } = await commands(w, hostOf(w, journal), "a/0", 1);
    w.wallOffset -= 1_000_000;
    replica.propose(command(replica.nextOffset), replica.role.term);
    await w.run(100);
    const times = journal.entries(replica.number).map((entry) => entry.time);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });
});

describe("open()", () => {
  test("costs no read and no write for a thousand partitions with nothing left to commit", async () => {
    const w = world();
    let journal = new ArrayJournal(w);
    const host = hostOf(w, journal);
    for (let i = 0; i < 1_000; i += 1) void host.create(`t/${i}`, new Recorder()).lead();
    await w.run(1_000);
    await w.until(host.close());
    journal = journal.crash();
    const again = hostOf(w, journal);
    for (const groupId of again.groupIds()) await again.open(groupId, new Recorder());
    expect(journal.counters).toEqual({ flushes: 0, reads: 0, snapshotReads: 0, writes: 0 });
    expect(again.metrics()).toMatchObject({ consensus_replicas: 1_000 });
  });

  test("commits recovered tails of many replicas in one flush, and replays on first use", async () => {
    const w = world();
    let journal = new ArrayJournal(w);
    const host = hostOf(w, journal);
    const made = await Promise.all(["a/0", "a/1", "a/2"].map((id) => commands(w, host, id, 3)));
    for (const { replica } of made) journal.forgetCommit(replica.number);
    journal = journal.crash();
    const again = hostOf(w, journal);
    const machines = [new Recorder(), new Recorder(), new Recorder()];
    const opened = await w.until(Promise.all(machines.map((m, i) => again.open(`a/${i}`, m))));
    expect(journal.counters).toMatchObject({ flushes: 1, reads: 0 });
    expect(opened.map((r) => r.commitIndex)).toEqual([5, 5, 5].map(logIndex));
    expect(machines[0].applied).toEqual([]);
    await w.until(opened[0].lead());
    expect(machines[0].applied).toEqual([2, 3, 4]);
  });

  test("an open that failed can be tried again, and says the same", async () => {
    const w = world();
    let journal = new ArrayJournal(w);
    const { replica } = await commands(w, hostOf(w, journal), "a/0", 3);
    journal.forgetCommit(replica.number);
    journal = journal.crash();
    const again = hostOf(w, journal);
    const open = () => outcomeOf(w.until(again.open("a/0", new Recorder())));
    journal.damaged.add(2);
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      // The disk takes no write, and what stands behind the recorded commit cannot be read either.
      journal.failNext = new Fault("storage_full", "no room");
      expect(await open()).toMatchObject({ code: "storage_damaged" });
    }
    journal.damaged.clear();
    expect(await open()).toMatchObject({ groupId: "a/0", commitIndex: 5 });
  });

  test("a refusal says in the journal's own words, once, why the disk takes nothing", async () => {
    const w = world();
    const journal = new ArrayJournal(w);
    const { replica } = await commands(w, hostOf(w, journal), "a/0", 1);
    for (const state of ["full", "failed"] as const) {
      journal.healthState = state;
      expect(replica.admit(1)).toMatchObject({ code: `storage_${state}`, detail: state });
    }
  });

  test("halts when acknowledged entries are gone", async () => {
    const w = world();
    let journal = new ArrayJournal(w);
    const { replica } = await commands(w, hostOf(w, journal), "a/0", 3);
    journal = journal.crash();
    journal.dropTail(replica.number, 3);
    expect(await outcomeOf(hostOf(w, journal).open("a/0", new Recorder()))).toMatchObject({
      code: "storage_damaged",
      members: { groupId: "a/0", commit: 4, lastIndex: 2 },
    });
  });

  test("resumes at the saved state after a clean stop", async () => {
    const w = world();
    let journal = new ArrayJournal(w);
    const host = hostOf(w, journal);
    await commands(w, host, "a/0", 3);
    await w.until(host.close());
    journal = journal.crash();
    const machine = new Recorder();
    const replica = await hostOf(w, journal).open("a/0", machine);
    await w.until(replica.lead());
    expect(machine).toMatchObject({ restored: 4, applied: [2, 3, 4] });
    expect(journal.counters.reads).toBe(0);
  });

  test("passes over a damaged entry and serves what is whole", async () => {
    const w = world();
    let journal = new ArrayJournal(w);
    await commands(w, hostOf(w, journal), "a/0", 3);
    journal = journal.crash();
    journal.damaged.add(3);
    const machine = new Recorder();
    const replica = await hostOf(w, journal).open("a/0", machine);
    await w.until(replica.lead());
    expect(machine.applied).toEqual([2, 4]);
  });
});

describe("faults", () => {
  test("a failed flush loses the term, tells the tail, and lead() begins anew", async () => {
    const w = world();
    const journal = new ArrayJournal(w);
    const { machine, replica } = await commands(w, hostOf(w, journal), "a/0", 1);
    journal.failNext = new Fault("storage_full", "no room", { sideEffects: "unknown" });
    replica.propose(command(replica.nextOffset), replica.role.term);
    await w.run(100);
    expect(machine.lost).toMatchObject([
      { index: 3, refusal: { code: "storage_full", sideEffects: "unknown" } },
    ]);
    expect(replica).toMatchObject({
      ready: false,
      lastIndex: 2,
      commitIndex: 2,
      role: { leader: false },
    });
    expect(await w.until(replica.lead())).toBe(term(2));
    expect(machine.applied).toEqual([2]);
  });

  test("lead() rejects with what the disk says and can be asked again", async () => {
    const w = world();
    const journal = new ArrayJournal(w);
    const replica = hostOf(w, journal).create("a/0", new Recorder());
    journal.failNext = new Fault("storage_full", "no room", { sideEffects: "unknown" });
    expect(await outcomeOf(w.until(replica.lead()))).toMatchObject({ code: "storage_full" });
    expect(await w.until(replica.lead())).toBe(term(1));
  });

  test("a machine that cannot apply halts its own replica only", async () => {
    const w = world();
    const journal = new ArrayJournal(w);
    const host = hostOf(w, journal);
    const { machine, replica } = await commands(w, host, "a/0", 1);
    machine.apply = () => {
      throw new Fault("storage_damaged", "unknown command");
    };
    replica.propose(command(replica.nextOffset), replica.role.term);
    await w.run(100);
    expect(replica.propose(command(replica.nextOffset), term(1))).toMatchObject({
      code: "storage_damaged",
    });
    const other = await commands(w, host, "a/1", 1);
    expect(other.machine.applied).toEqual([2]);
  });
});

describe("snapshots", () => {
  test("are saved when the replay has grown beyond its bound", async () => {
    const w = world();
    const journal = new ArrayJournal(w);
    const host = hostOf(w, journal);
    const { replica } = await commands(w, host, "a/0", 1);
    for (let i = 0; i < 20; i += 1) {
      for (let n = 0; n < 1_000; n += 1)
        replica.propose(command(replica.nextOffset), replica.role.term);
      await w.run(20);
    }
    const { snapshotIndex, lastIndex } = journal.state(replica.number);
    expect(snapshotIndex).toBeGreaterThan(16_000);
    expect(lastIndex).toBe(logIndex(20_002));
    expect(host.metrics()).toMatchObject({ consensus_snapshots_saved_total: 1 });
  });
});

describe("turns", () => {
  test("a hot replica does not hold up the others", async () => {
    const w = world();
    const journal = new ArrayJournal(w);
    const host = hostOf(w, journal);
    const hot = await commands(w, host, "hot/0", 1);
    const cold = await commands(w, host, "cold/0", 1);
    for (let n = 0; n < 5_000; n += 1)
      hot.replica.propose(command(hot.replica.nextOffset, 4_096), term(1));
    cold.replica.propose(command(cold.replica.nextOffset), term(1));
    let turns = 0;
    while (cold.replica.commitIndex < 3) {
      await w.run(1);
      turns += 1;
    }
    expect(turns).toBeLessThan(5);
  });
});
