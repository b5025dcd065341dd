// Changes of configuration take effect here: when they are applied, not when they are appended (etcd's model, thesis 4
// with three guards: one pending change, no campaign over unapplied ones, and the leader leaves a joint one itself).
//
// Promise: after a change the leader recounts what is committed, probes new members at once, and stops handing over to
// somebody who left. A removed leader steps down when told to. Left to others: working out the new configuration
// (confchange.ts).

import { applyChange, leaveJointChange, type Changed } from "./confchange.ts";
import { bug } from "./bug.ts";
import { becomeFollower } from "./election.ts";
import { propose } from "./proposals.ts";
import { maybeCommit } from "./replication.ts";
import { broadcastAppend, broadcastNewEntries } from "./sending.ts";
import { voterIds } from "./quorum.ts";
import type { Core } from "./core.ts";
import type { ConfChange, ConfState } from "./types.ts";

/** Applies a committed change. Throws when it does not fit the configuration: every node would fail alike. */
export function applyConfChange<P>(core: Core<P>, change: ConfChange): ConfState {
  const result = applyChange(core.configurationBase(), change);
  if (!result.ok) bug(`Cannot apply the change of configuration: ${result.reason}`);
  return switchTo(core, result);
}

/** Makes a configuration the active one and does what follows from it. */
export function switchTo<P>(core: Core<P>, changed: Changed): ConfState {
  const { tracker } = core;
  tracker.replace(changed.configuration, changed.members);
  const own = tracker.progress(core.id);
  core.isLearner = own?.isLearner ?? false;
  const state = tracker.confState();
  if (core.role !== "leader") return state;
  if (own === undefined || own.isLearner) {
    if (core.settings.stepDownOnRemoval) becomeFollower(core, core.term, 0);
    return state;
  }
  if (state.voters.length === 0) return state;
  // A smaller quorum may have committed more; otherwise new members need not wait for a heartbeat.
  if (maybeCommit(core)) broadcastAppend(core);
  else broadcastNewEntries(core);
  const voters = voterIds(changed.configuration.voters);
  if (!voters.includes(core.leadTransferee)) core.leadTransferee = 0;
  return state;
}

/** The state machine has applied up to `index` (`bytes` of entries since the last time). */
export function appliedTo<P>(core: Core<P>, index: number, bytes: number): void {
  const applied = Math.max(index, core.log.applied);
  core.log.appliedTo(applied, bytes);
  const { autoLeave } = core.tracker.configuration;
  if (autoLeave && core.role === "leader" && applied >= core.pendingConfIndex) leaveJoint(core);
}

/** May be refused while the leadership is being handed over: tried again with every entry applied, or by the next
 *  leader. An entry without bytes is never refused for its size. */
function leaveJoint<P>(core: Core<P>): void {
  const index = core.log.lastIndex() + 1;
  const data = core.settings.ownData({ index, term: core.term, type: "confChange" });
  propose(core, [{ type: "confChange", data, change: leaveJointChange, bytes: 0 }]);
}
