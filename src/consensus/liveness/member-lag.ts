// How long each member has been behind its leader, as Kafka counts it: since it last had everything that the leader had
// at some earlier moment, so that a member that keeps up with a busy log is not behind.
//
//   sample   (time, last index) ... a member whose match reaches a sample's index had everything until the first entry
//                                   behind the sample was appended: a group that rests is not sampled for hours
//
// Promise: pure; a new leader gives every member the benefit of the doubt for one lag. Left to others: what follows.

export class MemberLag {
  #sample = { at: 0, lastIndex: 0 };
  readonly #caughtUpAt = new Map<number, number>();
  #beganAt = 0;
  /** When the first entry behind the sample was appended; null: there is none. */
  #appendedAt: number | null = null;

  /** A term begins. */
  begin(now: number, lastIndex: number): void {
    this.#beganAt = now;
    this.#sample = { at: now, lastIndex };
    this.#caughtUpAt.clear();
    this.#appendedAt = null;
  }

  /** An entry is about to be appended. */
  appends(now: () => number): void {
    this.#appendedAt ??= now();
  }

  /** Called about every 100 ms while this replica leads and a member lacks something. */
  tick(now: number, lastIndex: number, matched: Iterable<readonly [number, number]>): void {
    for (const [id, match] of matched)
      if (match >= this.#sample.lastIndex) this.#caughtUpAt.set(id, this.#appendedAt ?? now);
    this.#sample = { at: now, lastIndex };
    this.#appendedAt = null;
  }

  /** ms; 0 while it has everything. */
  behindMs(
    id: number,
    match: number,
    { now, lastIndex }: { readonly now: number; readonly lastIndex: number },
  ): number {
    if (match >= lastIndex) return 0;
    const had = match >= this.#sample.lastIndex;
    const sampled = had ? (this.#appendedAt ?? this.#sample.at) : this.#beganAt;
    return now - Math.max(sampled, this.#caughtUpAt.get(id) ?? this.#beganAt);
  }
}
