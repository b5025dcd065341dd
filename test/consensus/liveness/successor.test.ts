import { describe, expect, test } from "bun:test";

import { MemoryStorage, newMessage, noMembers, RawNode } from "../../../raft/index.ts";
import { raftIdOf } from "../../../src/consensus/identity.ts";
import { successorOf } from "../../../src/consensus/liveness/successor.ts";

const two = raftIdOf({ nodeId: 2, incarnation: 5 });

/** Replica 1 as the leader of 1, two and 3, with learner 4; they acknowledged so much. */
function leader(match: Readonly<Record<number, number>>): RawNode<string> {
  const confState = { ...noMembers, voters: [1, 3, two], learners: [4] };
  const storage = new MemoryStorage<string>({ index: 0, term: 0, confState, data: null });
  const node = new RawNode<string>({ id: 1, seed: 1, asyncStorageWrites: false }, storage);
  const settle = (): void => {
    while (node.hasReady()) {
      const { entries, hardState } = node.ready();
      if (hardState !== null) storage.hardState = hardState;
      storage.append(entries);
      node.advance();
    }
  };
  node.campaign();
  settle();
  for (const type of ["MsgPreVoteResp", "MsgVoteResp"] as const) {
    node.step({ ...newMessage<string>(type, 1, 3), term: 1 });
    settle();
  }
  node.propose("a", 1);
  settle();
  for (const [id, index] of Object.entries(match)) {
    node.step({ ...newMessage<string>("MsgAppResp", 1, Number(id)), term: 1, index });
  }
  return node;
}

const anybody = (): boolean => true;

describe("a successor", () => {
  test("is the voter that has most of the log", () => {
    expect(successorOf(leader({ 3: 1, [two]: 2 }), anybody)).toBe(two);
    expect(successorOf(leader({ 3: 2, [two]: 1, 4: 2 }), anybody)).toBe(3);
  });

  test("is on a node that can lead", () => {
    const node = leader({ 3: 1, [two]: 2 });
    expect(successorOf(node, (nodeId) => nodeId === 3)).toBe(3);
    expect(successorOf(node, (nodeId) => nodeId === 4)).toBe(0);
  });

  test("is nobody while the group is handed over already, or does not lead", () => {
    const node = leader({ 3: 1 });
    node.transferLeader(3);
    expect(successorOf(node, anybody)).toBe(0);
    node.step({ ...newMessage<string>("MsgHeartbeat", 1, 3), term: 9 });
    expect(successorOf(node, anybody)).toBe(0);
  });
});
