// What a leader knows of one follower's log, and whether it may send to it now.
//
//      probe      one append a heartbeat, to find where the logs agree
//         | acknowledged              ^ rejected, unreachable
//         v                           |
//      replicate  appends stream ahead of acknowledgements, within the window
//         | entries compacted away    ^ (through probe) an acknowledgement that reaches the leader's log
//         v                           |
//      snapshot   nothing is sent until the follower has caught up or the host reports failure
//
// Promise: the transitions and the arithmetic of match, next and sentCommit live here and nowhere else.
// Invariant: 0 <= match < next; in snapshot, next = pendingSnapshot + 1.

import { bug } from "./bug.ts";
import { Inflights } from "./inflights.ts";

export type ProgressState = "probe" | "replicate" | "snapshot";

/** Window sizes, shared by all followers. */
export interface Window {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export class Progress {
  /** Highest index known to be equal in both logs. */
  match = 0;
  /** Next index to send; (match, next) is under way. */
  next: number;
  /** Highest commit index under way; falls back when the follower may have missed it. */
  sentCommit = 0;
  state: ProgressState = "probe";
  /** Index of the snapshot under way; 0 outside "snapshot". */
  pendingSnapshot = 0;
  /** Heard from since the last check of the quorum. Always true for the leader itself. */
  recentActive = false;
  /** A probe is under way, or the window is full: wait for a heartbeat's answer. */
  flowPaused = false;
  /** The storage is reading entries for this follower; entriesFetched() ends it. */
  awaitingEntries = false;
  isLearner = false;
  readonly inflights: Inflights;

  constructor(next: number, inflights: Inflights) {
    this.next = next;
    this.inflights = inflights;
  }

  static fresh(next: number, window: Window): Progress {
    return new Progress(next, new Inflights(window.maxMessages, window.maxBytes));
  }

  /** A copy for a configuration under construction; the window is shared, it is not touched there. */
  copy(): Progress {
    const copy = new Progress(this.next, this.inflights);
    copy.isLearner = this.isLearner;
    copy.match = this.match;
    copy.sentCommit = this.sentCommit;
    copy.state = this.state;
    copy.pendingSnapshot = this.pendingSnapshot;
    copy.recentActive = this.recentActive;
    copy.flowPaused = this.flowPaused;
    copy.awaitingEntries = this.awaitingEntries;
    return copy;
  }

  becomeProbe(): void {
    // A snapshot that is believed to have arrived is the best guess of where to go on.
    const guess = this.state === "snapshot" ? this.pendingSnapshot : 0;
    this.#reset("probe");
    this.next = Math.max(this.match, guess) + 1;
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
  }

  becomeReplicate(): void {
    this.#reset("replicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#reset("snapshot");
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.sentCommit = index;
  }

  #reset(state: ProgressState): void {
    this.flowPaused = false;
    this.awaitingEntries = false;
    this.pendingSnapshot = 0;
    this.state = state;
    this.inflights.reset();
  }

  /** Nothing may be sent now, not even an empty append. */
  isPaused(): boolean {
    return this.flowPaused || this.state === "snapshot";
  }

  /** An append of `count` entries starting at next was sent. */
  sentEntries(count: number, bytes: number): void {
    if (this.state === "replicate") {
      if (count > 0) {
        this.next += count;
        this.inflights.add(this.next - 1, bytes);
      }
      this.flowPaused = this.inflights.full();
    } else if (this.state === "probe") {
      if (count > 0) this.flowPaused = true;
    } else {
      bug(`Cannot send appends in state ${this.state}`);
    }
  }

  /** Whether telling `commit` now could move the follower's commit index: not when what is under way already takes it
   *  to the last entry sent. */
  canBumpCommit(commit: number): boolean {
    return commit > this.sentCommit && this.sentCommit < this.next - 1;
  }

  /** The follower acknowledged `index`. False when that is old news. */
  maybeUpdate(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.flowPaused = false;
    return true;
  }

  /** The follower refused the append after `rejected` and suggests `hint` as the last that may match. False when the
   *  refusal is stale (messages were reordered or duplicated). */
  maybeDecrease(rejected: number, hint: number): boolean {
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
    } else if (this.state === "snapshot") {
      // No append is under way: this one answers something older than the snapshot.
      return false;
    } else {
      // A follower that is probed has one append under way: a refusal of any other one is stale.
      if (this.next - 1 !== rejected) return false;
      this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
      this.flowPaused = false;
    }
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    return true;
  }
}
