import { expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  depthMax,
  isJson,
  JsonFault,
  JsonReader,
  parseStrictJson,
} from "../../edge/server/json-reader.ts";

const parse = (text: string): unknown => {
  try {
    return { value: JSON.parse(JSON.stringify(parseStrictJson(text))) as unknown };
  } catch (thrown) {
    if (thrown instanceof JsonFault) return "fault";
    throw thrown;
  }
};

test("parseStrictJson() agrees with the platform on every JSON text", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const value = JSON.parse(text) as unknown;
      const wanted = JSON.parse(JSON.stringify(value)) as unknown;
      expect(parse(text)).toEqual({ value: wanted });
    }),
    { numRuns: 300 },
  );
});

const pieces = [
  ...'{}[]:,"\\ \n\t01-+.eE'.split(""),
  "true",
  "null",
  "fals",
  '"a"',
  "\\u12",
  "\\u0041",
  "\u0001",
  "1e5",
  "01",
  "é",
  "\u2028",
];

test("isJson() takes and refuses what the platform does, for texts near JSON", () => {
  const piece = fc.constantFrom(...pieces);
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (chosen) => {
      const text = chosen.join("");
      let wanted = true;
      try {
        JSON.parse(text);
      } catch {
        wanted = false;
      }
      expect([text, isJson(text)]).toEqual([text, wanted]);
    }),
    { numRuns: 3000 },
  );
});

test.each([
  ['{"a":1,"a":2}', "fault"],
  ['{"__proto__":{"x":1}}', { value: JSON.parse('{"__proto__":{"x":1}}') as unknown }],
  ["[1,]", "fault"],
  ["", "fault"],
  ["1 2", "fault"],
  ["'a'", "fault"],
  ['{"a":1}//', "fault"],
])("parseStrictJson(%s)", (text, wanted) => {
  expect(parse(text)).toEqual(wanted);
});

test("a member called __proto__ changes no prototype", () => {
  const value = parseStrictJson('{"__proto__":{"polluted":true}}') as Record<string, unknown>;
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  expect(Object.getPrototypeOf(value)).toBeNull();
});

const deep = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);

test("nesting is bounded and does not use the stack", () => {
  expect(isJson(deep(depthMax))).toBe(true);
  expect(isJson(deep(depthMax + 1))).toBe(false);
  expect(isJson("[".repeat(4_000_000))).toBe(false);
  expect(parse('{"a":'.repeat(100_000))).toBe("fault");
});

test("raw() gives a value's text digit for digit", () => {
  const reader = new JsonReader('  {"a": [1e400, 12345678901234567890 , 1.0] } x');
  expect(reader.raw()).toBe('{"a": [1e400, 12345678901234567890 , 1.0] }');
});

test("a fault names line and column", () => {
  expect(() => parseStrictJson('{\n  "a": x')).toThrow("line 2, column 8");
});
