// From the core's state to work for the host: the two storage messages and what they answer.
//
//      host                          append thread                    core
//      ready() --MsgStorageAppend-->  write, sync  --responses-->  step() or peer
//              --MsgStorageApply--->  run          --responses-->  step()
//
// Promise: answers that rest on a write are attached to the write. The answer that marks entries stable names the last
// entry of the log and the term in which it was asked, because of this race (etcd's "append ABA"): a follower is writing
// entry 12 of term 1; a leader of term 2 replaces it; then the leader of term 3 sends the first version again. When the
// first write completes, entry 12 looks stable, yet the second write, still under way, will replace it on disk before
// the third puts it back. So an answer whose term has passed is ignored, and since that could leave the tail unstable
// for good, every later write, also one without entries, attests the last entry once more.

import { appendThread, applyThread, newMessage } from "./message.ts";
import type { Core } from "./core.ts";
import type { Entry, HardState, Message, Ready, SoftState } from "./types.ts";

/** What the last Ready told: the next one tells only changes. */
export interface Told {
  soft: SoftState;
  hard: HardState;
}

export function softStateOf<P>(core: Core<P>): SoftState {
  return { lead: core.lead, role: core.role };
}

/** Cost: a few comparisons. */
export function hasReady<P>(core: Core<P>, told: Told): boolean {
  const { log } = core;
  return (
    core.messages.length > 0 ||
    core.messagesAfterAppend.length > 0 ||
    log.unstable.hasNextEntries() ||
    log.hasNextCommitted() ||
    softChanged(core, told.soft) ||
    hardChanged(core, told.hard) ||
    log.unstable.nextSnapshot() !== null ||
    core.readStates.length > 0
  );
}

/** Everything outstanding. Nothing is marked as handed out yet. */
export function collectReady<P>(core: Core<P>, told: Told): Ready<P> {
  const { log } = core;
  const entries = log.unstable.nextEntries();
  const termOrVote = core.term !== told.hard.term || core.vote !== told.hard.vote;
  return {
    softState: softChanged(core, told.soft) ? softStateOf(core) : null,
    hardState: hardChanged(core, told.hard) ? core.hardState() : null,
    readStates: core.readStates,
    entries,
    snapshot: log.unstable.nextSnapshot(),
    committedEntries: log.nextCommitted(),
    messages: core.messages,
    mustSync: entries.length > 0 || termOrVote,
  };
}

/** Null when there is nothing to write and nothing that waits for earlier writes. */
export function storageAppend<P>(core: Core<P>, ready: Ready<P>): Message<P> | null {
  const { entries, hardState, snapshot } = ready;
  const waiting = core.messagesAfterAppend;
  const writes = entries.length > 0 || hardState !== null || snapshot !== null;
  if (!writes && waiting.length === 0) return null;
  const message = newMessage<P>("MsgStorageAppend", appendThread, core.id);
  message.entries = entries;
  message.snapshot = snapshot;
  if (hardState !== null) {
    message.term = hardState.term;
    message.vote = hardState.vote;
    message.commit = hardState.commit;
  }
  // Acknowledgements go first: they are counted while the entries still lie in memory.
  const response = storageAppended(core, ready);
  if (response !== null) waiting.push(response);
  message.responses = waiting;
  return message;
}

/** Null when the core need not hear that the write is done. */
export function storageAppended<P>(core: Core<P>, ready: Ready<P>): Message<P> | null {
  const { unstable } = core.log;
  if (unstable.entries.length === 0 && ready.snapshot === null) return null;
  const message = newMessage<P>("MsgStorageAppendResp", core.id, appendThread);
  message.term = core.term;
  message.snapshot = ready.snapshot;
  if (unstable.entries.length > 0) {
    message.index = core.log.lastIndex();
    message.logTerm = core.log.lastTerm();
  }
  return message;
}

export function storageApply<P>(core: Core<P>, committed: readonly Entry<P>[]): Message<P> {
  const message = newMessage<P>("MsgStorageApply", applyThread, core.id);
  message.entries = committed;
  message.responses = [storageApplied(core, committed)];
  return message;
}

/** Committed entries belong to no term in particular: term 0. */
export function storageApplied<P>(core: Core<P>, committed: readonly Entry<P>[]): Message<P> {
  const message = newMessage<P>("MsgStorageApplyResp", core.id, applyThread);
  message.entries = committed;
  return message;
}

/** Marks everything in `ready` as handed out. */
export function acceptReady<P>(core: Core<P>, ready: Ready<P>, told: Told): void {
  if (ready.softState !== null) told.soft = ready.softState;
  if (ready.hardState !== null) told.hard = ready.hardState;
  // Fresh lists, also in place of empty ones: what was handed out must not grow under its reader.
  core.readStates = [];
  core.messages = [];
  core.messagesAfterAppend = [];
  core.log.unstable.acceptInProgress();
  if (ready.committedEntries.length > 0) core.log.acceptApplying(ready.committedEntries);
}

/** The hard state that a MsgStorageAppend carries, or null when it did not change. */
export function hardStateOf(message: Message<unknown>): HardState | null {
  const { term, vote, commit } = message;
  return term === 0 && vote === 0 && commit === 0 ? null : { term, vote, commit };
}

function softChanged<P>(core: Core<P>, told: SoftState): boolean {
  return core.lead !== told.lead || core.role !== told.role;
}

function hardChanged<P>(core: Core<P>, told: HardState): boolean {
  return core.log.committed !== told.commit || core.term !== told.term || core.vote !== told.vote;
}
