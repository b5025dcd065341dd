// One request as the door first sees it: its path, headers and id taken out once.

import { headerNames } from "../contract/names.ts";
import type { AnswerHeads } from "./answer-heads.ts";
import type { Services } from "./services.ts";

/** What the runtime adapter knows about a request. */
export interface RequestInfo {
  /** The runtime's parser holds the body to Content-Length, so that it need not be counted while it is read. */
  readonly framed: boolean;
}

export type HeaderTable = Readonly<Record<string, string>>;

export interface Visit {
  readonly request: Request;
  readonly info: RequestInfo;
  /** As sent, percent-encoding and all. */
  readonly path: string;
  /** Behind the "?", or "". */
  readonly search: string;
  /** Lower-case names. A name that came twice has its values joined by ", ". */
  readonly headers: HeaderTable;
  readonly requestId: string;
  readonly heads: AnswerHeads;
  /** Headers of this answer beside those that all have; completed by whoever answers. */
  readonly ownHeaders: Record<string, string>;
}

/** W3C Trace Context: version, trace id, parent id, flags; a version to come may add to them. Ids of zeros are none. */
const saneTraceparent =
  /^(?:00(?=.{53}$)|(?!00|ff)[\da-f]{2})-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(?:-[\w-]{0,200})?$/;

/** The caller's trace as it goes into logs; null when it sent none, or nonsense. */
export function traceparentOf({ headers }: Visit): string | null {
  const text = headers[headerNames.traceparent];
  return text !== undefined && saneTraceparent.test(text) ? text : null;
}

const saneRequestId = /^[A-Za-z0-9._:@/+=-]{1,128}$/;

export function openVisit(services: Services, request: Request, info: RequestInfo): Visit {
  const headers = headersOf(request);
  const { url } = request;
  const scheme = url.indexOf("://");
  const start = scheme < 0 ? 0 : url.indexOf("/", scheme + 3);
  const query = url.indexOf("?", start);
  const hash = url.indexOf("#", start);
  const end = hash < 0 ? url.length : hash;
  const asked = headers[headerNames.requestId];
  const requestId =
    asked !== undefined && saneRequestId.test(asked) ? asked : services.nextRequestId();
  return {
    request,
    info,
    headers,
    requestId,
    path: url.slice(start, query < 0 ? end : query),
    search: query < 0 ? "" : url.slice(query + 1, end),
    heads: services.heads,
    ownHeaders: {},
  };
}

/** Bun can give all headers at once; elsewhere they are walked. */
function headersOf(request: Request): HeaderTable {
  const headers = request.headers as Headers & { toJSON?(): Record<string, string> };
  return headers.toJSON?.() ?? Object.fromEntries(headers);
}
