// Reading the core's storage messages (raft/types.ts, MsgStorageAppend).

import type { Message } from "../../raft/types.ts";
import type { HardState } from "../journal/journal.ts";
import { logIndex, term } from "../quantities.ts";
import type { Payload } from "./payload.ts";

/** An election's storage message: nothing but this node's own vote rests on it. */
export function isOwnElection(message: Message<Payload>): boolean {
  return (
    message.type === "MsgStorageAppend" &&
    message.entries.length === 0 &&
    message.responses.length > 0 &&
    message.responses.every((r) => r.type === "MsgVoteResp" || r.type === "MsgPreVoteResp")
  );
}

/** Null when it did not change. */
export function hardStateIn(message: Message<Payload>): HardState | null {
  const { term: at, vote, commit } = message;
  if (at === 0 && vote === 0 && commit === 0) return null;
  return { term: term(at), vote, commit: logIndex(commit) };
}
