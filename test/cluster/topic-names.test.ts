import { expect, test } from "bun:test";
import { collisionKey, isInternalTopic, topicNameFault } from "../../src/cluster/topic-names.ts";

test.each([["orders"], ["a"], ["A.b_c-9"], ["..."], ["__consumer_offsets"], ["x".repeat(249)]])(
  "%p is a topic name",
  (name) => {
    expect(topicNameFault(name)).toBeNull();
  },
);

test.each([
  ["", "empty"],
  [".", '"."'],
  ["..", '".."'],
  ["x".repeat(250), "250 characters"],
  ["a/b", '"a/b"'],
  ["a b", '"a b"'],
  ["é", '"é"'],
  ["a\n", "only"],
])("%p is no topic name, and the message says why", (name, part) => {
  expect(topicNameFault(name)).toContain(part);
});

test("names that differ in . and _ alone collide", () => {
  expect(collisionKey("a.b_c")).toBe(collisionKey("a_b.c"));
  expect(collisionKey("a-b")).not.toBe(collisionKey("a_b"));
});

test("two leading underscores mark an internal topic", () => {
  expect(isInternalTopic("__x")).toBe(true);
  expect(isInternalTopic("_x")).toBe(false);
});
