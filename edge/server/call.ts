// One call of a route: what was asked, checked by the route's declaration, and the ways to answer.

import {
  anonymous,
  theCluster,
  thePublic,
  type Principal,
  type Resource,
} from "../../src/authorize.ts";
import { unreachable } from "../../src/assert.ts";
import type { ReadConsistency } from "../../src/broker/broker.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import { headerNames, mediaTypes } from "../contract/names.ts";
import { faultsOf } from "./validate.ts";
import type { Schema } from "../contract/schema.ts";
import { nodeIdSchema, partitionSchema, shapes, type BodyTypes } from "../contract/shapes.ts";
import { respond } from "./answer-heads.ts";
import { readBody } from "./body.ts";
import { parseHeaders, parseQuery, type Values } from "./fields.ts";
import { JsonFault, parseStrictJson } from "./json-reader.ts";
import { problemResponse } from "./problem.ts";
import type { Fields, Parsed, Route } from "./route.ts";
import type { Services } from "./services.ts";
import { decodeUtf8 } from "../../src/bytes/unicode.ts";
import type { Visit } from "./visit.ts";
import { clipped } from "./validate.ts";

/** Parameters of the path; "" and -1 where the route has none. */
interface PathValues {
  readonly topic: string;
  readonly partition: number;
  readonly node: number;
}

const noPath: PathValues = { topic: "", partition: -1, node: -1 };

export class Call<Q extends Fields = Fields, H extends Fields = Fields> {
  readonly services: Services;
  readonly visit: Visit;
  readonly route: Route;
  readonly query: Parsed<Q>;
  readonly header: Parsed<H>;
  readonly principal: Principal;
  /** The topic's name, also on routes by id. */
  readonly topic: string;
  readonly partition: number;
  readonly node: number;

  constructor(
    services: Services,
    visit: Visit,
    parts: { route: Route; path: PathValues; query: Values; header: Values },
  ) {
    this.services = services;
    this.visit = visit;
    this.route = parts.route;
    this.query = parts.query as Parsed<Q>;
    this.header = parts.header as Parsed<H>;
    this.principal = anonymous;
    this.topic = parts.path.topic;
    this.partition = parts.path.partition;
    this.node = parts.path.node;
  }

  /** How fresh a read must be; undefined: as the leader has it. */
  get consistency(): ReadConsistency | undefined {
    const header = this.header as { readonly [headerNames.consistency]?: ReadConsistency };
    return header[headerNames.consistency];
  }

  /** Says which node led the one partition that this answer is about, and in which term. */
  tellLeader(partition: number, term: number): void {
    this.setHeader(headerNames.term, String(term));
    const leader = this.services.broker.leaderOf(this.topic, partition);
    if (leader !== null) this.setHeader(headerNames.leader, String(leader.nodeId));
  }

  /** Answers a JSON value. */
  json(status: number, value: unknown): Response {
    return this.text(status, `${JSON.stringify(value)}\n`);
  }

  /** Answers a text that is JSON already. */
  text(status: number, text: string): Response {
    return respond(this.visit, { status, type: mediaTypes.json }, text);
  }

  refuse(refusal: Refusal): Response {
    return refuseVisit(this.visit, refusal);
  }

  setHeader(name: string, value: string): void {
    this.visit.ownHeaders[name] = value;
  }

  /** The body's media type, without parameters and in lower case; "" when there is none. */
  get mediaType(): string {
    const type = this.visit.headers[headerNames.contentType] ?? "";
    if (type === mediaTypes.json) return type;
    const end = type.indexOf(";");
    return (end < 0 ? type : type.slice(0, end)).trim().toLowerCase();
  }

  /** The body within the limits of size and time. */
  body(): Promise<Uint8Array | Refusal> {
    return readBody(this.services, this.visit);
  }

  /** A small JSON body of the shape, or what is wrong with it. */
  async jsonBody<S extends keyof BodyTypes>(
    shape: S,
  ): Promise<{ readonly ok: true; readonly value: BodyTypes[S] } | Refusal> {
    if (this.mediaType !== mediaTypes.json) return wrongMediaType(this.mediaType, this.route);
    const bytes = await this.body();
    if (!(bytes instanceof Uint8Array)) return bytes;
    const parsed = parseJsonBody(bytes);
    if (!parsed.ok) return parsed;
    const faults = faultsOf(shapes[shape], parsed.value, "body");
    if (faults.length === 0) return { ok: true, value: parsed.value as BodyTypes[S] };
    const errors = faults.map((detail) => ({ code: "invalid_request", detail }));
    return refuse("invalid_request", faults[0], { members: { errors } });
  }
}

/** Answers a refusal; the connection is closed when a long body is left unread. */
export function refuseVisit(visit: Visit, refusal: Refusal): Response {
  if (bodyIsLeft(refusal) || leavesBody(visit)) visit.ownHeaders["connection"] = "close";
  return problemResponse(refusal, visit);
}

/** The body was given up while it came. */
function bodyIsLeft({ code }: Refusal): boolean {
  return code === "body_too_large" || code === "request_body_timeout";
}

const drainBytesMax = 65_536;

/** A body that is longer than what is worth reading to keep the connection. */
export function leavesBody({ request, headers }: Visit): boolean {
  if (request.body === null || request.bodyUsed) return false;
  return !(Number(headers["content-length"] ?? Infinity) <= drainBytesMax);
}

/** The call of a route, or the refusal of what was asked. */
export function openCall(services: Services, visit: Visit, route: Route): Call | Refusal {
  const path = parsePath(services, visit, route);
  if ("ok" in path) return path;
  const query = parseQuery(visit.search, route.query);
  if (!query.ok) return query;
  const header = parseHeaders(visit.headers, route.headers);
  if (!header.ok) return header;
  const call = new Call(services, visit, {
    route,
    path,
    query: query.values,
    header: header.values,
  });
  const resource = resourceOf(route, call.topic);
  if (services.options.authorize(call.principal, route.action, resource)) return call;
  const code =
    route.resource === "topic" ? "topic_authorization_failed" : "cluster_authorization_failed";
  return refuse(
    code,
    `${call.principal.name} may not ${route.action} ${resource.type} ${call.topic}`,
  );
}

function resourceOf(route: Route, topic: string): Resource {
  switch (route.resource) {
    case "topic":
      return { type: "topic", name: topic };
    case "cluster":
      return theCluster;
    case "public":
      return thePublic;
    default:
      return unreachable(route.resource);
  }
}

/** Every parameter stands in one place: /v1/topics/{topic}/partitions/{partition}/..., /v1/cluster/nodes/{node} */
function parsePath(services: Services, visit: Visit, route: Route): PathValues | Refusal {
  if (!route.path.includes("{")) return noPath;
  const segments = visit.path.split("/");
  if (route.path.includes("{node}")) {
    const node = wholeNumber(segments[4], nodeIdSchema, "node in the path");
    return typeof node === "number" ? { ...noPath, node } : node;
  }
  const name = decodeSegment(segments[3]);
  if (name === null) return badPath(`"${clipped(segments[3])}" is not percent-encoded UTF-8`);
  let topic = name;
  if (route.path.startsWith("/v1/topic-ids/")) {
    const view = services.broker.topicById(name.toLowerCase());
    if (view === null) return refuse("unknown_topic_id", `No topic has the id ${clipped(name)}`);
    topic = view.name;
  }
  if (!route.path.includes("{partition}")) return { ...noPath, topic };
  const partition = wholeNumber(segments[5], partitionSchema, "partition in the path");
  return typeof partition === "number" ? { ...noPath, topic, partition } : partition;
}

function wholeNumber(text: string, schema: Schema, name: string): number | Refusal {
  const value = /^(?:0|[1-9]\d{0,9})$/.test(text) ? Number(text) : text;
  const faults = faultsOf(schema, value, name);
  return faults.length > 0 || typeof value === "string" ? badPath(faults.join("; ")) : value;
}

function badPath(detail: string): Refusal {
  return refuse("invalid_request", detail);
}

function decodeSegment(segment: string): string | null {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

export function parseJsonBody(
  bytes: Uint8Array,
): { readonly ok: true; readonly value: unknown } | Refusal {
  const text = decodeUtf8(bytes);
  if (text === null) return refuse("invalid_request", "The body is not valid UTF-8");
  try {
    return { ok: true, value: parseStrictJson(text) };
  } catch (thrown) {
    if (!(thrown instanceof JsonFault)) throw thrown;
    return refuse("invalid_request", `The body is not the JSON that is wanted: ${thrown.message}`);
  }
}

export function wrongMediaType(found: string, route: Route): Refusal {
  const wanted = Object.keys(route.bodies ?? {}).join(", ");
  const what = found === "" ? "none" : clipped(found);
  return refuse("unsupported_media_type", `Content-Type must be one of ${wanted}; got ${what}`);
}
