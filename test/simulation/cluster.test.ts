// A few seeds of the simulated cluster in every test run, and the seeds that failed once;
// `bun run test/simulation/cluster-run.ts --seeds N` runs more.

import { describe, expect, test } from "bun:test";

import { simulateCluster } from "./cluster/cluster.ts";
import { knownSeeds } from "./cluster/known-seeds.ts";
import { History } from "./cluster/history.ts";
import { Stream } from "./cluster/random.ts";
import { VirtualTime, ProcessWorld } from "./cluster/virtual-time.ts";
import { mutants } from "./mutant-list.ts";

const minute = 60_000;

describe("a simulated cluster", () => {
  test(
    "keeps what it acknowledged, under one leader a term, over 12 seeds",
    () => {
      for (let seed = 1; seed <= 12; seed += 1) {
        const { acknowledged } = simulateCluster({ seed, loadMs: 3_000 });
        expect(acknowledged).toBeGreaterThan(0);
      }
    },
    minute,
  );

  test(
    "keeps what it acknowledged in the seeds that failed once",
    () => {
      for (const seed of knownSeeds) {
        const { acknowledged } = simulateCluster({ seed });
        expect(acknowledged).toBeGreaterThan(0);
      }
    },
    minute,
  );

  test(
    "the same seed gives the same trace",
    () => {
      const faults = ["crash", "split", "disk-full", "membership", "pause"] as const;
      const first = simulateCluster({ seed: 7, loadMs: 3_000, faults });
      const second = simulateCluster({ seed: 7, loadMs: 3_000, faults });
      expect(second).toEqual(first);
      expect(simulateCluster({ seed: 8, loadMs: 3_000, faults }).hash).not.toBe(first.hash);
    },
    minute,
  );
});

describe("virtual time", () => {
  test("a paused process acts late, in order; a dead one never", () => {
    const time = new VirtualTime();
    const world = new ProcessWorld(time, new Stream(1, "test"));
    const done: string[] = [];
    world.setTimer(10, () => done.push(`a ${time.now}`));
    const cancelled = world.setTimer(12, () => done.push("never"));
    world.setTimer(15, () => {
      done.push(`b ${time.now}`);
      world.setTimer(5, () => done.push("dead"));
    });
    time.after(5, () => world.pause());
    time.after(30, () => {
      cancelled.cancel();
      world.resume();
    });
    time.run(31);
    world.kill();
    time.run(100);
    expect(done).toEqual(["a 30", "b 30"]);
  });

  test("a clock that runs fast fires its timers early and shows more time", () => {
    const time = new VirtualTime();
    const world = new ProcessWorld(time, new Stream(1, "test"), { offsetMs: 500, rate: 2 });
    const began = world.now();
    let at = 0;
    world.setTimer(100, () => (at = time.now));
    time.run(50);
    expect([at, world.monotonic(), world.now() - began]).toEqual([50, 100, 100]);
  });
});

const appended = (baseOffset: number, recordCount: number) => ({
  ok: true as const,
  baseOffset,
  recordCount,
  logAppendTime: -1,
  maxTimestamp: 0,
  leaderEpoch: 1,
  logStartOffset: 0,
  duplicate: false,
  idempotencyExpires: null,
});
const log = (records: readonly string[], highWatermark = records.length) => ({
  who: "n1",
  logStartOffset: 0,
  highWatermark,
  records,
});

describe("a history is refused when", () => {
  const cases: readonly (readonly [string, (history: History) => void, string])[] = [
    [
      "an acknowledged record is gone",
      (history) => {
        history.sent(["a", "b"]);
        history.heard(["a", "b"], appended(0, 2), true);
        history.checkLog(log(["0:a"]));
      },
      "lost records",
    ],
    [
      "another stands in its place",
      (history) => {
        history.sent(["a"]);
        history.heard(["a"], appended(0, 1), true);
        history.sent(["b"]);
        history.checkLog(log(["0:b"]));
      },
      "moved records",
    ],
    [
      "a record is there twice",
      (history) => {
        history.sent(["a"]);
        history.checkLog(log(["0:a", "1:a"]));
      },
      "moved records",
    ],
    [
      "a record that was refused is there",
      (history) => {
        history.sent(["a"]);
        const refused = { ok: false, code: "overloaded", detail: "", sideEffects: "none" } as const;
        history.heard(["a"], refused, true);
        history.checkLog(log(["0:a"]));
      },
      "refused records",
    ],
    [
      "an append lands before what was acknowledged earlier",
      (history) => {
        history.sent(["a"]);
        history.heard(["a"], appended(5, 1), true);
        history.sent(["b"]);
        history.heard(["b"], appended(2, 1), true);
      },
      "append order",
    ],
    [
      "a linearizable read is stale",
      (history) => {
        history.sent(["a"]);
        history.heard(["a"], appended(0, 1), true);
        const floor = history.seenEnd;
        history.read({ mode: "linearizable", offset: 0, highWatermark: 0, batches: [], floor });
      },
      "stale reads",
    ],
  ];
  for (const [name, act, wanted] of cases) {
    test(name, () => expect(() => act(new History("g"))).toThrow(wanted));
  }
});

describe("mutants", () => {
  test("each still fits exactly one place of the source", async () => {
    for (const { id, file, find } of mutants) {
      const text = await Bun.file(new URL(`../../${file}`, import.meta.url)).text();
      expect([id, text.split(find).length - 1]).toEqual([id, 1]);
    }
    expect(new Set(mutants.map(({ id }) => id)).size).toBe(mutants.length);
  });
});
