import { expect, test } from "bun:test";
import { parseValue, type ValueRule } from "../../src/cluster/config-values.ts";

const long: ValueRule = { type: "long", min: -1 };
const int: ValueRule = { type: "int" };
const double: ValueRule = { type: "double", min: 0, max: 1 };
const list: ValueRule = { type: "list", values: ["compact", "delete"] };
const word: ValueRule = { type: "string", values: ["CreateTime", "LogAppendTime"] };

test.each<[string, ValueRule, string]>([
  ["0100", long, "100"],
  ["+7", long, "7"],
  [" -1 ", long, "-1"],
  ["9223372036854775807", long, "9223372036854775807"],
  ["-2147483648", int, "-2147483648"],
  ["TRUE", { type: "boolean" }, "true"],
  [" false", { type: "boolean" }, "false"],
  ["0.50", double, "0.5"],
  ["1", double, "1"],
  ["5e-1", double, "0.5"],
  ["", list, ""],
  ["compact , delete", list, "compact,delete"],
  ["LogAppendTime", word, "LogAppendTime"],
])("parses %p", (text, rule, value) => {
  expect(parseValue(text, rule)).toEqual({ ok: true, value });
});

test.each<[string, ValueRule]>([
  ["", long],
  ["1.0", long],
  ["1e3", long],
  ["0x10", long],
  ["1_000", long],
  ["-2", long],
  ["9223372036854775808", long],
  ["2147483648", int],
  ["7 days", long],
  ["yes", { type: "boolean" }],
  ["1", { type: "boolean" }],
  ["1.1", double],
  ["NaN", double],
  ["Infinity", double],
  ["delete,delete", list],
  ["delete,", list],
  ["erase", list],
  ["createtime", word],
  ["x".repeat(5000), { type: "string" }],
])("refuses %p", (text, rule) => {
  const parsed = parseValue(text, rule);
  expect(parsed.ok).toBe(false);
  if (!parsed.ok) expect(parsed.fault).toStartWith("must be ");
});
