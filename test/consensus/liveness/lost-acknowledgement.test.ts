import { describe, expect, test } from "bun:test";

import { MemoryStorage, newMessage, noMembers, RawNode } from "../../../raft/index.ts";
import type { Message } from "../../../raft/types.ts";
import { lostAcknowledgement } from "../../../src/consensus/liveness/lost-acknowledgement.ts";

/** Leader of 1, 2, 3 at term 1 with entries 1 to 3, of which node 2 acknowledged `match`. */
function leader(match: number): RawNode<string> {
  const confState = { ...noMembers, voters: [1, 2, 3] };
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
  node.step(answer("MsgPreVoteResp", 1));
  settle();
  node.step(answer("MsgVoteResp", 1));
  settle();
  expect(node.core.role).toBe("leader");
  node.propose("a", 1);
  node.propose("b", 1);
  settle();
  if (match > 0) node.step({ ...answer("MsgAppResp", 1), index: match });
  return node;
}

function answer(type: Message<string>["type"], term: number): Message<string> {
  return { ...newMessage<string>(type, 1, 2), term };
}

const refusal: Message<string> = { ...answer("MsgAppResp", 1), reject: true };

describe("a refusal", () => {
  const table: readonly [string, number, Partial<Message<string>>, number | null][] = [
    ["of what was acknowledged", 3, { index: 3, rejectHint: 1 }, 3],
    ["of something before it", 3, { index: 2, rejectHint: 0 }, 3],
    ["of the next entry", 2, { index: 3, rejectHint: 2 }, null],
    ["of the first append", 0, { index: 1, rejectHint: 0 }, null],
    ["of an older term", 3, { index: 3, term: 0 }, null],
    ["of a newer term: the leader is deposed", 3, { index: 3, term: 2 }, null],
    ["of somebody who is no member", 3, { index: 3, from: 9 }, null],
    ["that is none", 3, { index: 3, reject: false }, null],
    ["of a heartbeat", 3, { type: "MsgHeartbeatResp", index: 3 }, null],
  ];
  for (const [name, match, fields, lost] of table) {
    test(`${name}: ${lost === null ? "nothing is lost" : `${lost} is lost`}`, () => {
      expect(lostAcknowledgement(leader(match), { ...refusal, ...fields })).toBe(lost);
    });
  }

  test("tells a follower nothing", () => {
    const node = leader(3);
    node.step({ ...answer("MsgHeartbeat", 2), from: 3 });
    expect(lostAcknowledgement(node, { ...refusal, index: 3, term: 2 })).toBeNull();
  });
});
