// The nodes that this node keeps connections with, as the cluster's metadata changes.
//
//   members of its own metadata    always
//   a node that was removed        for a while more: the removal comes to it over the very connections that would be cut
//   nodes that others know         while its own metadata does not name them: it may be behind, and then the leader may be
//                                  a node that joined meanwhile, to which nobody here could answer
//
// Promise: told at once and after each change; who does not reach the controller's leader asks one of those that it reaches
// for theirs, again and again, until it does; bounded. Left to others: the connections (transport), whether a node may
// connect (a removed one may not).

import { limits } from "../limits.ts";
import type { Calls } from "../transport/calls.ts";
import type { Peer } from "../transport/transport.ts";
import type { Timer, World } from "../world.ts";
import type { Change, ClusterState } from "./cluster-state.ts";
import { addressOf, peersOf } from "./member-service.ts";
import type { NodeState } from "./node-registry.ts";

/** Longer than the reconciler waits before it leaves a removed node out of the controller's group. */
const lingerMs = 5_000;
const verb = "cluster-peers";
/** How often a node that reaches no leader asks another one. */
const askMs = 1_000;

export interface PeerListParts {
  readonly world: World;
  readonly nodeId: number;
  readonly calls: Calls;
  readonly state: () => ClusterState;
  /** Hears of every change from now on. */
  readonly onChange: (listener: (change: Change) => void) => void;
  /** Whether the controller's leader is known, and reached from here. */
  readonly leaderKnown: () => boolean;
  /** Node ids that packets reach now. */
  readonly connected: () => readonly number[];
  /** Peers as they were known before the metadata was: it may be behind them. */
  readonly known: readonly Peer[];
  /** Takes the other nodes, and perhaps this one. */
  readonly set: (peers: readonly Peer[]) => void;
}

export class PeerList {
  readonly #parts: PeerListParts;
  /** Removed nodes that may not have heard yet. */
  readonly #lingering = new Map<
    number,
    { readonly peers: readonly Peer[]; readonly timer: Timer }
  >();
  /** Nodes that others told of. */
  readonly #told = new Map<number, Peer>();
  #asked = 0;
  #timer: Timer | null = null;
  #closed = false;

  constructor(parts: PeerListParts) {
    this.#parts = parts;
    for (const peer of parts.known) this.#told.set(peer.nodeId, peer);
    parts.calls.serve(verb, () => Promise.resolve({ head: { peers: this.#peers() } }));
    parts.onChange((change) => {
      if (change.kind === "nodeChanged") this.#changed(change.node, change.before);
    });
    this.#tell();
    this.#askWhenLost();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
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
    if (!this.#closed) this.#parts.set(this.#peers());
  }

  #peers(): readonly Peer[] {
    const state = this.#parts.state();
    for (const nodeId of this.#told.keys())
      if (state.nodes.has(nodeId) || state.removedNodes.has(nodeId)) this.#told.delete(nodeId);
    const lingering = [...this.#lingering.values()].flatMap(({ peers }) => peers);
    return [...peersOf(state), ...lingering, ...this.#told.values()];
  }

  #askWhenLost(): void {
    const { world, leaderKnown } = this.#parts;
    if (this.#closed) return;
    if (!leaderKnown()) void this.#ask();
    this.#timer = world.setTimer(askMs, () => this.#askWhenLost());
  }

  /** One of those that can be reached, in turn. No answer is as good as one that tells nothing new. */
  async #ask(): Promise<void> {
    const { calls, nodeId } = this.#parts;
    const others = this.#parts.connected().filter((other) => other !== nodeId);
    if (others.length === 0) return;
    const to = others[this.#asked++ % others.length];
    this.#learn(await askForPeers(calls, to));
  }

  #learn(peers: readonly Peer[]): void {
    if (peers.length === 0) return;
    const { state, nodeId } = this.#parts;
    for (const peer of peers) {
      const known = state().nodes.has(peer.nodeId) || state().removedNodes.has(peer.nodeId);
      if (!known && peer.nodeId !== nodeId && this.#told.size < limits.nodesMax)
        this.#told.set(peer.nodeId, peer);
    }
    this.#tell();
  }
}

/** The peers that another node knows, itself included; none when it does not answer. Never rejects. */
export async function askForPeers(calls: Calls, to: number): Promise<readonly Peer[]> {
  try {
    const { head } = await calls.call({ to, verb, head: null, timeoutMs: askMs });
    const { peers } = (head ?? {}) as { readonly peers?: unknown };
    return Array.isArray(peers) ? peers.slice(0, limits.nodesMax).filter(isPeer) : [];
  } catch {
    return [];
  }
}

function isPeer(value: unknown): value is Peer {
  const { nodeId, host, port } = (value ?? {}) as Partial<Record<keyof Peer, unknown>>;
  return (
    Number.isSafeInteger(nodeId) &&
    typeof host === "string" &&
    host.length <= limits.nodeTextCharsMax &&
    Number.isSafeInteger(port)
  );
}
