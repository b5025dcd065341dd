// One write request: its body, its headers, and what became of each record.

import { headerNames, mediaTypes } from "../contract/names.ts";
import type { Environment } from "./environment.ts";
import { errorOfProblem, isProblem, RivuletError, type Receipt } from "./errors.ts";
import { segment, type Answer, type Ask } from "./transport.ts";

export interface WriteParts {
  readonly topic: string;
  /** null: each record's own partition or key decides. */
  readonly partition: number | null;
  /** {"records": [...]} as it is sent. Borrowed until the answer. */
  readonly body: Uint8Array | string;
  readonly headers: Readonly<Record<string, string>>;
  readonly query?: URLSearchParams;
  readonly signal?: AbortSignal | undefined;
}

/** Repeatable because headers hold an Idempotency-Key or a sequence: the caller sees to it. */
export function writeAsk(parts: WriteParts): Ask {
  const { topic, partition, body, headers, query, signal } = parts;
  const place = partition === null ? "" : `/partitions/${partition}`;
  return {
    method: "POST",
    path: `/v1/topics/${segment(topic)}${place}/records`,
    headers: { [headerNames.contentType]: mediaTypes.json, ...headers },
    body,
    repeatable: true,
    signal,
    judge: judgeWrite,
    ...(query === undefined ? {} : { query }),
  };
}

/** A key that nobody else has. */
export function newIdempotencyKey(environment: Environment): string {
  let key = "";
  for (const byte of environment.randomBytes(16)) key += byte.toString(16).padStart(2, "0");
  return key;
}

export type Place = Receipt | RivuletError;

/** What became of each record, in request order. Throws `bad_answer` when the answer tells of another number. */
export function placesOf({ status, json }: Answer, count: number): readonly Place[] {
  const { receipts } = json as { readonly receipts?: unknown };
  if (Array.isArray(receipts) && receipts.length === count) return receipts.map(placeOf);
  throw new RivuletError(`Answered ${status} without a receipt for each of ${count} records`, {
    code: "bad_answer",
    status,
    sideEffects: "unknown",
  });
}

function placeOf(place: unknown): Place {
  const { error } = place as { readonly error?: unknown };
  return isProblem(error) ? errorOfProblem(error) : (place as Receipt);
}

/** 207: some are committed. Sent again with the same key it completes what is missing, if anything of it passes. */
function judgeWrite({ status, json }: Answer): RivuletError | null {
  const { receipts } = json as { readonly receipts?: unknown };
  if (status !== 207 || !Array.isArray(receipts)) return null;
  const places = receipts.map(placeOf);
  const errors = places.filter((place) => place instanceof RivuletError);
  if (errors.length === 0) return null;
  const message = `${errors.length} of ${places.length} records were not written; ${errors[0].message}`;
  return new RivuletError(message, {
    code: errors[0].code,
    status,
    retryable: errors.some((error) => error.retryable),
    // The others were.
    sideEffects: "unknown",
    retryAfterMs: Math.max(...errors.map((error) => error.retryAfterMs ?? 0)) || null,
    problem: errors[0].problem,
    receipts: places,
  });
}
