// What the node says of itself: live, ready, metrics, limits, and the description of this door.

import { limits } from "../../src/limits.ts";
import { mediaTypes } from "../contract/names.ts";
import { respond } from "./answer-heads.ts";
import type { Call } from "./call.ts";
import { docsPage, type ShownDocument } from "./docs-page.ts";
import { metricsPage } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";
import { route, type Route } from "./route.ts";

const none = { query: {}, headers: {} } as const;

export const nodeRoutes: readonly Route[] = [
  route({
    ...none,
    id: "isLive",
    method: "GET",
    path: "/livez",
    summary: "The process answers",
    action: "describe",
    resource: "public",
    answers: { 200: { description: "It does", shape: "Live" } },
    handle: (call) => call.json(200, { live: true }),
  }),
  route({
    ...none,
    id: "isReady",
    method: "GET",
    path: "/readyz",
    summary: "The node takes requests, or why not",
    action: "describe",
    resource: "public",
    answers: {
      200: { description: "Ready", shape: "Ready" },
      503: { description: "Not ready, and why", shape: "Ready" },
    },
    handle: isReady,
  }),
  route({
    ...none,
    id: "getMetrics",
    method: "GET",
    path: "/metrics",
    summary: "Metrics in Prometheus text format",
    action: "describe",
    resource: "cluster",
    answers: { 200: { description: "All metrics", shape: null, mediaType: mediaTypes.metrics } },
    handle(call) {
      const head = { status: 200, type: mediaTypes.metrics };
      return respond(call.visit, head, metricsPage(call.services));
    },
  }),
  route({
    ...none,
    id: "getLimits",
    method: "GET",
    path: "/v1/limits",
    summary: "Every size, count and wait that a caller may reach",
    action: "describe",
    resource: "public",
    answers: { 200: { description: "Bytes, ms and counts, by name", shape: "Limits" } },
    handle: (call) => call.json(200, limits),
  }),
  route({
    ...none,
    id: "getOpenApi",
    method: "GET",
    path: "/v1/openapi.json",
    summary: "This document",
    action: "describe",
    resource: "public",
    answers: { 200: { description: "OpenAPI 3.1", shape: null, mediaType: mediaTypes.json } },
    handle: (call) => call.text(200, openApiText(call)),
  }),
  route({
    ...none,
    id: "getDocs",
    method: "GET",
    path: "/docs",
    summary: "This document as a page to read",
    action: "describe",
    resource: "public",
    answers: { 200: { description: "HTML", shape: null, mediaType: mediaTypes.html } },
    handle(call) {
      // The page needs nothing from anywhere, and may ask for nothing.
      call.setHeader(
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
      );
      page ??= docsPage(JSON.parse(openApiText(call)) as ShownDocument);
      return respond(call.visit, { status: 200, type: mediaTypes.html }, page);
    },
  }),
];

function isReady(call: Call): Response {
  const { broker, closing } = call.services;
  const { ready, reason } = broker.status();
  if (closing.aborted) return call.json(503, { ready: false, reason: "The node is stopping" });
  return call.json(ready ? 200 : 503, { ready, reason });
}

let text: string | null = null;
let page: string | null = null;

/** Built when it is first asked for: a node that nobody asks pays nothing. */
function openApiText(call: Call): string {
  text ??= `${JSON.stringify(openApiDocument(call.services.routes, call.services.broker.status().version))}\n`;
  return text;
}
