// The controller: the cluster's metadata as a state machine on replica 0 (group id "controller").
//
// Promise: submit() settles with what the committed command did, as every node will see it; listeners hear of each
// change in commit order, before submit() settles. The log is cut behind a durable snapshot every snapshotEvery
// commands, so that it stays short. Left to others: what a command does (cluster-state.ts), placement (broker/).

import { assert } from "../assert.ts";
import type { Replica, ReplicaHost, Role, StateMachine } from "../consensus/replica.ts";
import { refuse, refusalOf, type Refusal } from "../errors.ts";
import { entryKinds, type LogEntry, type LogStart } from "../journal/journal.ts";
import { logIndex, type LogIndex, type Term } from "../quantities.ts";
import { decodeState, encodeState } from "./cluster-snapshot.ts";
import { ClusterState, type Applied, type Change } from "./cluster-state.ts";
import { decodeCommand, encodeCommand, type Command } from "./commands.ts";

export const controllerGroupId = "controller";

/** Commands between two snapshots: a replay of this many takes a few ms. */
const snapshotEvery = 1_000;

interface Waiter {
  readonly term: Term;
  readonly settle: (applied: Applied) => void;
}

/** Hears of every committed change, in order. Called while entries are applied: it must not await or throw. */
export type ChangeListener = (change: Change) => void;

export class Controller implements StateMachine {
  #state = new ClusterState();
  #replica: Replica | null = null;
  readonly #listener: ChangeListener;
  /** Proposals that have not been applied yet, by log index. */
  readonly #waiters = new Map<LogIndex, Waiter>();
  #appliedSinceSnapshot = 0;
  #cutting = false;
  #recovering = false;

  private constructor(listener: ChangeListener) {
    this.#listener = listener;
  }

  /** Recovers the controller, or creates it at the first start, and waits until it leads: the state then holds every
   *  command that was ever acknowledged. */
  static async open(host: ReplicaHost, listener: ChangeListener): Promise<Controller> {
    const controller = new Controller(listener);
    const known = host.groupIds().includes(controllerGroupId);
    controller.#replica = known
      ? await host.open(controllerGroupId, controller)
      : host.create(controllerGroupId, controller);
    await controller.#replica.lead();
    return controller;
  }

  /** The live state: read it freely, change it by submit() alone. */
  get state(): ClusterState {
    return this.#state;
  }

  /** Term of the newest committed entry. */
  get term(): Term {
    return this.#leader().confirmedTerm;
  }

  get ready(): boolean {
    return this.#leader().ready;
  }

  /** Leads again after a failed write, in the background; a further fault leaves things as they are. */
  recover(): void {
    if (this.#recovering || this.ready) return;
    this.#recovering = true;
    const over = (): void => {
      this.#recovering = false;
    };
    this.#leader().lead().then(over, over);
  }

  /** Proposes the command; settles when it is applied, or with a refusal (sideEffects unknown when it may still
   *  commit). Never rejects. */
  async submit(command: Command): Promise<Applied> {
    try {
      const replica = this.#leader();
      const term = replica.ready ? replica.role.term : await replica.lead();
      return await this.#propose(replica, term, encodeCommand(command));
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  restore(_index: LogIndex, snapshot: Uint8Array): void {
    this.#state = decodeState(snapshot);
  }

  apply(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      if (entry.kind !== entryKinds.command) continue;
      assert(entry.meta !== null, () => `Controller entry ${entry.index} must hold a command`);
      this.#applyOne(entry, entry.meta);
    }
    const last = entries.at(-1);
    if (last !== undefined) this.#cutWhenLong(last);
  }

  snapshot(): Uint8Array {
    return encodeState(this.#state);
  }

  onRole(_role: Role): void {}

  onReady(_term: Term): void {}

  onFlushed(_index: LogIndex, _term: Term): void {}

  onLost(index: LogIndex, refusal: Refusal): void {
    for (const [at, waiter] of this.#waiters) {
      if (at < index) continue;
      this.#waiters.delete(at);
      waiter.settle({ ...refusal, sideEffects: "unknown" });
    }
  }

  #leader(): Replica {
    assert(this.#replica !== null, "The controller is used before it is open");
    return this.#replica;
  }

  #propose(replica: Replica, term: Term, meta: Uint8Array): Promise<Applied> | Refusal {
    const proposed = replica.propose(
      {
        kind: entryKinds.command,
        baseOffset: replica.nextOffset,
        offsetCount: 0,
        maxTimestamp: -1,
        meta,
        batch: null,
      },
      term,
    );
    if (!proposed.ok) return proposed;
    return new Promise((settle) =>
      this.#waiters.set(proposed.index, { term: proposed.term, settle }),
    );
  }

  #applyOne(entry: LogEntry, meta: Uint8Array): void {
    const applied = this.#state.apply(decodeCommand(meta), entry.time);
    this.#appliedSinceSnapshot += 1;
    if (applied.ok) this.#listener(applied.change);
    const waiter = this.#waiters.get(entry.index);
    if (waiter === undefined) return;
    this.#waiters.delete(entry.index);
    if (waiter.term === entry.term) waiter.settle(applied);
    else waiter.settle(replaced);
  }

  /** Starts one cut of the log when it has grown long; the next one waits for it. */
  #cutWhenLong(last: LogEntry): void {
    if (this.#cutting || this.#appliedSinceSnapshot < snapshotEvery) return;
    this.#cutting = true;
    this.#appliedSinceSnapshot = 0;
    void this.#cut({
      index: logIndex(last.index + 1),
      prevTerm: last.term,
      offset: last.baseOffset,
    });
  }

  /** A refused or failed cut costs nothing but a longer log: the next thousand commands try again. */
  async #cut(start: LogStart): Promise<void> {
    // apply() must return before the replica is asked for more.
    await Promise.resolve();
    try {
      if (this.#replica?.ready === true) await this.#replica.advanceLogStart(start);
    } catch {
      // The journal's health and the next commands tell of the fault.
    } finally {
      this.#cutting = false;
    }
  }
}

const replaced: Refusal = refuse(
  "not_leader_or_follower",
  "Another leader's entry took the place of this change",
);
