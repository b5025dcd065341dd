import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import {
  campaignJitterMs,
  campaignRank,
  campaignSpreadMs,
  campaignsPerTurn,
  CampaignPace,
} from "../../../src/consensus/liveness/campaign-pace.ts";

describe("campaigns", () => {
  test("come within the spread, each once, and no more than a turn takes", () => {
    const pace = new CampaignPace<number>(Math.random);
    for (let i = 0; i < 5_000; i += 1) pace.add(i, 1_000, { rank: 0, among: 300 });
    const seen = new Set<number>();
    let now = 1_000;
    while (pace.size > 0) {
      const wait = pace.waitMs(now)!;
      now += wait;
      const due = pace.due(now);
      expect(due.length).toBeGreaterThan(0);
      expect(due.length).toBeLessThanOrEqual(campaignsPerTurn);
      for (const n of due) {
        expect(seen.has(n)).toBe(false);
        seen.add(n);
      }
    }
    expect(seen.size).toBe(5_000);
    expect(now).toBeLessThanOrEqual(1_000 + campaignSpreadMs + 10);
    expect(pace.waitMs(now)).toBeNull();
  });

  test("of one group begin almost at once, and leave the first one its time before the second", () => {
    for (const draw of [0, 0.999]) {
      const pace = new CampaignPace<string>(() => draw);
      pace.add("first", 0, { rank: 0, among: 1 });
      expect(pace.due(2 * campaignJitterMs)).toEqual(["first"]);
      pace.add("second", 0, { rank: 1, among: 1 });
      expect(pace.due(campaignSpreadMs - 1)).toEqual([]);
      expect(pace.due(campaignSpreadMs + 2 * campaignJitterMs)).toEqual(["second"]);
    }
  });

  test("of many are spread over as long as their elections take, the second of each group behind the first", () => {
    const pace = new CampaignPace<string>(Math.random);
    for (let i = 0; i < 3_000; i += 1) {
      pace.add(`first ${i}`, 0, { rank: 0, among: 3_000 });
      pace.add(`second ${i}`, 0, { rank: 1, among: 3_000 });
    }
    const spreadMs = 1_500;
    let early = 0;
    while (pace.waitMs(spreadMs) === 0) {
      early += pace.due(spreadMs).filter((name) => name.startsWith("first")).length;
    }
    expect(early).toBeGreaterThan(2_950);
    expect(pace.size).toBeGreaterThan(2_950);
    expect(pace.waitMs(0)).toBeGreaterThan(spreadMs - 20);
  });

  test("property: what was cancelled never comes, what was added twice comes once, none is early", () => {
    const step = fc.record({
      kind: fc.constantFrom("add", "cancel", "due"),
      n: fc.nat(5),
      wait: fc.nat(60),
      draw: fc.double({ min: 0, max: 0.999, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        let draw = 0;
        let now = 0;
        const model = new Map<number, number>();
        const pace = new CampaignPace<number>(() => draw);
        for (const { kind, n, wait, draw: next } of steps) {
          now += wait;
          draw = next;
          if (kind === "add") {
            pace.add(n, now, { rank: 0, among: 1 });
            if (!model.has(n)) model.set(n, now + draw * campaignJitterMs);
          } else if (kind === "cancel") {
            pace.cancel(n);
            model.delete(n);
          } else {
            for (const due of pace.due(now)) {
              expect(model.get(due)).toBeLessThanOrEqual(now);
              model.delete(due);
            }
            for (const at of model.values()) expect(at).toBeGreaterThan(now - 10);
          }
          expect(pace.size).toBe(model.size);
        }
      }),
    );
  });
});

describe("ranks", () => {
  test("of a group's candidates are a permutation, and each node comes first for its share of groups", () => {
    const firsts = new Map<number, number>();
    for (let i = 0; i < 900; i += 1) {
      const ranks = [2, 5, 9].map((own) => campaignRank(`topic/${i}`, own, [2, 5, 9]));
      expect(ranks.toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
      const first = [2, 5, 9][ranks.indexOf(0)];
      firsts.set(first, (firsts.get(first) ?? 0) + 1);
    }
    for (const count of firsts.values()) expect(count).toBeGreaterThan(200);
    expect(campaignRank("topic/0", 7, [7])).toBe(0);
  });
});
