// A client whose surroundings a test writes: answers in order, time that moves only when the client waits for it.

import { Client, type ConnectOptions } from "../../../edge/client/client.ts";
import type { Environment } from "../../../edge/client/environment.ts";

export interface Asked {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** An answer, a failure of the connection, or silence until the client gives up. */
export type Step =
  ((asked: Asked) => Response | Promise<Response>) | Response | "broken" | "silent";

export interface ScriptedNode {
  readonly client: Client;
  readonly asked: Asked[];
  /** Waits before another attempt, ms. */
  readonly waits: number[];
}

/** Each request takes the next step; one beyond the script fails the test. */
export function scripted(
  steps: readonly Step[],
  options: ConnectOptions & { readonly urls?: readonly string[] } = {},
): ScriptedNode {
  const asked: Asked[] = [];
  const waits: number[] = [];
  const left = [...steps];
  let now = 0;
  const environment: Environment = {
    async fetch(url, init) {
      const { method = "GET", headers, body } = init;
      const request = {
        url,
        method,
        headers: headers as Record<string, string>,
        body: body === undefined || body === null ? null : await new Response(body).text(),
      };
      asked.push(request);
      const step = left.shift();
      if (step === undefined) throw new Error(`${method} ${url} is beyond the script`);
      if (step === "broken") throw new TypeError("connection reset");
      if (step === "silent") return await silence(init.signal);
      return typeof step === "function" ? await step(request) : step;
    },
    monotonic: () => now,
    random: () => 1,
    randomBytes: (length) => new Uint8Array(length).fill(asked.length),
    // A timer is due once nothing else can happen any more: after all promises of this turn.
    setTimer(delayMs, fn) {
      const handle = setTimeout(
        () => {
          now += delayMs;
          fn();
        },
        Math.min(20, delayMs / 500),
      );
      return () => clearTimeout(handle);
    },
    defer: (fn) => queueMicrotask(fn),
  };
  const onRetry = (_: unknown, delayMs: number): void => void waits.push(delayMs);
  const { urls = ["http://one"], ...rest } = options;
  return { client: new Client(urls, { onRetry, ...rest }, environment), asked, waits };
}

function silence(signal: AbortSignal | null | undefined): Promise<Response> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason as Error));
  });
}

export const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers });

export interface ProblemFacts {
  readonly status: number;
  readonly code: string;
  readonly retryable: boolean;
  readonly sideEffects: "none" | "unknown";
  readonly [member: string]: unknown;
}

export const problem = (facts: ProblemFacts): Response =>
  json(facts.status, { title: facts.code, detail: "as scripted", ...facts });

export const overloaded: ProblemFacts = {
  status: 503,
  code: "overloaded",
  retryable: true,
  sideEffects: "none",
};

/** Receipts for as many records as the request holds, from an offset on. */
export const receipts =
  (from: number) =>
  ({ body }: Asked): Response => {
    const { records } = JSON.parse(body ?? "") as { readonly records: readonly unknown[] };
    return json(200, {
      receipts: records.map((_, i) => ({ partition: 0, offset: from + i, timestamp: 1 })),
    });
  };

/** An SSE answer of these pieces, which then ends. */
export function events(...pieces: readonly string[]): Response {
  const body = new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

export function recordEvent(offset: number): string {
  const record = {
    partition: 0,
    offset,
    timestamp: 1,
    key: null,
    value: `v${offset}`,
    headers: [],
  };
  return `id: after-${offset}\ndata: ${JSON.stringify(record)}\n\n`;
}
