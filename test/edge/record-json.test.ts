import { describe, expect, test } from "bun:test";
import Ajv2020 from "ajv/dist/2020.js";
import { parseRecords, type RecordInput } from "../../edge/server/record-json.ts";
import type { InputError } from "../../edge/server/problem.ts";
import { document } from "./conformance.ts";

const ajv = new Ajv2020({ strict: false });
ajv.addSchema({ $id: "doc", components: document.components });
const bySchema = ajv.compile({ $ref: "doc#/components/schemas/WriteRequest" });

function first(text: string): RecordInput {
  const parsed = parseRecords(text);
  if (!parsed.ok) throw new Error(parsed.detail);
  return parsed.records[0];
}

function errors(text: string): readonly InputError[] {
  const parsed = parseRecords(text);
  if (parsed.ok) throw new Error("It was taken");
  expect(parsed.code).toBe("invalid_request");
  return parsed.members?.["errors"] as readonly InputError[];
}

const one = (record: string): string => `{"records":[${record}]}`;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("a record's value", () => {
  test.each([
    ['{"value":"héllo 💧"}', bytes("héllo 💧")],
    ['{"value":"\\ud83d\\ude00"}', bytes("😀")],
    ['{"value":""}', bytes("")],
    ['{"value":null}', null],
    ['{"valueJson":null}', bytes("null")],
    ['{"valueJson":1e400}', bytes("1e400")],
    ['{"valueJson":12345678901234567890}', bytes("12345678901234567890")],
    ['{"valueJson": {"a" : 1.0}\n}', bytes('{"a" : 1.0}')],
    ['{"valueJson":"\\ud800"}', bytes('"\\ud800"')],
    ['{"valueBase64":"/+8="}', Uint8Array.of(0xff, 0xef)],
  ])("%s is kept as it was meant", (record, value) => {
    expect(first(one(record)).value).toEqual(value);
  });

  test.each([
    "{}",
    '{"value":"a","valueJson":1}',
    '{"value":"a","valueBase64":""}',
    '{"value":1}',
    '{"value":{"a":1}}',
    '{"value":"\\ud800"}',
    '{"value":"a","value":"a"}',
    '{"valueBase64":"/+8"}',
    '{"valueBase64":"_-8="}',
    '{"valueBase64":"/+9="}',
    '{"valueBase64":"/+ 8="}',
    '{"value":"a","key":1}',
    '{"value":"a","key":"a","keyBase64":""}',
    '{"value":"a","timestamp":1.5}',
    '{"value":"a","timestamp":-1}',
    '{"value":"a","timestamp":"1"}',
    '{"value":"a","timestamp":12345678901234567890}',
    '{"value":"a","partition":-1}',
    '{"value":"a","headers":{}}',
    '{"value":"a","headers":[["a"]]}',
    '{"value":"a","headers":[["a",1]]}',
    '{"value":"a","headers":[["a",{"base64":"x"}]]}',
    '{"value":"a","headers":[["a",{"base64":"","x":1}]]}',
    '{"value":"a","headers":[["\\ud800",null]]}',
    '{"value":"a","__proto__":{}}',
    '{"value":"a","constructor":1}',
    "[]",
    "null",
    '"a"',
  ])("%s is refused by its place", (record) => {
    expect(errors(one(`{"value":"fine"},${record}`))).toEqual([
      { index: 1, code: "invalid_record", detail: expect.any(String) },
    ]);
  });

  test("a value that is no text names valueJson, a typo the nearest name", () => {
    expect(errors(one('{"value":{"a":1}}'))[0]?.detail).toContain("valueJson");
    expect(errors(one('{"valu":"a"}'))[0]?.detail).toContain('did you mean "value"?');
  });
});

test("keys, headers, timestamp and partition are read", () => {
  const record = first(
    one(
      '{"value":"v","key":"k","headers":[["a","1"],["b",null],["c",{"base64":"AA=="}]],"timestamp":5,"partition":3}',
    ),
  );
  expect(record.key).toEqual(bytes("k"));
  expect(record.headers).toEqual([
    ["a", bytes("1")],
    ["b", null],
    ["c", Uint8Array.of(0)],
  ]);
  expect([record.timestamp, record.partition, record.dated]).toEqual([5, 3, true]);
  expect(first(one('{"value":"v","keyJson": [1, 2]}')).key).toEqual(bytes("[1, 2]"));
});

test.each([
  "",
  "[]",
  "{}",
  '{"records":[]}',
  '{"records":{}}',
  '{"records":[{"value":"a"}],"acks":1}',
  '{"records":[{"value":"a"}],"records":[]}',
  '{"records":[{"value":"a"}]} x',
  '{"records":[{"value":"a"},]}',
  `{"records":[${'{"value":""},'.repeat(10_000)}{"value":""}]}`,
  `{"records":[{"valueJson":${"[".repeat(1_000_000)}`,
])("a body that is no list of records is refused (%#)", (body) => {
  expect(errors(body).length).toBeGreaterThan(0);
});

test("all that is wrong is told, up to a hundred", () => {
  const many = Array.from({ length: 500 }, () => "{}").join(",");
  expect(errors(one(many))).toHaveLength(100);
});

test("the schema of the document takes and refuses what the parser does", () => {
  const samples = [
    '{"value":"a"}',
    '{"value":null,"key":null}',
    '{"valueJson":[1],"headers":[["a",null]],"timestamp":1,"partition":0}',
    '{"value":1}',
    '{"value":"a","x":1}',
    '{"value":"a","timestamp":1.5}',
    '{"value":"a","partition":-1}',
    '{"value":"a","headers":[["a"]]}',
    '{"value":"a","headers":[["a",1]]}',
    '{"value":"a","headers":[["a",{"base64":"","x":1}]]}',
    "[]",
  ];
  for (const sample of samples) {
    const text = one(sample);
    expect([sample, parseRecords(text).ok]).toEqual([sample, bySchema(JSON.parse(text))]);
  }
});
