// What must hold of every participant, always: run after every step in tests and in the simulator.
//
// Promise: checkState() looks at one participant at rest, checkTransition() at two moments of its life; both throw
// RaftBug naming the values. Cost: O(members); not meant for production's hot path. Left to others: what must hold
// between participants (election safety, log matching, leader completeness), which the simulator sees.

import { bug } from "./bug.ts";
import { violation } from "./confchange.ts";
import type { Core } from "./core.ts";
import type { Progress } from "./progress.ts";
import type { RawNode } from "./raw-node.ts";
import type { NodeId, Role } from "./types.ts";

/** What only ever moves one way, at one moment. */
export interface Observation {
  readonly term: number;
  readonly vote: NodeId;
  readonly lead: NodeId;
  readonly role: Role;
  readonly committed: number;
  /** Term of the entry at `committed`, null when it is compacted away. */
  readonly committedTerm: number | null;
  readonly applying: number;
  readonly applied: number;
  readonly firstIndex: number;
}

/** What checkTransition() compares. Cost: O(1). */
export function observe<P>(node: RawNode<P>): Observation {
  const { term, vote, lead, role, log } = node.core;
  const { committed, applying, applied } = log;
  const committedTerm = log.term(committed);
  const firstIndex = log.firstIndex();
  return { term, vote, lead, role, committed, committedTerm, applying, applied, firstIndex };
}

/** Throws RaftBug when the participant contradicts itself. Cost: O(members + unstable entries). */
export function checkState<P>(node: RawNode<P>): void {
  const { core } = node;
  checkLog(core);
  checkRole(core);
  const { configuration, members, ids } = core.tracker;
  const reason = violation(configuration, members);
  if (reason !== null) bug(`Node ${core.id}: configuration is inconsistent: ${reason}`);
  if (core.role !== "leader") return;
  for (const id of ids) checkProgress(core, id, members.get(id)!);
}

function checkLog<P>(core: Core<P>): void {
  const { log } = core;
  const { unstable } = log;
  const last = log.lastIndex();
  const first = log.firstIndex();
  if (log.applied > log.applying && unstable.snapshot === null) {
    bug(`Node ${core.id}: applied ${log.applied} > applying ${log.applying}`);
  }
  if (log.applying > log.committed) {
    bug(`Node ${core.id}: applying ${log.applying} > committed ${log.committed}`);
  }
  if (log.committed > last) bug(`Node ${core.id}: committed ${log.committed} > last ${last}`);
  if (log.committed < first - 1) {
    bug(`Node ${core.id}: committed ${log.committed} < compacted ${first - 1}`);
  }
  const end = unstable.offset + unstable.entries.length;
  if (unstable.offsetInProgress < unstable.offset || unstable.offsetInProgress > end) {
    bug(
      `Node ${core.id}: offsetInProgress ${unstable.offsetInProgress} outside [${unstable.offset}, ${end}]`,
    );
  }
  checkTail(core);
}

/** The unstable tail is contiguous, and terms never fall along it nor exceed the node's own. */
function checkTail<P>(core: Core<P>): void {
  const { offset, entries } = core.log.unstable;
  let term = core.log.term(offset - 1) ?? 0;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i];
    if (entry.index !== offset + i) {
      bug(`Node ${core.id}: entry ${entry.index} lies at place ${offset + i}`);
    }
    if (entry.term < term) bug(`Node ${core.id}: term ${entry.term} after term ${term}`);
    term = entry.term;
  }
  // Of the tail only: a group may be founded on a snapshot whose term no hard state has seen.
  if (entries.length > 0 && term > core.term) {
    bug(`Node ${core.id}: last term ${term} > own term ${core.term}`);
  }
}

function checkRole<P>(core: Core<P>): void {
  const { role, id, lead, vote } = core;
  if ((role === "leader") !== (lead === id)) bug(`Node ${id}: role ${role}, lead ${lead}`);
  if ((role === "leader" || role === "candidate") && vote !== id) {
    bug(`Node ${id}: role ${role}, vote ${vote}`);
  }
  if ((role === "candidate" || role === "preCandidate") && lead !== 0) {
    bug(`Node ${id}: role ${role}, lead ${lead}`);
  }
  if (role !== "leader" && core.leadTransferee !== 0) {
    bug(`Node ${id}: role ${role}, leadTransferee ${core.leadTransferee}`);
  }
  for (const message of core.messages) {
    if (message.to === id) bug(`Node ${id}: ${message.type} to itself would not wait for the disk`);
  }
}

function checkProgress<P>(core: Core<P>, id: NodeId, progress: Progress): void {
  const { match, next, state, pendingSnapshot } = progress;
  const last = core.log.lastIndex();
  if (match >= next) bug(`Node ${core.id}: progress of ${id}: match ${match} >= next ${next}`);
  if (match > last) bug(`Node ${core.id}: progress of ${id}: match ${match} > last ${last}`);
  if (state === "snapshot" && next !== pendingSnapshot + 1 && next !== match + 1) {
    bug(`Node ${core.id}: progress of ${id}: next ${next}, pendingSnapshot ${pendingSnapshot}`);
  }
  if (state !== "replicate" && progress.inflights.count > 0) {
    bug(`Node ${core.id}: progress of ${id}: ${progress.inflights.count} in flight in ${state}`);
  }
}

/** From one moment to a later one of the same life. */
export function checkTransition(before: Observation, after: Observation): void {
  for (const field of ["term", "committed", "applying", "applied", "firstIndex"] as const) {
    if (after[field] < before[field]) {
      bug(`${field} fell from ${before[field]} to ${after[field]}`);
    }
  }
  if (after.term !== before.term) return;
  if (before.vote !== 0 && after.vote !== before.vote) {
    bug(`vote of term ${after.term} changed from ${before.vote} to ${after.vote}`);
  }
  if (before.lead !== 0 && after.lead !== 0 && after.lead !== before.lead) {
    bug(`leader of term ${after.term} changed from ${before.lead} to ${after.lead}`);
  }
  if (before.role === "leader" && after.committed > before.committed) {
    if (after.committedTerm !== after.term) {
      bug(
        `leader of term ${after.term} committed an entry of term ${after.committedTerm} by counting`,
      );
    }
  }
  if (before.role !== after.role && before.role === "follower" && after.role === "leader") {
    bug(`a follower of term ${after.term} became its leader`);
  }
}
