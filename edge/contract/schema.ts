// The part of JSON Schema (2020-12) in which the door's shapes are declared: plain data, read by the validator, by the
// OpenAPI document and by whoever wants to know what a field is.
//
// Promise: what is declared here is all that validate.ts knows, so a schema cannot promise a check that nobody makes.

export type JsonType = "string" | "integer" | "number" | "boolean" | "object" | "array" | "null";

export interface Schema {
  readonly type?: JsonType | readonly JsonType[];
  readonly description?: string;
  readonly enum?: readonly (string | number)[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly default?: string | number | boolean;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  /** false: an unknown name is refused. A schema: every other value is of it. */
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly anyOf?: readonly Schema[];
  /** "#/components/schemas/Name", a row of shapes.ts. Documents only: what the door itself validates is spelled out. */
  readonly $ref?: string;
}

export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** A list of them. */
export const listOf = (items: Schema): Schema => ({ type: "array", items });

/** An object whose named fields are all there unless listed as optional; answers may gain fields, requests may not. */
export function answer(
  properties: Readonly<Record<string, Schema>>,
  optional: readonly string[] = [],
): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", properties, required };
}
