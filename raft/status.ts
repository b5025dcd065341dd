// What a participant knows of itself and, as leader, of the others: for operators, tests and the host's decisions.

import type { Core } from "./core.ts";
import type { Progress, ProgressState } from "./progress.ts";
import type { Configuration } from "./tracker.ts";
import type { NodeId, Role } from "./types.ts";

/** What a leader knows of one member. */
export interface ProgressStatus {
  readonly match: number;
  readonly next: number;
  readonly state: ProgressState;
  readonly isLearner: boolean;
  readonly recentActive: boolean;
  readonly paused: boolean;
  readonly pendingSnapshot: number;
  readonly inflightMessages: number;
  readonly inflightBytes: number;
  readonly windowFull: boolean;
}

/** What status() copies. */
export interface Status {
  readonly id: NodeId;
  readonly role: Role;
  readonly lead: NodeId;
  readonly term: number;
  readonly vote: NodeId;
  readonly commit: number;
  readonly applied: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly leadTransferee: NodeId;
  readonly configuration: Configuration;
  /** By ascending id; empty unless this node leads. */
  readonly progress: ReadonlyMap<NodeId, ProgressStatus>;
}

export function statusOf<P>(core: Core<P>): Status {
  return {
    id: core.id,
    role: core.role,
    lead: core.lead,
    term: core.term,
    vote: core.vote,
    commit: core.log.committed,
    applied: core.log.applied,
    firstIndex: core.log.firstIndex(),
    lastIndex: core.log.lastIndex(),
    leadTransferee: core.leadTransferee,
    configuration: core.tracker.configuration,
    progress: core.role === "leader" ? progressOf(core) : new Map(),
  };
}

function progressOf<P>(core: Core<P>): ReadonlyMap<NodeId, ProgressStatus> {
  const statuses = new Map<NodeId, ProgressStatus>();
  for (const id of core.tracker.ids) {
    statuses.set(id, progressStatus(core.tracker.progress(id)!));
  }
  return statuses;
}

export function progressStatus(progress: Progress): ProgressStatus {
  const { match, next, state, isLearner, recentActive, pendingSnapshot, inflights } = progress;
  return {
    match,
    next,
    state,
    isLearner,
    recentActive,
    paused: progress.isPaused(),
    pendingSnapshot,
    inflightMessages: inflights.count,
    inflightBytes: inflights.bytes,
    windowFull: inflights.full(),
  };
}
