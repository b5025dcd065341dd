// A member that is reached elsewhere than before: a machine with a new address, a peer port that was changed.
//
//   it    --lanes-->   the others        it still knows them, and they take its connections
//   it    <--lanes--   nobody            they call where it was: no leader is heard here, no answer to a call comes
//   it    --POST /peer/v1/join: "node 3 is here now"-->  any of them  --registerNode-->  everybody calls it here
//
// So it asks by the one question whose answer comes back the same way, until it hears a leader. Promise: nothing is asked
// where a leader is known; a node that is no member, or of another cluster, changes nothing. Left to others: the proof of
// who asks, which is that of joining (transport).

import type { NodeTold, PeerAddress } from "../cluster/commands.ts";
import type { ClusterState } from "../cluster/cluster-state.ts";
import { refuse, type Refusal } from "../errors.ts";
import type { Peer } from "../transport/transport.ts";
import type { World } from "../world.ts";
import type { Log } from "./logs.ts";
import type { PeerNetwork } from "./peering.ts";

/** What such a node says of itself. */
export interface MovedNews {
  readonly moved: NodeTold & {
    readonly nodeId: number;
    readonly clusterId: string;
    readonly peer: PeerAddress;
  };
}

/** Between two questions, ms: the first leaves time to an ordinary start. */
const pauseMs = 2_000;

export interface Telling {
  readonly world: World;
  readonly log: Log;
  readonly network: PeerNetwork;
  readonly news: MovedNews;
  /** The others, where this node last knew them. */
  readonly peers: readonly Peer[];
  /** A leader is heard, or the node stops. */
  readonly isOver: () => boolean;
}

/** Tells one peer after the other where this node is. Never rejects. */
export async function tellMoved(telling: Telling): Promise<void> {
  const { world, log, network, news, peers, isOver } = telling;
  for (let turn = 0; peers.length > 0; turn += 1) {
    await new Promise<void>((resolve) => void world.setTimer(pauseMs, resolve));
    if (isOver()) return;
    const { nodeId, host, port } = peers[turn % peers.length];
    const answer = await network.join({ host, port }, news).catch((fault: unknown) => fault);
    const taken = (answer as { readonly ok?: unknown } | null)?.ok === true;
    const level = taken ? "info" : "debug";
    log.write(level, "Told a peer where this node is", { peer: nodeId, taken });
  }
}

/** Whether a question on the peer port is such news, and not a wish to join. */
export function isMovedNews(request: unknown): request is MovedNews {
  const { moved } = (request ?? {}) as { readonly moved?: Partial<MovedNews["moved"]> };
  if (typeof moved !== "object" || moved === null) return false;
  const { nodeId, clusterId, version, peer, http = null, region = null } = moved;
  const texts = [clusterId, version, peer?.host, http ?? "", region ?? ""];
  return (
    Number.isSafeInteger(nodeId) &&
    Number.isSafeInteger(peer?.port) &&
    texts.every((text) => typeof text === "string")
  );
}

/** Why the news is not for this cluster; null: it is. */
export function movedFault({ moved }: MovedNews, state: ClusterState): Refusal | null {
  const { nodeId, clusterId } = moved;
  const what = `Cannot take the news of node ${nodeId}`;
  if (clusterId !== state.clusterId)
    return refuse(
      "wrong_cluster",
      `${what}: cluster ${state.clusterId} is wanted, got ${clusterId}`,
    );
  if (state.removedNodes.has(nodeId)) {
    const members = { nodeId, removed: true };
    return refuse("policy_violation", `${what}: it was removed from the cluster`, { members });
  }
  if (state.nodes.has(nodeId)) return null;
  return refuse("policy_violation", `${what}: it is no member of the cluster`);
}
