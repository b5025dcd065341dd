// One request, however many attempts it takes: which node, how long, what an answer or a failure means.
//
//   ask -> attempt at the current node -> answer             -> the caller
//                                      -> failure -> retry.ts -> wait -> the next node, the same bytes
//
// Promise: an attempt ends after attemptMsMax, all of them after retryMsMax or as soon as the signal aborts; an error
// says `sideEffects: unknown` when any attempt may have had an effect. Left to others: what is asked.

import { Attempt, Link } from "./attempt.ts";
import { pause, type Environment } from "./environment.ts";
import { afterUnknown, errorOfAnswer, RivuletError } from "./errors.ts";
import { retryDelay, type Failure } from "./retry.ts";

export interface TransportOptions {
  readonly urls: readonly string[];
  readonly token: string | (() => string | Promise<string>) | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
  /** Time for one attempt, ms, beside what the node was asked to wait. */
  readonly attemptMsMax: number;
  /** Time for all attempts of one request, ms. */
  readonly retryMsMax: number;
  readonly onRetry: ((error: RivuletError, delayMs: number) => void) | undefined;
}

export interface Ask {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: URLSearchParams;
  readonly headers?: Readonly<Record<string, string>>;
  /** Borrowed until the answer; every attempt sends the same bytes. */
  readonly body?: Uint8Array | string;
  /** Twice does no more than once. */
  readonly repeatable: boolean;
  readonly signal?: AbortSignal | undefined;
  /** How long the node may wait before it answers, ms. */
  readonly waitMs?: number;
  /** An answer below 400 that is a failure all the same. */
  readonly judge?: (answer: Answer) => RivuletError | null;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: unknown;
}

/** An answer whose body is read piece by piece; close() ends it. */
export interface OpenAnswer {
  readonly response: Response;
  close(): void;
}

export class Transport {
  readonly environment: Environment;
  readonly #options: TransportOptions;
  /** The node that is asked: the last one that answered. */
  #at = 0;

  constructor(environment: Environment, options: TransportOptions) {
    this.environment = environment;
    this.#options = options;
  }

  /** The whole answer. Rejects with RivuletError, or with the reason of an abort. */
  request(ask: Ask): Promise<Answer> {
    return this.#persist(ask, (url) => this.#whole(ask, url));
  }

  /** The answer as soon as its head is there. One attempt: who reads on decides when to come back. */
  async open(ask: Ask): Promise<OpenAnswer> {
    const at = this.#at;
    const url = this.#options.urls[at];
    const attempt = this.#begin(ask);
    try {
      const response = await this.#fetch(ask, url, attempt.signal);
      if (response.status >= 400) await answerOf(response); // it throws what the answer tells
      attempt.disarm();
      return { response, close: () => attempt.close() };
    } catch (thrown) {
      const failure = attempt.failure(thrown, { ask, url });
      attempt.close();
      if (failure instanceof RivuletError && failure.retryable) this.#leave(at);
      throw failure;
    }
  }

  /** The wait before another attempt, ms, or null; see retry.ts. Tells onRetry. */
  delayAfter(error: RivuletError, failed: Pick<Failure, "before" | "repeatable">): number | null {
    const urls = this.#options.urls.length;
    const random = this.environment.random();
    const delayMs = retryDelay({ error, ...failed, urls, random });
    if (delayMs !== null) this.#options.onRetry?.(error, delayMs);
    return delayMs;
  }

  /** The client's signal and the caller's in one. */
  linked(signal: AbortSignal | undefined): Link {
    return new Link([this.#options.signal, signal]);
  }

  async #persist(ask: Ask, attempt: (url: string) => Promise<Answer>): Promise<Answer> {
    const until = this.environment.monotonic() + this.#options.retryMsMax;
    const link = this.linked(ask.signal);
    let unknown = false;
    try {
      for (let before = 0; ; before++) {
        const at = this.#at;
        try {
          return await attempt(this.#options.urls[at]);
        } catch (thrown) {
          if (!(thrown instanceof RivuletError)) throw thrown;
          unknown ||= thrown.sideEffects === "unknown";
          const error = unknown ? afterUnknown(thrown) : thrown;
          if (error.retryable) this.#leave(at);
          const delayMs = this.delayAfter(error, { before, repeatable: ask.repeatable });
          if (delayMs === null || this.environment.monotonic() + delayMs > until) throw error;
          await pause(this.environment, delayMs, link.signal);
        }
      }
    } finally {
      link.release();
    }
  }

  /** The next node is asked from now on, unless somebody else has turned already. */
  #leave(at: number): void {
    if (this.#at === at) this.#at = (at + 1) % this.#options.urls.length;
  }

  async #whole(ask: Ask, url: string): Promise<Answer> {
    const attempt = this.#begin(ask);
    try {
      const answer = await answerOf(await this.#fetch(ask, url, attempt.signal));
      const judged = ask.judge?.(answer) ?? null;
      if (judged !== null) throw judged;
      return answer;
    } catch (thrown) {
      throw attempt.failure(thrown, { ask, url });
    } finally {
      attempt.end();
    }
  }

  #begin(ask: Ask): Attempt {
    return new Attempt(this.environment, this.linked(ask.signal), this.#attemptMs(ask));
  }

  #attemptMs({ waitMs = 0 }: Ask): number {
    return this.#options.attemptMsMax + waitMs;
  }

  async #fetch(ask: Ask, url: string, signal: AbortSignal): Promise<Response> {
    if (signal.aborted) throw signal.reason;
    const { token } = this.#options;
    const headers: Record<string, string> = { ...this.#options.headers, ...ask.headers };
    const bearer = typeof token === "function" ? await token() : token;
    if (bearer !== undefined) headers["authorization"] = `Bearer ${bearer}`;
    const query = ask.query === undefined || ask.query.size === 0 ? "" : `?${ask.query}`;
    const init: RequestInit = { method: ask.method, headers, signal };
    if (ask.body !== undefined) init.body = ask.body as BodyInit;
    return await this.environment.fetch(url + ask.path + query, init);
  }
}

/** Reads the body. Throws the error that it tells. */
async function answerOf(response: Response): Promise<Answer> {
  const { status, headers } = response;
  const text = await response.text();
  const json = parsed(text);
  if (status >= 400) throw errorOfAnswer({ status, headers, json });
  if (json !== undefined) return { status, headers, json };
  throw new RivuletError(`Answered ${status} without JSON: is a Rivulet node there?`, {
    code: "bad_answer",
    status,
    sideEffects: "unknown",
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A name as one segment of a path. */
export const segment = (name: string): string => encodeURIComponent(name);
