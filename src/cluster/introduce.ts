// A node makes itself known at its start: it forms the cluster when it is the first, and tells where it is reached.
//
// Promise: alone it is done when the answer comes, and costs no write when nothing has changed; among others it goes on
// behind the start, for it needs a leader that may not be there yet. Left to others: joining (member-service.ts).

import { Fault, type Refusal } from "../errors.ts";
import type { World } from "../world.ts";
import type { Command, NodeTold } from "./commands.ts";
import type { Controller } from "./controller.ts";
import { uuidV4 } from "./uuid.ts";

/** Between two tries of a node among others. */
const againMs = 1_000;

/** Rejects with Fault policy_violation when the node was removed from the cluster, and alone with what submit() refuses. */
export async function introduceNode(of: {
  readonly controller: Controller;
  readonly world: World;
  readonly nodeId: number;
  readonly told: NodeTold;
  /** The id that a cluster without one gets; left out: a fresh one. */
  readonly clusterId?: string;
}): Promise<void> {
  const { controller, world, nodeId, told } = of;
  const removed = controller.state.removedNodes.get(nodeId);
  if (removed !== undefined) throw removedFault(nodeId);
  const commands: Command[] = [];
  // Only one that decides alone may name the cluster: whoever has joined was told its name.
  if (controller.state.clusterId === null && controller.alone)
    commands.push({ kind: "formatCluster", clusterId: of.clusterId ?? uuidV4(world) });
  if (!isKnown(controller, nodeId, told)) commands.push({ kind: "registerNode", nodeId, ...told });
  if (commands.length === 0) return;
  if (!controller.alone) {
    void register(of);
    return;
  }
  // Together, so that they share one flush.
  const outcomes = await Promise.all(commands.map((command) => controller.submit(command)));
  for (const outcome of outcomes) if (!outcome.ok) throw new Fault(outcome.code, outcome.detail);
}

/** Until it is known, removed, or the node stops. */
async function register(of: Parameters<typeof introduceNode>[0]): Promise<void> {
  const { controller, world, nodeId, told } = of;
  while (!isKnown(controller, nodeId, told)) {
    const outcome = await controller.submit({ kind: "registerNode", nodeId, ...told });
    if (outcome.ok || isFinal(outcome)) return;
    await new Promise<void>((resolve) => void world.setTimer(againMs, resolve));
  }
}

function isFinal({ code }: Refusal): boolean {
  return code === "policy_violation" || code === "invalid_request" || code === "shutting_down";
}

function isKnown({ state }: Controller, nodeId: number, told: NodeTold): boolean {
  const row = state.nodes.get(nodeId);
  if (row === undefined) return false;
  const { version, http = null, peer = null, region = null } = told;
  return (
    row.version === version &&
    row.http === http &&
    row.region === region &&
    row.peer?.host === peer?.host &&
    row.peer?.port === peer?.port
  );
}

export function removedFault(nodeId: number): Fault {
  const detail = `Cannot start node ${nodeId}: it was removed from its cluster, and its id is never used again. To join anew, start with an empty data folder and --join`;
  return new Fault("policy_violation", detail, { members: { nodeId, removed: true } });
}
