// What a snapshot that a leader sent has changed: the fold skipped the commands in between, its listeners must not.
//
// Promise: pure; whoever follows the changes ends where the later state is, deletions first, so that a name is free
// before it is taken again. Cost: the topics.

import { packNode, packTopic } from "./cluster-snapshot.ts";
import type { Change, ClusterState } from "./cluster-state.ts";
import { sameNumbers } from "./node-registry.ts";

export function changesBetween(before: ClusterState, after: ClusterState): readonly Change[] {
  return [...nodeChanges(before, after), ...topicChanges(before, after)];
}

function* nodeChanges(before: ClusterState, after: ClusterState): Generator<Change> {
  for (const nodes of [after.nodes, after.removedNodes])
    for (const node of nodes.values()) {
      const known = before.nodes.get(node.nodeId) ?? before.removedNodes.get(node.nodeId) ?? null;
      if (known === null || !isEqual(packNode(known), packNode(node)))
        yield { kind: "nodeChanged", node, before: known };
    }
  if (!sameNumbers(before.controllerVoters, after.controllerVoters))
    yield { kind: "controllerVoters", voters: after.controllerVoters };
}

function* topicChanges(before: ClusterState, after: ClusterState): Generator<Change> {
  for (const name of before.names) {
    const topic = before.topic(name)!;
    if (after.topicById(topic.topicId) === null) yield { kind: "topicDeleted", topic };
  }
  for (const name of after.names) {
    const topic = after.topic(name)!;
    const known = before.topicById(topic.topicId);
    if (known === null) yield { kind: "topicCreated", topic };
    else if (!isEqual(packTopic(known), packTopic(topic)))
      yield { kind: "topicChanged", topic, before: known };
  }
}

/** Of what snapshots hold: arrays of plain values, in one order. */
function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
