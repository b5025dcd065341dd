// What a host relies on, rule by rule, with one participant in hand.

import { describe, expect, test } from "bun:test";
import {
  appendThread,
  applyThread,
  MemoryStorage,
  noMembers,
  RaftBug,
  RawNode,
  type Config,
  type ConfState,
  type Entry,
  type Message,
  type MessageType,
  type OwnEntry,
  type Ready,
} from "../../raft/index.ts";
import { newMessage } from "../../raft/message.ts";

const three: ConfState = { ...noMembers, voters: [1, 2, 3] };
const alone: ConfState = { ...noMembers, voters: [1] };

type Options = Partial<Config<string>>;

function storageOf(confState: ConfState, terms: readonly number[] = []): MemoryStorage<string> {
  const storage = new MemoryStorage<string>({ index: 1, term: 1, confState, data: null });
  storage.append(terms.map((term, at) => entry(at + 2, term)));
  return storage;
}

function entry(index: number, term: number, data: string | null = null): Entry<string> {
  return { index, term, type: "normal", data, change: null, bytes: data?.length ?? 0 };
}

function nodeOn(storage: MemoryStorage<string>, options: Options = {}): RawNode<string> {
  return new RawNode({ id: 1, seed: 7, applied: 1, preVote: false, ...options }, storage);
}

function from(
  sender: number,
  type: MessageType,
  fields: Partial<Message<string>> = {},
): Message<string> {
  return { ...newMessage<string>(type, 1, sender), ...fields };
}

/** Does what the host does until nothing is left; returns what went to peers. */
function drive(node: RawNode<string>, storage: MemoryStorage<string>): Message<string>[] {
  const sent: Message<string>[] = [];
  const local = (message: Message<string>) => {
    if (message.to === 1) node.step(message);
    else sent.push(message);
  };
  while (node.hasReady()) {
    for (const message of node.ready().messages) {
      if (message.to === appendThread) storage.append(message.entries);
      else if (message.to !== applyThread) sent.push(message);
      for (const each of message.entries) {
        if (message.to === applyThread && each.type === "confChange") node.applyConfChange(each);
      }
      message.responses.forEach(local);
    }
  }
  return sent;
}

/** A leader of three, term 2, whose first entry is committed. */
function leaderOf(storage: MemoryStorage<string>, options: Options = {}): RawNode<string> {
  storage.hardState = { term: 1, vote: 0, commit: 1 };
  const node = nodeOn(storage, options);
  node.campaign();
  drive(node, storage);
  node.step(from(2, "MsgVoteResp", { term: 2 }));
  drive(node, storage);
  node.step(from(2, "MsgAppResp", { term: 2, index: storage.lastIndex() }));
  drive(node, storage);
  expect(node.status().role).toBe("leader");
  return node;
}

function types(messages: readonly Message<string>[]): string[] {
  return messages.map(({ type, to }) => `${type}>${to}`);
}

function describeOwn({ index, term, type }: OwnEntry): string {
  return `${type} ${term}/${index}`;
}

/** Ticks until a follower that hears nothing campaigns. */
function ticksOf(seed: number): number {
  const node = nodeOn(storageOf(three), { seed, electionTicks: 10 });
  let ticks = 0;
  while (node.status().role === "follower") {
    node.tick();
    ticks++;
  }
  return ticks;
}

describe("durability", () => {
  test("a sole voter commits its entry only after the write is answered", () => {
    const storage = storageOf(alone);
    const node = nodeOn(storage);
    node.campaign();
    drive(node, storage);
    const proposed = node.propose("x", 1);
    expect(proposed).toEqual({ ok: true, index: 3, term: 1 });
    const { messages } = node.ready();
    expect(types(messages)).toEqual([`MsgStorageAppend>${appendThread}`]);
    expect([node.status().commit, node.hasReady()]).toEqual([2, false]);
    for (const response of messages[0].responses) node.step(response);
    expect(node.status().commit).toBe(3);
  });

  test("a sole voter's term, vote and first entry are one write", () => {
    const storage = storageOf(alone);
    const node = nodeOn(storage, { preVote: true });
    node.campaign();
    const [message, ...rest] = node.ready().messages;
    expect([rest.length, message.term, message.vote, message.entries.length]).toEqual([0, 1, 1, 1]);
  });

  test("votes and acknowledgements hang on the write, appends of a leader do not", () => {
    const storage = storageOf(three);
    const voter = nodeOn(storage);
    voter.step(from(2, "MsgVote", { term: 2, index: 9, logTerm: 1 }));
    const [append, ...others] = voter.ready().messages;
    expect([others.length, append.vote, types(append.responses)]).toEqual([
      0,
      2,
      ["MsgVoteResp>2"],
    ]);
    const leader = leaderOf(storageOf(three));
    leader.propose("x", 1);
    expect(types(leader.ready().messages).slice(0, 2)).toEqual([
      "MsgApp>2",
      `MsgStorageAppend>${appendThread}`,
    ]);
  });

  test("a candidate does not lead before its own vote is durable, though all others voted for it", () => {
    const storage = storageOf(three);
    const node = nodeOn(storage);
    node.campaign();
    const { messages } = node.ready();
    node.step(from(2, "MsgVoteResp", { term: 1 }));
    node.step(from(3, "MsgVoteResp", { term: 1 }));
    expect(node.status().role).toBe("candidate");
    const append = messages.find(({ to }) => to === appendThread)!;
    for (const response of append.responses) node.step(response);
    expect(node.status().role).toBe("leader");
  });

  test("a restarted node does not vote twice in a term", () => {
    const storage = storageOf(three);
    storage.hardState = { term: 5, vote: 2, commit: 1 };
    const node = nodeOn(storage);
    node.step(from(3, "MsgVote", { term: 5, index: 9, logTerm: 5 }));
    expect(drive(node, storage).map(({ type, reject }) => [type, reject])).toEqual([
      ["MsgVoteResp", true],
    ]);
    node.step(from(2, "MsgVote", { term: 5, index: 9, logTerm: 5 }));
    expect(drive(node, storage).map(({ reject }) => reject)).toEqual([false]);
  });

  test("a commit index beyond the log halts the node; one below what is applied is caught up", () => {
    const lost = storageOf(alone, [1]);
    lost.hardState = { term: 1, vote: 1, commit: 9 };
    expect(() => nodeOn(lost)).toThrow("committed 9, applied 1, but the log ends at 2");
    const old = storageOf(alone, [1, 1]);
    old.hardState = { term: 1, vote: 1, commit: 2 };
    expect(nodeOn(old, { applied: 3 }).status().commit).toBe(3);
  });
});

describe("proposals", () => {
  test("are refused with the reason", () => {
    const follower = nodeOn(storageOf(three));
    expect(follower.propose("x", 1)).toEqual({ ok: false, reason: "noLeader" });
    follower.step(from(2, "MsgHeartbeat", { term: 2 }));
    expect(follower.propose("x", 1)).toEqual({ ok: false, reason: "notLeader" });
    const forwarding = nodeOn(storageOf(three), { disableProposalForwarding: false });
    forwarding.step(from(2, "MsgHeartbeat", { term: 2 }));
    expect(forwarding.propose("x", 1)).toEqual({ ok: false, reason: "forwarded" });
    expect(types(forwarding.ready().messages)).toContain("MsgProp>2");
  });

  test("wait while the leadership is handed over", () => {
    const leader = leaderOf(storageOf(three));
    leader.transferLeader(2);
    expect(leader.propose("x", 1)).toEqual({ ok: false, reason: "transferring" });
  });

  test("are bounded by maxUncommittedBytes, but for one, and for those without bytes", () => {
    const storage = storageOf(three);
    const leader = leaderOf(storage, { maxUncommittedBytes: 100 });
    expect(leader.propose("large", 1000).ok).toBe(true);
    expect(leader.propose("more", 1)).toEqual({ ok: false, reason: "uncommittedFull" });
    expect(leader.propose("", 0).ok).toBe(true);
    drive(leader, storage);
    leader.step(from(2, "MsgAppResp", { term: 2, index: storage.lastIndex() }));
    drive(leader, storage);
    expect(leader.propose("more", 1).ok).toBe(true);
  });

  test("of a change that cannot be applied leave an empty entry and are refused", () => {
    const storage = storageOf(alone);
    const node = nodeOn(storage);
    node.campaign();
    drive(node, storage);
    const nobody = { transition: "auto", steps: [{ type: "remove", id: 1 }] } as const;
    expect(node.proposeConfChange(nobody)).toEqual({ ok: false, reason: "changeRefused" });
    drive(node, storage);
    expect(node.status().applied).toBe(3);
  });

  test("ownData() gives the payload of entries that the core makes, at their position", () => {
    const storage = storageOf(alone);
    const node = nodeOn(storage, { ownData: describeOwn });
    node.campaign();
    const add = { transition: "implicit", steps: [{ type: "addLearner", id: 2 }] } as const;
    drive(node, storage);
    node.proposeConfChange(add, { data: "mine", bytes: 4 });
    drive(node, storage);
    const entries = storage.entries(2, storage.lastIndex() + 1, Number.MAX_SAFE_INTEGER);
    const data = typeof entries === "string" ? [] : entries.map((each) => each.data);
    expect(data).toEqual(["normal 1/2", "mine", "confChange 1/4"]);
  });
});

describe("reads", () => {
  test("wait for an entry of the own term, then for a quorum that was asked afterwards", () => {
    const storage = storageOf(three);
    const leader = leaderOf(storage);
    const asked = leader.readIndex();
    const round = drive(leader, storage).find(({ type }) => type === "MsgHeartbeat")!.context;
    leader.step(from(3, "MsgHeartbeatResp", { term: 2, context: round - 1 }));
    expect(leader.ready().readStates).toEqual([]);
    leader.step(from(3, "MsgHeartbeatResp", { term: 2, context: round }));
    const { readStates } = leader.ready();
    expect(asked.ok && readStates).toEqual([{ index: 2, request: asked.ok ? asked.request : 0 }]);
  });

  test("of a sole voter wait for its first entry: its stored commit index may be old", () => {
    const storage = storageOf(alone, [1, 1]);
    storage.hardState = { term: 1, vote: 1, commit: 1 };
    const node = nodeOn(storage);
    node.campaign();
    node.readIndex();
    const first: Ready<string> = node.ready();
    expect(first.readStates).toEqual([]);
    storage.append(first.entries);
    for (const response of first.messages[0].responses) node.step(response);
    expect(node.ready().readStates.map(({ index }) => index)).toEqual([4]);
  });

  test("are forwarded by a follower, refused without a leader, and numbered anew after a restart", () => {
    const node = nodeOn(storageOf(three));
    expect(node.readIndex()).toEqual({ ok: false });
    node.step(from(2, "MsgHeartbeat", { term: 2 }));
    const asked = node.readIndex();
    expect(types(node.ready().messages)).toContain("MsgReadIndex>2");
    const again = nodeOn(storageOf(three), { seed: 8 });
    again.step(from(2, "MsgHeartbeat", { term: 2 }));
    expect(again.readIndex()).not.toEqual(asked);
  });
});

describe("payloads that are away", () => {
  class Away extends MemoryStorage<string> {
    away = true;
    override entries(lo: number, end: number, maxBytes: number) {
      return this.away ? "unavailable" : super.entries(lo, end, maxBytes);
    }
  }

  test("hold back the appends of that peer until entriesFetched()", () => {
    const storage = new Away({ index: 1, term: 1, confState: three, data: null });
    storage.away = false;
    const leader = leaderOf(storage);
    storage.away = true;
    // The append to node 3 was lost; a sign of life makes the leader try again.
    leader.step(from(3, "MsgHeartbeatResp", { term: 2 }));
    expect(types(drive(leader, storage))).toEqual([]);
    storage.away = false;
    leader.entriesFetched(3);
    expect(types(drive(leader, storage))).toEqual(["MsgApp>3"]);
  });

  test("hold back the state machine, and a campaign that would have to look at them", () => {
    const storage = new Away({ index: 1, term: 1, confState: three, data: null });
    storage.append([entry(2, 1), entry(3, 1)]);
    storage.hardState = { term: 1, vote: 0, commit: 3 };
    const node = nodeOn(storage);
    expect([node.ready().committedEntries.length, node.hasReady()]).toEqual([0, false]);
    node.campaign();
    expect(node.status().role).toBe("follower");
    storage.away = false;
    node.entriesFetched(0);
    expect(node.ready().committedEntries.map(({ index }) => index)).toEqual([2, 3]);
  });
});

describe("messages of peers", () => {
  test("of local types, or answers of strangers, are refused", () => {
    const node = nodeOn(storageOf(three));
    expect(node.step(from(2, "MsgHup"))).toBe("local");
    expect(node.step(from(2, "MsgStorageAppendResp", { index: 5 }))).toBe("local");
    expect(node.step(from(9, "MsgAppResp", { term: 1, index: 5 }))).toBe("unknownPeer");
    expect(node.step(from(2, "MsgProp", { entries: [entry(0, 0, "x")] }))).toBe("dropped");
  });

  test("of a live leader's rival are ignored within the lease, unless the leader hands over", () => {
    const vote = (context: number) =>
      from(3, "MsgVote", { term: 9, index: 9, logTerm: 9, context });
    const node = nodeOn(storageOf(three));
    node.step(from(2, "MsgHeartbeat", { term: 2 }));
    node.step(vote(0));
    expect(node.status().term).toBe(2);
    node.step(vote(1));
    expect([node.status().term, node.status().vote]).toEqual([9, 3]);
  });

  test("of a lower term are answered with the own one, so that a deposed leader steps down", () => {
    const storage = storageOf(three);
    storage.hardState = { term: 7, vote: 0, commit: 1 };
    const node = nodeOn(storage);
    node.step(from(2, "MsgHeartbeat", { term: 3 }));
    expect(drive(node, storage).map(({ type, term }) => [type, term])).toEqual([["MsgAppResp", 7]]);
  });
});

describe("elections", () => {
  test("wait while a committed change of configuration is not applied", () => {
    const storage = storageOf(three);
    const change = { transition: "auto", steps: [{ type: "addLearner", id: 4 }] } as const;
    storage.append([{ ...entry(2, 1), type: "confChange", change }]);
    storage.hardState = { term: 1, vote: 0, commit: 2 };
    const node = nodeOn(storage);
    node.campaign();
    expect(node.status().role).toBe("follower");
    drive(node, storage);
    node.campaign();
    expect(node.status().role).toBe("candidate");
  });

  test("that fail by a configuration which is past teach the candidate what is committed", () => {
    const storage = storageOf(three);
    const change = { transition: "auto", steps: [{ type: "remove", id: 3 }] } as const;
    storage.append([{ ...entry(2, 1), type: "confChange", change }, entry(3, 1)]);
    storage.hardState = { term: 1, vote: 0, commit: 1 };
    const node = nodeOn(storage);
    node.campaign();
    drive(node, storage);
    // Node 3 has the longer log, and knows that it was removed.
    node.step(from(3, "MsgVoteResp", { term: 2, reject: true, known: 2, knownTerm: 1 }));
    expect([node.status().role, node.status().commit]).toEqual(["follower", 2]);
    drive(node, storage);
    expect(node.status().configuration.voters.incoming).toEqual([1, 2]);
    // What does not match its own log teaches it nothing.
    node.step(from(2, "MsgVote", { term: 2, index: 1, logTerm: 1, known: 3, knownTerm: 7 }));
    expect(node.status().commit).toBe(2);
  });

  test("begin after a random time in [n, 2n) ticks that the seed decides", () => {
    const all = Array.from({ length: 100 }, (_, seed) => ticksOf(seed));
    expect([Math.min(...all), Math.max(...all)]).toEqual([10, 19]);
    expect(ticksOf(42)).toBe(ticksOf(42));
  });

  test("of an idle group's leader: activity heard elsewhere counts for check-quorum", () => {
    const leader = leaderOf(storageOf(three), { electionTicks: 3 });
    const timeout = () => {
      for (let i = 0; i < 3; i++) leader.tick();
    };
    timeout();
    leader.reportActive(2);
    timeout();
    expect(leader.status().role).toBe("leader");
    timeout();
    expect(leader.status().role).toBe("follower");
  });
});

/** A storage whose snapshot takes a while. */
class Making extends MemoryStorage<string> {
  making = true;
  override snapshot() {
    return this.making ? "unavailable" : super.snapshot();
  }
}

describe("a follower that is behind", () => {
  test("is found with one probe a term, however long the tails are", () => {
    // Leader: terms 1, then 3 a hundred times, then 5. Follower: term 1 four times, then 2.
    const old = Array.from({ length: 100 }, () => 3);
    const storage = storageOf(three, [1, ...old, 5, 5, 5]);
    storage.hardState = { term: 5, vote: 1, commit: 1 };
    const leader = nodeOn(storage);
    leader.campaign();
    drive(leader, storage);
    leader.step(from(2, "MsgVoteResp", { term: 6 }));
    const lagging = storageOf(three, [1, 1, 1, 1, 2, 2]);
    lagging.hardState = { term: 5, vote: 0, commit: 1 };
    const follower = new RawNode({ id: 3, seed: 1, applied: 1 }, lagging);
    let probes = 0;
    for (let rounds = 0; rounds < 10; rounds++) {
      const appends = drive(leader, storage).filter(
        ({ type, to }) => type === "MsgApp" && to === 3,
      );
      probes += appends.length;
      for (const append of appends) follower.step(append);
      for (const { messages } of [follower.ready()]) {
        const responses = messages.flatMap((message) => message.responses);
        for (const answer of responses.filter(({ to }) => to === 1)) leader.step(answer);
      }
    }
    expect(follower.status().lastIndex).toBe(leader.status().lastIndex);
    expect(probes).toBeLessThan(6);
  });

  test("is sent no snapshot while it shows no sign of life", () => {
    const storage = new Making({ index: 1, term: 1, confState: three, data: null });
    const leader = leaderOf(storage, { electionTicks: 3 });
    storage.compact(2);
    leader.step(from(3, "MsgHeartbeatResp", { term: 2 }));
    for (let i = 0; i < 3; i++) leader.tick();
    expect(types(drive(leader, storage))).not.toContain("MsgSnap>3");
    // The snapshot is made by now, but node 3 has said nothing since the quorum was checked.
    storage.making = false;
    leader.propose("x", 1);
    expect(types(drive(leader, storage))).not.toContain("MsgSnap>3");
    leader.step(from(3, "MsgHeartbeatResp", { term: 2 }));
    expect(types(drive(leader, storage))).toContain("MsgSnap>3");
  });
});

describe("snapshots", () => {
  const snapshot = { index: 20, term: 3, confState: { ...three, voters: [1, 2] }, data: "state" };

  test("replace the log, and overtake changes that still wait for the state machine", () => {
    const storage = storageOf(three);
    const node = nodeOn(storage);
    const change = { transition: "explicit", steps: [{ type: "addVoter", id: 4 }] } as const;
    const old: Entry<string> = { ...entry(2, 1), type: "confChange", change };
    node.step(from(2, "MsgApp", { term: 3, index: 1, logTerm: 1, entries: [old], commit: 2 }));
    node.step(from(2, "MsgSnap", { term: 3, snapshot }));
    expect(node.status().configuration.voters.incoming).toEqual([1, 2]);
    expect(node.applyConfChange(old)).toBeNull();
    const [append] = node.ready().messages;
    expect([append.snapshot?.data, append.commit]).toEqual(["state", 20]);
    expect(node.ready().committedEntries).toEqual([]);
  });

  test("that do not name this node, or are old, are ignored", () => {
    const storage = storageOf(three);
    const node = nodeOn(storage);
    const others = { ...snapshot, confState: { ...three, voters: [2, 3] } };
    node.step(from(2, "MsgSnap", { term: 3, snapshot: others }));
    node.step(from(2, "MsgSnap", { term: 3, snapshot: { ...snapshot, index: 1 } }));
    expect(drive(node, storage).map(({ type, index }) => [type, index])).toEqual([
      ["MsgAppResp", 1],
      ["MsgAppResp", 1],
    ]);
  });
});

describe("a configuration that cannot work is refused at construction", () => {
  const rows: [Options, string][] = [
    [{ id: 0 }, "id must be an integer >= 1, got 0"],
    [{ id: appendThread }, "is reserved"],
    [{ electionTicks: 1 }, "electionTicks must be an integer >= 2, got 1"],
    [{ heartbeatTicks: 0 }, "heartbeatTicks must be an integer >= 1, got 0"],
    [{ maxInflightMessages: 0 }, "maxInflightMessages must be an integer >= 1, got 0"],
    [{ maxInflightBytes: 5, maxSizePerMessage: 6 }, "maxInflightBytes must be an integer >= 6"],
    [{ readOnly: "leaseBased", checkQuorum: false }, "needs checkQuorum"],
  ];
  for (const [options, message] of rows) {
    test(JSON.stringify(options), () => {
      expect(() => nodeOn(storageOf(three), options)).toThrow(message);
    });
  }
});

test("entries that do not follow one another, and sizes that are no sizes, are a RaftBug", () => {
  const node = nodeOn(storageOf(three));
  const entries = [entry(2, 2), entry(4, 2)];
  const append = from(2, "MsgApp", { term: 2, index: 1, logTerm: 1, entries });
  expect(() => node.step(append)).toThrow("Cannot append 4: wanted 3");
  expect(() => nodeOn(storageOf(alone)).propose("x", -1)).toThrow("got -1");
  expect(() => nodeOn(storageOf(alone)).propose("x", Number.NaN)).toThrow("got NaN");
});

test("misuse that would corrupt is a RaftBug: advance() beside asynchronous writes", () => {
  expect(() => nodeOn(storageOf(three)).advance()).toThrow(RaftBug);
});
