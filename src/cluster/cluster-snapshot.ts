// The controller's fold as bytes.
//
//   msgpackr [version, clusterId, nodes, topics, deleted, nextProducerId]
//   topic = [name, topicId, createdAt, [nodeId, incarnation, nodeId, incarnation, ...] a partition, configs,
//            [partitions, until, partitions, until, ...] of earlier counts]
//
// Promise: equal states have equal bytes, so that two folds are compared by their snapshots; an unknown version halts.

import { Packr } from "msgpackr/pack";
import { Fault } from "../errors.ts";
import { ClusterState, type TopicState } from "./cluster-state.ts";
import type { Assignment } from "./commands.ts";

const version = 1;
const packr = new Packr({ useRecords: false });

type PackedTopic = readonly [
  name: string,
  topicId: string,
  createdAt: number,
  assignments: readonly number[][],
  configs: Record<string, string>,
  earlierCounts?: readonly number[],
];
type PackedState = readonly [
  version: number,
  clusterId: string | null,
  nodes: readonly (readonly [number, string, number])[],
  topics: readonly PackedTopic[],
  deleted: readonly (readonly [string, string, number, number])[],
  nextProducerId: number,
];

/** The state's bytes, owned by the caller. */
export function encodeState(state: ClusterState): Uint8Array {
  const data = state.data();
  const packed: PackedState = [
    version,
    data.clusterId,
    data.nodes.map((node) => [node.nodeId, node.version, node.registeredAt]),
    data.topics.map(packTopic),
    data.deleted.map((d) => [d.topicId, d.name, d.partitions, d.deletedAt]),
    data.nextProducerId,
  ];
  return Uint8Array.from(packr.pack(packed));
}

/** Reads what encodeState() wrote. Throws Fault for a version that this program does not know. */
export function decodeState(bytes: Uint8Array): ClusterState {
  const packed = packr.unpack(bytes) as PackedState;
  if (packed[0] !== version)
    throw new Fault(
      "unknown_server_error",
      `Cannot restore the controller: snapshot version must be ${version}, got ${packed[0]}. A newer Rivulet wrote it`,
    );
  const [, clusterId, nodes, topics, deleted, nextProducerId] = packed;
  return ClusterState.of({
    clusterId,
    nodes: nodes.map(([nodeId, version, registeredAt]) => ({ nodeId, version, registeredAt })),
    topics: topics.map(unpackTopic),
    deleted: deleted.map(([topicId, name, partitions, deletedAt]) => ({
      topicId,
      name,
      partitions,
      deletedAt,
    })),
    nextProducerId,
  });
}

function packTopic(topic: TopicState): PackedTopic {
  const assignments = topic.assignments.map((replicas) =>
    replicas.flatMap(({ nodeId, incarnation }) => [nodeId, incarnation]),
  );
  const earlier = topic.earlierCounts.flatMap(({ partitions, until }) => [partitions, until]);
  return [topic.name, topic.topicId, topic.createdAt, assignments, { ...topic.configs }, earlier];
}

function unpackTopic(topic: PackedTopic): TopicState {
  const [name, topicId, createdAt, packed, configs, earlier = []] = topic;
  const assignments = packed.map(unpackAssignment);
  const earlierCounts = unpackCounts(earlier);
  return { name, topicId, createdAt, assignments, configs, earlierCounts };
}

function unpackCounts(flat: readonly number[]): TopicState["earlierCounts"] {
  const counts = [];
  for (let i = 0; i < flat.length; i += 2) counts.push({ partitions: flat[i], until: flat[i + 1] });
  return counts;
}

function unpackAssignment(flat: readonly number[]): Assignment {
  const replicas = [];
  for (let i = 0; i < flat.length; i += 2)
    replicas.push({ nodeId: flat[i], incarnation: flat[i + 1] });
  return replicas;
}
