// One participant of one Raft group: the whole surface of the core. Synchronous, single-threaded, deterministic.
//
// Promise: it acts only inside these calls; the same calls in the same order give the same result. Nothing here throws
// on a host's legitimate use or on what correct peers send, in any order; a broken invariant throws RaftBug. Left to
// others: driving it (the essay in index.ts says how).

import { bug } from "./bug.ts";
import { leaveJointChange } from "./confchange.ts";
import { Core } from "./core.ts";
import { becomeFollower, tickElection, tickLeader } from "./election.ts";
import { applyConfChange } from "./membership.ts";
import { isStorageThread, messageTypes } from "./message.ts";
import { propose } from "./proposals.ts";
import { forwardReadIndex, handleReadIndex } from "./reads.ts";
import {
  acceptReady,
  collectReady,
  hasReady,
  softStateOf,
  storageAppend,
  storageAppended,
  storageApplied,
  storageApply,
  type Told,
} from "./ready.ts";
import { resumeFetched } from "./replication.ts";
import { loadConfiguration } from "./snapshots.ts";
import { statusOf, type Status } from "./status.ts";
import { step } from "./step.ts";
import type {
  Config,
  ConfChange,
  ConfState,
  Entry,
  Message,
  NodeId,
  Proposed,
  Ready,
  StepResult,
  Storage,
} from "./types.ts";

/** One participant of one group. P is the payload of an entry, which the core never looks into. Each call costs O(work
 *  that it causes), at most O(members) beside the entries it moves. */
export class RawNode<P> {
  /** For invariants, tests and the simulator; a host has no business here. */
  readonly core: Core<P>;
  readonly #told: Told;
  /** Synchronous mode: what advance() steps. */
  #stepsOnAdvance: Message<P>[] = [];

  /** Recovers from storage as a follower. Throws when the stored state contradicts itself (commit beyond the log) or
   *  an option cannot work. */
  constructor(config: Config<P>, storage: Storage<P>) {
    const core = new Core<P>(config, storage);
    this.core = core;
    const { hardState, confState } = storage.initialState();
    loadConfiguration(core, confState);
    core.recover(hardState);
    becomeFollower(core, core.term, 0);
    this.#told = { soft: softStateOf(core), hard: core.hardState() };
  }

  /** Time passes by one tick: elections, heartbeats and checks of the quorum come from here alone. */
  tick(): void {
    if (this.core.role === "leader") tickLeader(this.core);
    else if (tickElection(this.core)) this.campaign();
  }

  /** Starts an election now. No effect on a leader, a learner, or while a snapshot or a change is being applied. */
  campaign(): void {
    step(this.core, this.core.draft("MsgHup", this.core.id));
  }

  /** Appends one entry. `bytes`: size of data for the limits, an integer >= 0; an entry of 0 bytes is never refused for
   *  its size. Cost: O(followers). */
  propose(data: P, bytes: number): Proposed {
    checkBytes(bytes);
    return propose(this.core, [{ type: "normal", data, change: null, bytes }]);
  }

  /** Appends a change of configuration, which takes effect when applyConfChange() is called for its entry. Refused
   *  (changeRefused, an empty entry takes its place) while another one is pending or when it does not fit. */
  proposeConfChange(
    change: ConfChange,
    payload?: { readonly data: P; readonly bytes: number },
  ): Proposed {
    const { data = null, bytes = 0 } = payload ?? {};
    checkBytes(bytes);
    return propose(this.core, [{ type: "confChange", data, change, bytes }]);
  }

  /** Must be called when a committed "confChange" entry is applied, before the response of its MsgStorageApply is
   *  stepped. Returns the configuration to remember; null when a snapshot that holds the entry has overtaken it: then
   *  apply no more of this message. */
  applyConfChange(entry: Entry<P>): ConfState | null {
    if (entry.index <= this.core.restoredIndex) return null;
    return applyConfChange(this.core, entry.change ?? leaveJointChange);
  }

  /** A participant that joins later is told who takes part, before its first entry. False, and no effect, once it knows
   *  or holds an entry. */
  adoptConfiguration(state: ConfState): boolean {
    if (this.core.tracker.ids.length > 0 || this.core.log.lastIndex() > 0) return false;
    loadConfiguration(this.core, state);
    return true;
  }

  /** A message of a peer, or a response of a storage message. Never throws on stale, duplicate or foreign ones. */
  step(message: Message<P>): StepResult {
    const facts = messageTypes[message.type];
    if (!isStorageThread(message.from)) {
      if (facts.local) return "local";
      if (facts.response && this.core.tracker.progress(message.from) === undefined) {
        return "unknownPeer";
      }
    }
    return step(this.core, message);
  }

  hasReady(): boolean {
    return hasReady(this.core, this.#told);
  }

  /** Takes the outstanding work; each piece is handed out once. Synchronous mode: advance() before the next one. */
  ready(): Ready<P> {
    const ready = collectReady(this.core, this.#told);
    const async = this.core.settings.asyncStorageWrites;
    if (async) this.#addStorageMessages(ready);
    else this.#planAdvance(ready);
    acceptReady(this.core, ready, this.#told);
    return ready;
  }

  #addStorageMessages(ready: Ready<P>): void {
    const append = storageAppend(this.core, ready);
    if (append !== null) this.core.messages.push(append);
    const { committedEntries } = ready;
    if (committedEntries.length > 0) {
      this.core.messages.push(storageApply(this.core, committedEntries));
    }
  }

  /** The caller writes before it sends, so answers may be handed out with the rest; those to this node itself, and what
   *  the storage would have answered, wait for advance(). */
  #planAdvance(ready: Ready<P>): void {
    if (this.#stepsOnAdvance.length > 0) bug("Cannot take a Ready: the last one was not advanced");
    for (const message of this.core.messagesAfterAppend) {
      if (message.to === this.core.id) this.#stepsOnAdvance.push(message);
      else this.core.messages.push(message);
    }
    const appended = storageAppended(this.core, ready);
    if (appended !== null) this.#stepsOnAdvance.push(appended);
    const { committedEntries } = ready;
    if (committedEntries.length > 0) {
      this.#stepsOnAdvance.push(storageApplied(this.core, committedEntries));
    }
  }

  /** Synchronous mode: the last Ready was written and applied. */
  advance(): void {
    if (this.core.settings.asyncStorageWrites)
      bug("Cannot advance: storage writes are asynchronous");
    const steps = this.#stepsOnAdvance;
    this.#stepsOnAdvance = [];
    for (const message of steps) step(this.core, message);
  }

  /** The storage has what it called "unavailable": for peer `to`, or (0) for this node's own state machine. */
  entriesFetched(to: NodeId): void {
    if (to === 0) this.core.log.entriesFetched();
    else resumeFetched(this.core, to);
  }

  /** Hands the leadership to a voter; a follower passes the wish on. Given up after an election timeout. */
  transferLeader(to: NodeId): void {
    step(this.core, { ...this.core.draft("MsgTransferLeader", this.core.id), from: to });
  }

  /** A follower stops believing in its leader, so that it grants pre-votes and votes at once. */
  forgetLeader(): void {
    step(this.core, this.core.draft("MsgForgetLeader", this.core.id));
  }

  /** Asks where a linearizable read may be served. The answer comes as a ReadState with the same request number once
   *  this node may rely on it, or never (leader lost): ask again after a while. */
  readIndex(): { readonly ok: true; readonly request: number } | { readonly ok: false } {
    const { core } = this;
    const message = core.draft("MsgReadIndex", core.id);
    message.context = core.reads.nextRequest();
    if (core.role === "leader") handleReadIndex(core, message);
    else if (core.role !== "follower" || !forwardReadIndex(core, message)) return { ok: false };
    return { ok: true, request: message.context };
  }

  /** The last message to `peer` could not be delivered: appends under way are taken for lost. */
  reportUnreachable(peer: NodeId): void {
    step(this.core, { ...this.core.draft("MsgUnreachable", this.core.id), from: peer });
  }

  /** Sending the snapshot to `peer` ended. After "failed" it is tried again at the next sign of life. */
  reportSnapshot(peer: NodeId, outcome: "finished" | "failed"): void {
    const message = { ...this.core.draft("MsgSnapStatus", this.core.id), from: peer };
    message.reject = outcome === "failed";
    step(this.core, message);
  }

  /** The node of `peer` was heard by other means: counts for check-quorum. */
  reportActive(peer: NodeId): void {
    const progress = this.core.tracker.progress(peer);
    if (progress !== undefined) progress.recentActive = true;
  }

  /** A copy of what this node knows. Allocates; not for hot paths. */
  status(): Status {
    return statusOf(this.core);
  }
}

/** A size that is no size would spoil every sum that limits memory. */
function checkBytes(bytes: number): void {
  if (!(Number.isSafeInteger(bytes) && bytes >= 0)) {
    bug(`Cannot propose: bytes must be an integer >= 0, got ${bytes}`);
  }
}
