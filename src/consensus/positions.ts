// Where one replica's log stands: what is committed, and what is proposed beyond it.
//
//   ... committed | durable or under way, proposed | next
//       commitIndex                       lastIndex
//       highWatermark                     nextOffset        (the same two as offsets)
//
// Invariant: commitIndex and highWatermark never fall; lastIndex and nextOffset fall back only when a tail is lost.
// Promise: O(1), no I/O. Left to others: deciding what is committed (raft/).

import type { Entry } from "../../raft/types.ts";
import type { HardState, LogStart, ReplicaState } from "../journal/journal.ts";
import { logIndex, offset, term, type LogIndex, type Offset, type Term } from "../quantities.ts";
import type { Payload } from "./payload.ts";
import type { RecoveredEntry } from "./recovered-entries.ts";

export class Positions {
  commitIndex: LogIndex;
  highWatermark: Offset;
  /** Term of the newest committed entry; 0 while it is not known. */
  confirmedTerm: Term;
  lastIndex: LogIndex;
  nextOffset: Offset;
  /** Time of the last entry, ms. */
  lastTime: number;

  constructor(state: ReplicaState) {
    this.commitIndex = committedIn(state);
    this.lastIndex = state.lastIndex;
    this.nextOffset = state.nextOffset;
    this.lastTime = state.lastTime;
    const whole = !this.hasTail;
    this.highWatermark = whole ? state.nextOffset : state.logStart.offset;
    this.confirmedTerm = whole ? state.lastTerm : term(0);
  }

  /** There are entries above the commit index. */
  get hasTail(): boolean {
    return this.commitIndex < this.lastIndex;
  }

  /** An entry was proposed. */
  proposed(index: number, data: Payload): void {
    this.lastIndex = logIndex(index);
    this.nextOffset = offset(data.baseOffset + data.offsetCount);
    this.lastTime = data.time;
  }

  /** An entry is committed. A recovered one comes without payload: its end is told by what was read of it, or by the
   *  no-op behind it. One that was committed before a restart too changes nothing. */
  committed({ index, term: at, data }: Entry<Payload>, recovered?: RecoveredEntry): void {
    if (index < this.commitIndex) return;
    this.commitIndex = logIndex(index);
    this.confirmedTerm = term(at);
    if (data !== null) this.atLeast(offset(data.baseOffset + data.offsetCount));
    else if (recovered !== undefined) this.atLeast(offset(recovered.nextOffset));
  }

  /** The entry at `index`, which began at this offset, and all behind it are replaced. */
  cut(index: number, baseOffset: number): void {
    this.lastIndex = logIndex(index - 1);
    this.nextOffset = offset(baseOffset);
  }

  /** The log is to begin anew behind a leader's snapshot, once that is durable. */
  installing(start: LogStart): void {
    this.lastIndex = logIndex(start.index - 1);
    this.nextOffset = start.offset;
  }

  /** The log begins there: what it had before is all committed. */
  installed(start: LogStart): void {
    if (start.index <= this.commitIndex + 1) return;
    this.commitIndex = logIndex(start.index - 1);
    this.confirmedTerm = start.prevTerm;
    this.atLeast(start.offset);
  }

  /** The high watermark is known to be at least here. */
  atLeast(highWatermark: Offset): void {
    this.highWatermark = offset(Math.max(highWatermark, this.highWatermark));
  }

  /** What was proposed and is not durable is lost. */
  fallBackTo(state: ReplicaState): void {
    this.lastIndex = state.lastIndex;
    this.nextOffset = state.nextOffset;
    this.lastTime = state.lastTime;
  }
}

/** The commit index that the journal proves: recorded, or covered by a durable snapshot, or below the log start. A snapshot
 *  that the recorded commit does not reach came from a leader, ahead of the entries that it speaks of (a snapshot of the
 *  own fold is written with its commit index): they follow as ordinary appends, and prove nothing before. */
export function committedIn(state: {
  readonly hardState: HardState;
  readonly snapshotIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly logStart: LogStart;
}): LogIndex {
  const { hardState, snapshotIndex, lastIndex, logStart } = state;
  const covered = snapshotIndex <= lastIndex ? snapshotIndex : 0;
  return logIndex(Math.max(hardState.commit, covered, logStart.index - 1));
}
