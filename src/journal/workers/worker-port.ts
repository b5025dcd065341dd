// Calls across threads: one message there, one back, in order; a thrown Fault or Bug arrives as what it was.
//
// Promise: calls to one Worker run in the order in which they were made; each settles, also when the Worker dies.
// Left to others: what the verbs are (protocol.ts).

import { Bug } from "../../assert.ts";
import { Fault, type Code, type SideEffects } from "../../errors.ts";

interface Call {
  readonly id: number;
  readonly verb: string;
  readonly body: unknown;
}

type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly thrown: Thrown };

/** An error as plain data. */
type Thrown =
  | {
      readonly kind: "fault";
      readonly code: Code;
      readonly detail: string;
      readonly sideEffects: SideEffects;
      readonly members: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: "bug"; readonly detail: string };

/** Verbs of a Worker: each takes one body and gives one answer. */
export type Verbs = Record<string, { readonly body: unknown; readonly answer: unknown }>;

/** An answer whose buffers are handed over instead of copied. */
export class Transferred {
  readonly value: unknown;
  readonly buffers: ArrayBuffer[];
  constructor(value: unknown, buffers: ArrayBuffer[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

interface Waiter {
  resolve(value: unknown): void;
  reject(reason: unknown): void;
}

/** The caller's end. */
export class WorkerPort<V extends Verbs> {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiter>();
  #nextId = 1;
  #onSettled: (() => void) | null = null;
  #dead: Fault | null = null;

  constructor(url: URL) {
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.addEventListener("message", (event: MessageEvent<Reply>) => {
      this.#settle(event.data);
    });
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#die(`The Worker ${url.pathname} failed: ${event.message}`);
    });
  }

  /** Calls under way. */
  get pending(): number {
    return this.#waiting.size;
  }

  call<K extends keyof V & string>(
    verb: K,
    body: V[K]["body"],
    transfer: ArrayBuffer[] = [],
  ): Promise<V[K]["answer"]> {
    if (this.#dead !== null) return Promise.reject(this.#dead);
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    this.#worker.postMessage({ id, verb, body } satisfies Call, transfer);
    return answer;
  }

  /** Resolves when no call is under way. A Worker that is ended inside a statement takes the process with it. */
  async idle(): Promise<void> {
    while (this.#waiting.size > 0)
      await new Promise<void>((resolve) => {
        this.#onSettled = resolve;
      });
  }

  /** Ends the Worker; calls under way reject. */
  terminate(): void {
    this.#die("The Worker was ended");
    this.#worker.terminate();
  }

  #settle(reply: Reply): void {
    const waiter = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if ("thrown" in reply) waiter?.reject(errorOf(reply.thrown));
    else waiter?.resolve(reply.value);
    this.#onSettled?.();
  }

  #die(detail: string): void {
    this.#dead ??= new Fault("storage_failed", detail, { sideEffects: "unknown" });
    for (const waiter of this.#waiting.values()) waiter.reject(this.#dead);
    this.#waiting.clear();
    this.#onSettled?.();
  }
}

/** What a Worker's global scope has, as far as it is used here. */
interface WorkerScope {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Call>) => void): void;
}

/** The Worker's end: answers each call from its table, one after the other. */
export function serveVerbs<V extends Verbs>(handlers: {
  readonly [K in keyof V]: (body: V[K]["body"]) => V[K]["answer"] | Transferred;
}): void {
  const scope = globalThis as unknown as WorkerScope;
  scope.addEventListener("message", ({ data }) => {
    try {
      const answer: unknown = handlers[data.verb](data.body);
      const moved = answer instanceof Transferred ? answer : new Transferred(answer, []);
      scope.postMessage({ id: data.id, value: moved.value }, moved.buffers);
    } catch (error) {
      scope.postMessage({ id: data.id, thrown: thrownOf(error) }, []);
    }
  });
}

function thrownOf(error: unknown): Thrown {
  if (error instanceof Fault) {
    const { code, message, sideEffects, members } = error;
    return { kind: "fault", code, detail: message, sideEffects, members };
  }
  const detail = error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error);
  return { kind: "bug", detail };
}

function errorOf(thrown: Thrown): Error {
  if (thrown.kind === "bug") return new Bug(thrown.detail);
  const { code, detail, sideEffects, members } = thrown;
  return new Fault(code, detail, { sideEffects, members });
}
