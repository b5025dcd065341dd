// The naive model beside the journal: per replica a map of index to entry, one copy for each step that was queued.
//
// A step is atomic and steps of one replica are durable in order, so after a crash the journal must equal the model
// after some step k, where k is at least the last acknowledged one.

import { entryKinds } from "../../src/journal/journal.ts";
import type { EntryPlan } from "./entries.ts";

export interface ModelState {
  readonly exists: boolean;
  /** Index and offset before which nothing was ever there, or is any more. */
  readonly start: { readonly index: number; readonly prevTerm: number; readonly offset: number };
  readonly entries: ReadonlyMap<number, EntryPlan>;
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly nextOffset: number;
  readonly term: number;
  readonly vote: number;
  readonly snapshot: { readonly index: number; readonly bytes: Uint8Array } | null;
}

export const emptyState: ModelState = {
  exists: true,
  start: { index: 1, prevTerm: 0, offset: 0 },
  entries: new Map(),
  lastIndex: 0,
  lastTerm: 0,
  nextOffset: 0,
  term: 0,
  vote: 0,
  snapshot: null,
};

/** One replica of the model. */
export class ModelReplica {
  readonly replica: number;
  readonly groupId: string;
  /** states[k]: after k queued steps. */
  states: ModelState[] = [emptyState];
  /** Steps that were acknowledged. */
  acknowledged = 0;
  commit = 0;
  /** The caller's log start; the journal may come back with an older one. */
  trimmed = 1;

  constructor(replica: number, groupId: string) {
    this.replica = replica;
    this.groupId = groupId;
  }

  get last(): ModelState {
    return this.states.at(-1)!;
  }

  get durable(): ModelState {
    return this.states[this.acknowledged];
  }

  /** Queues a step; returns what to call when it is acknowledged. */
  step(next: Partial<ModelState>): () => void {
    this.states.push({ ...this.last, ...next });
    const number = this.states.length - 1;
    return () => {
      this.acknowledged = Math.max(this.acknowledged, number);
    };
  }

  /** After a reopen: the model is what the journal recovered. */
  adopt(state: ModelState): void {
    this.states = [state];
    this.acknowledged = 0;
  }
}

export function withEntries(state: ModelState, plans: readonly EntryPlan[]): Partial<ModelState> {
  const entries = new Map(state.entries);
  for (let index = plans[0].index; index <= state.lastIndex; index++) entries.delete(index);
  for (const plan of plans) entries.set(plan.index, plan);
  const last = plans.at(-1)!;
  const count = countOf(last);
  const term = Math.max(state.term, last.term);
  const vote = term === state.term ? state.vote : 0;
  const end = { lastIndex: last.index, lastTerm: last.term, nextOffset: last.baseOffset + count };
  return { entries, ...end, term, vote };
}

export const isData = (plan: EntryPlan): boolean =>
  (plan.kind ?? entryKinds.data) === entryKinds.data;
export const countOf = (plan: EntryPlan): number => (isData(plan) ? (plan.offsetCount ?? 1) : 0);
