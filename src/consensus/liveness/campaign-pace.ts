// When replicas that lost their leader campaign: the first of a group almost at once, the second 150 ms later, and so on;
// spread over more time when they are many; a bounded number a turn.
//
// After a node died, thousands of replicas on each of the others have no leader at the same moment. If all campaigned at
// once they would stall the loop, and if both that are left of a group did so within a round trip and a flush they would
// split their votes and wait for an election timeout: with a random wait alone 334 groups took 3.1 s to be led again,
// with an order 1.1 s. The order is the same on every node, as far as they agree on who lives, and turns from group to
// group, so that leaderships spread over those that are left. Promise: each is handed out once, in order of its time (to 10 ms); add and cancel
// are O(1), due() is O(handed out). Left to others: whether a campaign is still wanted then.

import { crc32c } from "../../bytes/crc32c.ts";

/** From one rank to the next, ms, or as long as the elections of a rank take together. The wait is drawn from
 *  [rank * spread, rank * spread + jitter). */
export const campaignSpreadMs = 150;
/** Least jitter, ms: nodes that do not agree on the ranks would else meet at the same moment. Drawn from a whole spread, a
 *  lone group waited 75 ms more, and its second was sometimes as soon as its first. */
export const campaignJitterMs = 20;
/** What an election costs the nodes of a group together, ms: the spread of many is as long as they take. Were it shorter,
 *  the second of each group would campaign while the first one's election still waits for its turn. */
const electionMs = 0.5;
/** Where replica `own` stands in the order of a group's `candidates`, from 0; they ascend, and hold `own`. */
export function campaignRank(groupId: string, own: number, candidates: readonly number[]): number {
  const { length } = candidates;
  const first = crc32c(encoder.encode(groupId)) % length;
  return (candidates.indexOf(own) - first + length) % length;
}

/** At most so many start in one turn of the host. */
export const campaignsPerTurn = 128;

const slotMs = 10;
const encoder = new TextEncoder();

export class CampaignPace<T> {
  readonly #random: () => number;
  /** Slot (time / slotMs) of each waiting one. */
  readonly #slotOf = new Map<T, number>();
  readonly #slots = new Map<number, Set<T>>();

  constructor(random: () => number) {
    this.#random = random;
  }

  get size(): number {
    return this.#slotOf.size;
  }

  /** Waits for its turn; one that waits already keeps its time. `among`: replicas that lost their leaders together. */
  add(waiting: T, nowMs: number, { rank, among }: { rank: number; among: number }): void {
    if (this.#slotOf.has(waiting)) return;
    const electionsMs = among * electionMs;
    const spreadMs = Math.max(campaignSpreadMs, electionsMs);
    const jitterMs = Math.max(campaignJitterMs, electionsMs);
    const slot = Math.ceil((nowMs + rank * spreadMs + this.#random() * jitterMs) / slotMs);
    this.#slotOf.set(waiting, slot);
    let slots = this.#slots.get(slot);
    if (slots === undefined) {
      slots = new Set();
      this.#slots.set(slot, slots);
    }
    slots.add(waiting);
  }

  /** It found a leader, or is gone. Idempotent. */
  cancel(waiting: T): void {
    const slot = this.#slotOf.get(waiting);
    if (slot === undefined) return;
    this.#slotOf.delete(waiting);
    const slots = this.#slots.get(slot)!;
    slots.delete(waiting);
    if (slots.size === 0) this.#slots.delete(slot);
  }

  /** Those whose time has come, the earliest first, at most campaignsPerTurn. */
  due(nowMs: number): T[] {
    const due: T[] = [];
    const slots = [...this.#slots.keys()].filter((slot) => slot * slotMs <= nowMs);
    for (const slot of slots.sort((a, b) => a - b)) {
      for (const waiting of this.#slots.get(slot)!) {
        if (due.length === campaignsPerTurn) break;
        due.push(waiting);
      }
    }
    for (const waiting of due) this.cancel(waiting);
    return due;
  }

  /** How long until the next is due, ms, 0 when one is; null when none waits. */
  waitMs(nowMs: number): number | null {
    let first = Infinity;
    for (const slot of this.#slots.keys()) first = Math.min(first, slot);
    return first === Infinity ? null : Math.max(0, first * slotMs - nowMs);
  }
}
