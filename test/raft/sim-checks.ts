// What a simulated group must satisfy beyond what each participant can see of itself: disks bear out what was said.
//
//   honest answers    a vote or an acknowledgement that is taken in stands on its sender's disk
//   durable quorum    what a leader counts as committed lies on a majority of disks; so do the votes that elected it
//   settled changes   nobody stands for election over a committed change that it has not applied
//   adjacent quorums  each majority of one configuration meets each majority of the next
//
// Promise: looks only; throws an Error that names node, term and index. Left to others: safety by outcome
// (simulation.ts), invariants of one participant (raft/invariants.ts).

import type { Configuration, Entry, Message } from "../../raft/index.ts";
import type { SimNode } from "./sim-node.ts";

export type Nodes = ReadonlyMap<number, SimNode>;
type Halves = readonly (readonly number[])[];

/** Before a message or a storage response is taken in. */
export function checkHonest(nodes: Nodes, to: SimNode, message: Message<number>): void {
  const { type, from, term, index, reject } = message;
  const sender = nodes.get(from);
  const disk = sender?.storage.hardState;
  if (sender === undefined || reject || (disk?.term ?? 0) > term) return;
  if (type === "MsgVoteResp" && (disk?.term !== term || disk.vote !== message.to)) {
    throw new Error(`${from} granted ${message.to} its vote in ${term}: its disk does not say so`);
  }
  if (type !== "MsgAppResp") return;
  if ((disk?.term ?? 0) < term) {
    throw new Error(`${from} acknowledged ${index} in ${term}: its disk does not know that term`);
  }
  if (index > sender.storage.lastIndex()) {
    throw new Error(`${from} acknowledged ${index} in ${term}: its disk does not have it`);
  }
  const core = to.node?.core;
  if (core?.role !== "leader" || core.term !== term) return;
  const wanted = core.log.term(index);
  const found = sender.storage.term(index);
  if (wanted !== null && found !== null && wanted !== found) {
    throw new Error(`${from} acknowledged ${index} in ${term}: it has another entry there`);
  }
}

/** Runs a step that must leave some things as they are. */
export function checkedStep(node: SimNode, message: Message<number>, step: () => void): void {
  const { core } = node.node!;
  const before = { term: core.term, last: core.log.lastIndex(), lastTerm: core.log.lastTerm() };
  step();
  if (message.type === "MsgPreVote" && core.term !== before.term) {
    throw new Error(`a pre-vote raised the term of ${node.id}`);
  }
  if (message.type !== "MsgStorageAppendResp") return;
  if (core.log.lastIndex() !== before.last || core.log.lastTerm() !== before.lastTerm) {
    throw new Error(`the disk's answer changed the log of ${node.id} at ${before.last}`);
  }
}

/** A leader that is not alone was elected by votes that are on disks, its own among them. */
export function checkElected(nodes: Nodes, node: SimNode): void {
  const { id, term, tracker } = node.node!.core;
  if (tracker.ids.length === 1) return;
  const voted = (voter: number): boolean => {
    const disk = nodes.get(voter)?.storage.hardState;
    return disk != null && (disk.term > term || (disk.term === term && disk.vote === id));
  };
  if (!voted(id)) throw new Error(`leader ${id} of ${term}: its own vote is not on its disk`);
  checkMajorities(halvesOf(tracker.configuration), voted, `leader ${id} of ${term} is not elected`);
}

/** After a leader's commit index has moved. */
export function checkDurable(nodes: Nodes, node: SimNode): void {
  const { id, log, tracker } = node.node!.core;
  const { committed } = log;
  const term = log.term(committed);
  const has = (voter: number): boolean => {
    const storage = nodes.get(voter)?.storage;
    return (
      storage !== undefined &&
      (committed < storage.firstIndex() || storage.term(committed) === term)
    );
  };
  checkMajorities(
    halvesOf(tracker.configuration),
    has,
    `leader ${id} commits ${committed} too early`,
  );
}

/** After a node has become a candidate; `entries` tells what lies at an index. */
export function checkCandidate(
  node: SimNode,
  entries: (index: number) => Entry<number> | null,
): void {
  const { id, log } = node.node!.core;
  for (let index = log.applied + 1; index <= log.committed; index += 1) {
    if (entries(index)?.type !== "confChange") continue;
    throw new Error(`${id} stands for election: the change at ${index} is committed, not applied`);
  }
}

/** After a node has applied a change. */
export function checkAdjacent(before: Configuration, now: Configuration): void {
  const halves = [halvesOf(before), halvesOf(now)];
  if (before.voters.incoming.length === 0 || everyPairMeets(halves[0], halves[1])) return;
  throw new Error(
    `majorities of ${JSON.stringify(halves[0])} and ${JSON.stringify(halves[1])} do not meet`,
  );
}

/** Whether each majority of the one configuration shares a node with each majority of the other. A joint one needs a
 *  majority of both its halves. Cost: 2^(nodes in either). */
export function everyPairMeets(a: Halves, b: Halves): boolean {
  const ids = [...new Set([...a, ...b].flat())];
  const all = 2 ** ids.length;
  const isQuorum = (halves: Halves, set: number): boolean =>
    halves.every((half) => isMajority(half, (id) => (set & (1 << ids.indexOf(id))) !== 0));
  // Two majorities that share nobody: one within the other's complement.
  for (let set = 0; set < all; set += 1) {
    if (isQuorum(a, set) && isQuorum(b, all - 1 - set)) return false;
  }
  return true;
}

function halvesOf({ voters }: Configuration): Halves {
  return [voters.incoming, voters.outgoing];
}

function isMajority(half: readonly number[], has: (id: number) => boolean): boolean {
  return half.length === 0 || 2 * half.filter(has).length > half.length;
}

function checkMajorities(halves: Halves, has: (id: number) => boolean, what: string): void {
  for (const half of halves) {
    if (isMajority(half, has)) continue;
    throw new Error(
      `${what}: of ${half.join()} only ${half.filter(has).join() || "nobody"} on disk`,
    );
  }
}
