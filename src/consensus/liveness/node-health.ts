// Whether this node should lead at all, judged by its disk and by its append lanes.
//
//   reason     unfit when                                                     fit again when, for 2 s
//   storage    the journal failed                                             never (restart)
//   flush      the oldest flush under way is older than 5 s                   younger than 1 s
//   lanes      appends to so many nodes have made no progress for 5 s that    fewer
//              no majority is left
//
// A node that is unfit hands its leaderships over, does not campaign and is not ready; its beats go on, because a slow
// disk is no reason for an election (DESIGN section 5). Promise: pure, told the time; a disk that is merely slow (any
// flush under 5 s) changes nothing. Left to others: handing over (host).

export const flushMsMax = 5_000;
export const flushMsFit = 1_000;
export const stalledMsMax = 5_000;
/** Fit again only after this long without a reason, so that leaderships do not swing, ms. */
export const fitAfterMs = 2_000;

export type UnfitReason = "storage" | "flush" | "lanes";

/** For a person: "the node is not ready: ...". */
export const unfitWords: Readonly<Record<UnfitReason, string>> = {
  storage: "the journal failed",
  flush: `a flush to the disk takes longer than ${flushMsMax / 1_000} s`,
  lanes: `appends to a majority of the nodes make no progress for ${stalledMsMax / 1_000} s`,
};

export interface Vitals {
  readonly storageFailed: boolean;
  readonly oldestFlushMs: number;
  /** Per peer, how long the oldest append waits there, ms. A peer without a connection counts as not stalled: its
   *  silence is liveness's matter, not a fault of this node's lanes. */
  readonly stalledMs: readonly number[];
}

export class NodeHealth {
  #reason: UnfitReason | null = null;
  /** When the last reason was seen, ms. */
  #seenAt = -Infinity;

  /** Null: this node may lead. */
  get reason(): UnfitReason | null {
    return this.#reason;
  }

  get fit(): boolean {
    return this.#reason === null;
  }

  observe(vitals: Vitals, nowMs: number): void {
    const reason = reasonOf(vitals, this.#reason);
    if (reason !== null) {
      this.#reason = reason;
      this.#seenAt = nowMs;
    } else if (nowMs - this.#seenAt >= fitAfterMs) {
      this.#reason = null;
    }
  }
}

function reasonOf(vitals: Vitals, former: UnfitReason | null): UnfitReason | null {
  const { storageFailed, oldestFlushMs, stalledMs } = vitals;
  if (storageFailed) return "storage";
  if (oldestFlushMs > (former === "flush" ? flushMsFit : flushMsMax)) return "flush";
  const stuck = stalledMs.filter((ms) => ms > stalledMsMax).length;
  const nodes = stalledMs.length + 1;
  const majority = Math.floor(nodes / 2) + 1;
  return nodes - stuck < majority ? "lanes" : null;
}
