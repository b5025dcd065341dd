// A node as the commands see it: plain HTTP to the contract that every client has, nothing private.
//
// Promise: a refusal or an unreachable node becomes a Failure in words that name what to do; an answer's JSON is
// checked only as far as the commands use it.

import { Failure } from "./failure.ts";

/** One answer; `json` is null when the body is none. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly json: unknown;
}

export interface Ask {
  readonly method?: "GET" | "POST" | "PATCH" | "DELETE" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; a string is sent as it is. */
  readonly body?: unknown;
  /** Statuses that are no failure; 2xx never is. */
  readonly accept?: readonly number[];
  /** Cuts the request off, and the reading of its answer; then it is Unreachable. */
  readonly signal?: AbortSignal;
}

export class Client {
  readonly #base: string;

  /** `url` is the node's address; a path behind it stays. Throws Failure when it is none. */
  constructor(url: string) {
    const withScheme = /^[a-z]+:\/\//i.test(url) ? url : `http://${url}`;
    if (!/^https?:\/\//i.test(withScheme) || !URL.canParse(withScheme))
      throw new Failure(`The node's URL must look like http://127.0.0.1:7480, got "${url}"`);
    this.#base = withScheme.replace(/\/+$/, "");
  }

  /** An answer with its JSON read. */
  async ask(path: string, ask: Ask = {}): Promise<Answer> {
    const response = await this.send(path, ask);
    const text = await response.text().catch((fault: unknown) => {
      throw unreachable(this.#base, fault);
    });
    const json = parseJson(text);
    const accepted = response.ok || ask.accept?.includes(response.status) === true;
    if (!accepted) throw new Failure(describeProblem(response.status, json, this.#base));
    return { status: response.status, headers: response.headers, json };
  }

  /** The answer as it comes, its body unread. Throws Failure only when there is no answer. */
  async send(path: string, ask: Ask = {}): Promise<Response> {
    const headers = new Headers({ accept: "application/json", ...ask.headers });
    const init: RequestInit = { method: ask.method ?? "GET", headers, signal: ask.signal ?? null };
    if (ask.body !== undefined) {
      headers.set("content-type", "application/json");
      init.body = typeof ask.body === "string" ? ask.body : JSON.stringify(ask.body);
    }
    try {
      return await fetch(this.#base + path, init);
    } catch (fault) {
      throw unreachable(this.#base, fault);
    }
  }
}

/** There was no answer, or it broke off. A subclass, because produce and consume try again after it. */
export class Unreachable extends Failure {}

/** A name as one segment of a path. */
export function segment(name: string): string {
  return encodeURIComponent(name);
}

/** A problem document (RFC 9457) in one line. */
export function describeProblem(status: number, json: unknown, base: string): string {
  const problem = isObject(json) ? json : {};
  const words = [problem.detail, problem.title].find((text) => typeof text === "string");
  const code = typeof problem.code === "string" ? ` (${problem.code})` : "";
  return words === undefined
    ? `${base} answered ${status}; is a Rivulet node there?`
    : `${words}${code}`;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function unreachable(base: string, fault: unknown): Unreachable {
  const why = fault instanceof Error ? fault.message : String(fault);
  const hint =
    "Is it running? Start one with: rivulet start. Another place: --url URL or RIVULET_URL";
  return new Unreachable(`No answer from ${base} (${why}).\n${hint}`, { cause: fault });
}
