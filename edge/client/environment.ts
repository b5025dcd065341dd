// Everything that the client takes from its surroundings: fetch, clock, timers, random. The only file that touches them.
//
// Promise: all of it is of the web platform, the same on Bun, Deno, Node 20, Workers and in browsers; nothing runs when
// the module is loaded (Workers forbid timers and random outside of a request).

/** The part of fetch that the client uses: an absolute URL and plain options. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface Environment {
  readonly fetch: Fetch;
  /** Monotonic clock, ms. */
  monotonic(): number;
  /** In [0, 1), for jitter. */
  random(): number;
  /** Fresh cryptographic bytes. */
  randomBytes(length: number): Uint8Array;
  /** Calls fn once after delayMs; the returned function cancels it. */
  setTimer(delayMs: number, fn: () => void): () => void;
  /** Calls fn when the running piece of code is over. */
  defer(fn: () => void): void;
}

export const defaultEnvironment: Environment = {
  // Not `fetch` itself: called as a method of another object, browsers and Workers refuse it.
  fetch: (url, init) => fetch(url, init),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  setTimer(delayMs, fn) {
    const handle = setTimeout(fn, delayMs);
    return () => clearTimeout(handle);
  },
  defer: (fn) => queueMicrotask(fn),
};

/** Resolves after delayMs, or rejects with the signal's reason as soon as it aborts. */
export function pause(
  environment: Environment,
  delayMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const aborted = (): void => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = environment.setTimer(delayMs, () => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    });
    signal?.addEventListener("abort", aborted, { once: true });
  });
}
