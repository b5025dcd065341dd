// The one error of the client, and how an answer becomes it.
//
// Promise: whoever catches it decides by code, retryable and sideEffects, never by the message. The codes of a node are
// those of its problems (RFC 9457); the client's own stand in clientCodes. An abort is no RivuletError: it rejects with
// the signal's reason, as fetch does.

/** "none": nothing was applied. "unknown": it may have been. */
export type SideEffects = "none" | "unknown";

/** Codes that no node answers. */
export const clientCodes = {
  connection_failed: "No answer came: refused, broken off, or not allowed by the browser",
  attempt_timed_out: "No answer came in time",
  bad_answer: "The answer is none of a Rivulet node",
  buffer_full: "The producer holds as many bytes as it may; await ready()",
  closed: "The producer was closed",
  gap: "Retention has passed the position: records are missing",
  invalid_record: "The record cannot be written as it is",
} as const;

/** What a node says of a refusal; a code may bring members of its own, such as currentOffset. */
export interface Problem {
  readonly code: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly retryable: boolean;
  readonly sideEffects: SideEffects;
  readonly retryAfterMs?: number;
  readonly instance?: string;
  /** Which records are wrong, when the code is of the input. */
  readonly errors?: readonly {
    readonly index?: number;
    readonly code: string;
    readonly detail: string;
  }[];
  readonly [member: string]: unknown;
}

/** Where a record went. */
export interface Receipt {
  readonly partition: number;
  readonly offset: number;
  /** ms since the Unix epoch. */
  readonly timestamp: number;
}

export interface ErrorFacts {
  readonly code: string;
  /** HTTP status; 0 when there was no answer. */
  readonly status?: number;
  readonly retryable?: boolean;
  readonly sideEffects?: SideEffects;
  readonly retryAfterMs?: number | null;
  readonly problem?: Problem | null;
  readonly receipts?: readonly (Receipt | RivuletError)[] | null;
  readonly cause?: unknown;
}

export class RivuletError extends Error {
  override readonly name = "RivuletError";
  readonly code: string;
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** The same request may succeed later. */
  readonly retryable: boolean;
  /** What all attempts together may have left behind. */
  readonly sideEffects: SideEffects;
  /** When the node said to try again, ms, or null. */
  readonly retryAfterMs: number | null;
  /** What the node said, whole; null when there was no answer of a node. */
  readonly problem: Problem | null;
  /** Of a write that succeeded in part: what became of each record, in request order. */
  readonly receipts: readonly (Receipt | RivuletError)[] | null;

  constructor(message: string, facts: ErrorFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = facts.code;
    this.status = facts.status ?? 0;
    this.retryable = facts.retryable ?? false;
    this.sideEffects = facts.sideEffects ?? "none";
    this.retryAfterMs = facts.retryAfterMs ?? null;
    this.problem = facts.problem ?? null;
    this.receipts = facts.receipts ?? null;
  }
}

/** The same error after an earlier attempt whose outcome nobody knows. */
export function afterUnknown(error: RivuletError): RivuletError {
  if (error.sideEffects === "unknown") return error;
  const { message, code, status, retryable, retryAfterMs, problem, receipts, cause } = error;
  const facts = { code, status, retryable, retryAfterMs, problem, receipts, cause };
  return new RivuletError(message, { ...facts, sideEffects: "unknown" });
}

/** Statuses that proxies and platforms answer without a problem, and that pass. */
const passing: Readonly<Record<number, SideEffects>> = {
  408: "unknown",
  429: "none",
  502: "unknown",
  503: "unknown",
  504: "unknown",
};

/** The error of an answer of 400 and above. */
export function errorOfAnswer(answer: {
  readonly status: number;
  readonly headers: Headers;
  readonly json: unknown;
}): RivuletError {
  const { status, headers, json } = answer;
  if (isProblem(json)) return errorOfProblem(json);
  const sideEffects = passing[status] ?? (status < 500 ? "none" : "unknown");
  return new RivuletError(`Answered ${status} by something that is no Rivulet node`, {
    code: "bad_answer",
    status,
    retryable: status in passing,
    sideEffects,
    retryAfterMs: retryAfter(headers),
  });
}

export function errorOfProblem(problem: Problem): RivuletError {
  const { code, status, retryable, sideEffects, retryAfterMs, detail } = problem;
  return new RivuletError(`${code}: ${detail}`, {
    code,
    status,
    retryable,
    sideEffects,
    retryAfterMs: retryAfterMs ?? null,
    problem,
  });
}

/** Whether a value of an answer can be told as a problem. */
export function isProblem(value: unknown): value is Problem {
  if (typeof value !== "object" || value === null) return false;
  const { code, detail, status } = value as Partial<Problem>;
  return typeof code === "string" && typeof detail === "string" && typeof status === "number";
}

/** Retry-After in seconds, the form that machines send. */
function retryAfter(headers: Headers): number | null {
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  return seconds >= 0 ? seconds * 1_000 : null;
}
