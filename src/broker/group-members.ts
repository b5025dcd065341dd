// What the leader of a group tells of its members.
//
// Promise: by ascending node id; in sync is a voter that holds everything, or did within replica.lag.time.max.ms.

import type { MemberProgress, Replica } from "../consensus/replica.ts";
import type { GroupMember } from "./broker.ts";

/** Empty where the replica does not lead. */
export function membersOf(replica: Replica, lagMsMax: number): readonly GroupMember[] {
  return replica.progress().map((member) => ({
    ...member.identity,
    voter: member.voter,
    inSync: isInSync(member, lagMsMax),
    lagEntries: Math.max(0, replica.lastIndex - member.matchIndex),
    lagMs: Math.round(member.behindMs),
  }));
}

export function isInSync({ voter, behindMs }: MemberProgress, lagMsMax: number): boolean {
  return voter && behindMs <= lagMsMax;
}
