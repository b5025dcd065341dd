// Who waits for a replica's role: for it to lead and be ready, for any leader to be known, or only for its recovered tail
// to be committed.
//
// Promise: every waiter is settled once: by the role it waits for, by its time, or by the replica's end. Left to others:
// elections.

import { Fault } from "../errors.ts";
import type { Term } from "../quantities.ts";
import type { World } from "../world.ts";
import { ledElsewhere } from "./replica-faults.ts";

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

export class LeadWaiters {
  readonly #world: World;
  readonly #groupId: string;
  #ready: Waiter<Term>[] = [];
  #tail: (() => void)[] = [];
  readonly #leader = new Set<Waiter<number>>();

  constructor(world: World, groupId: string) {
    this.#world = world;
    this.#groupId = groupId;
  }

  /** Somebody waits for readiness, or for a leader, who may have to be this replica. */
  get any(): boolean {
    return this.#ready.length > 0 || this.#leader.size > 0;
  }

  untilReady(): Promise<Term> {
    return new Promise((resolve, reject) => void this.#ready.push({ resolve, reject }));
  }

  /** Node id of the leader; rejects with request_timed_out. */
  untilLeader(timeoutMs: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = this.#world.setTimer(timeoutMs, () => {
        if (!this.#leader.delete(waiter)) return;
        const detail = `Cannot tell the leader of ${this.#groupId}: none was known within ${Math.round(timeoutMs)} ms`;
        reject(new Fault("request_timed_out", detail));
      });
      const settled =
        <T>(settle: (value: T) => void) =>
        (value: T) => {
          timer.cancel();
          settle(value);
        };
      const waiter = { resolve: settled(resolve), reject: settled(reject) };
      this.#leader.add(waiter);
    });
  }

  /** Resolves also when the replica fails: the caller looks at what it reached. */
  untilTail(): Promise<void> {
    return new Promise((resolve) => void this.#tail.push(resolve));
  }

  confirmed(): void {
    for (const resolve of this.#tail.splice(0)) resolve();
  }

  /** This replica, on node `nodeId`, leads and is ready. */
  ready(term: Term, nodeId: number): void {
    for (const { resolve } of this.#ready.splice(0)) resolve(term);
    this.#tellLeader(nodeId);
  }

  /** Another replica leads. */
  ledBy(nodeId: number): void {
    this.confirmed();
    this.#tellLeader(nodeId);
    for (const { reject } of this.#ready.splice(0)) reject(ledElsewhere(this.#groupId, nodeId));
  }

  failed(reason: unknown): void {
    this.confirmed();
    for (const { reject } of this.#ready.splice(0)) reject(reason);
    const waiting = [...this.#leader];
    this.#leader.clear();
    for (const { reject } of waiting) reject(reason);
  }

  #tellLeader(nodeId: number): void {
    const waiting = [...this.#leader];
    this.#leader.clear();
    for (const { resolve } of waiting) resolve(nodeId);
  }
}
