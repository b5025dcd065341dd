// To whom a leader hands its group over when its node should not lead any more.

import type { RawNode } from "../../../raft/index.ts";
import type { NodeId } from "../../../raft/types.ts";
import { nodeOf } from "../identity.ts";

/** The voter that has most of the log among those whose node can lead; 0: there is none, or this replica does not lead
 *  or is handing over already. Cost: O(members). */
export function successorOf(
  { core }: RawNode<unknown>,
  canLead: (nodeId: number) => boolean,
): NodeId {
  if (core.role !== "leader" || core.leadTransferee !== 0) return 0;
  let best: NodeId = 0;
  let bestMatch = -1;
  for (const id of core.tracker.configuration.voters.incoming) {
    const progress = core.tracker.progress(id);
    if (id === core.id || progress === undefined || !canLead(nodeOf(id))) continue;
    if (progress.match > bestMatch) [best, bestMatch] = [id, progress.match];
  }
  return best;
}
