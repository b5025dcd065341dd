// A Raft core whose every call is followed by a look at it: raft/invariants.ts for the participant itself,
// group-invariants.ts for what holds between participants.
//
// Promise: the core behaves as before. Cost: O(members + unstable entries) a call. Left to others: the checks.

import { checkState, checkTransition, observe, type Message } from "../../../raft/index.ts";
import type { Payload } from "../../../src/consensus/payload.ts";
import type { Core, GroupInvariants } from "./group-invariants.ts";
import { telling, Violation } from "./violation.ts";

const calls = [
  "tick",
  "campaign",
  "propose",
  "proposeConfChange",
  "applyConfChange",
  "step",
  "ready",
  "entriesFetched",
  "transferLeader",
  "forgetLeader",
  "readIndex",
  "reportUnreachable",
  "reportSnapshot",
] as const;

type Methods = Record<string, (...args: unknown[]) => unknown>;

export function watchCore(raw: Core, group: GroupInvariants): void {
  const look = lookAt(raw, group);
  look();
  const methods = raw as unknown as Methods;
  for (const name of calls) {
    const original = methods[name].bind(raw);
    methods[name] = (...args) =>
      telling(() => {
        const message = name === "step" ? (args[0] as Message<Payload>) : null;
        if (message !== null) group.received(message);
        const still = message === null ? null : stillness(raw, message);
        const result = original(...args);
        still?.();
        look();
        return result;
      });
  }
}

/** What a step must leave as it is: a pre-vote the term, the disk's answer the log. */
function stillness({ core }: Core, { type }: Message<Payload>): () => void {
  if (type !== "MsgPreVote" && type !== "MsgStorageAppendResp") return () => {};
  const before = { term: core.term, last: core.log.lastIndex(), lastTerm: core.log.lastTerm() };
  return () => {
    if (type === "MsgPreVote" && core.term !== before.term) {
      throw new Violation("pre-vote", `it raised the term of ${core.id} to ${core.term}`);
    }
    if (type !== "MsgStorageAppendResp") return;
    if (core.log.lastIndex() === before.last && core.log.lastTerm() === before.lastTerm) return;
    throw new Violation("stable log", `the disk's answer changed the log of ${core.id}`);
  };
}

function lookAt(raw: Core, group: GroupInvariants): () => void {
  const { core } = raw;
  let before = null as ReturnType<typeof observe> | null;
  let last = { index: 0, term: null as number | null };
  let { configuration } = core.tracker;
  let restored = core.restoredIndex;
  return () => {
    checkState(raw);
    const now = observe(raw);
    if (before !== null) checkTransition(before, now);
    if (before?.role === "leader" && now.role === "leader" && before.term === now.term) {
      group.appendOnly(raw, last);
    }
    group.became(raw, before, now);
    if (core.tracker.configuration !== configuration) {
      if (core.restoredIndex === restored) {
        group.reconfigured(raw, configuration, core.tracker.configuration);
      }
      ({ configuration } = core.tracker);
      restored = core.restoredIndex;
    }
    before = now;
    const index = core.log.lastIndex();
    last = { index, term: core.log.term(index) };
  };
}
