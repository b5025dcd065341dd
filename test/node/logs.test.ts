// Log lines for people and for programs.

import { expect, test } from "bun:test";
import { createLog, type LogLevel } from "../../src/node/logs.ts";
import { systemWorld } from "../../src/world.ts";

const world = { ...systemWorld, now: () => Date.UTC(2026, 0, 31, 12, 0, 0, 7) };

function logged(format: "pretty" | "json", level: LogLevel = "info") {
  const lines: string[] = [];
  return { lines, log: createLog({ level, format, world, write: (line) => lines.push(line) }) };
}

test("a line for a program is one JSON object", () => {
  const { lines, log } = logged("json");
  log.write("warn", "Disk is slow", { ms: 120, path: "/v1", nothing: undefined });
  expect(lines).toEqual([
    '{"time":"2026-01-31T12:00:00.007Z","level":"warn","message":"Disk is slow","ms":120,"path":"/v1"}\n',
  ]);
});

test("a line for a person quotes what has blanks", () => {
  const { lines, log } = logged("pretty");
  log.write("info", "Ready", { url: "http://a", why: "two words", list: [1] });
  expect(lines).toEqual(['12:00:00.007 INFO  Ready url=http://a why="two words" list=[1]\n']);
});

test("a text with a line feed stays in its line", () => {
  const { lines, log } = logged("pretty");
  log.write("info", "Answer", { path: "/a\n12:00 FAKE" });
  expect(lines[0].trimEnd().includes("\n")).toBe(false);
});

test("lines below the level are not written", () => {
  const { lines, log } = logged("json", "warn");
  log.write("info", "quiet");
  log.write("error", "loud");
  expect(lines).toHaveLength(1);
});

test("an error is told with its causes", () => {
  const { lines, log } = logged("json");
  log.write("error", "Failed", { cause: new Error("outer", { cause: new Error("inner") }) });
  expect(JSON.parse(lines[0])).toMatchObject({ cause: "outer; cause: inner" });
});
