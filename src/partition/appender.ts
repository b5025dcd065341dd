// The write side of one partition on its leader: conditions, order, entries, answers.
//
//   submit() -> queue --(turn: nothing unflushed, or an entry's worth waits)--> entries under way -> committed
//               offsets are given here                proposed                  leader: flushed     all: applied
//
// Promise: appends get dense offsets in the order of submit(); entries grow with load: what was submitted while the
// previous flush was under way, and while gather.ts waits, goes into one entry of at most 1 MiB or one batch; every
// submit() is answered exactly once, and "all" never before the commit. Left to others: becoming leader (partition.ts),
// the fold (fold.ts).

import { assert } from "../assert.ts";
import type { SlabPool } from "../bytes/slab.ts";
import type { Replica } from "../consensus/replica.ts";
import { refuse, type Refusal } from "../errors.ts";
import type { LogEntry } from "../journal/journal.ts";
import { limits } from "../limits.ts";
import type { LogIndex, Term } from "../quantities.ts";
import { inspectBatch, type BatchHeader } from "../records/batch-layout.ts";
import {
  decide,
  keyExpiry,
  type AppendedBatch,
  type AppendOutcome,
  type AppendRequest,
  type Decision,
} from "./append.ts";
import { dataDraft, entryLength, fenceDraft } from "./entry-draft.ts";
import type { PartitionFold } from "./fold.ts";
import { Gather } from "./gather.ts";
import { keyHashOf } from "./idempotency.ts";
import { Overlay, type Pending, type PendingAppend, type PendingKey } from "./proposals.ts";

/** Proposed in one turn at most, so that one partition's copies do not hold up the others. */
const turnBytesMax = 2 * limits.entryBytesMax;

/** An entry that was proposed and is not applied yet. */
interface EntryUnderWay {
  readonly index: LogIndex;
  readonly term: Term;
  readonly time: number;
  readonly items: readonly Pending[];
}

export interface AppenderParts {
  readonly replica: Replica;
  readonly slabs: SlabPool;
  readonly fold: PartitionFold;
  /** Goes into the hash of idempotency keys. */
  readonly topicId: string;
}

export class Appender {
  readonly #parts: AppenderParts;
  readonly #overlay: Overlay;
  #queue: Pending[] = [];
  #queueBytes = 0;
  readonly #gather = new Gather();
  /** Oldest first. */
  #underWay: EntryUnderWay[] = [];
  /** Index of the newest entry that is durable here. */
  #flushed = 0;
  #nextOffset = 0;
  #wakeWanted = false;

  constructor(parts: AppenderParts) {
    this.#parts = parts;
    this.#overlay = new Overlay(parts.fold);
  }

  /** Offset that the next record gets; only while the replica is ready. */
  get logEnd(): number {
    return this.#nextOffset;
  }

  /** A new term begins: nothing of an earlier one is pending any more. */
  begin(): void {
    assert(this.#queue.length === 0, () => `${this.#queue.length} appends outlived their term`);
    this.#overlay.clear();
    this.#nextOffset = this.#parts.replica.nextOffset;
    // A turn that was wanted when the last term ended came to a replica that led no longer, and went by.
    this.#wakeWanted = false;
  }

  /** Decides and queues. The replica is ready. Answers by the callback, perhaps within this call. */
  submit(request: AppendRequest, answer: (outcome: AppendOutcome) => void): void {
    const header = inspectOne(request.batch.bytes);
    if (!header.ok) return answer(header);
    const stale = this.#refuseTerm(request.expectedTerm);
    if (stale !== null) return answer(stale);
    const producer = header.producerId >= 0 && header.baseSequence >= 0 ? header : null;
    const key = this.#keyOf(request);
    const { conditions } = request;
    const candidate = { producer, key, conditions, logEnd: this.#nextOffset };
    const decision = decide(this.#parts.fold, this.#overlay, candidate);
    if (decision.kind !== "append") return this.#answerAtOnce(decision, header, answer);
    const refusal = this.#parts.replica.admit(header.totalBytes);
    if (refusal !== null) return answer(refusal);
    const pending = this.#pendingOf(request, header, { producer, key }, answer);
    this.#push(pending);
    if (request.acks === "none") this.#answerAppend(pending, this.#unproposed());
  }

  /** Queues a change of the fence, in order with the appends around it. */
  submitFence(change: {
    readonly token: string | null;
    /** The token that must be set now; undefined asks nothing. */
    readonly expected?: string | null;
    readonly answer: (outcome: Refusal | { readonly ok: true }) => void;
  }): void {
    const { token, expected, answer } = change;
    const current = this.#overlay.fence;
    if (expected !== undefined && expected !== current) {
      const detail = `Cannot set fence: it must be ${JSON.stringify(expected)}, found ${JSON.stringify(current)}`;
      const members = { expectedFence: expected, currentFence: current };
      return answer(refuse("fence_mismatch", detail, { members }));
    }
    this.#push({ kind: "fence", token, answer });
  }

  /** The partition count by which the append of this key was placed, committed or under way; -1: there is none. */
  countOfKey(keyHash: Uint8Array): number {
    const known = this.#overlay.key(keyHash)?.key ?? this.#parts.fold.keys.get(keyHash);
    return known?.partitionCount ?? -1;
  }

  /** The host's turn: proposes what may go. */
  propose(): void {
    this.#wakeWanted = false;
    if (!this.#mayPropose(0)) return;
    if (this.#gathers()) return this.#wake();
    let at = 0;
    let bytes = 0;
    while (at < this.#queue.length && bytes < turnBytesMax && this.#mayPropose(bytes)) {
      const count = entryLength(this.#queue, at);
      const items = this.#queue.slice(at, at + count);
      const refusal = this.#proposeEntry(items);
      if (refusal !== null) {
        this.#queue.splice(0, at);
        this.#refuseQueue(refusal);
        return;
      }
      at += count;
      const taken = bytesOf(items);
      bytes += taken;
      this.#queueBytes -= taken;
    }
    this.#queue.splice(0, at);
    if (this.#mayPropose(0)) this.#wake();
  }

  /** Entries up to `index` are durable here. */
  flushed(index: LogIndex): void {
    this.#flushed = Math.max(this.#flushed, index);
    for (const entry of this.#underWay) {
      if (entry.index > index) break;
      for (const item of entry.items) if (isForLeader(item)) this.#answerAppend(item, entry);
    }
    if (this.#queue.length > 0) this.#wake();
  }

  /** An entry was committed and the fold holds it. */
  applied(entry: LogEntry): void {
    const head = this.#underWay[0];
    if (head === undefined || head.index > entry.index) return;
    assert(
      head.index === entry.index && head.term === entry.term,
      () =>
        `Entry ${head.index} of term ${head.term} was expected, got ${entry.index} of ${entry.term}`,
    );
    this.#underWay.shift();
    for (const item of head.items) this.#commit(item, head);
  }

  /** What was proposed at and above `index` may or may not come to be; what was only queued will not. */
  lost(index: LogIndex, refusal: Refusal): void {
    const lost = this.#underWay.filter((entry) => entry.index >= index);
    this.#underWay = this.#underWay.filter((entry) => entry.index < index);
    this.#overlay.clear();
    this.#flushed = 0;
    for (const entry of lost) for (const item of entry.items) this.#refuse(item, refusal);
    this.#refuseQueue({ ...refusal, sideEffects: "none" });
  }

  #gathers(): boolean {
    return this.#queueBytes < limits.entryBytesMax && this.#gather.goesOn(this.#queue.length);
  }

  #mayPropose(bytesThisTurn: number): boolean {
    if (this.#queue.length === 0) return false;
    const newest = this.#underWay.at(-1);
    const allFlushed = newest === undefined || newest.index <= this.#flushed;
    return allFlushed || bytesThisTurn > 0 || this.#queueBytes >= limits.entryBytesMax;
  }

  #push(pending: Pending): void {
    this.#overlay.add(pending, this.#parts.replica.clock());
    this.#queue.push(pending);
    if (pending.kind === "append") {
      this.#nextOffset += pending.recordCount;
      this.#queueBytes += pending.batch.bytes.length;
    }
    if (!this.#wakeWanted && this.#mayPropose(0)) this.#wake();
  }

  #wake(): void {
    this.#wakeWanted = true;
    this.#parts.replica.wake();
  }

  #proposeEntry(items: readonly Pending[]): Refusal | null {
    const { replica, slabs } = this.#parts;
    const { term } = replica.role;
    const draft = isAppends(items)
      ? dataDraft(items, term, slabs)
      : fenceDraft(items[0] as Pending & { kind: "fence" }, replica.nextOffset);
    const proposed = replica.propose(draft, term);
    draft.batch?.release();
    if (!proposed.ok) return proposed;
    for (const item of items) if (item.kind === "append") item.batch.release();
    const { index, time } = proposed;
    this.#underWay.push({ index, term, time, items });
    this.#gather.proposed(items.length);
    return null;
  }

  #commit(item: Pending, entry: EntryUnderWay): void {
    this.#overlay.remove(item);
    if (item.kind === "fence") return item.answer({ ok: true });
    this.#parts.replica.leave(item.batch.bytes.length);
    this.#answerAppend(item, entry);
    for (const follow of item.followers ?? []) {
      follow({ ...this.#outcome(item, entry), duplicate: true });
    }
  }

  /** Term and time that the next entry will have, for an answer that does not wait for it. */
  #unproposed(): Pick<EntryUnderWay, "term" | "time"> {
    const { replica } = this.#parts;
    return { term: replica.role.term, time: replica.clock() };
  }

  #answerAppend(item: PendingAppend, entry: Pick<EntryUnderWay, "term" | "time">): void {
    if (item.answered) return;
    item.answered = true;
    item.answer(this.#outcome(item, entry));
  }

  #refuse(item: Pending, refusal: Refusal): void {
    if (item.kind === "append") {
      this.#parts.replica.leave(item.batch.bytes.length);
      for (const follow of item.followers ?? []) follow(refusal);
      if (item.answered) return;
      item.answered = true;
    }
    item.answer(refusal);
  }

  /** What was never proposed. The log end falls back, so nothing that was given an offset behind it may stay. */
  #refuseQueue(refusal: Refusal): void {
    const queue = this.#queue;
    this.#queue = [];
    this.#queueBytes = 0;
    this.#nextOffset = this.#parts.replica.nextOffset;
    for (const item of queue) {
      this.#overlay.remove(item);
      this.#refuse(item, refusal);
      if (item.kind === "append") item.batch.release();
    }
  }

  #outcome(item: PendingAppend, entry: Pick<EntryUnderWay, "term" | "time">): AppendedBatch {
    const { baseOffset, recordCount, logAppendTime, maxTimestamp, key } = item;
    return {
      ok: true,
      baseOffset,
      recordCount,
      logAppendTime,
      maxTimestamp,
      leaderEpoch: entry.term,
      logStartOffset: this.#parts.replica.logStart.offset,
      duplicate: false,
      idempotencyExpires: key === null ? null : keyExpiry(entry.time),
    };
  }

  #answerAtOnce(
    decision: Exclude<Decision, { kind: "append" }>,
    header: BatchHeader,
    answer: (outcome: AppendOutcome) => void,
  ): void {
    switch (decision.kind) {
      case "refused":
        return answer(decision.refusal);
      case "follow":
        decision.original.followers ??= [];
        decision.original.followers.push(answer);
        return;
      case "repeatSequence":
        return answer(this.#repeat(header, { ...decision.written, expires: null }));
      case "repeatKey": {
        const { remembered } = decision;
        const expires = keyExpiry(remembered.time);
        return answer(this.#repeat(header, { ...remembered, expires }));
      }
    }
  }

  /** The answer of an earlier append. The batch itself is not read: its append time is its largest timestamp. */
  #repeat(
    header: BatchHeader,
    earlier: {
      readonly baseOffset: number;
      readonly maxTimestamp: number;
      readonly expires: number | null;
      readonly recordCount?: number;
    },
  ): AppendedBatch {
    const { replica } = this.#parts;
    const { baseOffset, maxTimestamp, expires } = earlier;
    return {
      ok: true,
      baseOffset,
      recordCount: earlier.recordCount ?? header.recordCount,
      logAppendTime: header.timestampType === "LogAppendTime" ? maxTimestamp : -1,
      maxTimestamp,
      leaderEpoch: replica.confirmedTerm,
      logStartOffset: replica.logStart.offset,
      duplicate: true,
      idempotencyExpires: expires,
    };
  }

  #pendingOf(
    request: AppendRequest,
    header: BatchHeader,
    of: Pick<PendingAppend, "producer" | "key">,
    answer: (outcome: AppendOutcome) => void,
  ): PendingAppend {
    const { batch, acks, logAppendTime } = request;
    batch.retain();
    return {
      kind: "append",
      batch,
      acks,
      baseOffset: this.#nextOffset,
      recordCount: header.recordCount,
      maxTimestamp: header.maxTimestamp,
      logAppendTime,
      producer: of.producer,
      key: of.key,
      answer,
      followers: null,
      answered: false,
    };
  }

  #keyOf(request: AppendRequest): PendingKey | null {
    const { idempotency } = request;
    if (idempotency === undefined) return null;
    const { principal, key, bodyHash, partitionCount } = idempotency;
    const keyHash = keyHashOf({ principal, topic: this.#parts.topicId, key });
    return { keyHash, bodyHash, partitionCount };
  }

  #refuseTerm(expected: number | undefined): Refusal | null {
    const { term } = this.#parts.replica.role;
    if (expected === undefined || expected === term) return null;
    const detail = `Cannot append: leader epoch must be ${expected}, found ${term}`;
    return refuse("not_leader_or_follower", detail);
  }
}

/** The bytes must be one batch, wholly: what follows it would get no offset. */
function inspectOne(bytes: Uint8Array): BatchHeader | Refusal {
  const header = inspectBatch(bytes);
  if (!header.ok || header.totalBytes === bytes.length) return header;
  const detail = `Cannot append: one batch of ${bytes.length} bytes is wanted, it says ${header.totalBytes}`;
  return refuse("invalid_record", detail);
}

function isForLeader(item: Pending): item is PendingAppend {
  return item.kind === "append" && item.acks === "leader";
}

function isAppends(items: readonly Pending[]): items is readonly PendingAppend[] {
  return items[0].kind === "append";
}

function bytesOf(items: readonly Pending[]): number {
  return items.reduce(
    (sum, item) => sum + (item.kind === "append" ? item.batch.bytes.length : 0),
    0,
  );
}
