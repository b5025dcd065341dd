// Problems: how a refusal is told (RFC 9457). One shape for everything that goes wrong, read from the one table of codes.

import { codes, type Refusal } from "../../src/errors.ts";
import { mediaTypes } from "../contract/names.ts";
import { respond } from "./answer-heads.ts";
import type { Visit } from "./visit.ts";

/** One place of a list of errors: which record, what, why. */
export interface InputError {
  /** Position in `records`; absent when the fault is of the body as a whole. */
  readonly index?: number;
  readonly code: string;
  readonly detail: string;
}

export type Problem = Readonly<Record<string, unknown>> & { readonly status: number };

/** The problem as a JSON value. `type` is a relative URI: the code names it, no site has to answer for it. */
export function problemOf(refusal: Refusal, requestId: string): Problem {
  const { http, title, retryable } = codes[refusal.code];
  const { code, detail, sideEffects, retryAfterMs } = refusal;
  return {
    type: `/problems/${code}`,
    title,
    status: http,
    detail,
    instance: `urn:rivulet:request:${requestId}`,
    code,
    retryable,
    sideEffects,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...refusal.members,
  };
}

/** Answers the problem. */
export function problemResponse(refusal: Refusal, visit: Visit): Response {
  const problem = problemOf(refusal, visit.requestId);
  visit.ownHeaders["cache-control"] = "no-store";
  if (refusal.retryAfterMs !== undefined) {
    const seconds = Math.max(1, Math.ceil(refusal.retryAfterMs / 1_000));
    visit.ownHeaders["retry-after"] = String(seconds);
  }
  const head = { status: problem.status, type: mediaTypes.problem };
  return respond(visit, head, `${JSON.stringify(problem)}\n`);
}
