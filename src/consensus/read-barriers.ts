// Who waits until everything that was committed before is applied here (ReadIndex, thesis 6.4).
//
//   ask() ... ask() --(end of turn)--> one request --> index --> applied --> told
//                                       | no answer within retryMs: asked again
//
// Promise: a barrier is answered by a request that was made after it was asked, never by an earlier one; all that were
// asked in one turn share a request; each ends with its time. Left to others: the answer itself (raft/reads.ts).

import { refuse, type Refusal } from "../errors.ts";
import type { Timer, World } from "../world.ts";

/** A question or its answer was lost, or there was no leader to ask: it is asked again after this time. */
const retryMs = 200;

type Outcome = { readonly ok: true } | Refusal;

interface Barrier {
  readonly resolve: (outcome: Outcome) => void;
  readonly timer: Timer;
}

interface Asked {
  readonly request: number;
  readonly barriers: Set<Barrier>;
  /** Known once it was answered. */
  index: number | null;
}

export class ReadBarriers {
  readonly #world: World;
  readonly #groupId: string;
  /** The replica shall call ask() in its next turn. */
  readonly #wanted: () => void;
  readonly #asking = new Set<Barrier>();
  #asked: Asked[] = [];
  /** A timer runs. */
  #retries = false;

  constructor(world: World, groupId: string, wanted: () => void) {
    this.#world = world;
    this.#groupId = groupId;
    this.#wanted = wanted;
  }

  get any(): boolean {
    return this.#asking.size > 0 || this.#asked.length > 0;
  }

  wait(timeoutMs: number): Promise<Outcome> {
    return new Promise((resolve) => {
      const timer = this.#world.setTimer(timeoutMs, () => this.#expire(barrier, timeoutMs));
      const barrier = { resolve, timer };
      this.#asking.add(barrier);
      this.#wanted();
    });
  }

  /** Makes one request for all that wait for one. `request` returns null when nobody can be asked now: no leader is known,
   *  or no configuration (the core takes no answer of a node that it does not know). */
  ask(request: () => number | null): void {
    if (this.#asking.size === 0) return;
    const made = request();
    this.#retryLater();
    if (made === null) return;
    this.#asked.push({ request: made, barriers: new Set(this.#asking), index: null });
    this.#asking.clear();
  }

  answered(request: number, index: number): void {
    for (const asked of this.#asked) if (asked.request === request) asked.index = index;
  }

  /** Everything up to `index` is applied. */
  applied(index: number): void {
    if (this.#asked.length === 0) return;
    const done = this.#asked.filter((asked) => asked.index !== null && asked.index <= index);
    if (done.length === 0) return;
    this.#asked = this.#asked.filter((asked) => !done.includes(asked));
    for (const { barriers } of done) for (const barrier of barriers) settle(barrier, { ok: true });
  }

  failed(refusal: Refusal): void {
    const all = [...this.#asking, ...this.#asked.flatMap(({ barriers }) => [...barriers])];
    this.#asking.clear();
    this.#asked = [];
    for (const barrier of all) settle(barrier, refusal);
  }

  #expire(barrier: Barrier, timeoutMs: number): void {
    this.#asking.delete(barrier);
    for (const { barriers } of this.#asked) barriers.delete(barrier);
    this.#asked = this.#asked.filter(({ barriers }) => barriers.size > 0);
    const detail = `Cannot read ${this.#groupId}: no leader confirmed within ${timeoutMs} ms what is committed`;
    settle(barrier, refuse("request_timed_out", detail));
  }

  /** What was not answered by then is asked anew; an answer that comes after all is of a request nobody waits for. */
  #retryLater(): void {
    if (this.#retries) return;
    this.#retries = true;
    this.#world.setTimer(retryMs, () => {
      this.#retries = false;
      const lost = this.#asked.filter(({ index }) => index === null);
      this.#asked = this.#asked.filter(({ index }) => index !== null);
      for (const { barriers } of lost) for (const barrier of barriers) this.#asking.add(barrier);
      if (this.#asking.size > 0) this.#wanted();
    });
  }
}

function settle({ resolve, timer }: Barrier, outcome: Outcome): void {
  timer.cancel();
  resolve(outcome);
}
