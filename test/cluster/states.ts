// Cluster states for tests, made by commands as the log makes them.

import { ClusterState } from "../../src/cluster/cluster-state.ts";
import type { Applied } from "../../src/cluster/cluster-state.ts";
import type { Command } from "../../src/cluster/commands.ts";

export const id = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;

/** Applies a command that must be taken. */
export function do_(state: ClusterState, command: Command, time = 0): Applied & { ok: true } {
  const applied = state.apply(command, time);
  if (!applied.ok) throw new Error(`${command.kind}: ${applied.detail}`);
  return applied;
}

/** Joins a node by a request of its own. */
export function join(state: ClusterState, n: number, region: string | null = null): number {
  const peer = { host: "127.0.0.1", port: 7_000 + n };
  const requestId = `request-${state.nextIncarnation}-${n}`;
  do_(state, { kind: "joinNode", requestId, version: "0.1.0", peer, region });
  return state.nodeOfRequest(requestId)!.nodeId;
}

/** A cluster with one node a region, ids from 1; node 1 alone votes. */
export function clusterOf(regions: readonly (string | null)[]): ClusterState {
  const state = new ClusterState();
  do_(state, { kind: "formatCluster", clusterId: "c" });
  do_(state, { kind: "registerNode", nodeId: 1, version: "0.1.0", region: regions[0] });
  regions.slice(1).forEach((region, i) => join(state, i + 2, region));
  return state;
}
