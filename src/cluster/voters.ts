// Who shall vote in the controller's group.
//
//   members that stay   1-2   3-4   5 and more
//   voters                1     3     5                the others are learners
//
// Promise: pure; 1, 3 or 5, never 2 or 4 (an even number waits for more nodes and survives no more of them); a voter
// stays one unless it leaves, is down for long while another could take its place, or fewer are wanted; only nodes that
// are up become voters, so that one that never came keeps nobody waiting. Left to others: getting there by one joint
// change (reconciler.ts).

import type { ClusterState, NodeState } from "./cluster-state.ts";
import { sameNumbers } from "./node-registry.ts";
import { least, placeableNodes } from "./placement.ts";

export interface VotersView {
  /** Nodes that have been silent for long. */
  readonly down: ReadonlySet<number>;
  /** Nodes that are silent now, however long. */
  readonly silent: ReadonlySet<number>;
  /** Node id of the controller's leader: it stays when fewer are wanted, so that nothing is handed over. */
  readonly leader: number;
}

/** Voters for so many members that stay. */
export function votersWanted(members: number): 1 | 3 | 5 {
  if (members >= 5) return 5;
  return members >= 3 ? 3 : 1;
}

/** Node ids, ascending; null: they are right as they are. */
export function votersPlan(state: ClusterState, view: VotersView): readonly number[] | null {
  const current = state.controllerVoters;
  const staying = placeableNodes(state);
  const able = ({ nodeId }: NodeState): boolean =>
    current.includes(nodeId) || !view.silent.has(nodeId);
  const nodes = staying.filter(able);
  if (nodes.length === 0) return null;
  const chosen: number[] = [];
  const regions: (string | null)[] = [];
  const wanted = Math.min(votersWanted(staying.length), votersWanted(nodes.length));
  while (chosen.length < wanted) {
    const node = least(
      nodes.filter(({ nodeId }) => !chosen.includes(nodeId)),
      ({ nodeId, region }) => [
        Number(view.down.has(nodeId)),
        Number(nodeId !== view.leader),
        Number(!current.includes(nodeId)),
        regions.filter((other) => other === region).length,
        nodeId,
      ],
    );
    chosen.push(node.nodeId);
    regions.push(node.region);
  }
  return sameNumbers(chosen, current) ? null : chosen.sort((a, b) => a - b);
}
