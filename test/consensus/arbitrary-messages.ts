// Raft messages as fast-check draws them: every type that travels, with entries of every kind.

import * as fc from "fast-check";

import { newMessage } from "../../raft/index.ts";
import type { ConfChange, Entry, Message, MessageType } from "../../raft/types.ts";
import { privateSlice } from "../../src/bytes/slab-pool.ts";
import { raftIdOf } from "../../src/consensus/identity.ts";
import { draftBytes, type Payload } from "../../src/consensus/payload.ts";
import { entryKinds } from "../../src/journal/journal.ts";
import { offset } from "../../src/quantities.ts";

export const sender = 7;
export const receiver = 3;

const small = fc.integer({ min: 0, max: 300 });
const large = fc.integer({ min: 0, max: 2 ** 50 });
const number = fc.oneof(small, large);
const positive = number.map((n) => n + 1);
const incarnation = fc.integer({ min: 1, max: 2 ** 31 });
const bytes = fc.uint8Array({ maxLength: 40 });

export const groupIds = fc.constantFrom("controller", "0190-aa/12", "x".repeat(255), "!");

const change: fc.Arbitrary<ConfChange> = fc.record({
  transition: fc.constantFrom("auto", "implicit", "explicit"),
  steps: fc.array(
    fc.record({
      type: fc.constantFrom("addVoter", "addLearner", "remove", "update"),
      id: positive,
    }),
    { maxLength: 4 },
  ),
});

const shape = fc.record({
  kind: fc.constantFrom(...Object.values(entryKinds)),
  configuration: fc.boolean(),
  change: fc.option(change),
  termStep: fc.integer({ min: 0, max: 3 }),
  offsetCount: number.map((n) => Math.min(n, 2 ** 40)),
  time: number,
  maxTimestamp: fc.oneof(fc.constant(-1), fc.maxSafeInteger()),
  meta: fc.option(bytes),
  batch: fc.option(bytes),
});

/** Contiguous entries behind (index, term). */
export const entryRuns = fc
  .record({
    index: number,
    term: positive,
    firstOffset: number,
    shapes: fc.array(shape, { maxLength: 8 }),
  })
  .map(({ index, term, firstOffset, shapes }) => {
    let at = firstOffset;
    let entryTerm = index === 0 ? 1 : term;
    const entries = shapes.map((s, i): Entry<Payload> => {
      entryTerm += s.termStep;
      const batch = s.batch === null ? null : privateSlice(s.batch);
      const { kind, offsetCount, maxTimestamp, meta, time } = s;
      const data = {
        kind,
        baseOffset: offset(at),
        offsetCount,
        maxTimestamp,
        meta,
        batch,
        time,
      };
      at += offsetCount;
      const type = s.configuration ? "confChange" : "normal";
      const own = s.configuration ? s.change : null;
      return {
        index: index + i + 1,
        term: entryTerm,
        type,
        data,
        change: own,
        bytes: draftBytes(data),
      };
    });
    return { index, logTerm: index === 0 ? 0 : term, entries, lastTerm: entryTerm };
  });

const addressed = (type: MessageType, ids: readonly [number, number]) =>
  newMessage<Payload>(
    type,
    raftIdOf({ nodeId: receiver, incarnation: ids[1] }),
    raftIdOf({ nodeId: sender, incarnation: ids[0] }),
  );
const ids = fc.tuple(incarnation, incarnation);

export const appends: fc.Arbitrary<Message<Payload>> = fc
  .record({ ids, run: entryRuns, more: small, commit: number, known: number, knownTerm: small })
  .map(({ ids: pair, run, more, commit, known, knownTerm }) => ({
    ...addressed("MsgApp", pair),
    term: run.lastTerm + more,
    index: run.index,
    logTerm: run.logTerm,
    entries: run.entries,
    commit,
    known,
    knownTerm,
  }));

const plainTypes = fc.constantFrom<MessageType>(
  "MsgAppResp",
  "MsgHeartbeat",
  "MsgHeartbeatResp",
  "MsgVote",
  "MsgVoteResp",
  "MsgPreVote",
  "MsgPreVoteResp",
  "MsgTransferLeader",
  "MsgTimeoutNow",
  "MsgReadIndex",
  "MsgReadIndexResp",
);

export const plain: fc.Arbitrary<Message<Payload>> = fc
  .record({
    type: plainTypes,
    ids,
    term: positive,
    logTerm: number,
    index: number,
    commit: number,
    vote: number,
    reject: fc.boolean(),
    rejectHint: number,
    context: number,
    priority: fc.integer({ min: -5, max: 5 }),
    known: number,
    knownTerm: number,
  })
  .map(({ type, ids: pair, ...fields }) => ({ ...addressed(type, pair), ...fields }));

/** Ascending, from a handful of ids dealt out to the lists. */
const confState = fc
  .record({
    places: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 9 }),
    autoLeave: fc.boolean(),
  })
  .map(({ places, autoLeave }) => {
    const at = (...wanted: number[]) =>
      places.flatMap((place, i) => (wanted.includes(place) ? [i * 5 + 2] : []));
    const joint = at(1, 3, 4).length > 0;
    return {
      voters: [1, ...at(0, 1)],
      votersOutgoing: joint ? [1, ...at(1, 3, 4)] : [],
      learners: at(2),
      learnersNext: at(4),
      autoLeave: joint && autoLeave,
    };
  });

export const snapshots: fc.Arbitrary<Message<Payload>> = fc
  .record({ ids, index: positive, term: positive, more: small, confState, data: bytes })
  .map(({ ids: pair, index, term, more, confState: members, data }) => ({
    ...addressed("MsgSnap", pair),
    term: term + more,
    snapshot: { index, term, confState: members, data },
  }));

export const messages: fc.Arbitrary<Message<Payload>> = fc.oneof(appends, plain, snapshots);
