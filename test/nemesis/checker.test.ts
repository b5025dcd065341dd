// The checker finds what it is there for: each kind of violation is planted once, and a good history passes.

import { describe, expect, test } from "bun:test";

import { checkHistory } from "./checker.ts";
import type { AppendOp, Op, ReadOp } from "./history.ts";

const append = (
  value: string,
  at: { start: number; end: number | null; outcome: AppendOp["outcome"] },
): AppendOp => ({ kind: "append", client: 1, partition: 0, values: [value], ...at });

const read = (
  highWatermark: number,
  at: { start: number; end: number; consistency?: ReadOp["consistency"]; values?: string[] },
): ReadOp => ({
  kind: "read",
  client: 2,
  partition: 0,
  consistency: at.consistency ?? "linearizable",
  from: 0,
  start: at.start,
  end: at.end,
  outcome: { values: at.values ?? [], highWatermark },
});

const log = (...values: string[]) => new Map([[0, { start: 0, values }]]);
const violationsOf = (ops: Op[], logs: ReturnType<typeof log>) =>
  checkHistory(ops, logs).violations;

const a = append("a", { start: 0, end: 10, outcome: { offset: 0 } });
const b = append("b", { start: 20, end: 30, outcome: { offset: 1 } });

describe("a history without fault", () => {
  test("passes, and is counted", () => {
    const lost = append("c", { start: 31, end: null, outcome: "unknown" });
    const written = append("d", { start: 31, end: null, outcome: "unknown" });
    const refused = append("e", { start: 31, end: 32, outcome: "refused" });
    const reads = [
      read(1, { start: 11, end: 19, values: ["a"] }),
      read(0, { start: 31, end: 40, consistency: "local" }),
      read(3, { start: 33, end: 40 }),
    ];
    const verdict = checkHistory([a, b, lost, written, refused, ...reads], log("a", "b", "d"));
    expect(verdict).toEqual({
      violations: [],
      acknowledged: 2,
      unknown: 2,
      unknownWritten: 1,
      refused: 1,
      reads: 3,
      staleLeaderReads: 0,
    });
  });

  test("a deposed leader's read is counted, not judged", () => {
    const stale = read(0, { start: 11, end: 12, consistency: "leader" });
    const verdict = checkHistory([a, stale], log("a"));
    expect(verdict.violations).toEqual([]);
    expect(verdict.staleLeaderReads).toBe(1);
  });
});

const planted: readonly [string, Op[], ReturnType<typeof log>, RegExp][] = [
  ["an acknowledged record is gone", [a, b], log("a"), /wanted at 0\/1, found at nowhere/],
  ["an acknowledged record is elsewhere", [a, b], log("b", "a"), /wanted at 0\/0, found at 0\/1/],
  ["a record stands twice", [a, b], log("a", "b", "a"), /a stands at 0\/2 and at 0\/0/],
  ["a record that nobody sent", [a], log("a", "x"), /nobody sent x/],
  [
    "a refused record was written",
    [a, append("x", { start: 0, end: 1, outcome: "refused" })],
    log("a", "x"),
    /Refused append of x/,
  ],
  [
    "a later append stands before one that was acknowledged",
    [
      append("y", { start: 0, end: 5, outcome: { offset: 1 } }),
      append("x", { start: 6, end: 9, outcome: { offset: 0 } }),
    ],
    log("x", "y"),
    /x stands at 0\/0, though 2 was acknowledged/,
  ],
  [
    "a linearizable read misses an acknowledged record",
    [a, read(0, { start: 11, end: 12 })],
    log("a"),
    /linearizable read of client 2 saw 0 up to 0, 1 was known/,
  ],
  [
    "a linearizable read goes back behind an earlier one",
    [
      append("a", { start: 0, end: null, outcome: "unknown" }),
      read(1, { start: 1, end: 2 }),
      read(0, { start: 3, end: 4 }),
    ],
    log("a"),
    /saw 0 up to 0, 1 was known/,
  ],
  [
    "a read shows what was not sent yet",
    [a, read(1, { start: -2, end: -1, consistency: "local" })],
    log("a"),
    /but 0 was sent after its answer/,
  ],
  [
    "a read shows another record than the log",
    [a, read(1, { start: 11, end: 12, values: ["z"] })],
    log("a"),
    /saw z at 0\/0, the log holds a/,
  ],
  [
    "a read shows what was lost later",
    [a, read(2, { start: 11, end: 12 })],
    log("a"),
    /the log ends at 1/,
  ],
];

describe("a planted violation is named:", () => {
  test.each(planted)("%s", (_, ops, logs, wanted) => {
    expect(violationsOf(ops, logs).join("\n")).toMatch(wanted);
  });
});
