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

  /** An entry is committed. A recovered one comes without payload, and the no-op behind it tells its offset. */
  committed({ index, term: at, data }: Entry<Payload>): void {
    this.commitIndex = logIndex(index);
    this.confirmedTerm = term(at);
    if (data !== null) this.highWatermark = offset(data.baseOffset + data.offsetCount);
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

/** The commit index that the journal proves: recorded, or covered by a durable snapshot, or below the log start. */
export function committedIn(state: {
  readonly hardState: HardState;
  readonly snapshotIndex: LogIndex;
  readonly logStart: LogStart;
}): LogIndex {
  const { hardState, snapshotIndex, logStart } = state;
  return logIndex(Math.max(hardState.commit, snapshotIndex, logStart.index - 1));
}
