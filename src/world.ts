// World is the only door to clock, timers and random; the simulator is a second implementation of it.
//
// Promise: no other file of the broker reads a clock, sets a timer or draws a random number, so that a whole node
// runs in virtual time from one seed. Files and sockets have their own adapters (journal/disk, edge/serve).

/** A pending timer. cancel() is idempotent and safe after it has fired. */
export interface Timer {
  cancel(): void;
}

export interface World {
  /** Wall clock, integer ms since the Unix epoch. It may jump; never used for durations. */
  now(): number;
  /** Monotonic clock, fractional ms from an arbitrary start. For durations and deadlines. */
  monotonic(): number;
  /** A number in [0, 1). Not for secrets. */
  random(): number;
  /** Fresh random bytes, owned by the caller; cryptographic in the real world. */
  randomBytes(length: number): Uint8Array;
  /** Calls fn once after at least delayMs. A timer does not keep the process alive. */
  setTimer(delayMs: number, fn: () => void): Timer;
  /** Calls fn at the end of this turn of the event loop, after all I/O callbacks that are ready now. */
  defer(fn: () => void): void;
}

/** The real clock, timers and random source of this process. */
export const systemWorld: World = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  setTimer(delayMs, fn) {
    const handle = setTimeout(fn, delayMs);
    if (typeof handle === "object" && "unref" in handle) handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  defer: (fn) => void setImmediate(fn),
};
