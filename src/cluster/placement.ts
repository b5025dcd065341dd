// Where replicas shall lie: pure functions over the controller's fold. Whoever proposes a topic places it (topic-admin);
// the controller's leader alone plans what nodes that join or leave bring about (planner.ts).
//
//   place()          new partitions       on the nodes with the fewest replicas, in different regions where labels differ
//   reassignments()  existing partitions  raised up to their factor as nodes join; off nodes that drain or were removed
//
// Promise: never two replicas of a partition on one node; replicas and wanted leaderships are balanced as far as each
// single choice allows; what is planned is stable: planned again after it was done, it gives nothing. A replica moves
// only when its node leaves: nothing is moved for the balance alone. Left to others: moving data (reconciler.ts).

import { assert } from "../assert.ts";
import type { ClusterState, NodeLoad, NodeState } from "./cluster-state.ts";
import type { Assignment, ReassignedPartition } from "./commands.ts";
import type { TopicState } from "./topic-state.ts";

/** Replicas of a partition for which nobody chose a factor: survives one node, as long as there are three. */
export const defaultFactorMax = 3;

/** Nodes on which something new may be placed. */
export function placeableNodes(state: ClusterState): readonly NodeState[] {
  return [...state.nodes.values()].filter(({ draining }) => !draining);
}

/** The factor of a topic for which nobody chose one, now. */
export function defaultFactor(state: ClusterState): number {
  return Math.max(1, Math.min(defaultFactorMax, placeableNodes(state).length));
}

export interface PlacementWish {
  /** How many partitions to place, >= 0. */
  readonly partitions: number;
  /** Replicas each, >= 1; fewer when there are not so many nodes. */
  readonly factor: number;
  /** Nodes that are down as far as the proposer knows: chosen only when the others do not suffice. */
  readonly avoid?: ReadonlySet<number>;
}

/** Assignments of new partitions, the preferred leader first, every replica in its first incarnation.
 *  Cost: partitions x factor x nodes. */
export function place(state: ClusterState, wish: PlacementWish): readonly Assignment[] {
  const ground = new Ground(state, { silent: wish.avoid });
  assert(ground.size > 0, "A cluster without nodes has no place for partitions");
  return Array.from({ length: wish.partitions }, () => {
    const nodes = ground.spread([], wish.factor);
    const led = ground.leaderFirst(nodes);
    ground.take(led);
    return led.map((nodeId) => ({ nodeId, incarnation: 1 }));
  });
}

/** Nodes that are not heard of. */
export interface Silence {
  /** Now: they get nothing that would wait for them. */
  readonly silent?: ReadonlySet<number> | undefined;
  /** For long, and silent too: they are counted on for nothing. */
  readonly down?: ReadonlySet<number>;
}

const nobody: ReadonlySet<number> = new Set();

export interface TopicReassignments {
  readonly topicId: string;
  readonly changes: readonly ReassignedPartition[];
}

/** What has to move because nodes joined, drain or were removed: at most `limit` partitions, one row a topic. Empty when
 *  all is as it should be. Cost: the partitions, and factor x nodes for each that moves. */
export function reassignments(
  state: ClusterState,
  limit: number,
  silence: Silence = {},
): readonly TopicReassignments[] {
  const ground = new Ground(state, silence);
  const plan: TopicReassignments[] = [];
  let left = limit;
  for (const name of state.names) {
    if (left <= 0) break;
    const topic = state.topic(name)!;
    const changes = topicChanges(topic, ground, left);
    left -= changes.length;
    if (changes.length > 0) plan.push({ topicId: topic.topicId, changes });
  }
  return plan;
}

/** Partitions that have no replica but on this node, not counting nodes that were removed. */
export function soleHoldings(
  state: ClusterState,
  nodeId: number,
): readonly { readonly topic: string; readonly partition: number }[] {
  if (state.load(nodeId).replicas === 0) return [];
  const found: { topic: string; partition: number }[] = [];
  for (const name of state.names)
    state.topic(name)!.assignments.forEach((assignment, partition) => {
      const here = assignment.some((replica) => replica.nodeId === nodeId);
      const elsewhere = assignment.some(
        (replica) => replica.nodeId !== nodeId && state.nodes.has(replica.nodeId),
      );
      if (here && !elsewhere) found.push({ topic: name, partition });
    });
  return found;
}

function topicChanges(topic: TopicState, ground: Ground, limit: number): ReassignedPartition[] {
  const changes: ReassignedPartition[] = [];
  const wanted = Math.min(topic.factor ?? defaultFactorMax, ground.size);
  for (let partition = 0; partition < topic.assignments.length; partition += 1) {
    if (changes.length === limit) break;
    const expected = topic.assignments[partition].map(({ nodeId }) => nodeId);
    const nodes = ground.reassigned(expected, wanted);
    if (nodes !== null) changes.push({ partition, nodes, expected });
  }
  return changes;
}

/** The nodes to place on, and what lies on them while a plan grows. */
class Ground {
  readonly #state: ClusterState;
  readonly #nodes: ReadonlyMap<number, NodeState>;
  readonly #silent: ReadonlySet<number>;
  readonly #down: ReadonlySet<number>;
  readonly #loads = new Map<number, NodeLoad>();

  constructor(state: ClusterState, { silent = nobody, down = nobody }: Silence) {
    this.#state = state;
    this.#down = down;
    this.#nodes = new Map(placeableNodes(state).map((node) => [node.nodeId, node]));
    this.#silent = silent;
    for (const nodeId of this.#nodes.keys()) this.#loads.set(nodeId, state.load(nodeId));
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** Nodes of a partition from now on; null: they stay. */
  reassigned(nodes: readonly number[], factor: number): readonly number[] | null {
    const staying = nodes.filter((nodeId) => this.#nodes.has(nodeId));
    const leaves = staying.length < nodes.length;
    const up = this.#countWith(staying, this.#silent);
    // A node that is silent has no part in raising a factor: the others would wait for it.
    const within = leaves ? this.#countWith(staying, this.#down) : up;
    const wanted = Math.min(factor, within);
    if (!leaves && nodes.length >= wanted) return null;
    // It will be up soon, or down for good.
    if (leaves && up < wanted) return null;
    // Nobody is left who has the data: it would begin anew, empty, under the same name.
    if (!nodes.some((nodeId) => this.#state.nodes.has(nodeId))) return null;
    this.#give(nodes, -1);
    const after = this.leaderFirst(this.spread(staying, wanted));
    this.take(after);
    return after;
  }

  /** How many nodes are these, or none of the others. */
  #countWith(nodes: readonly number[], others: ReadonlySet<number>): number {
    const rest = [...this.#nodes.keys()].filter((nodeId) => !others.has(nodeId));
    return new Set([...nodes, ...rest]).size;
  }

  /** `kept` and the best others, `wanted` in all where there are so many. */
  spread(kept: readonly number[], wanted: number): number[] {
    const chosen = [...kept];
    while (chosen.length < Math.min(wanted, this.size)) chosen.push(this.#next(chosen));
    return chosen;
  }

  /** The same nodes, the one with the fewest wanted leaderships in front. */
  leaderFirst(nodes: readonly number[]): readonly number[] {
    if (nodes.length < 2) return nodes;
    const weight = (nodeId: number): readonly number[] => [
      Number(this.#silent.has(nodeId)),
      this.#loads.get(nodeId)?.leads ?? 0,
      nodes.indexOf(nodeId),
    ];
    const first = least(nodes, weight);
    return [first, ...nodes.filter((nodeId) => nodeId !== first)];
  }

  take(nodes: readonly number[]): void {
    this.#give(nodes, 1);
  }

  #next(chosen: readonly number[]): number {
    const regions = chosen.map((nodeId) => this.#nodes.get(nodeId)?.region ?? null);
    const others = [...this.#nodes.keys()].filter((nodeId) => !chosen.includes(nodeId));
    return least(others, (nodeId) => {
      const { region } = this.#nodes.get(nodeId)!;
      // Nodes without a label are all in one place, as far as anybody knows.
      const neighbours = regions.filter((other) => other === region).length;
      const { replicas, leads } = this.#loads.get(nodeId)!;
      // The first one shall lead; whoever leads much follows rather.
      const leading = chosen.length === 0 ? leads : -leads;
      return [Number(this.#silent.has(nodeId)), neighbours, replicas, leading, nodeId];
    });
  }

  #give(nodes: readonly number[], sign: 1 | -1): void {
    nodes.forEach((nodeId, place) => {
      const load = this.#loads.get(nodeId);
      if (load === undefined) return;
      const leads = load.leads + (place === 0 ? sign : 0);
      this.#loads.set(nodeId, { replicas: load.replicas + sign, leads });
    });
  }
}

/** The item of least weight, compared column by column; there is at least one. */
export function least<T>(items: readonly T[], weight: (item: T) => readonly number[]): T {
  let [best, bestWeight] = [items[0], weight(items[0])];
  for (const item of items.slice(1)) {
    const its = weight(item);
    const column = its.findIndex((value, i) => value !== bestWeight[i]);
    if (column >= 0 && its[column] < bestWeight[column]) [best, bestWeight] = [item, its];
  }
  return best;
}
