// Gathering: an entry waits while each turn brings more, never for long, and never for who writes alone.

import { describe, expect, test } from "bun:test";
import { Gather } from "../../src/partition/gather.ts";

describe("gather", () => {
  test("goes on while each turn brings more, and ends with the first that brings none", () => {
    const gather = new Gather();
    gather.proposed(32);
    expect([10, 20, 25, 25, 30].map((waiting) => gather.goesOn(waiting))).toEqual([
      true,
      true,
      true,
      false,
      true,
    ]);
  });

  test("ends after eight turns, however many come", () => {
    const gather = new Gather();
    gather.proposed(32);
    const turns = Array.from({ length: 9 }, (_, turn) => gather.goesOn(turn + 1));
    expect(turns.lastIndexOf(true)).toBe(7);
    gather.proposed(9);
    expect(gather.goesOn(1)).toBe(true);
  });

  test("does not begin behind an entry of one append", () => {
    const gather = new Gather();
    expect(gather.goesOn(5)).toBe(false);
    gather.proposed(1);
    expect(gather.goesOn(5)).toBe(false);
  });
});
