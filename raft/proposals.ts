// What a leader takes into its log, and what it refuses.
//
// Promise: a refusal leaves no trace, except that a refused change of configuration becomes an empty entry (its place
// in a batch of proposals must stay). At most one change is pending: proposed, perhaps committed, not yet applied by
// this leader. Left to others: what a change does when it is applied (membership.ts).

import { applyChange, leaveJointChange, wantsLeaveJoint } from "./confchange.ts";
import { appendAsLeader, forwardProposal, ownEntry, type EntryDraft } from "./replication.ts";
import { broadcastAppend } from "./sending.ts";
import type { Core } from "./core.ts";
import type { ConfChange, Message, Proposed, ProposalRefusal } from "./types.ts";

/** Appends at the leader, forwards at a follower that may, refuses elsewhere. The position is that of the last draft. */
export function propose<P>(core: Core<P>, drafts: readonly EntryDraft<P>[]): Proposed {
  if (core.role !== "leader") return proposeElsewhere(core, drafts);
  if (core.tracker.progress(core.id) === undefined) return { ok: false, reason: "removed" };
  if (core.leadTransferee !== 0) return { ok: false, reason: "transferring" };
  let accepted = drafts;
  for (let i = 0; i < drafts.length; i++) {
    if (drafts[i].type === "confChange") accepted = checkChange(core, accepted, i);
  }
  if (!appendAsLeader(core, accepted)) return { ok: false, reason: "uncommittedFull" };
  const proposed = { ok: true, index: core.log.lastIndex(), term: core.term } as const;
  broadcastAppend(core);
  return accepted === drafts ? proposed : { ok: false, reason: "changeRefused" };
}

function proposeElsewhere<P>(core: Core<P>, drafts: readonly EntryDraft<P>[]): Proposed {
  const reason = refusalElsewhere(core);
  if (reason === "forwarded") {
    const message = core.draft("MsgProp", core.lead);
    message.entries = drafts.map((draft) => ({ index: 0, term: 0, ...draft }));
    forwardProposal(core, message);
  }
  return { ok: false, reason };
}

function refusalElsewhere<P>(core: Core<P>): ProposalRefusal {
  if (core.role !== "follower" || core.lead === 0) return "noLeader";
  return core.settings.disableProposalForwarding ? "notLeader" : "forwarded";
}

/** A MsgProp: a follower's proposals that were forwarded, here or further. */
export function handleProposal<P>(core: Core<P>, message: Message<P>): Proposed {
  if (core.role === "leader") return propose(core, message.entries);
  const reason = refusalElsewhere(core);
  if (reason === "forwarded") forwardProposal(core, message);
  return { ok: false, reason };
}

/** Takes note of the change at `at`, or returns the drafts with an empty entry in its place. */
function checkChange<P>(
  core: Core<P>,
  drafts: readonly EntryDraft<P>[],
  at: number,
): readonly EntryDraft<P>[] {
  const change = drafts[at].change ?? leaveJointChange;
  if (core.settings.disableConfChangeValidation || isChangeAllowed(core, change)) {
    core.pendingConfIndex = core.log.lastIndex() + at + 1;
    return drafts;
  }
  return drafts.with(at, ownEntry(core, "normal", at));
}

/** With nothing pending, the active configuration is the one that the change will be applied to: so try it. One that
 *  cannot be applied would stop every node. */
function isChangeAllowed<P>(core: Core<P>, change: ConfChange): boolean {
  if (core.pendingConfIndex > core.log.applied) return false;
  if (core.tracker.isJoint() !== wantsLeaveJoint(change)) return false;
  return applyChange(core.configurationBase(), change).ok;
}
