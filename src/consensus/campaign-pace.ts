// When replicas that lost their leader campaign: each after a random 0-150 ms, a bounded number a turn.
//
// After a node died, thousands of replicas on each of the others have no leader at the same moment. If all campaigned at
// once they would split their votes and stall the loop; the first to ask usually wins, so a spread of a few round trips
// settles most groups in one round. Promise: each is handed out once, in order of its time (to 10 ms); add and cancel
// are O(1), due() is O(handed out). Left to others: whether a campaign is still wanted then.

/** The wait is drawn from [0, this), ms. */
export const campaignSpreadMs = 150;
/** At most so many start in one turn of the host. */
export const campaignsPerTurn = 128;

const slotMs = 10;

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

  /** Waits for its turn; one that waits already keeps its time. */
  add(waiting: T, nowMs: number): void {
    if (this.#slotOf.has(waiting)) return;
    const slot = Math.ceil((nowMs + this.#random() * campaignSpreadMs) / slotMs);
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
