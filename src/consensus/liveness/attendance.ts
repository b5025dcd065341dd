// One replica's part in the vigil (vigil.ts): what its core believes is entered into the sums of leaderships, and time
// passes for it as the node table says.
//
// Promise: a change of role costs O(members); a tick tells the core first which peers' nodes are heard, so that the check
// of the quorum counts what beats prove. Left to others: when time passes at all (pulse.ts).

import { newMessage, type RawNode } from "../../../raft/index.ts";
import type { Message } from "../../../raft/types.ts";
import { nodeOf } from "../identity.ts";
import type { Leadership, Leaderships } from "./leaderships.ts";
import type { Payload } from "../payload.ts";
import type { NodeTable } from "./pulse.ts";

/** Enters who leads the group, as this core knows it. To be called when role, leader, term or members changed. */
export function enterLeadership(
  leaderships: Leaderships,
  groupId: string,
  { core }: RawNode<unknown>,
): void {
  const { id, role, lead, term } = core;
  if (role === "leader") {
    leaderships.lead(groupId, { leader: id, term, members: core.tracker.ids });
  } else if (role === "follower" && lead !== 0) {
    leaderships.follow({ groupId, leader: lead, member: id, term });
  } else {
    leaderships.cease(groupId);
    leaderships.unfollow(groupId);
  }
}

/** A tick passes. A node that should not lead lets no time pass for those that would campaign. */
export function tickCore(
  node: RawNode<unknown>,
  nodes: NodeTable & { readonly fit: boolean },
): void {
  const { core } = node;
  if (core.role !== "leader" && !nodes.fit) return;
  for (const id of core.tracker.ids) {
    if (id !== core.id && nodes.active(nodeOf(id))) node.reportActive(id);
  }
  node.tick();
}

/** The heartbeat for which a beat stands. It tells no commit index: that comes with the next append. */
export function heartbeatOf({ leader, member, term }: Leadership): Message<Payload> {
  return { ...newMessage<Payload>("MsgHeartbeat", member, leader), term };
}
