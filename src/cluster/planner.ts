// What the controller's leader alone decides: who votes in the controller, what moves because nodes joined or leave, and
// when a node that was emptied is removed.
//
//   a change of nodes or of a moved partition, a node that came up or fell silent, or the slow tick
//     --> next command --> submitted, applied --> next ...
//
// Promise: one command at a time, each from the state that the one before left; at most unsettledMax partitions move at
// once; silent where this node does not lead. It plans again from the state alone, so that a new leader goes on where
// the former one stopped. Left to others: the plans themselves (placement.ts, voters.ts), carrying them out
// (reconciler.ts).

import type { Timer, World } from "../world.ts";
import type { Change, ClusterState } from "./cluster-state.ts";
import type { Command } from "./commands.ts";
import type { Controller } from "./controller.ts";
import { sameNumbers } from "./node-registry.ts";
import { reassignments } from "./placement.ts";
import { votersPlan } from "./voters.ts";

/** Partitions that move at once, of the whole cluster. */
export const unsettledMax = 100;
/** A voter that is silent so long gives its vote to a node that is up, where there is one to spare. */
const downMs = 30_000;
const tickMs = 5_000;
/** How often it is looked whether a node has come up or fallen silent. */
const lookMs = 250;

export interface PlannerParts {
  readonly world: World;
  readonly controller: Controller;
}

export class Planner {
  readonly #parts: PlannerParts;
  /** Since when a node has been silent, monotonic ms; only where this node leads. */
  readonly #silentSince = new Map<number, number>();
  readonly #ends: (() => void)[] = [];
  #tick: Timer | null = null;
  #watch: Timer | null = null;
  #planning = false;
  #again = false;
  #closed = false;

  constructor(parts: PlannerParts) {
    this.#parts = parts;
    const { controller } = parts;
    this.#ends.push(
      controller.onChange((change) => {
        if (concernsPlans(change)) this.plan();
      }),
      controller.onLeader(() => this.plan()),
    );
    this.plan();
    this.#look();
  }

  /** Looks for something to do, behind this turn. Idempotent until then. */
  plan(): void {
    if (this.#closed) return;
    this.#again = true;
    if (!this.#planning) void this.#run();
  }

  close(): void {
    this.#closed = true;
    this.#tick?.cancel();
    this.#watch?.cancel();
    for (const end of this.#ends.splice(0)) end();
  }

  async #run(): Promise<void> {
    const { controller, world } = this.#parts;
    this.#planning = true;
    // What is told now is told while entries are applied.
    await Promise.resolve();
    this.#tick?.cancel();
    while (this.#again && !this.#closed && controller.leads) {
      this.#again = false;
      await this.#planOnce();
    }
    this.#planning = false;
    if (controller.leads && !this.#closed) this.#tick = world.setTimer(tickMs, () => this.plan());
  }

  /** A refused command is planned again by the tick, or by what made it wrong. */
  async #planOnce(): Promise<void> {
    this.#listen();
    const command = this.#next();
    if (command === null) return;
    const outcome = await this.#parts.controller.submit(command);
    if (outcome.ok) this.#again = true;
  }

  #next(): Command | null {
    const { controller } = this.#parts;
    const { state } = controller;
    const leader = controller.replica.identity.nodeId;
    const silent = new Set(this.#silentSince.keys());
    const down = this.#down();
    const voters = votersPlan(state, { down, silent, leader });
    if (voters !== null)
      return { kind: "setControllerVoters", voters, expected: state.controllerVoters };
    const room = unsettledMax - state.unsettled;
    const [moves] = room > 0 ? reassignments(state, room, { silent, down }) : [];
    if (moves !== undefined) return { kind: "assignReplicas", ...moves };
    const nodeId = this.#emptied(state);
    return nodeId === null ? null : { kind: "removeNode", nodeId };
  }

  /** A draining node on which nothing is left, nor may be. */
  #emptied(state: ClusterState): number | null {
    const { members } = this.#parts.controller.replica;
    if (members.joint) return null;
    for (const { nodeId, draining } of state.nodes.values()) {
      if (!draining || state.load(nodeId).replicas > 0) continue;
      if (state.controllerVoters.includes(nodeId)) continue;
      if (members.voters.some((voter) => voter.nodeId === nodeId)) continue;
      if (!isLeaving(state, nodeId)) return nodeId;
    }
    return null;
  }

  #look(): void {
    const { controller, world } = this.#parts;
    if (this.#closed) return;
    this.#watch = world.setTimer(lookMs, () => this.#look());
    if (!controller.leads) {
      this.#silentSince.clear();
      return;
    }
    const known = [...this.#silentSince.keys()];
    this.#listen();
    if (!sameNumbers(known, [...this.#silentSince.keys()])) this.plan();
  }

  /** Every node has a replica of the controller's group, so that its leader hears of every node. Cost: the nodes. */
  #listen(): void {
    const { controller, world } = this.#parts;
    const active = new Set([controller.replica.identity.nodeId]);
    for (const one of controller.replica.progress())
      if (one.active) active.add(one.identity.nodeId);
    for (const nodeId of controller.state.nodes.keys()) {
      if (active.has(nodeId)) this.#silentSince.delete(nodeId);
      else if (!this.#silentSince.has(nodeId)) this.#silentSince.set(nodeId, world.monotonic());
    }
    for (const nodeId of this.#silentSince.keys())
      if (!controller.state.nodes.has(nodeId)) this.#silentSince.delete(nodeId);
  }

  #down(): ReadonlySet<number> {
    const limit = this.#parts.world.monotonic() - downMs;
    const down = [...this.#silentSince].filter(([, since]) => since <= limit);
    return new Set(down.map(([nodeId]) => nodeId));
  }
}

/** Topics that are created or deleted are where they shall be. */
function concernsPlans(change: Change): boolean {
  if (change.kind === "topicChanged") return change.topic.moves !== change.before.moves;
  return change.kind === "nodeChanged" || change.kind === "controllerVoters";
}

function isLeaving(state: ClusterState, nodeId: number): boolean {
  for (const name of state.names)
    for (const { leaving } of state.topic(name)!.moves.values())
      if (leaving.some((replica) => replica.nodeId === nodeId)) return true;
  return false;
}
