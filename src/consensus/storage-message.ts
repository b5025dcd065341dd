// Reading the core's storage messages (raft/types.ts, MsgStorageAppend).

import type { Message } from "../../raft/types.ts";
import type { HardState } from "../journal/journal.ts";
import { logIndex, term } from "../quantities.ts";
import type { Payload } from "./payload.ts";

/** Null when it did not change. */
export function hardStateIn(message: Message<Payload>): HardState | null {
  const { term: at, vote, commit } = message;
  if (at === 0 && vote === 0 && commit === 0) return null;
  return { term: term(at), vote, commit: logIndex(commit) };
}
