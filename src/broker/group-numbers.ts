// The replicas that are open on this node, in numbers: for those who watch many nodes by machine.
//
// Promise: nothing is woken and nobody is asked. Left to others: names and help texts (edge/contract).

import { placeOf } from "../cluster/birth.ts";
import { controllerGroupId } from "../cluster/controller.ts";
import type { Replica, ReplicaHost } from "../consensus/replica.ts";
import { limits } from "../limits.ts";
import type { GroupNumbers } from "./broker.ts";
import type { Topics } from "./topics.ts";

export function groupNumbers(host: ReplicaHost, topics: Topics): readonly GroupNumbers[] {
  const rows: GroupNumbers[] = [];
  const controller = host.replica(controllerGroupId);
  if (controller !== null) rows.push(numbersOf(controllerGroupId, controller));
  for (const groupId of host.groupIds()) {
    if (rows.length >= limits.listPageMax) break;
    const place = placeOf(groupId);
    const replica = place === null ? null : host.replica(groupId);
    const topic = place === null ? null : topics.byId(place.topicId);
    if (place === null || replica === null || topic === null) continue;
    rows.push(numbersOf(`${topic.name}-${place.partition}`, replica));
  }
  return rows;
}

function numbersOf(group: string, replica: Replica): GroupNumbers {
  const { role, lastIndex, commitIndex, appliedIndex, identity } = replica;
  return {
    group,
    leads: role.leader,
    leader: role.leaderId,
    term: role.term,
    uncommittedEntries: lastIndex - commitIndex,
    unappliedEntries: Math.max(0, commitIndex - appliedIndex),
    lags: replica
      .progress()
      .filter((member) => member.identity.nodeId !== identity.nodeId)
      .map((member) => ({
        nodeId: member.identity.nodeId,
        entries: Math.max(0, lastIndex - member.matchIndex),
      })),
  };
}
