// Merged messages leave a receiver where the originals would: tables, and a naive follower beside both.

import { expect, test } from "bun:test";

import { newMessage } from "../../../raft/index.ts";
import type { Entry, Message } from "../../../raft/types.ts";
import {
  latestAcknowledgements,
  mergedAppends,
} from "../../../src/consensus/wire/message-merging.ts";
import type { Payload } from "../../../src/consensus/payload.ts";
import { VirtualWorld } from "../virtual-world.ts";

type RaftMessage = Message<Payload>;

const entry = (index: number, term: number, bytes = 10): Entry<Payload> => ({
  index,
  term,
  type: "normal",
  data: null,
  change: null,
  bytes,
});

interface Append {
  readonly to?: number;
  readonly after: readonly [index: number, term: number];
  readonly entries?: readonly Entry<Payload>[];
  readonly commit?: number;
  readonly term?: number;
}

function append({
  to = 2,
  after: [index, logTerm],
  entries = [],
  commit = 0,
  term = 3,
}: Append): RaftMessage {
  return { ...newMessage<Payload>("MsgApp", to, 1), term, index, logTerm, entries, commit };
}

const ack = (index: number, more: Partial<RaftMessage> = {}): RaftMessage => ({
  ...newMessage<Payload>("MsgAppResp", 1, 2),
  term: 3,
  index,
  ...more,
});

const shape = (messages: readonly RaftMessage[]) =>
  messages.map(({ type, to, index, entries, commit }) => [type, to, index, entries.length, commit]);

test("appends that follow one another become one, with the newest commit index", () => {
  const merged = mergedAppends([
    append({ after: [6, 3], entries: [entry(7, 3)], commit: 4 }),
    append({ to: 5, after: [6, 3], entries: [entry(7, 3)], commit: 4 }),
    append({ after: [7, 3], entries: [entry(8, 3), entry(9, 3)], commit: 4 }),
    append({ after: [9, 3], commit: 6 }),
    append({ to: 5, after: [7, 3], commit: 6 }),
  ]);
  expect(shape(merged)).toEqual([
    ["MsgApp", 2, 6, 3, 6],
    ["MsgApp", 5, 6, 1, 6],
  ]);
});

test("appends of another term, with a gap, or too large together stay as they are", () => {
  const messages = [
    append({ after: [6, 3], entries: [entry(7, 3)] }),
    append({ after: [8, 3], entries: [entry(9, 3)] }),
    append({ after: [9, 2], entries: [entry(10, 3)] }),
    append({ after: [10, 3], entries: [entry(11, 4)], term: 4 }),
    append({ after: [11, 4], entries: [entry(12, 4, 1024 * 1024)], term: 4 }),
  ];
  expect(shape(mergedAppends(messages))).toEqual(shape(messages));
});

test("an acknowledgement that a later one contains is left out, a refusal never", () => {
  const vote = { ...newMessage<Payload>("MsgVoteResp", 1, 2), term: 3 };
  const refusal = ack(7, { reject: true });
  const left = latestAcknowledgements([ack(5), vote, refusal, ack(8), ack(6, { to: 9 }), ack(8)]);
  expect(left).toEqual([vote, refusal, ack(6, { to: 9 }), ack(8)]);
  expect(latestAcknowledgements([ack(5), ack(4, { term: 4 })])).toHaveLength(2);
});

/** Terms by index, and what is committed: what Raft's follower does with appends, as plainly as it can be said. */
class NaiveFollower {
  readonly terms = [0];
  commit = 0;

  take({ index, logTerm, entries, commit }: RaftMessage): void {
    if (this.terms[index] !== logTerm) return;
    for (const { index: at, term } of entries) {
      if (this.terms[at] === term) continue;
      this.terms.length = at;
      this.terms.push(term);
    }
    this.commit = Math.max(this.commit, Math.min(commit, index + entries.length));
  }
}

/** What a leader sends behind `index`. */
function following(index: number, terms: readonly number[], commit: number): RaftMessage[] {
  const next = terms[index + 1];
  const entries = next === undefined ? [] : [entry(index + 1, next)];
  return [
    append({ after: [index, terms[index]], entries, commit }),
    append({ after: [index, terms[index]], commit }),
  ];
}

test("a naive follower ends in the same state, whatever was merged", () => {
  const world = new VirtualWorld(11);
  for (let round = 0; round < 300; round += 1) {
    const terms = [0, ...Array.from({ length: 12 }, (_, i) => (i < 6 ? 1 : 2))];
    // A leader's commit index never falls; messages may be repeated and out of order otherwise.
    let commit = 0;
    const messages = Array.from({ length: 1 + world.below(8) }, () => {
      const index = world.below(terms.length);
      const count = world.below(terms.length - index);
      const entries = terms.slice(index + 1, index + 1 + count);
      commit = Math.min(terms.length - 1, commit + world.below(4));
      return append({
        after: [index, terms[index]],
        entries: entries.map((term, i) => entry(index + 1 + i, term)),
        commit,
      });
    });
    messages.push(
      ...messages.flatMap(({ index, entries }) => following(index + entries.length, terms, commit)),
    );
    const [plain, merged] = [new NaiveFollower(), new NaiveFollower()];
    for (const message of messages) plain.take(message);
    for (const message of mergedAppends(messages)) merged.take(message);
    expect({ terms: merged.terms, commit: merged.commit }, `round ${round}`).toEqual({
      terms: plain.terms,
      commit: plain.commit,
    });
  }
});
