// Feeds one state machine: snapshot, then the log from the journal, then what commits.
//
//   |-- snapshot --|---- replay, in pages of 1 MiB ----|---- live ---->
//                  ^ restore()                         ^ loaded: apply() follows each commit
//
// Promise: the machine sees every committed entry once, in order, whatever failed or restarted meanwhile; replay yields
// to the event loop between pages. Nothing is read before load(). Left to others: what is committed (hosted-replica).

import { assert } from "../assert.ts";
import { Fault } from "../errors.ts";
import {
  entryKinds,
  type Journal,
  type LogEntry,
  type LogStart,
  type ReadResult,
} from "../journal/journal.ts";
import { logIndex, type LogIndex, type ReplicaNumber } from "../quantities.ts";
import type { World } from "../world.ts";
import { logStartOf } from "./payload.ts";
import type { StateMachine } from "./replica.ts";
import { decodeSnapshot, encodeSnapshot, type SnapshotEnvelope } from "./snapshot-envelope.ts";

const pageBytesMax = 1024 * 1024;
const knownKinds: ReadonlySet<number> = new Set(Object.values(entryKinds));

export interface FoldFeedParts {
  readonly world: World;
  readonly journal: Journal;
  readonly replica: ReplicaNumber;
  readonly machine: StateMachine;
  /** A log-start entry was applied, or stood in the snapshot. */
  readonly onLogStart: (start: LogStart, index: LogIndex) => void;
  /** Nobody else has what is damaged here. */
  readonly alone: () => boolean;
}

export class FoldFeed {
  readonly #parts: FoldFeedParts;
  #applied = logIndex(0);
  #restored = false;
  #loaded = false;
  #loading: Promise<void> | null = null;
  #stopped: Fault | null = null;
  /** Counts installed snapshots: what was read for the state before one is of no use. */
  #generation = 0;

  constructor(parts: FoldFeedParts) {
    this.#parts = parts;
  }

  /** Last index that the machine has seen. */
  get applied(): LogIndex {
    return this.#applied;
  }

  /** The machine has seen everything committed and follows. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Committed entries, in order. Left alone while the machine is behind, or when entries without payload came before
   *  them (a recovered tail): load() reads them from the journal. Those that a leader's snapshot held are passed over. */
  feed(entries: readonly LogEntry[]): void {
    const first = entries[0].index;
    if (first <= this.#applied) {
      const fresh = entries.filter(({ index }) => index > this.#applied);
      if (fresh.length > 0) this.feed(fresh);
      return;
    }
    if (first > this.#applied + 1) this.#loaded = false;
    if (this.#loaded && this.#stopped === null) this.#apply(entries);
  }

  /** A committed entry whose payload is in the journal alone (a recovered tail): load() has to fetch it, also when no
   *  further entry comes that would show the gap (storms of test/cluster, seed 1). */
  missed(index: LogIndex): void {
    if (index > this.#applied) this.#loaded = false;
  }

  /** A leader's snapshot of `index` is durable: the machine goes on from there. */
  install(index: LogIndex, { logStart, machine: bytes }: SnapshotEnvelope): void {
    if (this.#stopped !== null) return;
    this.#generation += 1;
    this.#parts.machine.restore(index, bytes);
    this.#applied = index;
    this.#restored = true;
    this.#loaded = true;
    this.#parts.onLogStart(logStart, index);
  }

  /** The log begins behind what the machine has seen: load() restores it from the journal's snapshot. */
  restart(): void {
    this.#generation += 1;
    this.#restored = false;
    this.#loaded = false;
  }

  /** The machine may have missed something: entries were committed that nobody could feed. */
  unload(): void {
    this.#loaded = false;
  }

  /** Restores and replays until the machine has seen `committed()`. Rejects with storage_damaged. */
  load(committed: () => LogIndex): Promise<void> {
    if (this.#loaded) return Promise.resolve();
    this.#loading ??= this.#load(committed).finally(() => (this.#loading = null));
    return this.#loading;
  }

  /** Nothing is applied any more; a replay that is under way ends with the fault. */
  stop(fault: Fault): void {
    this.#stopped = fault;
  }

  /** The machine's state at `applied`, to be saved. */
  snapshot(logStart: LogStart): Uint8Array {
    assert(this.#loaded, "A machine that has not seen its log has no state to save");
    return encodeSnapshot({ logStart, machine: this.#parts.machine.snapshot() });
  }

  async #load(committed: () => LogIndex): Promise<void> {
    for (;;) {
      if (!this.#restored) await this.#restore();
      if (this.#applied >= committed()) break;
      await this.#replayPage(committed());
      await this.#nextTurn();
      if (this.#stopped !== null) throw this.#stopped;
    }
    this.#loaded = true;
  }

  async #restore(): Promise<void> {
    const { journal, replica, machine, onLogStart } = this.#parts;
    const state = journal.state(replica);
    const snapshot = state.snapshotIndex === 0 ? null : await journal.readSnapshot(replica);
    if (this.#stopped !== null) throw this.#stopped;
    if (this.#restored) return;
    this.#restored = true;
    this.#applied = logIndex(state.logStart.index - 1);
    if (snapshot === null) return;
    const { logStart, machine: bytes } = decodeSnapshot(snapshot.bytes);
    machine.restore(snapshot.index, bytes);
    this.#applied = snapshot.index;
    onLogStart(logStart, snapshot.index);
  }

  async #replayPage(committed: LogIndex): Promise<void> {
    const generation = this.#generation;
    const page = await this.#read(committed);
    if (page === null) return;
    try {
      if (this.#stopped !== null) throw this.#stopped;
      if (generation !== this.#generation) return;
      assert(page.entries.length > 0, () => `Replay found no entry at ${this.#applied + 1}`);
      this.#apply(page.entries);
    } finally {
      page.release();
    }
  }

  /** Null: a damaged entry was passed over. Its records are lost to readers too, and named; what stands behind it in
   *  the log is whole and must go on being served, so the fold goes on as well. Where others have the entry the replica
   *  is replaced instead: a fold that missed it would not be theirs. */
  async #read(committed: LogIndex): Promise<ReadResult | null> {
    const generation = this.#generation;
    const { journal, replica } = this.#parts;
    const from = { index: logIndex(this.#applied + 1) };
    const endIndex = logIndex(committed + 1);
    try {
      return await journal.read({
        replica,
        from,
        endIndex,
        maxBytes: pageBytesMax,
        dataOnly: false,
      });
    } catch (error) {
      if (generation !== this.#generation) return null;
      const damaged = damagedIndex(error);
      if (damaged === null || damaged <= this.#applied || !this.#parts.alone()) throw error;
      this.#applied = damaged;
      return null;
    }
  }

  #apply(entries: readonly LogEntry[]): void {
    const first = entries[0];
    assert(
      first.index === this.#applied + 1,
      () => `Entry ${this.#applied + 1} must be applied next, got ${first.index}`,
    );
    for (const entry of entries) {
      if (knownKinds.has(entry.kind)) continue;
      const detail = `Cannot apply entry ${entry.index}: kind ${entry.kind} is unknown to this version`;
      throw new Fault("storage_damaged", detail, { members: { index: entry.index } });
    }
    for (const entry of entries) {
      if (entry.kind === entryKinds.logStart)
        this.#parts.onLogStart(logStartOf(entry), entry.index);
    }
    this.#parts.machine.apply(entries);
    this.#applied = entries.at(-1)!.index;
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#parts.world.defer(resolve));
  }
}

/** The index of the damaged entry that a read met, null for another fault. */
function damagedIndex(error: unknown): LogIndex | null {
  if (!(error instanceof Fault) || error.code !== "storage_damaged") return null;
  const { index } = error.members;
  return typeof index === "number" ? logIndex(index) : null;
}
