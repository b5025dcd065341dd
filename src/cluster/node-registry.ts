// The cluster's nodes, inside the controller's fold: members, those that were removed, and who votes in the controller.
//
//   joinNode --> member --drainNode--> draining --removeNode--> removed (remembered for ever, so that it can be told)
//
// Promise: a node id is given once; a request to join gets one id however often it comes; the controller's wanted voters
// are 1, 3 or 5 members, never another number. Pure, as the whole fold. Left to others: who should vote (voters.ts),
// what lies on the nodes (cluster-state.ts), whether a node lives (nobody here knows).

import { assert } from "../assert.ts";
import { nodeIdMax, type ReplicaIdentity } from "../consensus/identity.ts";
import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Command, NodeTold, PeerAddress } from "./commands.ts";

export interface NodeState {
  readonly nodeId: number;
  /** Of its program. */
  readonly version: string;
  /** Entry time of its last start, ms. */
  readonly registeredAt: number;
  /** Its advertised URL of the HTTP door; null when it told none. */
  readonly http: string | null;
  /** null: it runs without a peer port. */
  readonly peer: PeerAddress | null;
  readonly region: string | null;
  /** Its replica of the controller's group: (node id, this). */
  readonly controllerIncarnation: number;
  /** The request by which it joined; null for the first node. */
  readonly requestId: string | null;
  /** It is being emptied: nothing new is placed on it, and it will be removed. */
  readonly draining: boolean;
  /** Entry time of its removal, ms; null: it is a member. */
  readonly removedAt: number | null;
}

/** What one command did to the nodes. */
export type NodeOutcome =
  | { readonly ok: true; readonly node: NodeState | null; readonly before: NodeState | null }
  | Refusal;

export interface NodeData {
  /** Members and removed ones, by ascending id. */
  readonly nodes: readonly NodeState[];
  readonly controllerVoters: readonly number[];
  readonly nextNodeId: number;
}

const nothing: NodeOutcome = { ok: true, node: null, before: null };
export const votersAllowed: readonly number[] = [1, 3, 5];

export class NodeRegistry {
  #members = new Map<number, NodeState>();
  #removed = new Map<number, NodeState>();
  /** Node ids by ascending number. Invariant: members; 1, 3 or 5 of them, none only before the first node. */
  #voters: readonly number[] = [];
  /** Invariant: above every id that was ever given. */
  #nextNodeId = 1;

  get members(): ReadonlyMap<number, NodeState> {
    return this.#members;
  }
  get removed(): ReadonlyMap<number, NodeState> {
    return this.#removed;
  }
  get controllerVoters(): readonly number[] {
    return this.#voters;
  }
  get nextNodeId(): number {
    return this.#nextNodeId;
  }

  register(command: Command & { kind: "registerNode" }, time: number): NodeOutcome {
    const { nodeId } = command;
    if (this.#removed.has(nodeId)) return removedNode(nodeId, "register");
    const fault = toldFault("register", command) ?? idFault(nodeId);
    if (fault !== null) return fault;
    const before = this.#members.get(nodeId) ?? null;
    const kept = {
      controllerIncarnation: before?.controllerIncarnation ?? 1,
      requestId: before?.requestId ?? null,
      draining: before?.draining ?? false,
    };
    const node = { ...told(command), nodeId, registeredAt: time, removedAt: null, ...kept };
    return this.#put(node, before);
  }

  /** `incarnation` is the one that the node's controller replica gets. */
  join(command: Command & { kind: "joinNode" }, time: number, incarnation: number): NodeOutcome {
    const { requestId } = command;
    const known = this.byRequest(requestId);
    if (known !== null && known.removedAt !== null) return removedNode(known.nodeId, "join");
    if (known !== null) return { ok: true, node: known, before: known };
    const fault = toldFault("join", command) ?? requestFault(requestId) ?? this.#full();
    if (fault !== null) return fault;
    const nodeId = this.#nextNodeId;
    return this.#put(
      {
        ...told(command),
        nodeId,
        registeredAt: time,
        controllerIncarnation: incarnation,
        requestId,
        draining: false,
        removedAt: null,
      },
      null,
    );
  }

  drain(nodeId: number): NodeOutcome {
    const before = this.#members.get(nodeId);
    if (before === undefined)
      return this.#removed.has(nodeId) ? nothing : unknownNode(nodeId, "drain");
    if (before.draining) return nothing;
    if (this.#staying(nodeId) === 0) return lastNode(nodeId);
    return this.#put({ ...before, draining: true }, before);
  }

  remove(nodeId: number, time: number): NodeOutcome {
    const before = this.#members.get(nodeId);
    if (before === undefined)
      return this.#removed.has(nodeId) ? nothing : unknownNode(nodeId, "remove");
    if (this.#members.size === 1) return lastNode(nodeId);
    if (this.#voters.includes(nodeId)) {
      const detail = `Cannot remove node ${nodeId}: it is a wanted voter of the controller`;
      return refuse("policy_violation", detail, { members: { voters: this.#voters } });
    }
    const node = { ...before, removedAt: time };
    this.#members.delete(nodeId);
    this.#removed.set(nodeId, node);
    return { ok: true, node, before };
  }

  setVoters({ voters, expected }: Command & { kind: "setControllerVoters" }): NodeOutcome {
    const sorted = [...voters].sort((a, b) => a - b);
    const refusal = this.#votersFault(sorted, expected);
    if (refusal !== null) return refusal;
    this.#voters = sorted;
    return nothing;
  }

  /** Gives the node's controller replica another incarnation when it still has that one; tells the node either way. */
  replaceController(nodeId: number, incarnation: number, fresh: number): NodeOutcome {
    const before = this.#members.get(nodeId);
    if (before === undefined) return unknownNode(nodeId, "replace the controller's replica of");
    // Told again: who asks may not have heard the first answer.
    if (before.controllerIncarnation !== incarnation) return { ok: true, node: before, before };
    return this.#put({ ...before, controllerIncarnation: fresh }, before);
  }

  /** Member or removed; null: no node joined by it. Cost: the nodes. */
  byRequest(requestId: string): NodeState | null {
    for (const nodes of [this.#members, this.#removed])
      for (const node of nodes.values()) if (node.requestId === requestId) return node;
    return null;
  }

  /** Wanted configuration of the controller's group. */
  controllerTarget(): {
    readonly voters: readonly ReplicaIdentity[];
    readonly learners: readonly ReplicaIdentity[];
  } {
    const nodes = [...this.#members.values()].sort((a, b) => a.nodeId - b.nodeId);
    const votes = ({ nodeId }: NodeState): boolean => this.#voters.includes(nodeId);
    return {
      voters: nodes.filter(votes).map(controllerReplica),
      learners: nodes.filter((node) => !votes(node)).map(controllerReplica),
    };
  }

  data(): NodeData {
    const nodes = [...this.#members.values(), ...this.#removed.values()];
    nodes.sort((a, b) => a.nodeId - b.nodeId);
    return { nodes, controllerVoters: this.#voters, nextNodeId: this.#nextNodeId };
  }

  static of({ nodes, controllerVoters, nextNodeId }: NodeData): NodeRegistry {
    const registry = new NodeRegistry();
    for (const node of nodes)
      (node.removedAt === null ? registry.#members : registry.#removed).set(node.nodeId, node);
    registry.#voters = controllerVoters;
    registry.#nextNodeId = nextNodeId;
    return registry;
  }

  #put(node: NodeState, before: NodeState | null): NodeOutcome {
    this.#members.set(node.nodeId, node);
    this.#nextNodeId = Math.max(this.#nextNodeId, node.nodeId + 1);
    if (this.#voters.length === 0) this.#voters = [node.nodeId];
    return { ok: true, node, before };
  }

  /** Members that would be there without this one and without those that leave. */
  #staying(without: number): number {
    return [...this.#members.values()].filter((n) => !n.draining && n.nodeId !== without).length;
  }

  #full(): Refusal | null {
    const { nodesMax } = limits;
    if (this.#members.size < nodesMax && this.#nextNodeId <= nodeIdMax) return null;
    const detail = `Cannot join: the cluster has ${this.#members.size} of at most ${nodesMax} nodes, and ${this.#nextNodeId - 1} of ${nodeIdMax} node ids were given`;
    return refuse("policy_violation", detail, { members: { nodesMax } });
  }

  #votersFault(voters: readonly number[], expected: readonly number[]): Refusal | null {
    const what = `Cannot make ${voters.join(", ")} the controller's voters`;
    if (!sameNumbers(expected, this.#voters))
      return refuse("precondition_failed", `${what}: they are ${this.#voters.join(", ")} by now`);
    if (!votersAllowed.includes(voters.length) || new Set(voters).size !== voters.length)
      return refuse("invalid_request", `${what}: 1, 3 or 5 nodes are wanted, each once`);
    const stranger = voters.find((nodeId) => !this.#members.has(nodeId));
    if (stranger === undefined) return null;
    return refuse("invalid_request", `${what}: node ${stranger} is no member`);
  }
}

/** Equal as sets, given without doubles. */
export function sameNumbers(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n) => b.includes(n));
}

function controllerReplica({ nodeId, controllerIncarnation }: NodeState): ReplicaIdentity {
  return { nodeId, incarnation: controllerIncarnation };
}

function told({ version, http, peer, region }: NodeTold): Required<NodeTold> {
  return { version, http: http ?? null, peer: peer ?? null, region: region ?? null };
}

/** A node tells this of itself, so that it has bounds. */
function toldFault(action: string, { version, http, peer, region }: NodeTold): Refusal | null {
  const rows: readonly (readonly [string, string, number])[] = [
    ["version", version, limits.nodeTextCharsMax],
    ["http", http ?? "", limits.nodeUrlCharsMax],
    ["peer host", peer?.host ?? "", limits.nodeTextCharsMax],
    ["region", region ?? "", limits.nodeTextCharsMax],
  ];
  for (const [name, text, max] of rows)
    if (typeof text !== "string" || text.length > max)
      return refuse(
        "invalid_request",
        `Cannot ${action} a node: its ${name} has over ${max} characters`,
      );
  const port = peer?.port ?? 1;
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return null;
  return refuse("invalid_request", `Cannot ${action} a node: its peer port is no port: ${port}`);
}

function requestFault(requestId: string): Refusal | null {
  const max = limits.nodeTextCharsMax;
  if (typeof requestId === "string" && requestId.length >= 8 && requestId.length <= max)
    return null;
  return refuse("invalid_request", `Cannot join: a request id of 8 to ${max} characters is wanted`);
}

function idFault(nodeId: number): Refusal | null {
  if (Number.isInteger(nodeId) && nodeId >= 1 && nodeId <= nodeIdMax) return null;
  return refuse("invalid_request", `Cannot register node ${nodeId}: 1 to ${nodeIdMax} is wanted`);
}

function removedNode(nodeId: number, action: string): Refusal {
  const detail = `Cannot ${action}: node ${nodeId} was removed from the cluster; its id is never used again. Start with an empty data folder to join anew`;
  return refuse("policy_violation", detail, { members: { nodeId, removed: true } });
}

function unknownNode(nodeId: number, action: string): Refusal {
  const detail = `Cannot ${action} node ${nodeId}: it is no member of the cluster`;
  return refuse("invalid_request", detail, { members: { nodeId } });
}

function lastNode(nodeId: number): Refusal {
  return refuse("policy_violation", `Cannot remove node ${nodeId}: it is the last one`);
}

/** The registry before its first node. */
export const noNodes: NodeData = { nodes: [], controllerVoters: [], nextNodeId: 1 };

/** Checks what the fold promises of the nodes; throws Bug. For tests and the simulator. */
export function assertNodes({ nodes, controllerVoters, nextNodeId }: NodeData): void {
  const members = nodes.filter((node) => node.removedAt === null);
  assert(
    members.length === 0
      ? controllerVoters.length === 0
      : votersAllowed.includes(controllerVoters.length),
    () => `The controller has ${controllerVoters.length} wanted voters of ${members.length} nodes`,
  );
  for (const nodeId of controllerVoters)
    assert(
      members.some((n) => n.nodeId === nodeId),
      () => `Voter ${nodeId} is no member`,
    );
  for (const { nodeId } of nodes)
    assert(
      nodeId < nextNodeId,
      () => `Node id ${nodeId} may be given again: next is ${nextNodeId}`,
    );
}
