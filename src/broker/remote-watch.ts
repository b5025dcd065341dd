// Hearing of the advances of a partition of which this node has no replica: one call at a time waits at the leader.
//
// Promise: runs only while somebody waits; what it hears is told once for each change; a leader that goes away is looked
// for again, with pauses. Left to others: who waits (partition-slot.ts), reading what has come.

import type { World } from "../world.ts";
import type { LeaderRoute } from "./leader-route.ts";
import { leaderIn } from "./log-calls.ts";
import type { LogBounds } from "./partition-log.ts";
import type { PeerLogs } from "./peer-logs.ts";

/** How long one call waits, ms, and what its answer may take on top. */
const waitMs = 25_000;
const answerMs = 5_000;
/** After a failure that was no move of the leader, and after an answer that brought nothing before its time (the leader
 *  has as many waiting calls as it takes), ms. */
const pauseMs = 500;

export interface WatchParts {
  readonly world: World;
  readonly nodeId: number;
  readonly route: LeaderRoute;
  readonly peers: PeerLogs;
  /** What is known, or null. */
  readonly known: () => LogBounds | null;
  readonly told: (bounds: LogBounds) => void;
}

export class RemoteWatch {
  readonly #parts: WatchParts;
  /** Null while it does not run. */
  #stop: AbortController | null = null;

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  get running(): boolean {
    return this.#stop !== null;
  }

  start(): void {
    if (this.#stop !== null) return;
    this.#stop = new AbortController();
    void this.#run(this.#stop.signal);
  }

  stop(): void {
    this.#stop?.abort();
    this.#stop = null;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { route, nodeId } = this.#parts;
    while (!signal.aborted) {
      const leader = await route.find(waitMs);
      // A replica has come here: its own advances wake.
      if (signal.aborted || leader === nodeId) return;
      if (typeof leader !== "number") await this.#pause(signal);
      else await this.#hear(leader, signal);
    }
  }

  async #hear(leader: number, signal: AbortSignal): Promise<void> {
    const { route, peers, known, told, world } = this.#parts;
    const { highWatermark = -1, logStartOffset = -1 } = known() ?? {};
    const began = world.monotonic();
    const asked = { to: leader, groupId: route.groupId, timeoutMs: waitMs + answerMs };
    const seen = { highWatermark, logStartOffset };
    const bounds = await peers.waitAdvance(asked, seen, { waitMs, signal });
    if (signal.aborted) return;
    if (!("ok" in bounds)) {
      told(bounds);
      const isNews = bounds.highWatermark > highWatermark || bounds.logStartOffset > logStartOffset;
      if (!isNews && world.monotonic() - began < waitMs / 2) await this.#pause(signal);
    } else if (route.hasMoved(leader, bounds)) route.moved(leader, leaderIn(bounds));
    else await this.#pause(signal);
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#parts.world.setTimer(pauseMs, () => {
        signal.removeEventListener("abort", end);
        resolve();
      });
      const end = (): void => {
        timer.cancel();
        resolve();
      };
      signal.addEventListener("abort", end, { once: true });
    });
  }
}
