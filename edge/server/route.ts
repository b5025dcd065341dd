// What a route declares: method, path, who may, its query, headers and bodies, its answers, and the handler.
//
// One declaration gives validation (call.ts), the OpenAPI document (openapi.ts) and (action, resource) for authorize.
// Promise: a handler sees only values that its declaration let through.

import type { Action } from "../../src/authorize.ts";
import type { ShapeName } from "../contract/shapes.ts";
import type { Schema } from "../contract/schema.ts";
import type { Call } from "./call.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** One query name or request header. */
export interface Field {
  readonly schema: Schema;
  /** May come more than once; the value is then a list. */
  readonly repeated?: true;
  readonly required?: true;
}
export type Fields = Readonly<Record<string, Field>>;

type ValueOf<F extends Field> = F["schema"] extends { readonly type: "integer" }
  ? number
  : F["schema"] extends { readonly type: "boolean" }
    ? boolean
    : F["schema"] extends { readonly enum: readonly (infer V)[] }
      ? V
      : string;

/** The parsed values of declared fields; those that were not sent are undefined. */
export type Parsed<T extends Fields> = {
  readonly [K in keyof T]: T[K] extends { readonly repeated: true }
    ? readonly ValueOf<T[K]>[] | undefined
    : ValueOf<T[K]> | undefined;
};

/** One answer: what it means and the shape of its body. */
export interface Answer {
  readonly description: string;
  /** null: no body, or one that is no JSON (`mediaType` says which). */
  readonly shape: ShapeName | null;
  readonly mediaType?: string;
  /** Other media types of the same answer, each with its shape: of lines, the shape of one line. */
  readonly also?: Readonly<Record<string, ShapeName>>;
  readonly headers?: readonly string[];
}

export interface RouteDeclaration<Q extends Fields, H extends Fields> {
  /** operationId of the document and label of the metrics. */
  readonly id: string;
  readonly method: Method;
  /** "{topic}", "{topicId}", "{partition}" and "{node}" are parameters. */
  readonly path: string;
  readonly summary: string;
  readonly action: Action;
  readonly resource: "topic" | "cluster" | "public";
  /** What it asks for is a leader's to do: a caller may want to be sent there (forwarding.ts). */
  readonly redirects?: true;
  readonly query: Q;
  readonly headers: H;
  /** Media types taken, each with its shape; null: bytes as they are. */
  readonly bodies?: Readonly<Record<string, ShapeName | null>>;
  readonly answers: Readonly<Record<number, Answer>>;
  readonly handle: (call: Call<Q, H>) => Response | Promise<Response>;
}

/** A declaration whose own types are forgotten: a row of the routing table. */
export type Route = RouteDeclaration<Fields, Fields>;

/** Checks the handler against its declaration, then forgets the types. */
export function route<const Q extends Fields, const H extends Fields>(
  declaration: RouteDeclaration<Q, H>,
): Route {
  return declaration as unknown as Route;
}

/** The table with each row a second time under the topic's id. */
export function withTopicIds(routes: readonly Route[]): readonly Route[] {
  const byName = "/v1/topics/{topic}";
  const byId = routes
    .filter((route) => route.path.startsWith(byName) && route.id !== "ensureTopic")
    .map((route) => ({
      ...route,
      id: `${route.id}ById`,
      path: `/v1/topic-ids/{topicId}${route.path.slice(byName.length)}`,
      summary: `${route.summary} (by topic id)`,
    }));
  return [...routes, ...byId];
}
