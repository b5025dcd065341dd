// Holds answers against the door's own OpenAPI document, with a validator that nobody here wrote.
//
// Stricter than the document: a field that it does not name fails too, so that no answer says what is written nowhere.

import Ajv2020 from "ajv/dist/2020.js";
import type { ValidateFunction } from "ajv";
import { openApiDocument } from "../../edge/server/openapi.ts";
import { routes } from "../../edge/server/door.ts";

interface MediaType {
  readonly schema?: unknown;
}
interface Answer {
  readonly content?: Readonly<Record<string, MediaType>>;
}
interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, Answer>>;
}
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

export const document = openApiDocument(routes, "0.1.0") as unknown as Document;

const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addSchema({ $id: "doc", components: closed(document.components) });
const validators = new Map<string, ValidateFunction>();

/** Throws when the document does not allow the answer. */
export function checkAnswer(
  request: { readonly method: string; readonly path: string },
  answer: { readonly status: number; readonly contentType: string; readonly text: string },
): void {
  const operation = operationOf(request);
  const declared = operation?.responses[answer.status] ?? operation?.responses["default"];
  const where = `${request.method} ${request.path}: ${answer.status} ${answer.contentType}`;
  const content = (declared ?? problemOnly).content;
  if (content === undefined) {
    if (answer.text !== "") throw new Error(`${where}: no body is declared, got ${answer.text}`);
    return;
  }
  const mediaType = content[answer.contentType];
  if (mediaType === undefined) {
    throw new Error(`${where}: declared are ${Object.keys(content).join(", ")}; ${answer.text}`);
  }
  if (mediaType.schema === undefined || answer.text === "") return;
  const validate = validatorOf(mediaType.schema);
  const lines = answer.contentType === "application/x-ndjson";
  for (const text of lines ? answer.text.trimEnd().split("\n") : [answer.text]) {
    if (validate(JSON.parse(text))) continue;
    throw new Error(`${where}: ${ajv.errorsText(validate.errors)} in ${text}`);
  }
}

const problemOnly: Answer = {
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
};

function operationOf({ method, path }: { method: string; path: string }): Operation | undefined {
  const pathname = path.split("?")[0] ?? "";
  for (const [template, operations] of Object.entries(document.paths)) {
    const pattern = new RegExp(`^${template.replaceAll(/\{\w+\}/g, "[^/]+")}$`);
    if (pattern.test(pathname)) return operations[method.toLowerCase()];
  }
  return undefined;
}

function validatorOf(schema: unknown): ValidateFunction {
  const text = JSON.stringify(schema).replaceAll('"#/components', '"doc#/components');
  const known = validators.get(text) ?? ajv.compile(JSON.parse(text) as object);
  validators.set(text, known);
  return known;
}

/** Every object that names its fields takes no others. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, member]) => [name, closed(member)]);
  const object = Object.fromEntries(entries) as Record<string, unknown>;
  if (object["properties"] !== undefined) object["additionalProperties"] ??= false;
  return object;
}
