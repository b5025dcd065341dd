// Fewer messages of the same meaning: appends that follow one another, acknowledgements that a later one contains.
//
//   MsgApp 7 | MsgApp 8 | MsgApp -, commit 6      -->  MsgApp 7 8, commit 6
//   MsgAppResp 7 | MsgAppResp 8                   -->  MsgAppResp 8
//
// The core makes one append an entry and one more when the commit index moves; what one turn made leaves as one. A packet
// costs more than an entry in it (0.4 us against a frame of HTTP/2). Promise: the receiver ends in the state in which the
// originals in order would leave it; a message that merges with nothing is handed on as it is, and the order of those
// that leave is that of their first parts. Left to others: lanes.

import type { Entry, Message } from "../../../raft/types.ts";
import type { Payload } from "../payload.ts";

/** Bytes of a merged append: what the core puts into one message at most. */
const bytesMax = 1024 * 1024;

type RaftMessage = Message<Payload>;

/** Cost: O(messages and entries); nothing is allocated where nothing merges. */
export function mergedAppends(messages: readonly RaftMessage[]): readonly RaftMessage[] {
  if (!hasTwo(messages, "MsgApp")) return messages;
  const merged: (RaftMessage | Run)[] = [];
  /** The last append to each peer. */
  const lastTo = new Map<number, Run>();
  for (const message of messages) {
    if (message.type !== "MsgApp") {
      merged.push(message);
    } else if (lastTo.get(message.to)?.take(message) !== true) {
      const run = new Run(message);
      lastTo.set(message.to, run);
      merged.push(run);
    }
  }
  return merged.map((one) => (one instanceof Run ? one.message() : one));
}

/** Leaves out what a later acknowledgement to the same peer contains. Cost: O(messages). */
export function latestAcknowledgements(messages: readonly RaftMessage[]): readonly RaftMessage[] {
  if (!hasTwo(messages, "MsgAppResp")) return messages;
  const latest = new Map<number, RaftMessage>();
  const left: RaftMessage[] = [];
  for (const message of messages.toReversed()) {
    const later = latest.get(message.to);
    if (isContained(message, later)) continue;
    if (message.type === "MsgAppResp" && !message.reject) latest.set(message.to, message);
    left.push(message);
  }
  return left.reverse();
}

/** Appends to one peer that follow one another. */
class Run {
  readonly #first: RaftMessage;
  readonly #entries: Entry<Payload>[];
  #commit: number;
  #bytes: number;

  constructor(first: RaftMessage) {
    this.#first = first;
    this.#entries = [...first.entries];
    this.#commit = first.commit;
    this.#bytes = bytesOf(first);
  }

  /** False: the message does not go on where the run ends, or both are too large together. */
  take(message: RaftMessage): boolean {
    const { index, logTerm, term, entries, commit } = message;
    const end = this.#entries.at(-1) ?? { index: this.#first.index, term: this.#first.logTerm };
    if (term !== this.#first.term || index !== end.index || logTerm !== end.term) return false;
    const bytes = this.#bytes + bytesOf(message);
    if (entries.length > 0 && bytes > bytesMax) return false;
    for (const entry of entries) this.#entries.push(entry);
    this.#bytes = bytes;
    this.#commit = Math.max(this.#commit, commit);
    return true;
  }

  message(): RaftMessage {
    return { ...this.#first, entries: this.#entries, commit: this.#commit };
  }
}

function bytesOf({ entries }: RaftMessage): number {
  let sum = 0;
  for (const { bytes } of entries) sum += bytes;
  return sum;
}

function hasTwo(messages: readonly RaftMessage[], type: RaftMessage["type"]): boolean {
  let count = 0;
  for (const message of messages) if (message.type === type && ++count === 2) return true;
  return false;
}

function isContained(message: RaftMessage, later: RaftMessage | undefined): boolean {
  if (later === undefined || message.type !== "MsgAppResp" || message.reject) return false;
  return later.term === message.term && later.index >= message.index;
}
