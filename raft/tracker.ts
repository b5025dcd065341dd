// The active configuration together with the progress of every member, and the votes of the election under way.
//
// Promise: members are visited in ascending id order, which fixes the order of messages. Invariants (checked by
// confchange.ts on every change): every voter and learner has a progress; no learner is a voter of either half;
// learnersNext is a part of the outgoing voters. Left to others: when to change it (membership.ts).

import { Progress, type Window } from "./progress.ts";
import {
  jointCommitted,
  jointVote,
  type Acknowledged,
  type Voters,
  type VoteResult,
} from "./quorum.ts";
import type { ConfState, NodeId } from "./types.ts";

/** Immutable. Lists ascend. */
export interface Configuration {
  readonly voters: Voters;
  readonly learners: readonly NodeId[];
  readonly learnersNext: readonly NodeId[];
  readonly autoLeave: boolean;
}

export const emptyConfiguration: Configuration = {
  voters: { incoming: [], outgoing: [] },
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export type Members = ReadonlyMap<NodeId, Progress>;

export class Tracker implements Acknowledged {
  readonly window: Window;
  #configuration: Configuration = emptyConfiguration;
  #members: Members = new Map();
  /** Member ids, ascending. */
  #ids: readonly NodeId[] = [];
  readonly votes = new Map<NodeId, boolean>();

  constructor(window: Window) {
    this.window = window;
  }

  get configuration(): Configuration {
    return this.#configuration;
  }

  get members(): Members {
    return this.#members;
  }

  get ids(): readonly NodeId[] {
    return this.#ids;
  }

  progress(id: NodeId): Progress | undefined {
    return this.#members.get(id);
  }

  replace(configuration: Configuration, members: Members): void {
    this.#configuration = configuration;
    this.#members = members;
    this.#ids = [...members.keys()].sort((a, b) => a - b);
  }

  /** Every progress as if nothing were known: a new term begins. */
  resetProgress(lastIndex: number, self: NodeId): void {
    const fresh = new Map<NodeId, Progress>();
    for (const id of this.#ids) {
      const progress = Progress.fresh(lastIndex + 1, this.window);
      progress.isLearner = this.#members.get(id)!.isLearner;
      if (id === self) progress.match = lastIndex;
      fresh.set(id, progress);
    }
    this.#members = fresh;
  }

  isSingleton(): boolean {
    const { incoming, outgoing } = this.#configuration.voters;
    return incoming.length === 1 && outgoing.length === 0;
  }

  isJoint(): boolean {
    return this.#configuration.voters.outgoing.length > 0;
  }

  ackedIndex(id: NodeId): number | undefined {
    return this.#members.get(id)?.match;
  }

  /** Highest index acknowledged by a quorum. */
  committed(): number {
    return jointCommitted(this.#configuration.voters, this);
  }

  quorumActive(): boolean {
    const active = new Map<NodeId, boolean>();
    for (const [id, progress] of this.#members) {
      if (!progress.isLearner) active.set(id, progress.recentActive);
    }
    return jointVote(this.#configuration.voters, active) === "won";
  }

  /** The first answer of a voter counts. */
  recordVote(id: NodeId, granted: boolean): VoteResult {
    if (!this.votes.has(id)) this.votes.set(id, granted);
    return jointVote(this.#configuration.voters, this.votes);
  }

  confState(): ConfState {
    const { voters, learners, learnersNext, autoLeave } = this.#configuration;
    return {
      voters: voters.incoming,
      votersOutgoing: voters.outgoing,
      learners,
      learnersNext,
      autoLeave,
    };
  }
}
