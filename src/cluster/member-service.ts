// Joining a cluster and leaving it, as any node of it is asked for either.
//
//   join    a fresh node id, a learner of the controller's group; what was to be raised is raised by the planner
//   remove  drained first: its replicas move away, then it is removed. A node that is down is removed likewise, when others
//           have all that it has
//
// Promise: nothing that exists on one node alone is given up unless it is forced; the last node and the controller's
// majority stay; a node of another cluster is refused. Left to others: carrying the question (the transport's peer
// port), moving what there is (planner.ts, reconciler.ts).

import { refuse, type Refusal } from "../errors.ts";
import type { Peer } from "../transport/transport.ts";
import type { World } from "../world.ts";
import type { ClusterState, NodeState } from "./cluster-state.ts";
import type { Controller } from "./controller.ts";
import type { JoinAnswer, JoinRequest, Removing } from "./membership.ts";
import { soleHoldings } from "./placement.ts";

/** How long removeNode() waits for the end before it answers that the node is draining. */
const removeMsMax = 5_000;
/** Partitions that a refusal names. */
const namedMax = 20;

export interface MemberServiceParts {
  readonly world: World;
  readonly controller: Controller;
  readonly nodeId: number;
  /** Whether packets reach the node now. */
  readonly reachable: (nodeId: number) => boolean;
}

export class MemberService {
  readonly #parts: MemberServiceParts;

  constructor(parts: MemberServiceParts) {
    this.#parts = parts;
  }

  /** Makes the asking node a member. Never rejects. */
  async join(request: JoinRequest): Promise<JoinAnswer> {
    const { controller } = this.#parts;
    const { clusterId, ...told } = request;
    const fault = this.#joinFault(clusterId);
    if (fault !== null) return fault;
    const applied = await controller.submit({ kind: "joinNode", ...told });
    if (!applied.ok) return applied;
    const { state } = controller;
    const node = state.nodeOfRequest(request.requestId);
    if (node === null || node.removedAt !== null)
      return refuse("policy_violation", "Cannot join: the node was removed again at once");
    const { nodeId, controllerIncarnation: incarnation } = node;
    const peers = peersOf(state).filter((peer) => peer.nodeId !== nodeId);
    return { ok: true, clusterId: state.clusterId!, nodeId, incarnation, peers };
  }

  /** Empties a node and removes it; `force` removes it at once, with whatever it alone has. Never rejects. */
  async remove(nodeId: number, options: { readonly force: boolean }): Promise<Removing | Refusal> {
    const { controller, reachable } = this.#parts;
    if (controller.state.removedNodes.has(nodeId)) return { ok: true, state: "removed" };
    if (nodeId !== this.#parts.nodeId && !reachable(nodeId) && !options.force) {
      const refusal = this.#soleHolder(nodeId);
      if (refusal !== null) return refusal;
    }
    const drained = await controller.submit({ kind: "drainNode", nodeId });
    if (!drained.ok) return drained;
    if (options.force) return await this.#removeNow(nodeId);
    const removed = await this.#soon(({ removedNodes }) => removedNodes.has(nodeId));
    return { ok: true, state: removed ? "removed" : "draining" };
  }

  async #removeNow(nodeId: number): Promise<Removing | Refusal> {
    // It votes in the controller until the planner has found another.
    await this.#soon(({ controllerVoters }) => !controllerVoters.includes(nodeId));
    const removed = await this.#parts.controller.submit({ kind: "removeNode", nodeId });
    return removed.ok ? { ok: true, state: "removed" } : removed;
  }

  #joinFault(clusterId: string | null): Refusal | null {
    const { state } = this.#parts.controller;
    if (state.clusterId === null)
      return refuse(
        "not_leader_or_follower",
        "Cannot join: this node is no member of a cluster yet",
      );
    if (clusterId !== null && clusterId !== state.clusterId) {
      const detail = `Cannot join cluster ${state.clusterId}: the node's data folder belongs to cluster ${clusterId}. Start with an empty one`;
      return refuse("policy_violation", detail);
    }
    const mute = [...state.nodes.values()].find(({ peer }) => peer === null);
    if (mute === undefined) return null;
    const detail = `Cannot join: node ${mute.nodeId} runs without --peer, so that others cannot reach it`;
    return refuse("policy_violation", detail, { members: { nodeId: mute.nodeId } });
  }

  #soleHolder(nodeId: number): Refusal | null {
    const alone = soleHoldings(this.#parts.controller.state, nodeId);
    if (alone.length === 0) return null;
    const named = alone.slice(0, namedMax).map(({ topic, partition }) => `${topic}-${partition}`);
    const more = alone.length > namedMax ? ` and ${alone.length - namedMax} more` : "";
    const detail = `Cannot remove node ${nodeId}: it is down, and nobody else has ${named.join(", ")}${more}. Start it again, or force its removal: their records are lost then`;
    const members = { nodeId, partitions: alone.length, named };
    return refuse("policy_violation", detail, { members });
  }

  /** Whether it comes true in time. */
  #soon(condition: (state: ClusterState) => boolean): Promise<boolean> {
    const { controller, world } = this.#parts;
    if (condition(controller.state)) return Promise.resolve(true);
    return new Promise((resolve) => {
      const over = (came: boolean): void => {
        timer.cancel();
        end();
        resolve(came);
      };
      const end = controller.onChange(() => {
        if (condition(controller.state)) over(true);
      });
      const timer = world.setTimer(removeMsMax, () => over(false));
    });
  }
}

/** Members that can be reached by others. */
export function peersOf(state: ClusterState): readonly Peer[] {
  return [...state.nodes.values()].flatMap(addressOf);
}

/** One peer; none for a node that runs without a peer port. */
export function addressOf({ nodeId, peer }: NodeState): readonly Peer[] {
  return peer === null ? [] : [{ nodeId, ...peer }];
}
