// Random operations on a journal and on a naive model beside it, from a seed, with reopen and crash; tiny files, so
// that rolling, sealing, merging and removing happen all the time.
//
// Checked: every acknowledged write is readable and byte-equal, order and epochs hold, a restart gives a prefix of
// what was queued that holds everything acknowledged, accounts add up, no slice leaks, dead rows leave the disk.

import { assert } from "../../src/assert.ts";
import { createSlabPool } from "../../src/bytes/slab-pool.ts";
import type { SlabPool } from "../../src/bytes/slab.ts";
import type { Disk } from "../../src/journal/disk.ts";
import { entryKinds, type Journal, type LogEntry } from "../../src/journal/journal.ts";
import { checkAccounts, openJournal } from "../../src/journal/open-journal.ts";
import type { JournalSettings } from "../../src/journal/settings.ts";
import { logIndex, offset, replicaNumber, term } from "../../src/quantities.ts";
import { settle, VirtualWorld } from "../broker/virtual-world.ts";
import { contentOf, entryOf, releaseAll, type EntryPlan } from "./entries.ts";
import {
  countOf,
  emptyState,
  isData,
  ModelReplica,
  withEntries,
  type ModelState,
} from "./model.ts";

export const tinyFiles: Partial<JournalSettings> = {
  fileBytesMax: 6_000,
  fileRowsMax: 60,
  flushBytesMax: 1_500,
  cacheBytesMax: 20_000,
  snapshotChunkBytes: 200,
  freeBytesMin: 0,
};

/** What the suite does to the disk between two lives of the journal. */
export interface SuiteDisk {
  readonly disk: Disk;
  /** Another disk over the same files; missing where a closed one may be opened again. */
  reopen?(): Disk;
  /** The disk as a start after a crash sees it. */
  crash?(kind: "process" | "power"): SuiteDisk;
}

export interface SuiteOptions {
  readonly seed: number;
  readonly steps: number;
  readonly open: (world: VirtualWorld, slabs: () => SlabPool) => SuiteDisk;
  readonly settings?: Partial<JournalSettings>;
  /** "real": files and Workers; idling waits for them. */
  readonly time?: "virtual" | "real";
}

export async function runJournalSuite(options: SuiteOptions): Promise<void> {
  const run = new SuiteRun(options);
  try {
    await run.start();
    for (let i = 0; i < options.steps; i++) await run.step();
    await run.finish();
  } catch (error) {
    throw new Error(`Journal suite failed with seed ${options.seed}: ${run.trace()}`, {
      cause: error,
    });
  }
}

class SuiteRun {
  readonly #options: SuiteOptions;
  readonly #world: VirtualWorld;
  readonly #replicas: ModelReplica[] = [];
  readonly #trace: string[] = [];
  #slabs = createSlabPool({ slabBytes: 4_096 });
  #disk: SuiteDisk;
  #journal!: Journal;
  #pending = new Set<Promise<void>>();
  #stamp = 0;
  /** Writes of an earlier life settle into nothing. */
  #life = 0;

  constructor(options: SuiteOptions) {
    this.#options = options;
    this.#world = new VirtualWorld(options.seed * 7_919 + 1);
    this.#disk = options.open(this.#world, () => this.#slabs);
  }

  trace(): string {
    return this.#trace.slice(-12).join(" | ");
  }

  #below(n: number): number {
    return Math.floor(this.#world.random() * n);
  }

  #chance(p: number): boolean {
    return this.#world.random() < p;
  }

  async start(): Promise<void> {
    this.#life++;
    this.#journal = await openJournal({
      world: this.#world,
      disk: this.#disk.disk,
      slabs: this.#slabs,
      ...tinyFiles,
      ...this.#options.settings,
    });
    checkAccounts(this.#journal);
  }

  async step(): Promise<void> {
    const verbs: [number, string, () => void | Promise<void>][] = [
      [40, "append", () => this.#append()],
      [6, "replace", () => this.#replace()],
      [10, "commit", () => this.#commit()],
      [4, "vote", () => this.#vote()],
      [6, "snapshot", () => this.#snapshot()],
      [8, "trim", () => this.#trim()],
      [2, "reset", () => this.#reset()],
      [1, "drop", () => this.#drop()],
      [3, "create", () => this.#create()],
      [14, "read", () => this.#readSome()],
      [10, "wait", () => settle(this.#below(4))],
      [2, "reopen", () => this.#reopen()],
      [2, "crash", () => this.#crash()],
    ];
    let at = this.#below(verbs.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, name, run] of verbs) {
      at -= weight;
      if (at >= 0) continue;
      this.#trace.push(name);
      await run();
      return;
    }
  }

  #any(): ModelReplica | null {
    const live = this.#replicas.filter((one) => one.last.exists);
    return live[this.#below(live.length)] ?? null;
  }

  #create(): void {
    if (this.#replicas.filter((one) => one.last.exists).length >= 6) return;
    const groupId = `group-${this.#stamp++}`;
    const number = this.#journal.createReplica({ groupId, incarnation: 1 });
    this.#replicas.push(new ModelReplica(number, groupId));
  }

  /** Sends a write; the model follows at once, the acknowledgement later. */
  #send(one: ModelReplica, write: Promise<unknown>, acknowledge: () => void): void {
    const life = this.#life;
    const done = write.then(() => (life === this.#life ? acknowledge() : undefined));
    this.#pending.add(done);
    void done.finally(() => this.#pending.delete(done));
    this.#trace.push(`${one.replica}:${one.last.lastIndex}`);
  }

  /** What replaces a tail is of a newer term: in one term an index is written once. */
  #plans(state: ModelState, from: number, baseOffset: number): EntryPlan[] {
    const newTerm = from <= state.lastIndex || this.#chance(0.1) ? 1 : 0;
    const at = Math.max(1, state.term + newTerm);
    let next = baseOffset;
    return Array.from({ length: 1 + this.#below(4) }, (_, i) => {
      const plan: EntryPlan = {
        index: from + i,
        term: at,
        baseOffset: next,
        stamp: this.#stamp++,
        kind: this.#chance(0.85) ? entryKinds.data : entryKinds.command,
        bytes: this.#below(300),
        offsetCount: 1 + this.#below(5),
        time: this.#stamp,
      };
      const stamped = isData(plan) ? { ...plan, maxTimestamp: this.#below(1_000) } : plan;
      next += countOf(plan);
      return stamped;
    });
  }

  #write(one: ModelReplica, plans: readonly EntryPlan[]): void {
    const state = one.last;
    const next = withEntries(state, plans);
    const entries = plans.map((plan) => entryOf(this.#slabs, plan));
    const changed = next.term !== state.term;
    const commit = logIndex(Math.min(one.commit, plans[0].index - 1));
    const hardState = { term: term(next.term!), vote: 0, commit };
    const replica = replicaNumber(one.replica);
    const write = changed ? { replica, entries, hardState } : { replica, entries };
    const sent = this.#journal.enqueue(write);
    releaseAll(entries);
    this.#send(one, sent, one.step(next));
  }

  #append(): void {
    const one = this.#any();
    if (one === null) return;
    const state = one.last;
    this.#write(one, this.#plans(state, state.lastIndex + 1, state.nextOffset));
  }

  /** A new leader's tail over what was not committed. */
  #replace(): void {
    const one = this.#any();
    if (one === null || one.last.lastIndex <= one.commit) return;
    const state = one.last;
    const index = one.commit + 1 + this.#below(state.lastIndex - one.commit);
    const old = state.entries.get(index);
    if (old !== undefined) this.#write(one, this.#plans(state, index, old.baseOffset));
  }

  #commit(): void {
    const one = this.#any();
    if (one === null || one.durable.lastIndex <= one.commit) return;
    const { durable, last } = one;
    // Only what every queued step keeps is committed.
    const keeps = one.states.slice(one.acknowledged).every((state) => {
      const index = durable.lastIndex;
      return state.entries.get(index)?.stamp === durable.entries.get(index)?.stamp;
    });
    if (!keeps) return;
    one.commit = durable.lastIndex;
    const hardState = {
      term: term(last.term),
      vote: last.vote,
      commit: logIndex(one.commit),
    };
    const replica = replicaNumber(one.replica);
    this.#send(one, this.#journal.enqueue({ replica, hardState }), one.step({}));
  }

  #vote(): void {
    const one = this.#any();
    if (one === null) return;
    const next = { term: one.last.term + 1, vote: 1 + this.#below(3) };
    const commit = logIndex(Math.min(one.commit, one.last.lastIndex));
    const hardState = { term: term(next.term), vote: next.vote, commit };
    const replica = replicaNumber(one.replica);
    this.#send(one, this.#journal.enqueue({ replica, hardState }), one.step(next));
  }

  #snapshot(): void {
    const one = this.#any();
    if (one === null || one.commit <= (one.last.snapshot?.index ?? 0)) return;
    if (one.commit < one.trimmed - 1) return;
    const bytes = contentOf({
      index: one.commit,
      term: 0,
      baseOffset: 0,
      bytes: this.#below(2e3),
      stamp: this.#stamp++,
    });
    const snapshot = { index: logIndex(one.commit), bytes };
    const replica = replicaNumber(one.replica);
    this.#send(one, this.#journal.enqueue({ replica, snapshot }), one.step({ snapshot }));
  }

  #trim(): void {
    const one = this.#any();
    if (one === null) return;
    const durable = one.durable;
    const bound = Math.min(one.commit, durable.snapshot?.index ?? one.commit, durable.lastIndex);
    const log = this.#journal.state(replicaNumber(one.replica));
    const index = Math.max(one.trimmed, log.logStart.index) + this.#below(8);
    const entry = durable.entries.get(index);
    if (entry === undefined || index > bound + 1 || one.states.length - 1 > one.acknowledged)
      return;
    const prevTerm = this.#journal.term(replicaNumber(one.replica), logIndex(index - 1));
    if (prevTerm === null) return;
    const start = { index: logIndex(index), prevTerm, offset: offset(entry.baseOffset) };
    void this.#journal.trim(replicaNumber(one.replica), start);
    one.trimmed = index;
  }

  /** A leader's snapshot is installed far ahead of the log. */
  #reset(): void {
    const one = this.#any();
    if (one === null) return;
    const state = one.last;
    const index = state.lastIndex + 5 + this.#below(10);
    const at = Math.max(1, state.term);
    const start = { index, prevTerm: at, offset: state.nextOffset + 10 };
    const bytes = contentOf({ index, term: at, baseOffset: 0, bytes: this.#below(900) });
    const snapshot = { index: logIndex(index - 1), bytes };
    const next = {
      start,
      entries: new Map(),
      lastIndex: index - 1,
      lastTerm: at,
      snapshot,
      nextOffset: start.offset,
      term: at,
      vote: at === state.term ? state.vote : 0,
    };
    const sent = this.#journal.enqueue({
      replica: replicaNumber(one.replica),
      reset: { index: logIndex(index), prevTerm: term(at), offset: offset(start.offset) },
      hardState: { term: term(at), vote: next.vote, commit: logIndex(index - 1) },
      snapshot,
    });
    one.commit = index - 1;
    one.trimmed = index;
    this.#send(one, sent, one.step(next));
  }

  #drop(): void {
    const one = this.#any();
    if (one === null) return;
    this.#send(one, this.#journal.drop(replicaNumber(one.replica)), one.step({ exists: false }));
  }

  async #readSome(): Promise<void> {
    const one = this.#any();
    if (one === null || one.states.length - 1 > one.acknowledged) return;
    await this.#checkReads(one, one.durable);
  }

  async #reopen(): Promise<void> {
    await this.#idle();
    await this.#journal.close();
    assert(this.#slabs.bytesInUse === 0, `Slices leak: ${this.#slabs.bytesInUse} bytes are held`);
    const disk = this.#disk.reopen?.() ?? this.#disk.disk;
    this.#disk = { ...this.#disk, disk };
    await this.start();
    for (const one of this.#replicas) await this.#compare(one, one.acknowledged);
    this.#forgetDropped();
  }

  async #crash(): Promise<void> {
    if (this.#disk.crash === undefined) return this.#reopen();
    await settle(this.#below(3));
    const kind = this.#chance(0.5) ? "process" : "power";
    this.#trace.push(kind);
    this.#disk = this.#disk.crash(kind);
    this.#pending = new Set();
    this.#slabs = createSlabPool({ slabBytes: 4_096 });
    await this.start();
    const os = this.#options.settings?.durability === "os" && kind === "power";
    for (const one of this.#replicas) await this.#compare(one, os ? 0 : one.acknowledged);
    this.#forgetDropped();
  }

  #forgetDropped(): void {
    const live = this.#replicas.filter((one) => one.last.exists);
    this.#replicas.splice(0, this.#replicas.length, ...live);
  }

  /** The journal equals the model after some step from `least` on; the model goes on from there. */
  async #compare(one: ModelReplica, least: number): Promise<void> {
    const log = [...this.#journal.replicas()].find((each) => each.replica === one.replica);
    const found = one.states.findLastIndex((state, k) => {
      if (k < least) return false;
      if (log === undefined) return !state.exists || (k === 0 && one.states[0] === emptyState);
      const { hardState, lastIndex, lastTerm, nextOffset, snapshotIndex } = log;
      const same =
        state.exists &&
        state.lastIndex === lastIndex &&
        state.lastTerm === lastTerm &&
        state.nextOffset === nextOffset &&
        state.term === hardState.term &&
        state.vote === hardState.vote &&
        (state.snapshot?.index ?? 0) === snapshotIndex;
      return (
        same && [...state.entries.keys()].every((i) => i < log.logStart.index || i <= lastIndex)
      );
    });
    assert(
      found >= 0,
      () =>
        `Replica ${one.replica} recovered as ${describe(log)}, wanted one of ${one.states.slice(least).map(describe).join(", ")}`,
    );
    const state = one.states[found];
    one.adopt(log === undefined ? { ...state, exists: false } : state);
    if (log === undefined) return;
    assert(
      log.damage.length === 0,
      () => `Damage came from nowhere: ${JSON.stringify(log.damage)}`,
    );
    one.commit = log.hardState.commit;
    one.trimmed = log.logStart.index;
    await this.#checkReads(one, state);
  }

  /** Reads the whole log in pieces, and asks for offsets, terms and times. */
  async #checkReads(one: ModelReplica, state: ModelState): Promise<void> {
    const replica = replicaNumber(one.replica);
    const { logStart, lastIndex } = this.#journal.state(replica);
    const wanted = [...state.entries.values()].filter((plan) => plan.index >= logStart.index);
    const maxBytes = this.#below(1_500);
    const got: LogEntry[] = [];
    for (let next: number = logStart.index; next <= lastIndex;) {
      const result = await this.#journal.read({
        replica,
        from: { index: logIndex(next) },
        endIndex: logIndex(lastIndex + 1),
        maxBytes,
        dataOnly: false,
      });
      assert(result.entries.length > 0, () => `Nothing was read of replica ${replica} at ${next}`);
      for (const entry of result.entries) checkEntry(entry, state.entries.get(entry.index));
      next = result.entries.at(-1)!.index + 1;
      got.push(...result.entries);
      result.release();
    }
    const indexes = got.map((entry) => entry.index).join();
    const expected = wanted
      .map((plan) => plan.index)
      .sort((a, b) => a - b)
      .join();
    assert(indexes === expected, () => `Replica ${replica}: wanted ${expected}, read ${indexes}`);
    for (const plan of wanted) this.#checkTerm(one, plan);
    const data = wanted.filter(isData);
    if (data.length > 0) await this.#checkByOffset(one, data);
    await this.#checkTimestamp(one, data, lastIndex + 1);
  }

  #checkTerm(one: ModelReplica, plan: EntryPlan): void {
    const found = this.#journal.term(replicaNumber(one.replica), logIndex(plan.index));
    assert(found === plan.term, () => `Term of ${plan.index}: wanted ${plan.term}, got ${found}`);
  }

  async #checkByOffset(one: ModelReplica, data: readonly EntryPlan[]): Promise<void> {
    const plan = data[this.#below(data.length)];
    const at = plan.baseOffset + this.#below(countOf(plan));
    const result = await this.#journal.read({
      replica: replicaNumber(one.replica),
      from: { offset: offset(at) },
      endIndex: logIndex(plan.index + 1),
      maxBytes: 0,
      dataOnly: true,
    });
    const [entry] = result.entries;
    assert(
      entry?.index === plan.index,
      () => `Offset ${at}: wanted ${plan.index}, got ${entry?.index}`,
    );
    result.release();
  }

  async #checkTimestamp(one: ModelReplica, data: readonly EntryPlan[], end: number): Promise<void> {
    const at = this.#below(1_100);
    const sorted = [...data].sort((a, b) => a.index - b.index);
    const wanted = sorted.find((plan) => plan.maxTimestamp! >= at)?.index ?? null;
    const found = await this.#journal.findTimestamp(replicaNumber(one.replica), at, logIndex(end));
    const index = found?.index ?? null;
    assert(index === wanted, () => `Timestamp ${at}: wanted ${wanted}, got ${index}`);
  }

  /** Everything that was sent is settled. */
  async #idle(): Promise<void> {
    await Promise.all(this.#pending);
    if (this.#options.time !== "real") await settle(6);
  }

  async finish(): Promise<void> {
    await this.#idle();
    checkAccounts(this.#journal);
    for (const one of this.#replicas) if (one.last.exists) await this.#checkSnapshot(one);
    for (const one of this.#replicas)
      if (one.last.exists) await this.#journal.drop(replicaNumber(one.replica));
    await this.#journal.close();
    assert(this.#slabs.bytesInUse === 0, `Slices leak: ${this.#slabs.bytesInUse} bytes are held`);
  }

  async #checkSnapshot(one: ModelReplica): Promise<void> {
    const found = await this.#journal.readSnapshot(replicaNumber(one.replica));
    const wanted = one.durable.snapshot;
    assert(
      found?.index === wanted?.index &&
        Buffer.compare(found?.bytes ?? empty, wanted?.bytes ?? empty) === 0,
      () => `Snapshot of replica ${one.replica}: wanted ${wanted?.index}, got ${found?.index}`,
    );
  }
}

const empty = new Uint8Array(0);

function describe(state: unknown): string {
  return JSON.stringify(state, (key, value: unknown) =>
    key === "entries" || key === "bytes" || key === "segments" || key === "tail" || key === "epochs"
      ? undefined
      : value,
  );
}

function checkEntry(entry: LogEntry, plan: EntryPlan | undefined): void {
  assert(plan !== undefined, () => `Entry ${entry.index} was never written`);
  const same =
    entry.term === plan.term &&
    entry.baseOffset === plan.baseOffset &&
    entry.offsetCount === countOf(plan);
  assert(
    same,
    () => `Entry ${entry.index}: wanted ${JSON.stringify(plan)}, got term ${entry.term}`,
  );
  if (!isData(plan)) return;
  assert(entry.batch !== null, () => `Entry ${entry.index} came without its batch`);
  assert(
    Buffer.compare(entry.batch.bytes, contentOf(plan)) === 0,
    () => `Entry ${entry.index} has other bytes`,
  );
}
