// A follower too far behind gets the state instead of the entries (paper 7).
//
// Promise: a snapshot is installed only when it is ahead of what is committed here, and only by a follower that it
// names as a member; when the log already holds its last entry, the commit index moves and nothing is thrown away.
// The answer waits until the snapshot is durable. Left to others: what is in it (the host).

import { bug } from "./bug.ts";
import { restoreConfiguration } from "./confchange.ts";
import { switchTo, appliedTo } from "./membership.ts";
import { becomeFollower } from "./election.ts";
import { emptyConfiguration } from "./tracker.ts";
import type { Core } from "./core.ts";
import type { ConfState, Message, Snapshot } from "./types.ts";

export function handleSnapshot<P>(core: Core<P>, message: Message<P>): void {
  const restored = message.snapshot !== null && restore(core, message.snapshot);
  const response = core.draft("MsgAppResp", message.from);
  response.index = restored ? core.log.lastIndex() : core.log.committed;
  core.send(response);
}

/** True when the log now begins after the snapshot. */
function restore<P>(core: Core<P>, snapshot: Snapshot): boolean {
  const { log } = core;
  if (snapshot.index <= log.committed) return false;
  if (core.role !== "follower") {
    becomeFollower(core, core.term + 1, 0);
    return false;
  }
  if (!names(snapshot.confState, core.id)) return false;
  if (log.matches(snapshot.index, snapshot.term)) {
    log.commitTo(snapshot.index);
    return false;
  }
  log.restore(snapshot);
  core.restoredIndex = snapshot.index;
  loadConfiguration(core, snapshot.confState);
  return true;
}

/** Replaces the configuration by a stored one: at start, and with a snapshot. */
export function loadConfiguration<P>(core: Core<P>, state: ConfState): void {
  const base = {
    configuration: emptyConfiguration,
    members: new Map(),
    window: core.tracker.window,
    lastIndex: core.log.lastIndex(),
  };
  const result = restoreConfiguration(base, state);
  if (!result.ok) bug(`Cannot restore the configuration: ${result.reason}`);
  const loaded = switchTo(core, result);
  if (!sameState(state, loaded)) {
    bug(
      `Cannot restore the configuration: want ${JSON.stringify(state)}, got ${JSON.stringify(loaded)}`,
    );
  }
}

/** The snapshot is durable and the state machine holds it. */
export function appliedSnapshot<P>(core: Core<P>, snapshot: Snapshot): void {
  core.log.unstable.stableSnapshotTo(snapshot.index);
  appliedTo(core, snapshot.index, 0);
}

/** A staged learner is a voter of the outgoing half, so learnersNext need not be looked at. */
function names(state: ConfState, id: number): boolean {
  const { voters, votersOutgoing, learners } = state;
  return voters.includes(id) || votersOutgoing.includes(id) || learners.includes(id);
}

function sameState(a: ConfState, b: ConfState): boolean {
  return (
    sameIds(a.voters, b.voters) &&
    sameIds(a.votersOutgoing, b.votersOutgoing) &&
    sameIds(a.learners, b.learners) &&
    sameIds(a.learnersNext, b.learnersNext) &&
    a.autoLeave === b.autoLeave
  );
}

function sameIds(a: readonly number[], b: readonly number[]): boolean {
  return (
    a.length === b.length &&
    a.toSorted((x, y) => x - y).every((id, at) => id === b.toSorted((x, y) => x - y)[at])
  );
}
