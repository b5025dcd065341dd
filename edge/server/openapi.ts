// The OpenAPI 3.1 document, out of the routes' own declarations: nothing in it is written a second time.

import { codes } from "../../src/errors.ts";
import { headerNames, mediaTypes } from "../contract/names.ts";
import { ref, type Schema } from "../contract/schema.ts";
import { nodeIdSchema, partitionSchema, shapes } from "../contract/shapes.ts";
import { commonHeaders } from "./fields.ts";
import { redirectAnswers } from "./forwarding.ts";
import type { Answer, Field, Fields, Route } from "./route.ts";

type Json = Readonly<Record<string, unknown>>;

/** The document of these routes. */
export function openApiDocument(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = (paths[route.path] ??= {});
    path[route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Rivulet",
      version,
      summary: "A distributed commit log over HTTP",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [],
    paths,
    components: { schemas: shapes, headers: answerHeaders() },
  };
}

function operation(route: Route): Json {
  const parameters = [
    ...pathParameters(route.path),
    ...fieldParameters(route.query, "query"),
    ...fieldParameters(route.headers, "header"),
    ...fieldParameters(commonHeaders, "header"),
  ];
  return {
    operationId: route.id,
    summary: route.summary,
    "x-rivulet-action": route.action,
    "x-rivulet-resource": route.resource,
    parameters,
    ...(route.bodies === undefined ? {} : { requestBody: requestBody(route) }),
    responses: responses(route),
  };
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: pathSchemas[name] ?? { type: "string" },
  }));
}

const pathSchemas: Readonly<Record<string, Schema>> = {
  partition: partitionSchema,
  node: nodeIdSchema,
};

function fieldParameters(fields: Fields, place: "query" | "header"): Json[] {
  return Object.entries(fields).map(([name, field]: [string, Field]) => {
    const { schema, repeated, required } = field;
    return {
      name,
      in: place,
      ...(schema.description === undefined ? {} : { description: schema.description }),
      ...(required === true ? { required } : {}),
      schema: repeated === true ? { type: "array", items: schema } : schema,
    };
  });
}

function requestBody(route: Route): Json {
  const content = Object.entries(route.bodies ?? {}).map(([type, shape]) => [
    type,
    shape === null ? {} : { schema: ref(shape) },
  ]);
  return { required: route.id !== "ensureTopic", content: Object.fromEntries(content) };
}

function responses(route: Route): Json {
  const redirect = route.redirects === true ? redirectAnswers : {};
  const declared = Object.entries({ ...route.answers, ...redirect }).map(([status, answer]) => [
    status,
    response(answer),
  ]);
  const refusals = { description: refusalText, content: problemContent, headers: headerRefs() };
  return { ...Object.fromEntries(declared), default: refusals };
}

const problemContent = { [mediaTypes.problem]: { schema: ref("Problem") } };
const refusalText = `A problem; code is one of ${Object.keys(codes).join(", ")}`;

function response(answer: Answer): Json {
  const { description, shape, mediaType = mediaTypes.json, also = {}, headers = [] } = answer;
  const hasBody = shape !== null || answer.mediaType !== undefined;
  const schema = shape === null ? {} : { schema: ref(shape) };
  const others = Object.fromEntries(
    Object.entries(also).map(([type, name]) => [type, { schema: ref(name) }]),
  );
  const own = headers.map((name) => [name, { schema: { type: "string" } }]);
  return {
    description,
    headers: { ...headerRefs(), ...Object.fromEntries(own) },
    ...(hasBody ? { content: { [mediaType]: schema, ...others } } : {}),
  };
}

const everyAnswer = {
  [headerNames.version]: "The node's version",
  [headerNames.node]: "The node that answered",
  [headerNames.term]:
    "The term in which it was so: the partition's, where the answer is about one, else the controller's",
  [headerNames.leader]: "The node that leads the one partition that the answer is about, if known",
  [headerNames.requestId]: "The caller's id if it was sane, else the node's",
} as const;

function answerHeaders(): Json {
  const entries = Object.entries(everyAnswer).map(([name, description]) => [
    name,
    { description, schema: { type: "string" } },
  ]);
  return Object.fromEntries(entries);
}

function headerRefs(): Json {
  const names = Object.keys(everyAnswer);
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}
