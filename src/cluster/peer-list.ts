// The nodes that this node keeps connections with, as the cluster's metadata changes.
//
// Promise: told at once and after each change of a node. A node that was removed stays in the list for a while: the
// removal comes to it over the very connections that would be cut, and it shall know. Left to others: the connections
// (transport), whether such a node may connect again (it may not).

import type { Peer } from "../transport/transport.ts";
import type { Timer, World } from "../world.ts";
import type { Change, ClusterState } from "./cluster-state.ts";
import { addressOf, peersOf } from "./member-service.ts";
import type { NodeState } from "./node-registry.ts";

/** Longer than the reconciler waits before it leaves a removed node out of the controller's group. */
const lingerMs = 5_000;

export interface PeerListParts {
  readonly world: World;
  readonly state: () => ClusterState;
  /** Hears of every change from now on. */
  readonly onChange: (listener: (change: Change) => void) => void;
  /** Takes the other nodes, and perhaps this one. */
  readonly set: (peers: readonly Peer[]) => void;
}

export class PeerList {
  readonly #parts: PeerListParts;
  readonly #lingering = new Map<
    number,
    { readonly peers: readonly Peer[]; readonly timer: Timer }
  >();
  #closed = false;

  constructor(parts: PeerListParts) {
    this.#parts = parts;
    parts.onChange((change) => {
      if (change.kind === "nodeChanged") this.#changed(change.node, change.before);
    });
    this.#tell();
  }

  close(): void {
    this.#closed = true;
    for (const { timer } of this.#lingering.values()) timer.cancel();
  }

  #changed(node: NodeState, before: NodeState | null): void {
    const { nodeId } = node;
    if (node.removedAt !== null && before?.removedAt === null && !this.#closed) {
      const timer = this.#parts.world.setTimer(lingerMs, () => {
        this.#lingering.delete(nodeId);
        this.#tell();
      });
      this.#lingering.set(nodeId, { peers: addressOf(node), timer });
    }
    this.#tell();
  }

  #tell(): void {
    const { state, set } = this.#parts;
    if (this.#closed) return;
    const lingering = [...this.#lingering.values()].flatMap(({ peers }) => peers);
    set([...peersOf(state()), ...lingering]);
  }
}
