// The gate: what is decided about a request before its route is known and before its body is read.
//
//   URL and headers too long -> Host -> Origin -> (preflight answered here) -> the route
//
// Promise: a web page cannot reach a developer's log: neither under a foreign name that resolves to this machine (Host),
// nor from an origin that was not listed (Origin). Left to others: authorize, which each route asks for itself.

import { refuse, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { respond } from "./answer-heads.ts";
import type { Services } from "./services.ts";
import { clipped } from "./validate.ts";
import type { Visit } from "./visit.ts";

/** null: the request may go on. */
export function refusedAtGate(services: Services, visit: Visit): Refusal | null {
  return tooLong(visit) ?? foreignHost(services, visit) ?? foreignOrigin(services, visit);
}

function tooLong(visit: Visit): Refusal | null {
  if (visit.request.url.length > limits.urlBytesMax) {
    return refuse("uri_too_long", `A URL may have ${limits.urlBytesMax} bytes`);
  }
  let bytes = 0;
  for (const name in visit.headers) bytes += name.length + visit.headers[name].length + 4;
  if (bytes <= limits.headerBytesMax) return null;
  const detail = `Header fields may have ${limits.headerBytesMax} bytes together, got ${bytes}`;
  return refuse("header_fields_too_large", detail);
}

const loopbackHost =
  /^(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])\.?(?::\d{1,5})?$/i;

/** DNS rebinding: a page's own name may resolve to 127.0.0.1, but the browser still sends that name. A request without a
 *  Host (HTTP/1.0) does not come from a browser. */
function foreignHost(services: Services, visit: Visit): Refusal | null {
  const { hosts, advertisedHost } = services.options;
  if (hosts === "any") return null;
  const host = visit.headers["host"] ?? hostOfUrl(visit.request.url);
  if (host === "" || loopbackHost.test(host)) return null;
  // Behind a proxy on this machine: the operator named the URL, so no page can have made it up.
  if (advertisedHost !== null && host.toLowerCase() === advertisedHost) return null;
  const detail = `This node listens on loopback only and does not answer for host ${clipped(host)}; call it as localhost or 127.0.0.1`;
  return refuse("misdirected_request", detail);
}

function hostOfUrl(url: string): string {
  return /^[a-z]+:\/\/([^/?#]*)/i.exec(url)?.[1] ?? "";
}

function foreignOrigin(services: Services, visit: Visit): Refusal | null {
  const { origin } = visit.headers;
  if (origin === undefined) return null;
  if (services.options.corsOrigins.includes(origin)) {
    visit.ownHeaders["access-control-allow-origin"] = origin;
    visit.ownHeaders["access-control-expose-headers"] = "*, Authorization";
    return null;
  }
  const detail = `Origin ${clipped(origin)} may not call this node; list it with --cors-origin`;
  return refuse("origin_not_allowed", detail);
}

/** The answer to OPTIONS: the methods of the path, and what a listed origin may send. */
export function answerOptions(visit: Visit, methods: readonly string[]): Response {
  const headers = visit.ownHeaders;
  headers["allow"] = methods.join(", ");
  if (visit.headers["origin"] !== undefined) {
    headers["access-control-allow-methods"] = methods.join(", ");
    const asked = visit.headers["access-control-request-headers"];
    if (asked !== undefined) headers["access-control-allow-headers"] = asked;
    headers["access-control-max-age"] = "600";
    headers["vary"] = "Origin, Authorization, Access-Control-Request-Headers";
  }
  return respond(visit, { status: 204, type: null }, null);
}
