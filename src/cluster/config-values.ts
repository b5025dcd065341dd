// Config values: Kafka's types, parsed strictly and written back in one canonical form.
//
// Promise: two spellings of one value have one canonical form ("+0100" and "100", "TRUE" and "true"), so that values
// can be compared as strings; a long keeps all 64 bits. Left to others: which config takes which type (topic-configs.ts).

export type ConfigType = "boolean" | "int" | "long" | "double" | "string" | "list";

/** What a value must be. Bounds are inclusive. */
export interface ValueRule {
  readonly type: ConfigType;
  readonly min?: bigint | number;
  readonly max?: bigint | number;
  /** The strings that a string may be, or that a list may hold (each once). */
  readonly values?: readonly string[];
}

export type ParsedValue =
  { readonly ok: true; readonly value: string } | { readonly ok: false; readonly fault: string };

export const longMax = 9_223_372_036_854_775_807n;
const ranges = {
  int: { min: -2_147_483_648n, max: 2_147_483_647n },
  long: { min: -9_223_372_036_854_775_808n, max: longMax },
} as const;

const parsers = {
  boolean: parseBoolean,
  int: parseInteger,
  long: parseInteger,
  double: parseDouble,
  string: parseString,
  list: parseList,
} as const satisfies Record<ConfigType, (text: string, rule: ValueRule) => ParsedValue>;

/** The canonical form of `text` under the rule, or what is wrong with it ("must be ..., got ..."). */
export function parseValue(text: string, rule: ValueRule): ParsedValue {
  // 4 KiB is more than any value needs; a longer one is not echoed.
  if (text.length > 4096) return { ok: false, fault: "must be at most 4096 characters long" };
  return parsers[rule.type](text, rule);
}

/** A canonical int, long or double as a number. Longs beyond 2^53 lose their last digits: fine for times and sizes. */
export function numberOf(value: string): number {
  return Number(value);
}

function wrong(wanted: string, text: string): ParsedValue {
  return { ok: false, fault: `must be ${wanted}, got ${JSON.stringify(text)}` };
}

function parseBoolean(text: string): ParsedValue {
  const value = text.trim().toLowerCase();
  if (value === "true" || value === "false") return { ok: true, value };
  return wrong("true or false", text);
}

function parseInteger(text: string, rule: ValueRule): ParsedValue {
  const trimmed = text.trim();
  if (!/^[+-]?\d{1,40}$/.test(trimmed)) return wrong("an integer", text);
  const value = BigInt(trimmed.startsWith("+") ? trimmed.slice(1) : trimmed);
  const range = rule.type === "int" ? ranges.int : ranges.long;
  const min = rule.min === undefined ? range.min : BigInt(rule.min);
  const max = rule.max === undefined ? range.max : BigInt(rule.max);
  if (value < min || value > max) return wrong(`an integer from ${min} to ${max}`, text);
  return { ok: true, value: String(value) };
}

function parseDouble(text: string, rule: ValueRule): ParsedValue {
  const trimmed = text.trim();
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(trimmed)) return wrong("a number", text);
  const value = Number(trimmed);
  const { min = -Infinity, max = Infinity } = rule;
  if (value < min || value > max) return wrong(`a number from ${min} to ${max}`, text);
  return { ok: true, value: String(value) };
}

function parseString(text: string, rule: ValueRule): ParsedValue {
  if (rule.values === undefined || rule.values.includes(text)) return { ok: true, value: text };
  return wrong(`one of ${rule.values.join(", ")}`, text);
}

function parseList(text: string, rule: ValueRule): ParsedValue {
  const trimmed = text.trim();
  const items = trimmed === "" ? [] : trimmed.split(",").map((item) => item.trim());
  if (new Set(items).size < items.length) return wrong("a list that names each item once", text);
  const allowed = rule.values;
  if (allowed !== undefined && !items.every((item) => allowed.includes(item)))
    return wrong(`a list of ${allowed.join(", ")}`, text);
  return { ok: true, value: items.join(",") };
}
