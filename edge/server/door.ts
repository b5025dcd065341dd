// The HTTP door: a Hono app over one broker. Created after the broker, closed before it.
//
//   request -> visit (path, headers, id) -> gate (Host, Origin, sizes) -> Hono's router -> call (checked) -> handler
//           <- counted and logged        <- a problem where anything was refused or thrown
//
// Promise: every answer is one of the declared shapes or a problem; a thrown fault never leaves it as anything else.
// Left to others: sockets (serve.ts), what a request does (the route files), storage (the broker).

import { Hono } from "hono";
import { allowAll } from "../../src/authorize.ts";
import type { Broker } from "../../src/broker/broker.ts";
import type { SlabPool } from "../../src/bytes/slab.ts";
import { Fault, refusalOf, refuse, type Refusal } from "../../src/errors.ts";
import type { World } from "../../src/world.ts";
import { openCall, refuseVisit } from "./call.ts";
import { BodyDecoder } from "./content-encoding.ts";
import { Deadlines } from "./deadlines.ts";
import { AnswerHeads } from "./answer-heads.ts";
import { clusterRoutes } from "./cluster.ts";
import { fenceRoutes } from "./fences.ts";
import { redirectOf } from "./forwarding.ts";
import { answerOptions, refusedAtGate } from "./gate.ts";
import { DoorMetrics } from "./metrics.ts";
import { nodeRoutes } from "./node-routes.ts";
import { producerRoutes } from "./producers.ts";
import { readRoutes } from "./read.ts";
import { withTopicIds, type Route } from "./route.ts";
import type { DoorOptions, Services } from "./services.ts";
import { tailRoutes } from "./tail.ts";
import { TailHub } from "./tail-hub.ts";
import { topicRoutes } from "./topics.ts";
import { openVisit, traceparentOf, type RequestInfo, type Visit } from "./visit.ts";
import { Waiters } from "./waiters.ts";
import { writeRoutes } from "./write.ts";

export interface DoorParts {
  readonly broker: Broker;
  readonly slabs: SlabPool;
  readonly world: World;
  readonly options?: Partial<DoorOptions>;
}

export interface Door {
  /** Answers one request. Never throws. */
  fetch(request: Request, info?: RequestInfo): Response | Promise<Response>;
  /** Ends waits and tails, refuses what comes after. Idempotent; the broker stays open. */
  close(): void;
  /** The routing table. */
  readonly routes: readonly Route[];
}

const defaults: DoorOptions = {
  hosts: "loopback",
  advertisedHost: null,
  corsOrigins: [],
  requestTimeoutMs: 30_000,
  authorize: allowAll,
  log: null,
};

/** The routing table: all that this door can do. */
export const routes: readonly Route[] = [
  ...nodeRoutes,
  ...clusterRoutes,
  ...producerRoutes,
  ...withTopicIds([...writeRoutes, ...readRoutes, ...tailRoutes, ...topicRoutes, ...fenceRoutes]),
];

export function createDoor({ broker, slabs, world, options = {} }: DoorParts): Door {
  const closing = new AbortController();
  const services: Services = {
    broker,
    slabs,
    world,
    routes,
    options: { ...defaults, ...options },
    metrics: new DoorMetrics(),
    deadlines: new Deadlines(world),
    heads: new AnswerHeads(broker, world),
    decoder: new BodyDecoder(),
    waiters: new Waiters(),
    tails: new TailHub(broker, world),
    nextKeylessPartition: roundRobin(world),
    nextRequestId: requestIds(world),
    closing: closing.signal,
  };
  const app = createApp(services);
  return {
    routes,
    fetch: (request, info = { framed: false }) => enter(services, app, { request, info }),
    close() {
      if (closing.signal.aborted) return;
      closing.abort();
      services.deadlines.close();
    },
  };
}

type App = Hono<{ Bindings: Visit }>;

/** Hono sees the path as it was sent: "%2F" must not become a separator, nor a bad escape an error of the router. */
function createApp(services: Services): App {
  const app: App = new Hono({
    getPath: (_request, visit) => (visit === undefined ? "" : (visit.env as unknown as Visit).path),
  });
  for (const route of routes) {
    const path = route.path.replaceAll(/\{(\w+)\}/g, ":$1");
    app.on(route.method, path, (c) => answer(services, c.env, route));
  }
  app.notFound((c) => answerUnrouted(services, c.env));
  return app;
}

function enter(
  services: Services,
  app: App,
  { request, info }: { request: Request; info: RequestInfo },
): Response | Promise<Response> {
  const visit = openVisit(services, request, info);
  const refused = refusedAtGate(services, visit);
  if (refused !== null) return finish(services, visit, { id: "gate", startedAt: 0 }, { refused });
  return app.fetch(request, visit);
}

interface Started {
  readonly id: string;
  /** world.monotonic() */
  readonly startedAt: number;
}

/** One routed request, from declaration to answer. */
function answer(services: Services, visit: Visit, route: Route): Response | Promise<Response> {
  const started = { id: route.id, startedAt: services.world.monotonic() };
  try {
    if (services.closing.aborted && route.resource !== "public") {
      return finish(services, visit, started, { refused: stopping });
    }
    const call = openCall(services, visit, route);
    if ("ok" in call) return finish(services, visit, started, { refused: call });
    const answered = redirectOf(call) ?? route.handle(call);
    if (answered instanceof Response)
      return finish(services, visit, started, { response: answered });
    return answered.then(
      (response) => finish(services, visit, started, { response }),
      (thrown: unknown) => finish(services, visit, started, { thrown }),
    );
  } catch (thrown) {
    return finish(services, visit, started, { thrown });
  }
}

const stopping = refuse(
  "shutting_down",
  "The node is stopping; another attempt may reach it again",
  {
    retryAfterMs: 1_000,
  },
);

type Outcome =
  { readonly response: Response } | { readonly refused: Refusal } | { readonly thrown: unknown };

function finish(services: Services, visit: Visit, started: Started, outcome: Outcome): Response {
  const response = responseOf(visit, outcome);
  const { metrics, options, world } = services;
  const ms = started.startedAt === 0 ? 0 : world.monotonic() - started.startedAt;
  metrics.answered(started.id, response.status, ms);
  if (options.log !== null) logAnswer(services, visit, { outcome, status: response.status });
  return response;
}

function responseOf(visit: Visit, outcome: Outcome): Response {
  if ("response" in outcome) return outcome.response;
  if ("refused" in outcome) return refuseVisit(visit, outcome.refused);
  return refuseVisit(visit, refusalOf(outcome.thrown));
}

function logAnswer(
  { options }: Services,
  visit: Visit,
  { outcome, status }: { outcome: Outcome; status: number },
): void {
  const cause = "thrown" in outcome ? outcome.thrown : undefined;
  const unexpected = cause !== undefined && !(cause instanceof Fault);
  options.log?.({
    level: unexpected ? "error" : status >= 500 ? "warn" : "debug",
    message: unexpected ? "A request met an unexpected error" : "Request answered",
    requestId: visit.requestId,
    traceparent: traceparentOf(visit),
    method: visit.request.method,
    path: visit.path,
    status,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** OPTIONS, a method that the path does not have, or no such path. */
function answerUnrouted(services: Services, visit: Visit): Response {
  const started = { id: "unrouted", startedAt: 0 };
  const methods = routes.filter((route) => matches(route, visit.path)).map(({ method }) => method);
  if (methods.length === 0) {
    const detail = `No route has the path ${JSON.stringify(visit.path.slice(0, 200))}; GET /v1/openapi.json lists all`;
    return finish(services, visit, started, { refused: refuse("not_found", detail) });
  }
  const allowed = [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"];
  if (visit.request.method === "OPTIONS") {
    return finish(services, visit, started, { response: answerOptions(visit, allowed) });
  }
  visit.ownHeaders["allow"] = allowed.join(", ");
  const detail = `${visit.path.slice(0, 200)} takes ${allowed.join(", ")}, got ${visit.request.method}`;
  return finish(services, visit, started, { refused: refuse("method_not_allowed", detail) });
}

function matches(route: Route, path: string): boolean {
  const wanted = route.path.split("/");
  const found = path.split("/");
  if (wanted.length !== found.length) return false;
  return wanted.every((segment, i) =>
    segment.startsWith("{") ? found[i] !== "" : segment === found[i],
  );
}

/** Keyless records of one request go to one partition, those of the next request to the next one. */
function roundRobin(world: World): (partitions: number) => number {
  let next = Math.floor(world.random() * 0x7fffffff);
  return (partitions) => next++ % partitions;
}

function requestIds(world: World): () => string {
  const prefix = Array.from(world.randomBytes(6), (byte) => byte.toString(16).padStart(2, "0"));
  let next = 0;
  return () => `${prefix.join("")}-${(next++).toString(36)}`;
}
