// One topic inside the controller's fold: its partitions' replicas as they are wanted, and what is left of former ones.
//
//   born      voters of the group on every node that hears of it, however late: the assignment at its creation
//   assigned  where the replicas shall lie; the group's leader changes the configuration until it is so
//   leaving   out of the assignment, but maybe still in the group's configuration: their data stays
//   (gone)    the leader has told that the configuration holds them no more: their data may die
//
// Promise: pure; a TopicState is replaced, never changed. An identity never comes back into an assignment: a node that
// leaves and returns gets a fresh incarnation. Left to others: which nodes to choose (placement.ts), changing
// configurations (reconciler.ts).

import type { ReplicaIdentity } from "../consensus/identity.ts";
import { refuse, type Refusal } from "../errors.ts";
import type { Assignment, Command, ReassignedPartition } from "./commands.ts";
import type { ConfigValues } from "./topic-settings.ts";

export interface TopicState {
  readonly name: string;
  /** UUID v4, canonical text form; never used twice. */
  readonly topicId: string;
  /** Entry time of the creation, ms. */
  readonly createdAt: number;
  /** Wanted replicas, one a partition. */
  readonly assignments: readonly Assignment[];
  /** Overrides alone, canonical values, in name order. */
  readonly configs: ConfigValues;
  /** The counts of partitions that it had before, oldest first, as long as an idempotency key may have been placed by
   *  one: a retry is placed by its first try's. */
  readonly earlierCounts: readonly EarlierCount[];
  /** Replicas a partition that a person chose; null: as many as nodes allow, up to three. */
  readonly factor: number | null;
  /** Partitions whose assignment was ever changed. */
  readonly moves: ReadonlyMap<number, Move>;
}

export interface EarlierCount {
  readonly partitions: number;
  /** Entry time of the command that added more, ms. */
  readonly until: number;
}

/** What became of a partition whose assignment was changed. */
export interface Move {
  /** The assignment that the group was created with. */
  readonly born: Assignment;
  /** Not assigned any more, and perhaps still in the group's configuration. */
  readonly leaving: readonly ReplicaIdentity[];
  /** Counts the changes of the assignment, from 1. */
  readonly revision: number;
  /** The group's leader has told that its configuration is the assignment. */
  readonly settled: boolean;
}

type Changed = { readonly ok: true; readonly topic: TopicState } | Refusal;
type Fresh = () => number;

/** The topic after the command; null where nothing changes. `fresh` gives the next incarnation. */
export function reassign(
  topic: TopicState,
  command: Command & { kind: "assignReplicas" },
  fresh: Fresh,
): Changed {
  for (const change of command.changes) {
    const fault = reassignFault(topic, change);
    if (fault !== null) return fault;
  }
  const assignments = [...topic.assignments];
  const moves = new Map(topic.moves);
  for (const { partition, nodes } of command.changes) {
    const before = assignments[partition];
    const after = nodes.map(
      (nodeId) =>
        before.find((replica) => replica.nodeId === nodeId) ?? { nodeId, incarnation: fresh() },
    );
    assignments[partition] = after;
    moves.set(partition, moved(moves.get(partition), before, after));
  }
  return { ok: true, topic: { ...topic, assignments, moves: inOrder(moves) } };
}

/** null: the replica is not assigned (any more). */
export function replace(
  topic: TopicState,
  command: Command & { kind: "replaceReplica" },
  fresh: Fresh,
): TopicState | null {
  const { partition, replica } = command;
  const before = topic.assignments[partition];
  if (before === undefined || !includes(before, replica)) return null;
  const after = before.map((one) =>
    isSame(one, replica) ? { nodeId: one.nodeId, incarnation: fresh() } : one,
  );
  const assignments = topic.assignments.with(partition, after);
  const moves = new Map(topic.moves);
  moves.set(partition, moved(moves.get(partition), before, after));
  return { ...topic, assignments, moves: inOrder(moves) };
}

/** null: the leader tells nothing new. */
export function confirm(
  topic: TopicState,
  command: Command & { kind: "confirmReplicas" },
): TopicState | Refusal | null {
  const { partition, revision, voters, learners } = command;
  const move = topic.moves.get(partition);
  if (move === undefined) return null;
  if (move.revision !== revision) {
    const detail = `Cannot confirm replicas of ${topic.name}-${partition}: revision ${move.revision} is wanted, got ${revision}`;
    return refuse("precondition_failed", detail);
  }
  const held = [...voters, ...learners];
  const leaving = move.leaving.filter((replica) => includes(held, replica));
  const settled = isSettled(topic.assignments[partition], voters, learners);
  if (leaving.length === move.leaving.length && settled === move.settled) return null;
  const moves = new Map(topic.moves);
  moves.set(partition, { ...move, leaving, settled });
  return { ...topic, moves: inOrder(moves) };
}

/** The configuration is the assignment: the same voters, nobody else. */
export function isSettled(assigned: Assignment, voters: Assignment, learners: Assignment): boolean {
  return (
    learners.length === 0 &&
    voters.length === assigned.length &&
    assigned.every((replica) => includes(voters, replica))
  );
}

export function isSame(a: ReplicaIdentity, b: ReplicaIdentity): boolean {
  return a.nodeId === b.nodeId && a.incarnation === b.incarnation;
}

export function includes(replicas: Iterable<ReplicaIdentity>, wanted: ReplicaIdentity): boolean {
  for (const replica of replicas) if (isSame(replica, wanted)) return true;
  return false;
}

function moved(move: Move | undefined, before: Assignment, after: Assignment): Move {
  const dropped = before.filter((replica) => !includes(after, replica));
  return {
    born: move?.born ?? before,
    leaving: [...(move?.leaving ?? []), ...dropped],
    revision: (move?.revision ?? 0) + 1,
    // Another order alone moves nothing.
    settled: dropped.length === 0 && after.length === before.length && (move?.settled ?? true),
  };
}

function reassignFault(topic: TopicState, change: ReassignedPartition): Refusal | null {
  const { partition, nodes, expected } = change;
  const what = `Cannot assign replicas of ${topic.name}-${partition}`;
  const current = topic.assignments[partition];
  if (current === undefined)
    return refuse("unknown_topic_or_partition", `${what}: there is no such partition`);
  const seen = current.map(({ nodeId }) => nodeId);
  if (seen.length !== expected.length || seen.some((nodeId, i) => nodeId !== expected[i]))
    return refuse("precondition_failed", `${what}: they are on ${seen.join(", ")} by now`);
  if (nodes.length > 0 && new Set(nodes).size === nodes.length) return null;
  return refuse("invalid_request", `${what}: at least one node is wanted, each once`);
}

/** By ascending partition, so that equal states have equal bytes. */
function inOrder(moves: Map<number, Move>): ReadonlyMap<number, Move> {
  return new Map([...moves].sort(([a], [b]) => a - b));
}
