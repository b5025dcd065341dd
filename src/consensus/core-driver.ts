// Runs a replica's Raft core: starts it from the journal's state, steps what arrives, does what each Ready asks for.
//
//   start() --(what the journal holds beyond the applied state is read, former writes settle)--> run
//   step, tick, tell --> turn(): one Ready --> messages leave --> log: append, apply --> responses, once durable
//                                                                 a failed write, a broken invariant: the run is over
//
// Promise: one Ready a turn; messages leave before what they are made of is let go; a response leaves, or is stepped,
// when everything that it speaks of is durable; nothing is told to a core from within its own calls. Left to others: what
// a role means to callers (hosted-replica.ts), the log (durable-log.ts), lanes (outbox.ts).

import { isStorageThread, RaftBug } from "../../raft/index.ts";
import type { Message, OwnEntry, ReadState, Snapshot } from "../../raft/types.ts";
import { Fault } from "../errors.ts";
import { logIndex, offset, type LogIndex, type ReplicaNumber } from "../quantities.ts";
import { CatchUpReads } from "./catch-up.ts";
import { CoreRun } from "./core-run.ts";
import type { DurableLog } from "./durable-log.ts";
import { replicaOf } from "./identity.ts";
import { leaveJoint } from "./membership-change.ts";
import { latestAcknowledgements, mergedAppends } from "./wire/message-merging.ts";
import type { Installation } from "./partition-snapshot.ts";
import { changePayload, noopPayload, type Payload } from "./payload.ts";
import { nothingRecovered, readRecovered, type RecoveredEntries } from "./recovered-entries.ts";
import type { ReplicaContext } from "./replica-context.ts";
import { SnapshotSource } from "./snapshot-source.ts";
import type { WriteUnderWay } from "./writes-under-way.ts";

const seedRange = 2 ** 31;
/** Snapshots on their way from this node at a time: each is one fold's whole state in memory. */
const snapshotsMax = 8;

export interface DriverParts {
  readonly context: ReplicaContext;
  readonly number: ReplicaNumber;
  readonly groupId: string;
  readonly raftId: number;
  readonly log: DurableLog;
  /** The replica has work for the host's next turn. */
  readonly changed: () => void;
  readonly mayStart: () => boolean;
  readonly onStarted: (run: CoreRun) => void;
  /** A Ready was taken, nothing of it is done: the role may be another. */
  readonly onReady: (run: CoreRun, reads: readonly ReadState[]) => void;
  /** Committed entries, or a leader's snapshot, are in the log and in the fold, if that follows. */
  readonly onApplied: () => void;
  readonly onFlushed: (last: NonNullable<WriteUnderWay["last"]>) => void;
  /** Entries from `first` on are lost, or may be. */
  readonly onFailed: (first: LogIndex, fault: Fault) => void;
  /** Nothing is in the way of a start that was put off. */
  readonly onMayStart: () => void;
  /** The replica cannot go on. */
  readonly onHalted: (fault: Fault) => void;
}

export class CoreDriver {
  readonly #parts: DriverParts;
  readonly #snapshots: SnapshotSource;
  #run: CoreRun | null = null;
  /** Entries are being read before the core can start. */
  #starting = false;
  #startWanted = false;
  /** What the core is told in the next turn. */
  #later: ((run: CoreRun) => void)[] = [];

  constructor(parts: DriverParts) {
    this.#parts = parts;
    this.#snapshots = new SnapshotSource(parts.context.journal, parts.number, parts.log);
  }

  /** Null while cold. */
  get run(): CoreRun | null {
    return this.#run;
  }

  /** A start was put off. */
  get startWanted(): boolean {
    return this.#startWanted;
  }

  get busy(): boolean {
    return this.#later.length > 0 || (this.#run?.node.hasReady() ?? false);
  }

  /** The core, if it can run now: not while writes of a former one are under way, nor while what the journal holds beyond
   *  the applied state is being read; then it starts as soon as it can. */
  start(): CoreRun | null {
    if (this.#run !== null) return this.#run;
    const { context, number, raftId, log, mayStart } = this.#parts;
    if (this.#starting || !mayStart()) return null;
    this.#startWanted = true;
    if (log.writes.count > 0) return null;
    log.refresh();
    const { positions, configurations } = log;
    const { changes } = configurations;
    if (changes.length === 0 && (configurations.isAlone(raftId) || !positions.hasTail)) {
      return this.#launch(nothingRecovered);
    }
    const wanted = { from: positions.commitIndex + 1, end: positions.lastIndex + 1, changes };
    this.#starting = true;
    void this.#startWith(readRecovered(context.journal, number, wanted));
    return null;
  }

  /** The core is gone; its log ends where the journal says. */
  end(): void {
    this.#run?.end();
    this.#run = null;
    this.#later = [];
    this.#parts.log.fallBack();
  }

  /** To be told outside of the core's own calls. */
  inTurn(tell: (run: CoreRun) => void): void {
    this.#later.push(tell);
    this.#parts.changed();
  }

  /** A broken invariant of the core, or what the log cannot take, ends this replica and no other. */
  guarded(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      this.#halt(thrown);
    }
  }

  turn(run: CoreRun): void {
    if (this.#later.length > 0) this.#tell(run);
    if (this.#run !== run || !run.node.hasReady()) return;
    try {
      this.#handle(run);
    } catch (thrown) {
      this.#halt(thrown);
    }
  }

  #tell(run: CoreRun): void {
    for (const tell of this.#later.splice(0)) this.guarded(() => tell(run));
  }

  reportUnreachable(to: number): void {
    this.inTurn(({ node }) => node.reportUnreachable(to));
  }

  /** No write is under way. */
  onIdle(): void {
    if (this.#run !== null) return;
    this.#parts.log.refresh();
    if (this.#startWanted) this.#parts.onMayStart();
  }

  onDurable(write: WriteUnderWay): void {
    const run = this.#run;
    if (run === null || write.run !== run) return;
    this.guarded(() => {
      if (write.installs !== null) this.#installed(write.installs);
      this.#deliver(run, write.responses);
    });
    if (this.#run !== run) return;
    if (write.last !== null) this.#parts.onFlushed(write.last);
    this.#parts.changed();
  }

  /** The core believes in entries that are not on the disk. What became durable before is applied, the rest is lost;
   *  the next core begins from the journal's state. */
  onFailed(write: WriteUnderWay, reason: unknown): void {
    const run = this.#run;
    if (run === null || write.run !== run) return;
    this.guarded(() => this.#applyOnly(run));
    if (this.#run !== run) return;
    const { log, onFailed } = this.#parts;
    onFailed(write.first ?? logIndex(log.positions.commitIndex + 1), asFault(reason));
  }

  #installed(installs: Installation): void {
    this.#parts.context.counters.snapshotsInstalled += 1;
    this.#parts.log.installed(installs);
    this.#parts.onApplied();
  }

  async #startWith(reading: Promise<RecoveredEntries>): Promise<void> {
    try {
      const recovered = await reading;
      this.#starting = false;
      const { mayStart, log } = this.#parts;
      // A snapshot of the fold may be on its way meanwhile: then it all begins once more when that has settled.
      if (mayStart() && log.writes.count === 0) this.#launch(recovered);
    } catch (thrown) {
      this.#starting = false;
      this.#halt(thrown);
    }
  }

  #launch(recovered: RecoveredEntries): CoreRun {
    const { context, number, groupId, raftId, log, onStarted, changed } = this.#parts;
    const { journal, world } = context;
    const { positions, configurations, hardState } = log;
    const first = recovered.get(positions.commitIndex + 1);
    if (first !== undefined) positions.atLeast(offset(first.baseOffset));
    const unapplied = configurations.changes.find((index) => index <= positions.commitIndex);
    const run = new CoreRun({
      journal,
      replica: number,
      raftId,
      seed: Math.floor(world.random() * seedRange),
      applied: unapplied === undefined ? positions.commitIndex : unapplied - 1,
      recovered,
      hardState: { ...hardState, commit: positions.commitIndex },
      confState: configurations.state,
      reads: new CatchUpReads(context, (to) => this.inTurn(({ node }) => node.entriesFetched(to))),
      received: context.received,
      snapshot: () => this.#takeSnapshot(),
      ownData: (entry) => this.#ownData(entry),
    });
    this.#run = run;
    this.#startWanted = false;
    context.onCore(groupId, replicaOf(raftId).incarnation, run.node);
    onStarted(run);
    changed();
    return run;
  }

  #takeSnapshot(): Snapshot | "unavailable" {
    const { snapshotsUnderWay } = this.#parts.context.counters;
    return snapshotsUnderWay < snapshotsMax ? this.#snapshots.take() : "unavailable";
  }

  #ownData({ type }: OwnEntry): Payload {
    const { log } = this.#parts;
    const { nextOffset } = log.positions;
    if (type === "confChange") return changePayload(leaveJoint, nextOffset, log.clock());
    return noopPayload(nextOffset, log.clock());
  }

  #handle(run: CoreRun): void {
    const { log, onReady } = this.#parts;
    const { node, window } = run;
    const held = run.storage.takeHeld();
    const { messages, readStates } = node.ready();
    onReady(run, readStates);
    for (const message of mergedAppends(messages))
      if (!isStorageThread(message.to)) this.#send(run, message);
    // Messages made before now are on their way, so nothing needs what is applied any more.
    for (const page of held) page.release();
    window.dropBelow(log.positions.commitIndex + 1);
    let due: readonly Message<Payload>[] = [];
    for (const message of messages) {
      if (message.type === "MsgStorageAppend") due = log.append(run, message);
      else if (message.type === "MsgStorageApply") this.#apply(run, message);
    }
    run.releaseReceived();
    this.#deliver(run, due);
    if (!node.hasReady()) window.dropBelow(log.positions.commitIndex + 1);
  }

  #apply(run: CoreRun, message: Message<Payload>): void {
    const { log, onApplied } = this.#parts;
    log.apply(run, message.entries);
    for (const response of message.responses) run.node.step(response);
    if (log.feed.loaded) log.starts.cut();
    onApplied();
  }

  #applyOnly(run: CoreRun): void {
    while (this.#run === run && run.node.hasReady()) {
      for (const message of run.node.ready().messages) {
        if (message.type === "MsgStorageApply") this.#apply(run, message);
      }
    }
  }

  /** Responses whose writes are durable. */
  #deliver(run: CoreRun, responses: readonly Message<Payload>[]): void {
    for (const response of latestAcknowledgements(responses)) {
      if (response.to === this.#parts.raftId) run.node.step(response);
      else this.#send(run, response);
    }
  }

  #send(run: CoreRun, message: Message<Payload>): void {
    const { context, groupId } = this.#parts;
    const { type, to } = message;
    if (type === "MsgSnap") {
      this.#sendSnapshot(message);
      return;
    }
    const behind = type === "MsgApp" && run.storage.isBehind(to, run.node);
    if (type === "MsgApp" && message.index === 0) this.#sendWelcome(to, behind);
    const sent = context.outbox.send(groupId, message, behind);
    if (!sent && type === "MsgApp") this.reportUnreachable(to);
  }

  #sendWelcome(to: number, behind: boolean): void {
    const { context, groupId, raftId, log } = this.#parts;
    const { index, state } = log.configurations;
    context.outbox.sendWelcome(groupId, { from: raftId, to, index, state }, behind);
  }

  #sendSnapshot(message: Message<Payload>): void {
    const { context, groupId } = this.#parts;
    const { to } = message;
    const { counters } = context;
    counters.snapshotsSent += 1;
    counters.snapshotsUnderWay += 1;
    let left = true;
    const gone = (): void => {
      counters.snapshotsUnderWay -= 1;
      this.inTurn(({ node }) => node.reportSnapshot(to, left ? "finished" : "failed"));
    };
    left = context.outbox.sendSnapshot(groupId, message, gone);
  }

  #halt(thrown: unknown): void {
    const { groupId, onHalted } = this.#parts;
    if (!(thrown instanceof RaftBug)) {
      if (!(thrown instanceof Fault)) throw thrown;
      onHalted(thrown);
      return;
    }
    const detail = `Replica ${groupId} takes no further part: ${thrown.message}`;
    onHalted(new Fault("storage_damaged", detail, { cause: thrown }));
  }
}

/** What was thrown, as a fault whose effects are not known. */
export function asFault(reason: unknown): Fault {
  if (reason instanceof Fault) return reason;
  const detail = "Cannot write: an unexpected error was met";
  return new Fault("storage_failed", detail, { cause: reason, sideEffects: "unknown" });
}
