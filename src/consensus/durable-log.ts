// One replica's log: what the core wants written goes to the journal, what it committed goes to the state machine.
//
//   MsgStorageAppend --> entries, term, vote, a leader's snapshot: one write --> durable --> responses
//   MsgStorageApply  --> configuration, positions, fold --> log start
//
// Promise: a term or a vote is written like an entry, and what rests on either is handed back when it is durable; entries
// of a leader that replace others take them out of every place that knows the log (window, positions, changes) in the
// same step; an entry that does not begin where the own log ends is refused with storage_damaged before it is written
// (DESIGN section 4). Left to others: when the core runs, and what follows for its role (hosted-replica.ts).

import type { ConfState, Entry, Message, Snapshot } from "../../raft/types.ts";
import { Fault } from "../errors.ts";
import type { HardState, LogEntry, ReplicaWrite } from "../journal/journal.ts";
import { logIndex, type LogIndex, type ReplicaNumber } from "../quantities.ts";
import { Configurations } from "./configurations.ts";
import type { CoreRun } from "./core-run.ts";
import { FoldFeed } from "./fold-feed.ts";
import { LogStarts } from "./log-starts.ts";
import { openPartitionSnapshot, type Installation } from "./partition-snapshot.ts";
import { toLogEntry, type Payload } from "./payload.ts";
import { Positions } from "./positions.ts";
import type { ReplicaContext } from "./replica-context.ts";
import type { StateMachine } from "./replica.ts";
import { hardStateIn } from "./storage-message.ts";
import { WritesUnderWay, type WriteEvents, type WriteUnderWay } from "./writes-under-way.ts";

export interface DurableLogParts extends WriteEvents {
  readonly context: ReplicaContext;
  readonly number: ReplicaNumber;
  readonly groupId: string;
  readonly raftId: number;
  readonly machine: StateMachine;
  /** The configuration of a replica that has written none yet. */
  readonly born: ConfState;
}

export class DurableLog {
  readonly positions: Positions;
  readonly configurations: Configurations;
  readonly feed: FoldFeed;
  readonly starts: LogStarts;
  readonly writes: WritesUnderWay;
  readonly #parts: DurableLogParts;
  /** What the journal was told last; at least what is durable. */
  #hardState: HardState;
  /** The journal's state was taken while writes were under way, which may have changed it since: terms, votes, entries. */
  #stale = false;

  constructor(parts: DurableLogParts) {
    this.#parts = parts;
    const { context, number: replica, machine, born } = parts;
    const { world, journal } = context;
    const state = journal.state(replica);
    this.#hardState = state.hardState;
    this.positions = new Positions(state);
    this.configurations = new Configurations(state.configuration, born);
    this.starts = new LogStarts(journal, replica, {
      save: () => this.save(),
      committed: () => this.positions.commitIndex,
    });
    this.feed = new FoldFeed({
      world,
      journal,
      replica,
      machine,
      onLogStart: (start, index) => this.starts.applied(start, index),
      alone: () => this.configurations.isAlone(parts.raftId),
    });
    this.writes = new WritesUnderWay(journal, {
      onDurable: (write) => this.#settled(write, () => parts.onDurable(write)),
      onFailed: (write, reason) => this.#settled(write, () => parts.onFailed(write, reason)),
      onIdle: parts.onIdle,
    });
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  /** The time of the next entry, ms. */
  clock(): number {
    return Math.max(this.#parts.context.world.now(), this.positions.lastTime);
  }

  /** An entry of the own core, behind everything that it appended before. */
  track(run: CoreRun, entry: Entry<Payload>, data: Payload): void {
    run.window.push(entry);
    this.positions.proposed(entry.index, data);
  }

  /** Entries that a leader's core appended by itself since its last Ready (the end of a joint configuration, say): before
   *  another one is proposed behind them in the same turn (cluster simulator, seeds 741 and 4230). Cost without such: one
   *  comparison. */
  trackOwn(run: CoreRun): void {
    const { unstable } = run.node.core.log;
    const end = unstable.offset + unstable.entries.length;
    for (let index = this.positions.lastIndex + 1; index < end; index += 1) {
      const entry = unstable.entries[index - unstable.offset];
      this.track(run, entry, entry.data!);
    }
  }

  /** Writes what a MsgStorageAppend asks for. Returns the responses for which nothing has to be waited. Throws Fault
   *  storage_damaged when the leader's entries do not fit this log. */
  append(run: CoreRun, message: Message<Payload>): readonly Message<Payload>[] {
    const { entries, snapshot, responses } = message;
    const installs = snapshot === null ? null : this.#install(run, snapshot);
    if (entries.length > 0) this.#adopt(run, entries);
    const hardState = hardStateIn(message);
    const { term, vote } = this.#hardState;
    const counts = hardState !== null && (hardState.term !== term || hardState.vote !== vote);
    if (hardState !== null) this.#hardState = hardState;
    if (entries.length > 0 || installs !== null || counts) {
      this.#write({ entries, hardState, installs, responses, run });
      return nothing;
    }
    if (hardState !== null) this.writes.noteCommit({ replica: this.#parts.number, hardState });
    return responses.length === 0 || this.writes.join(responses) ? nothing : responses;
  }

  /** Runs committed entries on the state machine. Throws Fault storage_damaged for what it cannot apply. */
  apply(run: CoreRun, entries: readonly Entry<Payload>[]): void {
    const known: LogEntry[] = [];
    for (const entry of entries) {
      if (entry.type === "confChange" && !this.#applyChange(run, entry)) break;
      const whole = toLogEntry(entry);
      if (whole !== null) known.push(whole);
      else this.feed.missed(logIndex(entry.index));
      this.positions.committed(entry, run.recovered.get(entry.index));
    }
    if (known.length > 0) this.feed.feed(known);
    this.#writeConfiguration();
  }

  /** A leader's snapshot is durable: the machine and the readers go on from there. */
  installed({ foldIndex, opened, reset }: Installation): void {
    this.feed.install(foldIndex, opened);
    this.positions.installed(reset);
    this.positions.atLeast(opened.logStart.offset);
  }

  /** The records up to the recorded commit end where the first entry behind it begins. Rejects with storage_damaged. */
  async locateHighWatermark(): Promise<void> {
    const { context, number: replica } = this.#parts;
    const from = { index: logIndex(this.positions.commitIndex + 1) };
    const endIndex = logIndex(from.index + 1);
    const request = { replica, from, endIndex, maxBytes: 1, dataOnly: false };
    const page = await context.journal.read(request);
    const [first] = page.entries;
    if (first !== undefined) this.positions.atLeast(first.baseOffset);
    page.release();
  }

  /** The core is gone, and with it what it believed beyond what is durable. */
  fallBack(): void {
    this.feed.unload();
    this.#followJournal();
  }

  /** Before the next core starts, or anything is written without one: a failed write is told at once, those behind it may
   *  have succeeded since, and with them a vote that must not be forgotten (simulator, seeds 50 and 88). */
  refresh(): void {
    if (this.#stale && this.writes.count === 0) this.#followJournal();
  }

  /** Makes the machine's state durable at its applied index. Resolves to that index. */
  async save(): Promise<LogIndex> {
    const { context, number: replica } = this.#parts;
    if (this.#stale) await this.writes.settled();
    this.refresh();
    const index = this.feed.applied;
    const bytes = this.feed.snapshot(this.starts.current);
    context.schedule.saving(replica, bytes.length);
    const hardState = { ...this.#hardState, commit: this.positions.commitIndex };
    if (index <= context.journal.state(replica).snapshotIndex) {
      await this.writes.write({ replica, hardState });
      return index;
    }
    const configuration = this.configurations.toWrite();
    try {
      await this.writes.write({
        replica,
        hardState,
        snapshot: { index, bytes },
        ...present("configuration", configuration),
      });
    } catch (error) {
      if (configuration !== null) this.configurations.unwritten();
      throw error;
    }
    return index;
  }

  #followJournal(): void {
    this.#stale = this.writes.count > 0;
    const state = this.#parts.context.journal.state(this.#parts.number);
    this.#hardState = state.hardState;
    this.positions.fallBackTo(state);
    this.configurations.fellBack(state.configuration, state.lastIndex);
    if (state.logStart.index <= this.positions.commitIndex + 1) return;
    // A leader's snapshot became durable when the core that wanted it was gone already.
    this.positions.installed(state.logStart);
    this.starts.found(state.logStart);
    this.feed.restart();
  }

  #settled(write: WriteUnderWay, then: () => void): void {
    this.#parts.context.received.bytes -= write.receivedBytes;
    then();
  }

  #write(parts: {
    readonly entries: readonly Entry<Payload>[];
    readonly hardState: HardState | null;
    readonly installs: Installation | null;
    readonly responses: readonly Message<Payload>[];
    readonly run: CoreRun;
  }): void {
    const { context, number: replica } = this.#parts;
    const { hardState, installs, responses, run } = parts;
    const entries = parts.entries.map((entry) => toLogEntry(entry)!);
    const configuration = this.configurations.toWrite();
    const write: Draft<ReplicaWrite> = { replica };
    if (entries.length > 0) write.entries = entries;
    if (hardState !== null) write.hardState = hardState;
    if (configuration !== null) write.configuration = configuration;
    if (installs !== null) Object.assign(write, writeOf(installs));
    if (entries.length > 0) context.schedule.wrote(replica, entries);
    const receivedBytes = run.node.core.role === "leader" ? 0 : bytesOf(entries);
    context.received.bytes += receivedBytes;
    this.writes.enqueue(write, { responses, installs, run, receivedBytes });
  }

  /** Takes entries into the places that know the log: proposals are there already, a leader's and the core's own (no-ops,
   *  the end of a joint configuration) are not. */
  #adopt(run: CoreRun, entries: readonly Entry<Payload>[]): void {
    for (const entry of entries) {
      const mine = !run.takeReceived(entry);
      if (mine && run.window.at(entry.index)?.term === entry.term) continue;
      if (entry.index <= this.positions.lastIndex) this.#cut(run, entry.index);
      const { baseOffset } = entry.data!;
      if (baseOffset !== this.positions.nextOffset) {
        if (!mine) entry.data!.batch?.release();
        throw this.#misfit(entry);
      }
      this.track(run, entry, entry.data!);
    }
    this.configurations.appended(entries);
  }

  /** index and everything behind it is replaced. What stands there is not committed, so the window or what was read at
   *  the start knows it. */
  #cut(run: CoreRun, index: number): void {
    const replaced = run.window.at(index)?.data ?? run.recovered.get(index);
    run.window.dropFrom(index);
    this.positions.cut(index, replaced?.baseOffset ?? -1);
  }

  #misfit({ index, term, data }: Entry<Payload>): Fault {
    const { groupId } = this.#parts;
    const { nextOffset } = this.positions;
    const detail =
      `Cannot append entry ${index} of term ${term} to ${groupId}: it must begin at offset ${nextOffset}, ` +
      `got ${data!.baseOffset}; this log and the leader's count records differently`;
    return new Fault("storage_damaged", detail, {
      members: { groupId, index, offset: nextOffset },
    });
  }

  #install(run: CoreRun, snapshot: Snapshot): Installation {
    const installs = openPartitionSnapshot(snapshot);
    run.window.dropFrom(0);
    this.configurations.told(installs.configurationIndex, snapshot.confState);
    this.positions.installing(installs.reset);
    return installs;
  }

  /** False: a snapshot overtakes the entry. A change whose outcome was told before is passed over. */
  #applyChange(run: CoreRun, entry: Entry<Payload>): boolean {
    if (entry.index <= this.configurations.index) return true;
    const state = run.node.applyConfChange(entry);
    if (state === null) return false;
    this.configurations.applied(entry.index, state);
    return true;
  }

  /** With the next write it would be too late should none follow for long: a start would apply the change once more,
   *  which is harmless, but only as long as its entry is there. */
  #writeConfiguration(): void {
    if (this.configurations.index === 0) return;
    const configuration = this.configurations.toWrite();
    if (configuration === null) return;
    this.writes
      .write({ replica: this.#parts.number, configuration })
      .catch(() => this.configurations.unwritten());
  }
}

function bytesOf(entries: readonly LogEntry[]): number {
  let sum = 0;
  for (const { batch } of entries) sum += batch?.bytes.length ?? 0;
  return sum;
}

type Draft<T> = { -readonly [K in keyof T]: T[K] };

const nothing: readonly Message<Payload>[] = [];

function writeOf({ reset, foldIndex, envelope }: Installation) {
  return { reset, snapshot: { index: foldIndex, bytes: envelope } };
}

/** {[name]: value}, or nothing when the value is null. */
function present<K extends string, V>(name: K, value: V | null): { [P in K]?: V } {
  return value === null ? {} : ({ [name]: value } as { [P in K]: V });
}
