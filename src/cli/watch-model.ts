// What a watcher knows of a cluster: which node is down since when, who leads what, and how long nobody led.
//
//   a node says "I lead orders-0 in term 4"      proof that it was led just then      proof, proof, proof, ...
//   the node dies                                                                     no proof
//   another one says "I lead it in term 5"       the gap is over: from the last proof of term 4 to this one
//
// A claim counts only from the node that leads: what others believe of a leader may be old. So a gap is what a writer at
// this place could have seen, give or take the time between two questions. Promise: pure; told times in, state and events
// out. Left to others: asking (watch.ts), showing (watch-view.ts).

import { partitionName, type ClusterAnswer, type PartitionsAnswer } from "./cluster-answers.ts";
import type { MemberRow, NodeRow } from "./cluster-answers.ts";

/** One answer of one node, as it knows things by itself. */
export interface Sight {
  readonly cluster: ClusterAnswer;
  readonly partitions: PartitionsAnswer;
  /** Monotonic ms at which the answer came. */
  readonly at: number;
}

export interface WatchedNode {
  row: NodeRow;
  /** "unheard": it does not answer here, but the others hear it. */
  state: "up" | "down" | "unheard";
  /** When the state began, monotonic ms. */
  since: number;
}

/** How long nobody led a group. */
export interface Gap {
  /** Monotonic ms of its end. */
  readonly at: number;
  readonly ms: number;
  /** How long the watcher itself stood still in that time: so much less it may have been. */
  readonly ownMs: number;
  readonly from: number;
  readonly to: number;
}

export interface WatchedGroup {
  /** "controller", "orders-0" */
  readonly name: string;
  leader: number | null;
  term: number;
  /** Newest proof that it is led. */
  provenAt: number;
  /** How long the watcher has stood still since then. */
  ownMs: number;
  members: readonly MemberRow[];
  assigned: readonly number[];
  gap: Gap | null;
  /** When it was found without a leader; null: it has one. */
  lostAt: number | null;
}

export type WatchEvent =
  | { readonly kind: "nodeDown"; readonly at: number; readonly nodeId: number }
  | { readonly kind: "nodeUp"; readonly at: number; readonly nodeId: number; readonly ms: number }
  | { readonly kind: "nodeJoined"; readonly at: number; readonly nodeId: number }
  | { readonly kind: "nodeGone"; readonly at: number; readonly nodeId: number }
  | {
      readonly kind: "leaderLost";
      readonly at: number;
      readonly group: string;
      readonly from: number;
    }
  | ({ readonly kind: "leader"; readonly group: string; readonly term: number } & Gap);

export const controllerName = "controller";

/** Between two questions to a node, and between two looks at what is known. */
export const lookMs = 100;
/** A look that comes so much too late was held up here. */
const pauseMsMin = 300;
/** Without a proof for so long a group counts as leaderless: three questions that were not answered. */
const proofMsMax = 450;
/** The others notice within about a second that a node is gone: what they hear for longer lives. */
const closedWayMs = 3_000;
/** A node that neither answers nor is heard for so long is down. */
const silenceMsMax = 450;

export class WatchModel {
  readonly nodes = new Map<number, WatchedNode>();
  readonly groups = new Map<string, WatchedGroup>();
  clusterId = "";
  /** Of all topics; more than what is watched when there are very many. */
  partitions = 0;
  readonly #answeredAt = new Map<number, number>();
  readonly #answered = new Set<number>();
  /** Who was said to be up by somebody else, and when. */
  readonly #heardAt = new Map<number, number>();
  #events: WatchEvent[] = [];
  /** Newest look or answer. */
  #awakeAt = -Infinity;
  /** Before this nobody counts as silent. */
  #graceEnd = -Infinity;

  /** The events since the last call. */
  takeEvents(): readonly WatchEvent[] {
    return this.#events.splice(0);
  }

  /** A node has answered. */
  saw({ cluster, partitions, at }: Sight): void {
    this.#passOverOwnPause(at);
    const { nodeId, nodes, controller } = cluster;
    this.clusterId = cluster.clusterId;
    this.partitions = partitions.total;
    this.#answeredAt.set(nodeId, at);
    this.#answered.add(nodeId);
    this.#takeNodes(nodes, nodeId, at);
    this.#take({ ...controller, name: controllerName, assigned: [] }, nodeId, at);
    for (const one of partitions.items)
      this.#take({ ...one, name: partitionName(one) }, nodeId, at);
  }

  /** What leaders told of members and lags; of a node that asked them. */
  sawLags(partitions: PartitionsAnswer, cluster: ClusterAnswer): void {
    const told = [
      ...partitions.items.map((one) => ({ name: partitionName(one), members: one.members })),
      { name: controllerName, members: cluster.controller.members },
    ];
    for (const { name, members } of told) {
      const group = this.groups.get(name);
      if (group !== undefined && members.length > 0) group.members = members;
    }
    this.#forget(new Set(told.map(({ name }) => name)), partitions);
  }

  /** Time has passed: who is silent is down, what nobody claims is leaderless. To be called each `lookMs`. */
  look(at: number): void {
    this.#passOverOwnPause(at);
    if (at < this.#graceEnd) return;
    for (const node of this.nodes.values()) this.#judgeNode(node, at);
    for (const group of this.groups.values()) {
      if (group.leader === null || group.lostAt !== null || !this.#isSilent(group, at)) continue;
      group.lostAt = group.provenAt;
      this.#events.push({ kind: "leaderLost", at, group: group.name, from: group.leader });
    }
  }

  /** The watcher itself stood still (a busy machine): nobody is called silent before it has asked again. */
  #passOverOwnPause(at: number): void {
    const pausedMs = at - this.#awakeAt - lookMs;
    this.#awakeAt = at;
    if (pausedMs < pauseMsMin || pausedMs === Infinity) return;
    this.#graceEnd = at + proofMsMax;
    for (const group of this.groups.values()) group.ownMs += pausedMs;
  }

  /** A leader whose door cannot be asked from here proves nothing: the others' word must do. */
  #isSilent({ leader, provenAt }: WatchedGroup, at: number): boolean {
    if (at - provenAt < proofMsMax) return false;
    return leader === null || !this.#isOutOfReach(leader, at);
  }

  /** The others hear it, and this watcher does not: never did, or for so long that it is the way that is closed. */
  #isOutOfReach(nodeId: number, at: number): boolean {
    const node = this.nodes.get(nodeId);
    if (node?.state !== "unheard") return false;
    return !this.#answered.has(nodeId) || at - node.since > closedWayMs;
  }

  #takeNodes(rows: readonly NodeRow[], from: number, at: number): void {
    for (const row of rows) {
      const known = this.nodes.get(row.nodeId);
      if (row.state === "up" && row.nodeId !== from) this.#heardAt.set(row.nodeId, at);
      if (known !== undefined) known.row = row;
      else {
        // It has not been asked yet: its silence counts from now on.
        this.#answeredAt.set(row.nodeId, row.state === "up" ? at : -Infinity);
        this.nodes.set(row.nodeId, { row, state: row.state, since: at });
        if (this.nodes.size > rows.length)
          this.#events.push({ kind: "nodeJoined", at, nodeId: row.nodeId });
      }
    }
    this.#dropGone(rows, at);
  }

  #dropGone(rows: readonly NodeRow[], at: number): void {
    if (rows.length === 0) return;
    for (const nodeId of this.nodes.keys()) {
      if (rows.some((row) => row.nodeId === nodeId)) continue;
      this.nodes.delete(nodeId);
      this.#events.push({ kind: "nodeGone", at, nodeId });
    }
  }

  #judgeNode(node: WatchedNode, at: number): void {
    const { nodeId } = node.row;
    const isFresh = (seen: number | undefined): boolean =>
      seen !== undefined && at - seen < silenceMsMax;
    const answers = isFresh(this.#answeredAt.get(nodeId));
    const heard = isFresh(this.#heardAt.get(nodeId));
    const state = answers ? "up" : heard ? "unheard" : "down";
    if (state === node.state) return;
    const { state: before, since } = node;
    node.state = state;
    // It went down when it was last seen, not when that was noticed.
    const lastSeen = Math.max(this.#answeredAt.get(nodeId) ?? 0, this.#heardAt.get(nodeId) ?? 0);
    node.since = state === "down" && lastSeen > 0 ? lastSeen : at;
    if (state === "down") this.#events.push({ kind: "nodeDown", at, nodeId });
    else if (before === "down") this.#events.push({ kind: "nodeUp", at, nodeId, ms: at - since });
  }

  #take(
    told: {
      readonly name: string;
      readonly leader: number | null;
      readonly term: number;
      readonly members: readonly MemberRow[];
      readonly assigned: readonly number[];
    },
    from: number,
    at: number,
  ): void {
    const known = this.groups.get(told.name);
    if (known === undefined) {
      const { name, leader, term, members, assigned } = told;
      const provenAt = at;
      this.groups.set(name, {
        name,
        leader,
        term,
        provenAt,
        ownMs: 0,
        members,
        assigned,
        gap: null,
        lostAt: null,
      });
      return;
    }
    known.assigned = told.assigned;
    if (told.leader === null || told.term < known.term) return;
    if (told.leader !== from && !this.#isOutOfReach(told.leader, at)) return;
    if (told.members.length > 0) known.members = told.members;
    this.#proven(known, { leader: told.leader, term: told.term, at, isOwn: told.leader === from });
  }

  #proven(
    group: WatchedGroup,
    { leader, term, at, isOwn }: { leader: number; term: number; at: number; isOwn: boolean },
  ): void {
    const { leader: from, provenAt, ownMs } = group;
    group.provenAt = at;
    group.ownMs = 0;
    group.term = term;
    const wasLost = group.lostAt !== null;
    group.lostAt = null;
    if (from === leader && (!wasLost || !isOwn)) return;
    group.leader = leader;
    if (from === null) return;
    group.gap = { at, ms: at - provenAt, ownMs: Math.round(ownMs), from, to: leader };
    this.#events.push({ kind: "leader", group: group.name, term, ...group.gap });
  }

  /** Groups of deleted topics are forgotten, when the whole list was told. */
  #forget(told: ReadonlySet<string>, { items, total }: PartitionsAnswer): void {
    if (items.length < total) return;
    for (const name of this.groups.keys()) if (!told.has(name)) this.groups.delete(name);
  }
}
