// Questions for a vote that came for a replica before it was open.
//
// Why: a new group's first voter campaigns when it is used, and a group that was not used since the start of its node is
// open nowhere; the others open theirs because they are asked. Were the question dropped, the next one would come with the
// core's election timeout, so that the first write to a topic took 1-2 s.
//
// Promise: of each replica the latest question, for a moment; bounded. A question that is asked late is one that came
// late: what it may be answered is the core's to know. Left to others: opening the replica (the owner).

import type { Message } from "../../raft/types.ts";
import type { Payload } from "./payload.ts";

/** Its sender has asked again by then, or given up, ms. */
const keptMs = 1_000;
/** Replicas; one more, and all are forgotten. */
const keptMax = 1_000;

export class EarlyVotes {
  readonly #kept = new Map<
    string,
    { readonly message: Message<Payload>; readonly until: number }
  >();

  /** Takes no other message than a question for a vote. */
  keep(groupId: string, message: Message<Payload>, now: number): void {
    if (!asksForVote(message)) return;
    if (this.#kept.size >= keptMax) this.#kept.clear();
    this.#kept.set(keyOf(groupId, message.to), { message, until: now + keptMs });
  }

  /** The question that waits for that replica, once; null: none does. */
  take(groupId: string, raftId: number, now: number): Message<Payload> | null {
    const key = keyOf(groupId, raftId);
    const kept = this.#kept.get(key);
    if (kept === undefined) return null;
    this.#kept.delete(key);
    return kept.until >= now ? kept.message : null;
  }
}

export function asksForVote({ type }: Message<Payload>): boolean {
  return type === "MsgPreVote" || type === "MsgVote";
}

const keyOf = (groupId: string, raftId: number): string => `${groupId} ${raftId}`;
