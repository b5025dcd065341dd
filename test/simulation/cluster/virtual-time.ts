// Virtual time for a whole cluster: one heap of events, and a World for each process that lives in it.
//
//      heap  (time, order) --> event --> its owner alive?  no: dropped     paused: held until it goes on
//                                        yes: run, then every promise that can settle settles, then the check
//
// Promise: everything is synchronous and in one order, so the same seed gives the same run; a process that is dead
// never acts again, a paused one acts late and finds its clock moved on. Each process has a clock of its own: an offset
// and a rate, and the wall clock may jump. Left to others: who lives, dies and pauses (node.ts, nemesis.ts).

import { drainMicrotasks } from "bun:jsc";

import type { Timer, World } from "../../../src/world.ts";
import type { Stream } from "./random.ts";

/** A turn of the event loop takes this long, so that nothing can run for ever without time passing. */
const turnMs = 0.01;

/** Something that is going to happen. */
export interface Event {
  readonly at: number;
  readonly order: number;
  readonly fn: () => void;
  readonly owner: ProcessWorld | null;
  cancelled: boolean;
}

export class VirtualTime {
  /** Milliseconds since the start of the simulation. */
  now = 0;
  steps = 0;
  /** Called after every event. */
  afterStep: () => void = () => {};
  #order = 0;
  readonly #heap: Event[] = [];

  /** Runs fn after `delayMs` as an act of the owner; null: of nobody, it cannot die. */
  after(delayMs: number, fn: () => void, owner: ProcessWorld | null = null): Timer {
    const at = this.now + Math.max(0, delayMs);
    const event = { at, order: this.#order++, fn, owner, cancelled: false };
    push(this.#heap, event);
    return { cancel: () => void (event.cancelled = true) };
  }

  /** Settles after `delayMs`. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }

  /** Runs everything that is due until `ms` from now. Rethrows what an event throws. */
  run(ms: number): void {
    const until = this.now + ms;
    drainMicrotasks();
    while (this.#heap.length > 0 && this.#heap[0].at <= until) this.#step(pop(this.#heap));
    this.now = until;
  }

  /** Runs until `done` says so after some event; false when `msMax` passed first. */
  runUntil(done: () => boolean, msMax: number): boolean {
    const until = this.now + msMax;
    drainMicrotasks();
    while (!done()) {
      if (this.#heap.length === 0 || this.#heap[0].at > until) {
        this.now = until;
        return done();
      }
      this.#step(pop(this.#heap));
    }
    return true;
  }

  #step(event: Event): void {
    if (event.cancelled) return;
    this.now = Math.max(this.now, event.at);
    const { owner } = event;
    if (owner?.alive === false) return;
    if (owner?.paused === true) {
      owner.held.push(event);
      return;
    }
    this.steps += 1;
    event.fn();
    drainMicrotasks();
    this.afterStep();
  }
}

/** How a process's clocks differ from the true time. */
export interface Clock {
  /** Added to the wall clock, ms. */
  offsetMs: number;
  /** Speed of both clocks; 1 is right. */
  readonly rate: number;
}

const epochMs = 1_700_000_000_000;

/** One process: its clocks, its timers, its random numbers. */
export class ProcessWorld implements World {
  alive = true;
  paused = false;
  /** What would have happened during the pause, in order. */
  held: Event[] = [];
  readonly #time: VirtualTime;
  readonly #random: Stream;
  readonly #clock: Clock;

  constructor(time: VirtualTime, random: Stream, clock: Clock = { offsetMs: 0, rate: 1 }) {
    this.#time = time;
    this.#random = random;
    this.#clock = clock;
  }

  now(): number {
    return Math.floor(epochMs + this.#clock.offsetMs + this.#time.now * this.#clock.rate);
  }

  monotonic(): number {
    return this.#time.now * this.#clock.rate;
  }

  random(): number {
    return this.#random.next();
  }

  randomBytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#random.below(256));
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    return this.#time.after(Math.max(delayMs, 0) / this.#clock.rate, fn, this);
  }

  defer(fn: () => void): void {
    this.#time.after(turnMs, fn, this);
  }

  /** Does something as this process: at once, or when its pause is over; never when it is dead. */
  act(fn: () => void): void {
    this.#time.after(0, fn, this);
  }

  /** Its memory is gone; nothing of it ever runs again. */
  kill(): void {
    this.alive = false;
    this.held = [];
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    const held = this.held;
    this.held = [];
    for (const event of held) {
      this.#time.after(0, () => event.cancelled || event.fn(), this);
    }
  }
}

function earlier(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function push(heap: Event[], event: Event): void {
  let at = heap.length;
  heap.push(event);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!earlier(event, heap[parent])) break;
    heap[at] = heap[parent];
    at = parent;
  }
  heap[at] = event;
}

function pop(heap: Event[]): Event {
  const first = heap[0];
  const last = heap.pop()!;
  if (heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && earlier(heap[child + 1], heap[child])) child += 1;
    if (!earlier(heap[child], last)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = last;
  return first;
}
