// The controller's fold as bytes.
//
//   msgpackr [version, clusterId, nodes, topics, deleted, nextProducerId, rest]
//   v 1   node    = [nodeId, version, registeredAt]
//         topic   = [name, topicId, createdAt, [nodeId, incarnation, nodeId, incarnation, ...] a partition, configs,
//                    [partitions, until, partitions, until, ...] of earlier counts]
//         deleted = [topicId, name, partitions, deletedAt]
//   v 2   node    = [..., http, host, port, region, controllerIncarnation, requestId, draining, removedAt]
//         topic   = [..., factor, [partition, born, leaving, revision, settled] a move]
//         deleted = [..., [nodeId, ...] of holders]
//         rest    = [controllerVoters, nextNodeId, nextIncarnation]
//
// Promise: equal states have equal bytes, so that two folds are compared by their snapshots; an unknown version halts.

import { Packr } from "msgpackr/pack";
import { Fault } from "../errors.ts";
import { ClusterState, type DeletedTopic } from "./cluster-state.ts";
import { assignmentOf, flatAssignment } from "./commands.ts";
import type { NodeData, NodeState } from "./node-registry.ts";
import type { Move, TopicState } from "./topic-state.ts";

const version = 2;
const packr = new Packr({ useRecords: false });

type PackedNode = readonly [
  nodeId: number,
  version: string,
  registeredAt: number,
  http?: string | null,
  host?: string | null,
  port?: number,
  region?: string | null,
  controllerIncarnation?: number,
  requestId?: string | null,
  draining?: boolean,
  removedAt?: number | null,
];
type PackedMove = readonly [
  partition: number,
  born: readonly number[],
  leaving: readonly number[],
  revision: number,
  settled: boolean,
];
type PackedTopic = readonly [
  name: string,
  topicId: string,
  createdAt: number,
  assignments: readonly number[][],
  configs: Record<string, string>,
  earlierCounts?: readonly number[],
  factor?: number | null,
  moves?: readonly PackedMove[],
];
type PackedDeleted = readonly [
  topicId: string,
  name: string,
  partitions: number,
  deletedAt: number,
  holders?: readonly number[],
];
type PackedRest = readonly [voters: readonly number[], nextNodeId: number, nextIncarnation: number];
type PackedState = readonly [
  version: number,
  clusterId: string | null,
  nodes: readonly PackedNode[],
  topics: readonly PackedTopic[],
  deleted: readonly PackedDeleted[],
  nextProducerId: number,
  rest?: PackedRest,
];

/** The state's bytes, owned by the caller. */
export function encodeState(state: ClusterState): Uint8Array {
  const { clusterId, nodes, topics, deleted, nextProducerId, nextIncarnation } = state.data();
  const packed: PackedState = [
    version,
    clusterId,
    nodes.nodes.map(packNode),
    topics.map(packTopic),
    deleted.map((d) => [d.topicId, d.name, d.partitions, d.deletedAt, d.holders]),
    nextProducerId,
    [nodes.controllerVoters, nodes.nextNodeId, nextIncarnation],
  ];
  return Uint8Array.from(packr.pack(packed));
}

/** Reads what encodeState() wrote, in any version. Throws Fault for a version that this program does not know. */
export function decodeState(bytes: Uint8Array): ClusterState {
  const packed = packr.unpack(bytes) as PackedState;
  if (packed[0] !== 1 && packed[0] !== version)
    throw new Fault(
      "unknown_server_error",
      `Cannot restore the controller: snapshot version must be 1 to ${version}, got ${packed[0]}. A newer Rivulet wrote it`,
    );
  const [, clusterId, packedNodes, topics, deleted, nextProducerId, rest] = packed;
  const nodes = packedNodes.map(unpackNode);
  const members = nodes.map(({ nodeId }) => nodeId);
  return ClusterState.of({
    clusterId,
    nodes: rest === undefined ? oneNode(nodes) : dataOf(nodes, rest),
    topics: topics.map(unpackTopic),
    deleted: deleted.map((topic) => unpackDeleted(topic, members)),
    nextProducerId,
    nextIncarnation: rest?.[2] ?? 2,
  });
}

/** Version 1 knew one node, which decided alone. */
function oneNode(nodes: readonly NodeState[]): NodeData {
  const ids = nodes.map(({ nodeId }) => nodeId);
  return { nodes, controllerVoters: ids.slice(0, 1), nextNodeId: Math.max(0, ...ids) + 1 };
}

function dataOf(nodes: readonly NodeState[], [controllerVoters, nextNodeId]: PackedRest): NodeData {
  return { nodes, controllerVoters, nextNodeId };
}

/** One node as a snapshot holds it. */
export function packNode(node: NodeState): PackedNode {
  const { nodeId, version: program, registeredAt, http, peer, region } = node;
  const { controllerIncarnation, requestId, draining, removedAt } = node;
  const told = [http, peer?.host ?? null, peer?.port ?? 0, region] as const;
  const known = [controllerIncarnation, requestId, draining, removedAt] as const;
  return [nodeId, program, registeredAt, ...told, ...known];
}

function unpackNode(packed: PackedNode): NodeState {
  const [nodeId, program, registeredAt, http = null, host = null, port = 0, region = null] = packed;
  const [controllerIncarnation = 1, requestId = null, draining = false] = packed.slice(7) as [
    number?,
    (string | null)?,
    boolean?,
  ];
  const peer = host === null ? null : { host, port };
  const removedAt = packed[10] ?? null;
  const told = { version: program, registeredAt, http, peer, region };
  return { nodeId, ...told, controllerIncarnation, requestId, draining, removedAt };
}

/** One topic as a snapshot holds it. */
export function packTopic(topic: TopicState): PackedTopic {
  const { name, topicId, createdAt, configs, factor } = topic;
  const assignments = topic.assignments.map(flatAssignment);
  const earlier = topic.earlierCounts.flatMap(({ partitions, until }) => [partitions, until]);
  const moves = [...topic.moves].map(packMove);
  return [name, topicId, createdAt, assignments, { ...configs }, earlier, factor, moves];
}

function packMove([partition, move]: readonly [number, Move]): PackedMove {
  const { born, leaving, revision, settled } = move;
  return [partition, flatAssignment(born), flatAssignment(leaving), revision, settled];
}

function unpackTopic(topic: PackedTopic): TopicState {
  const [name, topicId, createdAt, packed, configs, earlier = [], factor = null, moves = []] =
    topic;
  return {
    name,
    topicId,
    createdAt,
    assignments: packed.map(assignmentOf),
    configs,
    earlierCounts: unpackCounts(earlier),
    factor,
    moves: new Map(moves.map(unpackMove)),
  };
}

function unpackMove([partition, born, leaving, revision, settled]: PackedMove): [number, Move] {
  const [first, last] = [assignmentOf(born), assignmentOf(leaving)];
  return [partition, { born: first, leaving: last, revision, settled }];
}

/** Version 1 knew one node, which held everything. */
function unpackDeleted(packed: PackedDeleted, members: readonly number[]): DeletedTopic {
  const [topicId, name, partitions, deletedAt, holders = members] = packed;
  return { topicId, name, partitions, deletedAt, holders };
}

function unpackCounts(flat: readonly number[]): TopicState["earlierCounts"] {
  const counts = [];
  for (let i = 0; i < flat.length; i += 2) counts.push({ partitions: flat[i], until: flat[i + 1] });
  return counts;
}
