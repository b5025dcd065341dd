// Who takes part in a group: what the controller's commands would say, told here by the simulation itself.
//
//   target      the members that the group's leader works toward
//   residents   per node, oldest first: identities that may still be members, then the one that is to come
//
// Promise: an identity is given once. A resident stays one until a leader has shown a configuration without it: its data
// may die only then. Left to others: changing (nemesis.ts), approaching (node.ts).

import type { MembersTarget } from "../../../src/consensus/replica.ts";
import type { ReplicaIdentity } from "../../../src/consensus/identity.ts";

export class Placement {
  readonly groupId: string;
  readonly born: readonly ReplicaIdentity[];
  #target: MembersTarget;
  readonly #residents = new Map<number, number[]>();
  #nextIncarnation = 2;

  constructor(groupId: string, nodeIds: readonly number[]) {
    this.groupId = groupId;
    this.born = nodeIds.map((nodeId) => ({ nodeId, incarnation: 1 }));
    this.#target = { voters: this.born, learners: [] };
    for (const nodeId of nodeIds) this.#residents.set(nodeId, [1]);
  }

  get target(): MembersTarget {
    return this.#target;
  }

  /** Of this group's replica on the node; undefined when none belongs there. */
  incarnationOn(nodeId: number): number | undefined {
    return this.#residents.get(nodeId)?.[0];
  }

  isBorn({ nodeId, incarnation }: ReplicaIdentity): boolean {
    return incarnation === 1 && this.born.some((one) => one.nodeId === nodeId);
  }

  /** The voters are to be on these nodes; those that are not wanted there already get fresh incarnations. */
  aim(nodeIds: readonly number[]): void {
    const voters = nodeIds.map((nodeId) => {
      const here = this.#target.voters.find((one) => one.nodeId === nodeId);
      return here ?? { nodeId, incarnation: this.#fresh(nodeId) };
    });
    this.#target = { voters, learners: [] };
  }

  /** This replica is lost where it is: another one is to take its place on the node. */
  renew(lost: ReplicaIdentity): void {
    if (!includes(this.#target.voters, lost)) return;
    const incarnation = this.#fresh(lost.nodeId);
    const voters = this.#target.voters.filter((voter) => voter.nodeId !== lost.nodeId);
    this.#target = { voters: [...voters, { nodeId: lost.nodeId, incarnation }], learners: [] };
  }

  /** A leader shows exactly these members, and no change is under way. `present`: nodes that are not lost for good. */
  settled({ voters, learners }: MembersTarget, present: readonly number[]): void {
    const members = [...voters, ...learners];
    // Whoever has the records cannot make room for others all at once: it stays, under its name.
    const holders = voters.filter(({ nodeId }) => present.includes(nodeId));
    const nodeIds = this.#target.voters.map(({ nodeId }) => nodeId);
    const leaves = (one: ReplicaIdentity): boolean => !includes(this.#target.voters, one);
    if (holders.every((one) => leaves(one) && nodeIds.includes(one.nodeId))) {
      const kept = this.#target.voters.filter(
        ({ nodeId }) => !holders.some((one) => one.nodeId === nodeId),
      );
      this.#target = { voters: [...kept, ...holders], learners: [] };
    }
    for (const [nodeId, incarnations] of this.#residents) {
      const left = incarnations.filter((incarnation) => {
        const identity = { nodeId, incarnation };
        return includes(members, identity) || includes(this.#target.voters, identity);
      });
      if (left.length > 0) this.#residents.set(nodeId, left);
      else this.#residents.delete(nodeId);
    }
  }

  /** Where a replica was removed, perhaps not yet in fact, it comes back as somebody else. */
  #fresh(nodeId: number): number {
    const incarnation = this.#nextIncarnation++;
    this.#residents.set(nodeId, [...(this.#residents.get(nodeId) ?? []), incarnation]);
    return incarnation;
  }
}

function includes(all: readonly ReplicaIdentity[], one: ReplicaIdentity): boolean {
  return all.some((it) => it.nodeId === one.nodeId && it.incarnation === one.incarnation);
}
