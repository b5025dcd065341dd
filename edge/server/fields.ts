// Parses what stands beside the body: query and request headers, by the route's own declaration.
//
// Promise: an unknown or repeated name, a wrong value or broken percent-encoding is refused with the nearest name, never
// passed over. Nothing is guessed: "1e3" is no integer, "" is no number.

import { refuse, type Refusal } from "../../src/errors.ts";
import type { Schema } from "../contract/schema.ts";
import { headerNames, ownHeaderPrefix } from "../contract/names.ts";
import type { Field, Fields } from "./route.ts";
import { clipped, faultsOf, unknownName } from "./validate.ts";
import type { HeaderTable } from "./visit.ts";

type Value = string | number | boolean;
export type Values = Readonly<Record<string, Value | readonly Value[] | undefined>>;
type Outcome = { readonly ok: true; readonly values: Values } | Refusal;

const nothing: Outcome = { ok: true, values: {} };

/** Headers that every route takes. */
export const commonHeaders = {
  [headerNames.requestId]: { schema: { type: "string" } },
  [headerNames.consistency]: {
    schema: {
      type: "string",
      enum: ["local", "leader", "linearizable"],
      description:
        "How fresh a read must be. leader (the default): as the partition's leader has it. linearizable: as it has it after a majority has confirmed that it leads. local: as the node that was asked has it, which may lag behind.",
    },
  },
  [headerNames.session]: {
    schema: {
      type: "string",
      pattern: "^[A-Za-z0-9_.-]{1,4096}$",
      description:
        "The Rivulet-Session of an earlier answer: this answer is to have seen what that one saw. A node that is alone always has.",
    },
  },
  [headerNames.forward]: {
    schema: {
      type: "boolean",
      description:
        "false: a request that is for one partition, which another node leads, is answered 307 with that node's URL before its body is read. A body that is streamed, and a request whose leader is not known, is forwarded all the same, as every request is without this header.",
    },
  },
} as const satisfies Fields;

export function parseQuery(search: string, declared: Fields): Outcome {
  if (search === "") return missingOf(declared, "query parameter", {}) ?? nothing;
  const values: Record<string, Value | Value[]> = Object.create(null);
  for (const part of search.split("&")) {
    if (part === "") continue;
    const pair = decodePair(part);
    if (pair === null) return bad(`Query "${clipped(part)}" is not percent-encoded UTF-8`);
    const fault = keep(values, declared, pair);
    if (fault !== null) return bad(fault);
  }
  return missingOf(declared, "query parameter", values) ?? { ok: true, values };
}

/** The declared headers and the common ones; a Rivulet-* header that is neither is refused. */
export function parseHeaders(headers: HeaderTable, declared: Fields): Outcome {
  const values: Record<string, Value> = {};
  for (const name in headers) {
    const field = declared[name] ?? commonHeaders[name as keyof typeof commonHeaders];
    if (field === undefined) {
      if (name.startsWith(ownHeaderPrefix)) return unknownHeader(name, declared);
      if (name !== headerNames.idempotencyKey) continue;
      return bad("Idempotency-Key is for writing records; this route does not take it");
    }
    if (name === headerNames.requestId) continue;
    const parsed = valueOf(field.schema, headers[name], name);
    if (typeof parsed === "object") return bad(parsed.fault);
    values[name] = parsed;
  }
  return { ok: true, values };
}

function unknownHeader(name: string, declared: Fields): Outcome {
  const known = [...Object.keys(declared), ...Object.keys(commonHeaders)];
  return bad(unknownName("header", name, known));
}

function bad(detail: string): Refusal {
  return refuse("invalid_request", detail);
}

const decode = (text: string): string => decodeURIComponent(text.replaceAll("+", " "));

function decodePair(part: string): readonly [string, string] | null {
  const at = part.indexOf("=");
  const name = at < 0 ? part : part.slice(0, at);
  const value = at < 0 ? "" : part.slice(at + 1);
  try {
    return [decode(name), decode(value)];
  } catch {
    return null;
  }
}

/** Puts one pair into the values; what is wrong with it, or null. */
function keep(
  values: Record<string, Value | Value[]>,
  declared: Fields,
  [name, text]: readonly [string, string],
): string | null {
  const field: Field | undefined = Object.hasOwn(declared, name) ? declared[name] : undefined;
  if (field === undefined) return unknownName("query parameter", name, Object.keys(declared));
  const parsed = valueOf(field.schema, text, name);
  if (typeof parsed === "object") return parsed.fault;
  const before = values[name];
  if (field.repeated === true) {
    if (before === undefined) values[name] = [parsed];
    else (before as Value[]).push(parsed);
    return null;
  }
  if (before !== undefined) return `Query parameter ${name} comes twice, only one is wanted`;
  values[name] = parsed;
  return null;
}

function valueOf(schema: Schema, text: string, name: string): Value | { readonly fault: string } {
  const value = convert(schema, text);
  const faults = faultsOf(schema, value, name);
  return faults.length === 0 ? value : { fault: faults[0] };
}

/** The text as the declared type; left as it is when it is not of it, so that the check names it. */
function convert(schema: Schema, text: string): Value {
  if (schema.type === "integer" && /^-?(?:0|[1-9]\d{0,15})$/.test(text)) return Number(text);
  if (schema.type === "boolean" && (text === "true" || text === "false")) return text === "true";
  return text;
}

function missingOf(declared: Fields, what: string, values: Values): Refusal | null {
  for (const name in declared) {
    if (declared[name].required === true && values[name] === undefined) {
      return bad(`${what} ${name} is missing`);
    }
  }
  return null;
}
