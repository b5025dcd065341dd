// What a group has committed so far, as the whole cluster must agree on it: one entry for each index, for good.
//
//   index   1      2      3      4 ...              terms: as soon as any participant counts it as committed
//   term    1      1      3      3                  content: as soon as any state machine applies it
//
// Promise: the first to commit or apply an index decides; whoever differs later breaks state-machine safety. Offsets are
// dense and terms and times never run back along the log. Cost: O(1) an entry. Left to others: watching (watch-*.ts).

import { entryKinds, type LogEntry } from "../../../src/journal/journal.ts";
import { Violation } from "./violation.ts";

interface Content {
  readonly term: number;
  readonly hash: number;
  readonly time: number;
  /** Offset behind it. */
  readonly nextOffset: number;
}

export class CommittedLog {
  readonly groupId: string;
  /** By index. */
  readonly #terms: (number | undefined)[] = [];
  readonly #contents: (Content | undefined)[] = [];
  /** Fold states by applied index. */
  readonly #states = new Map<number, number>();
  #last = 0;

  constructor(groupId: string) {
    this.groupId = groupId;
  }

  /** Highest index that anybody knows to be committed. */
  get last(): number {
    return this.#last;
  }

  get applied(): number {
    return this.#contents.length - 1;
  }

  /** Undefined when nobody has committed it. */
  termAt(index: number): number | undefined {
    return index === 0 ? 0 : this.#terms[index];
  }

  /** Offset that follows the entry; undefined when nobody has applied it. */
  nextOffsetAt(index: number): number | undefined {
    return index === 0 ? 0 : this.#contents[index]?.nextOffset;
  }

  /** A participant believes the entry of this term to be committed. */
  committed(who: string, index: number, term: number): void {
    const known = this.#terms[index];
    if (known === undefined) {
      this.#terms[index] = term;
      this.#last = Math.max(this.#last, index);
    } else if (known !== term) {
      throw new Violation(
        "state-machine safety",
        `${who} commits term ${term} at ${index} of ${this.groupId}, committed is term ${known}`,
      );
    }
  }

  /** A state machine applies the entry. */
  apply(who: string, entry: LogEntry): void {
    const { index, term } = entry;
    const place = `${index} of ${this.groupId}`;
    this.committed(who, index, term);
    const hash = hashOf(entry);
    const known = this.#contents[index];
    if (known === undefined) this.#decide(who, entry, hash);
    else if (known.hash !== hash) {
      throw new Violation("state-machine safety", `${who} applies other content at ${place}`);
    }
  }

  #decide(who: string, entry: LogEntry, hash: number): void {
    const { index, term, time, baseOffset, offsetCount } = entry;
    const before = index === 1 ? start : this.#contents[index - 1];
    if (before !== undefined) {
      const place = `${who}, entry ${index} of ${this.groupId}`;
      if (baseOffset !== before.nextOffset) {
        const detail = `${place} begins at offset ${baseOffset}, the one before ends at ${before.nextOffset}`;
        throw new Violation("dense offsets", detail);
      }
      if (term < before.term) throw new Violation("log matching", `${place}: term ran back`);
      if (time < before.time) throw new Violation("entry time", `${place}: time ran back`);
    }
    this.#contents[index] = { term, hash, time, nextOffset: baseOffset + offsetCount };
  }

  /** A fold's state at an applied index: the same on every node. */
  state(who: string, index: number, bytes: Uint8Array): void {
    const hash = Bun.hash.xxHash32(bytes);
    const known = this.#states.get(index);
    if (known === undefined) this.#states.set(index, hash);
    else if (known !== hash) {
      const detail = `${who} has another state at ${index} of ${this.groupId}`;
      throw new Violation("state-machine safety", detail);
    }
  }
}

const start: Content = { term: 0, hash: 0, time: 0, nextOffset: 0 };

/** Everything that an entry is but its index and term. */
export function hashOf(entry: LogEntry): number {
  const { kind, baseOffset, offsetCount, time, maxTimestamp, meta, batch } = entry;
  let hash = 17;
  for (const number of [kind, baseOffset, offsetCount, time % 2 ** 31, maxTimestamp % 2 ** 31]) {
    hash = (Math.imul(hash, 31) + number) | 0;
  }
  if (meta !== null && kind !== entryKinds.gap) {
    hash = Math.imul(hash, 31) ^ Bun.hash.xxHash32(meta);
  }
  if (batch !== null) hash = Math.imul(hash, 31) ^ Bun.hash.xxHash32(batch.bytes);
  return hash;
}
