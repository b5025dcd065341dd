// Gives leaderships to the replicas that shall have them: the first one of each assignment.
//
// Promise: gently, and without flapping: only after steadyMs in which this node led and the other one was up and caught
// up without a break; one hand-over at a time, at most perTick a tick; after a refusal that group rests. Left to others:
// which replica is the first (placement.ts).

import type { Replica, ReplicaHost } from "../consensus/replica.ts";
import type { World } from "../world.ts";
import { placeOf, type GroupPlace } from "./birth.ts";
import type { Controller } from "./controller.ts";
import { isCaughtUp, progressOf } from "./members-step.ts";
import { includes } from "./topic-state.ts";

const steadyMs = 10_000;
const perTick = 20;
/** After a hand-over that was refused. */
const restMs = 60_000;

export interface LeadershipsParts {
  readonly world: World;
  readonly controller: Controller;
  readonly host: ReplicaHost;
  readonly nodeId: number;
}

/** Makes the replica on that node the first of its assignment, so that a leadership that a person gave away is not given
 *  back. Nothing changes where no replica of the partition is wanted there. */
export async function preferLeader(
  controller: Controller,
  place: GroupPlace,
  nodeId: number,
): Promise<void> {
  const assigned = controller.state.topicById(place.topicId)?.assignments[place.partition] ?? [];
  const expected = assigned.map((replica) => replica.nodeId);
  if (!expected.includes(nodeId) || expected[0] === nodeId) return;
  const nodes = [nodeId, ...expected.filter((other) => other !== nodeId)];
  const changes = [{ partition: place.partition, nodes, expected }];
  await controller.submit({ kind: "assignReplicas", topicId: place.topicId, changes });
}

interface Steady {
  readonly term: number;
  /** Since when the other replica could have led, monotonic ms. */
  readonly since: number;
}

export class Leaderships {
  readonly #parts: LeadershipsParts;
  /** Groups led here that another node shall lead. */
  #steady = new Map<string, Steady>();
  #moving = false;
  #closed = false;
  moved = 0;

  constructor(parts: LeadershipsParts) {
    this.#parts = parts;
  }

  close(): void {
    this.#closed = true;
  }

  /** Cost: a few look-ups a group that is led here. */
  tick(): void {
    const now = this.#parts.world.monotonic();
    const steady = new Map<string, Steady>();
    const due: (readonly [Replica, number])[] = [];
    for (const replica of this.#parts.host.led()) {
      const toNode = this.#heir(replica);
      if (toNode === null) continue;
      const { groupId, role } = replica;
      const known = this.#steady.get(groupId);
      const since = known?.term === role.term ? known.since : now;
      steady.set(groupId, { term: role.term, since });
      if (now - since >= steadyMs && due.length < perTick) due.push([replica, toNode]);
    }
    this.#steady = steady;
    if (due.length > 0 && !this.#moving) void this.#move(due);
  }

  async #move(due: readonly (readonly [Replica, number])[]): Promise<void> {
    this.#moving = true;
    for (const [replica, toNode] of due) {
      if (this.#closed || this.#heir(replica) !== toNode) continue;
      const moved = await replica.transferLeadership(toNode);
      if (moved.ok) this.moved += 1;
      else this.#rest(replica);
    }
    this.#moving = false;
  }

  #rest({ groupId, role }: Replica): void {
    const since = this.#parts.world.monotonic() + restMs - steadyMs;
    this.#steady.set(groupId, { term: role.term, since });
  }

  /** Node id of the replica that shall lead and can; null: this one leads on. */
  #heir(replica: Replica): number | null {
    const { controller, nodeId } = this.#parts;
    const place = placeOf(replica.groupId);
    const topic = place === null ? null : controller.state.topicById(place.topicId);
    const first = topic?.assignments[place?.partition ?? 0]?.[0];
    if (first === undefined || first.nodeId === nodeId || !replica.ready) return null;
    const { members } = replica;
    if (members.joint || !includes(members.voters, first)) return null;
    return isCaughtUp(progressOf(replica.progress(), first)) ? first.nodeId : null;
  }
}
