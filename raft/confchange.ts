// From one configuration to the next: simple changes, entering and leaving a joint one (thesis 4.3), and rebuilding
// one from a stored ConfState.
//
// Promise: pure. A change is worked out on copies and either returned whole, with the invariants of tracker.ts checked
// before and after, or refused with a reason; the input is never touched. Left to others: when a change may be
// proposed and applied, and what follows from it (membership.ts).
//
//      simple   (1 2 3)           -> at most one voter differs
//      enter    (1 2 3)           -> (changed)&&(1 2 3)      decisions need both majorities
//      leave    (changed)&&(1 2 3) -> (changed)              staged learners become learners

import { Progress, type Window } from "./progress.ts";
import type { Configuration, Members } from "./tracker.ts";
import type { ConfChange, ConfChangeStep, ConfState, NodeId } from "./types.ts";

/** Where a change starts from. */
export interface Base {
  readonly configuration: Configuration;
  readonly members: Members;
  /** New members are probed from here. */
  readonly lastIndex: number;
  readonly window: Window;
}

export interface Changed {
  readonly ok: true;
  readonly configuration: Configuration;
  readonly members: Members;
}

export type ChangeResult = Changed | { readonly ok: false; readonly reason: string };

/** The configuration while it is being changed. */
class Working {
  readonly incoming: Set<NodeId>;
  outgoing: Set<NodeId>;
  readonly learners: Set<NodeId>;
  readonly learnersNext: Set<NodeId>;
  autoLeave = false;
  readonly members = new Map<NodeId, Progress>();
  readonly #base: Base;

  constructor(base: Base) {
    const { voters, learners, learnersNext } = base.configuration;
    this.#base = base;
    this.incoming = new Set(voters.incoming);
    this.outgoing = new Set(voters.outgoing);
    this.learners = new Set(learners);
    this.learnersNext = new Set(learnersNext);
    for (const [id, progress] of base.members) this.members.set(id, progress.copy());
  }

  /** Steps change the incoming half only; the outgoing one keeps what was. Node id 0 marks a step to be skipped. */
  apply(steps: readonly ConfChangeStep[]): string | null {
    for (const { type, id } of steps) {
      if (id === 0) continue;
      if (type === "addVoter") this.#addVoter(id);
      else if (type === "addLearner") this.#addLearner(id);
      else if (type === "remove") this.#remove(id);
    }
    return this.incoming.size === 0 ? "removed all voters" : null;
  }

  #addVoter(id: NodeId): void {
    const progress = this.members.get(id);
    if (progress === undefined) this.#welcome(id, { isLearner: false });
    else progress.isLearner = false;
    this.learners.delete(id);
    this.learnersNext.delete(id);
    this.incoming.add(id);
  }

  /** A voter of the outgoing half cannot be a learner yet: it is staged until the joint configuration is left. */
  #addLearner(id: NodeId): void {
    const progress = this.members.get(id);
    if (progress === undefined) {
      this.#welcome(id, { isLearner: true });
      this.learners.add(id);
      return;
    }
    if (progress.isLearner) return;
    this.#remove(id);
    this.members.set(id, progress);
    if (this.outgoing.has(id)) {
      this.learnersNext.add(id);
    } else {
      progress.isLearner = true;
      this.learners.add(id);
    }
  }

  #remove(id: NodeId): void {
    this.incoming.delete(id);
    this.learners.delete(id);
    this.learnersNext.delete(id);
    if (!this.outgoing.has(id)) this.members.delete(id);
  }

  /** A new member counts as active, so that the next check of the quorum does not depose the leader for it. */
  #welcome(id: NodeId, as: { readonly isLearner: boolean }): void {
    const next = Math.max(this.#base.lastIndex, 1);
    const progress = Progress.fresh(next, this.#base.window);
    progress.isLearner = as.isLearner;
    progress.recentActive = true;
    this.members.set(id, progress);
  }

  leave(): void {
    for (const id of this.learnersNext) {
      this.learners.add(id);
      this.members.get(id)!.isLearner = true;
    }
    this.learnersNext.clear();
    for (const id of this.outgoing) {
      if (!this.incoming.has(id) && !this.learners.has(id)) this.members.delete(id);
    }
    this.outgoing = new Set();
    this.autoLeave = false;
  }

  finish(): ChangeResult {
    const configuration: Configuration = {
      voters: { incoming: ascending(this.incoming), outgoing: ascending(this.outgoing) },
      learners: ascending(this.learners),
      learnersNext: ascending(this.learnersNext),
      autoLeave: this.autoLeave,
    };
    const reason = violation(configuration, this.members);
    return reason === null
      ? { ok: true, configuration, members: this.members }
      : { ok: false, reason };
  }
}

/** Applies the steps in one go; refused when more than one voter would differ. */
export function simpleChange(base: Base, steps: readonly ConfChangeStep[]): ChangeResult {
  const before = violation(base.configuration, base.members);
  if (before !== null) return refused(before);
  const { incoming, outgoing } = base.configuration.voters;
  if (outgoing.length > 0) return refused("can't apply simple config change in joint config");
  const working = new Working(base);
  const reason = working.apply(steps);
  if (reason !== null) return refused(reason);
  if (difference(incoming, working.incoming) > 1) {
    return refused("more than one voter changed without entering joint config");
  }
  return working.finish();
}

/** Keeps the present voters as the outgoing half and applies the steps to the incoming one. */
export function enterJoint(
  base: Base,
  options: { readonly autoLeave: boolean },
  steps: readonly ConfChangeStep[],
): ChangeResult {
  const before = violation(base.configuration, base.members);
  if (before !== null) return refused(before);
  const { incoming, outgoing } = base.configuration.voters;
  if (outgoing.length > 0) return refused("config is already joint");
  if (incoming.length === 0) return refused("can't make a zero-voter config joint");
  const working = new Working(base);
  working.outgoing = new Set(incoming);
  const reason = working.apply(steps);
  if (reason !== null) return refused(reason);
  working.autoLeave = options.autoLeave;
  return working.finish();
}

/** Drops the outgoing half. */
export function leaveJoint(base: Base): ChangeResult {
  const before = violation(base.configuration, base.members);
  if (before !== null) return refused(before);
  if (base.configuration.voters.outgoing.length === 0) {
    return refused("can't leave a non-joint config");
  }
  const working = new Working(base);
  working.leave();
  return working.finish();
}

/** The one of the three that a ConfChange asks for. */
export function applyChange(base: Base, change: ConfChange): ChangeResult {
  if (wantsLeaveJoint(change)) return leaveJoint(base);
  if (wantsJoint(change))
    return enterJoint(base, { autoLeave: change.transition !== "explicit" }, change.steps);
  return simpleChange(base, change.steps);
}

/** What leaves a joint configuration. */
export const leaveJointChange: ConfChange = { transition: "auto", steps: [] };

export function wantsJoint(change: ConfChange): boolean {
  return change.transition !== "auto" || change.steps.length > 1;
}

export function wantsLeaveJoint(change: ConfChange): boolean {
  return change.transition === "auto" && change.steps.length === 0;
}

/** Rebuilds what a ConfState describes, on an empty base: outgoing voters first, one by one, then the joint step. */
export function restoreConfiguration(base: Base, state: ConfState): ChangeResult {
  const incoming: ConfChangeStep[] = [
    ...state.votersOutgoing.map((id) => ({ type: "remove" as const, id })),
    ...state.voters.map((id) => ({ type: "addVoter" as const, id })),
    ...state.learners.map((id) => ({ type: "addLearner" as const, id })),
    ...state.learnersNext.map((id) => ({ type: "addLearner" as const, id })),
  ];
  const outgoing = state.votersOutgoing.map((id) => ({ type: "addVoter" as const, id }));
  let current: Base = base;
  for (const step of outgoing.length > 0 ? outgoing : incoming) {
    const next = simpleChange(current, [step]);
    if (!next.ok) return next;
    current = { ...current, configuration: next.configuration, members: next.members };
  }
  if (outgoing.length > 0) return enterJoint(current, { autoLeave: state.autoLeave }, incoming);
  return { ok: true, configuration: current.configuration, members: current.members };
}

/** Why configuration and members do not fit together, or null. */
export function violation(configuration: Configuration, members: Members): string | null {
  const { voters, learners, learnersNext, autoLeave } = configuration;
  for (const ids of [voters.incoming, voters.outgoing, learners, learnersNext]) {
    for (const id of ids) if (!members.has(id)) return `no progress for ${id}`;
  }
  for (const id of learnersNext) {
    if (!voters.outgoing.includes(id)) return `${id} is in LearnersNext, but not Voters[1]`;
    if (members.get(id)!.isLearner) {
      return `${id} is in LearnersNext, but is already marked as learner`;
    }
  }
  for (const id of learners) {
    if (voters.outgoing.includes(id)) return `${id} is in Learners and Voters[1]`;
    if (voters.incoming.includes(id)) return `${id} is in Learners and Voters[0]`;
    if (!members.get(id)!.isLearner) return `${id} is in Learners, but is not marked as learner`;
  }
  if (voters.outgoing.length > 0) return null;
  if (learnersNext.length > 0) return "cfg.LearnersNext must be nil when not joint";
  return autoLeave ? "AutoLeave must be false when not joint" : null;
}

function refused(reason: string): ChangeResult {
  return { ok: false, reason };
}

const nobody: readonly NodeId[] = Object.freeze([]);

function ascending(ids: ReadonlySet<NodeId>): readonly NodeId[] {
  return ids.size === 0 ? nobody : [...ids].sort((a, b) => a - b);
}

function difference(before: readonly NodeId[], after: ReadonlySet<NodeId>): number {
  const kept = before.filter((id) => after.has(id)).length;
  return before.length - kept + (after.size - kept);
}
