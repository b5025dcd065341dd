// Checks a JSON value against a declared schema and says everything that is wrong with it, each with its place.
//
// For small bodies of the admin routes and for query values. Records have their own parser (record-json.ts), which pays
// nothing per record for generality.

import { unreachable } from "../../src/assert.ts";
import { nearestName } from "../../src/cluster/nearest-name.ts";
import type { JsonType, Schema } from "../contract/schema.ts";

/** What is wrong, as sentences; empty when the value is of the schema. `place` names it ("partitions"). */
export function faultsOf(schema: Schema, value: unknown, place: string): string[] {
  const types = schema.type === undefined ? [] : [schema.type].flat();
  if (types.length > 0 && !types.some((type) => isOfType(type, value))) {
    return [`${place} must be ${types.join(" or ")}, got ${shown(value)}`];
  }
  if (typeof value === "number") return numberFaults(schema, value, place);
  if (typeof value === "string") return textFaults(schema, value, place);
  if (isObject(value)) return objectFaults(schema, value, place);
  return [];
}

export function unknownName(what: string, name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  const hint =
    nearest !== null
      ? `did you mean "${nearest}"?`
      : `known here: ${known.length === 0 ? "none" : known.join(", ")}`;
  return `${what} "${clipped(name)}" is unknown; ${hint}`;
}

/** A value in a message: short, and on one line. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (isObject(value)) return "an object";
  return clipped(JSON.stringify(value));
}

export function clipped(text: string): string {
  return text.length <= 80 ? text.toWellFormed() : `${text.slice(0, 80).toWellFormed()}...`;
}

function isOfType(type: JsonType, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      return Number.isSafeInteger(value);
    case "number":
    case "string":
    case "boolean":
      return typeof value === type;
    default:
      return unreachable(type);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function numberFaults(schema: Schema, value: number, place: string): string[] {
  const { minimum = -Infinity, maximum = Infinity } = schema;
  if (value >= minimum && value <= maximum) return [];
  return [`${place} must be ${minimum} to ${maximum}, got ${value}`];
}

function textFaults(schema: Schema, value: string, place: string): string[] {
  if (!value.isWellFormed()) return [`${place} is not well-formed Unicode`];
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    const nearest = nearestName(value, schema.enum.map(String));
    const hint = nearest === null ? "" : `; did you mean "${nearest}"?`;
    return [`${place} must be one of ${schema.enum.join(", ")}, got ${shown(value)}${hint}`];
  }
  const { minLength = 0, maxLength = Infinity, pattern } = schema;
  if (value.length < minLength || value.length > maxLength) {
    return [`${place} must have ${minLength} to ${maxLength} characters, got ${value.length}`];
  }
  if (pattern !== undefined && !new RegExp(pattern).test(value)) {
    return [`${place} must match ${pattern}, got ${shown(value)}`];
  }
  return [];
}

function objectFaults(
  schema: Schema,
  value: Readonly<Record<string, unknown>>,
  place: string,
): string[] {
  const { properties = {}, required = [], additionalProperties = true } = schema;
  const inside = place === "body" ? "" : `${place}.`;
  const faults: string[] = [];
  for (const name of required) {
    if (!Object.hasOwn(value, name)) faults.push(`${inside}${name} is missing`);
  }
  for (const [name, member] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
    if (known === false)
      faults.push(unknownName(`field in ${place}`, name, Object.keys(properties)));
    else if (typeof known === "object")
      faults.push(...faultsOf(known, member, `${inside}${clipped(name)}`));
  }
  return faults;
}
