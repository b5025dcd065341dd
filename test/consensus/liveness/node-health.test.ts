import { describe, expect, test } from "bun:test";

import {
  NodeHealth,
  type UnfitReason,
  type Vitals,
} from "../../../src/consensus/liveness/node-health.ts";

const well: Vitals = { storageFailed: false, oldestFlushMs: 3, stalledMs: [0, 0] };

describe("a node's fitness to lead", () => {
  const table: readonly [string, Partial<Vitals>, UnfitReason | null][] = [
    ["all is well", {}, null],
    ["the disk is slow, but moves", { oldestFlushMs: 4_900 }, null],
    ["a flush hangs", { oldestFlushMs: 5_100 }, "flush"],
    ["the journal failed", { storageFailed: true }, "storage"],
    ["one of two peers takes no appends", { stalledMs: [6_000, 0] }, null],
    ["neither peer takes appends", { stalledMs: [6_000, 6_000] }, "lanes"],
    ["the only peer takes no appends", { stalledMs: [6_000] }, "lanes"],
    ["two of four peers take no appends", { stalledMs: [6_000, 6_000, 0, 0] }, null],
    ["three of four peers take none", { stalledMs: [6_000, 6_000, 6_000, 0] }, "lanes"],
    ["alone", { stalledMs: [] }, null],
  ];
  for (const [name, vitals, reason] of table) {
    test(`${name}: ${reason ?? "fit"}`, () => {
      const health = new NodeHealth();
      health.observe({ ...well, ...vitals }, 0);
      expect(health.reason).toBe(reason);
      expect(health.fit).toBe(reason === null);
    });
  }

  test("returns 2 s after the reason is gone, and a hung disk must be quick again, not only younger than 5 s", () => {
    const health = new NodeHealth();
    health.observe({ ...well, oldestFlushMs: 6_000 }, 0);
    health.observe({ ...well, oldestFlushMs: 2_000 }, 1_000);
    health.observe(well, 2_000);
    expect(health.fit).toBe(false);
    health.observe(well, 2_999);
    expect(health.fit).toBe(false);
    health.observe(well, 3_000);
    expect(health.fit).toBe(true);
  });
});
