// A node that stops in order hands over what it leads, so that writers do not wait for an election.
//
// Promise: bounded: what could not be handed over in time is given up with the node, as after a crash. Each group goes
// to the voter that has the most of its log; equals take turns, so that not all goes to one node. Left to others:
// transferring (the replica).

import type { MemberProgress, Replica, ReplicaHost } from "../consensus/replica.ts";
import type { World } from "../world.ts";

/** Groups that are handed over at once. */
const atOnce = 32;

export interface HandedOver {
  readonly handed: number;
  /** Led by this node still. */
  readonly kept: number;
}

export async function handOver(
  host: Pick<ReplicaHost, "led">,
  world: World,
  timeoutMs: number,
): Promise<HandedOver> {
  const groups = [...host.led()].filter((replica) => replica.members.voters.length > 1);
  if (groups.length === 0) return { handed: 0, kept: 0 };
  let [isLate, handed] = [false, 0];
  const given = new Map<number, number>();
  const late = new Promise<void>((resolve) => {
    world.setTimer(timeoutMs, () => {
      isLate = true;
      resolve();
    });
  });
  const queue = groups.values();
  const work = async (): Promise<void> => {
    for (const replica of queue) {
      if (isLate) return;
      if (await handOverOne(replica, given)) handed += 1;
    }
  };
  const all = Promise.all(Array.from({ length: atOnce }, work));
  await Promise.race([all, late]);
  return { handed, kept: groups.length - handed };
}

async function handOverOne(replica: Replica, given: Map<number, number>): Promise<boolean> {
  const to = successor(replica, given);
  if (to === null) return false;
  given.set(to, (given.get(to) ?? 0) + 1);
  return (await replica.transferLeadership(to)).ok;
}

/** The active voter that has the most; of equals the one that was given least. null: nobody is there. */
function successor(replica: Replica, given: ReadonlyMap<number, number>): number | null {
  const own = replica.identity.nodeId;
  const fit = replica
    .progress()
    .filter(({ identity, voter, active }) => voter && active && identity.nodeId !== own);
  const count = ({ identity }: MemberProgress): number => given.get(identity.nodeId) ?? 0;
  fit.sort((a, b) => b.matchIndex - a.matchIndex || count(a) - count(b));
  return fit.length === 0 ? null : fit[0].identity.nodeId;
}
