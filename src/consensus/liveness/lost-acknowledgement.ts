// How a leader notices that a follower has lost what it acknowledged.
//
//   leader     match 10 (acknowledged in this term) ......... sends the append behind entry p <= 10
//   follower   "I have no entry p of that term"               it had it, and has it no more
//
// Acknowledgements and refusals of one follower travel in one lane, so a refusal is newer than every acknowledgement
// that was heard before it; and within one term a follower's log never shrinks. So this is no late message: the disk of
// that replica lost what counted toward a majority, and it must neither vote nor be counted again (DESIGN section 4).
// The core itself would probe such a follower for ever. Left to others: what becomes of the replica (host, cluster).

import type { RawNode } from "../../../raft/index.ts";
import type { Message } from "../../../raft/types.ts";

/** Index that the follower had acknowledged in this term and now says it does not have; null for any other message. To
 *  be asked before the message is stepped. Cost: O(1). */
export function lostAcknowledgement(
  { core }: RawNode<unknown>,
  message: Message<unknown>,
): number | null {
  if (message.type !== "MsgAppResp" || !message.reject) return null;
  if (core.role !== "leader" || message.term !== core.term || message.from === core.id) return null;
  const progress = core.tracker.progress(message.from);
  return progress !== undefined && message.index <= progress.match ? progress.match : null;
}
