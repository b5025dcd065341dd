// The write side over a replica that does what a test says.

import { expect, test } from "bun:test";
import type { Replica } from "../../src/consensus/replica.ts";
import { refuse } from "../../src/errors.ts";
import { Appender } from "../../src/partition/appender.ts";
import { PartitionFold } from "../../src/partition/fold.ts";
import { logIndex } from "../../src/quantities.ts";
import { batchOf, slabs } from "./batches.ts";

test("a term that ends between an append and its turn leaves nothing behind: the next one's appends are proposed", () => {
  let wakes = 0;
  let proposed = 0;
  const stub = {
    role: { leader: true, term: 1, leaderId: 1 },
    nextOffset: 0,
    admit: () => null,
    leave: () => undefined,
    clock: () => 1_000,
    wake: () => (wakes += 1),
    propose: () => ({ ok: true, index: (proposed += 1), term: 1, time: 1_000 }),
  };
  const replica = stub as unknown as Replica;
  const appender = new Appender({ replica, slabs, fold: new PartitionFold(), topicId: "t" });
  const submit = (answer: () => void): void =>
    appender.submit({ batch: batchOf({ values: ["a"] }), acks: "all", logAppendTime: -1 }, answer);
  let answers = 0;
  appender.begin();
  submit(() => (answers += 1));
  expect(wakes).toBe(1);
  // The turn finds a replica that leads no longer, so that propose() is not called.
  appender.lost(logIndex(1), refuse("not_leader_or_follower", "deposed"));
  expect(answers).toBe(1);
  appender.begin();
  submit(() => (answers += 1));
  expect(wakes).toBe(2);
  // It may gather for some turns.
  for (let turn = 0; turn < 10; turn += 1) appender.propose();
  expect(proposed).toBe(1);
});
