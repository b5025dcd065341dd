// What goes into a partition's append and what comes out, and the check that decides between them.
//
// Promise: decide() is synchronous and has no effect; an earlier answer (key or sequence) comes before any condition,
// for a retry must hear what became of its first try even if the log has moved since. Left to others: doing it
// (appender.ts), whether the batch is one that a client may send (records).

import type { Slice } from "../bytes/slab.ts";
import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import type { PartitionFold } from "./fold.ts";
import { sameHash, type RememberedKey } from "./idempotency.ts";
import { checkSequence, type ProducerBatch, type WrittenBatch } from "./producers.ts";
import type { Overlay, PendingAppend, PendingKey } from "./proposals.ts";

/** all: at commit; leader: when durable at the leader; none: at once. */
export type Acks = "all" | "leader" | "none";

/** All that are given must hold. */
export interface Conditions {
  /** Log end offset, in-flight appends included. */
  readonly expectedOffset?: number;
  /** Fence token that must be the one set; undefined asks nothing. */
  readonly fence?: string;
}

export interface Idempotency {
  readonly principal: string;
  readonly key: string;
  /** 16 bytes. */
  readonly bodyHash: Uint8Array;
  /** Partition count by which keyless records were placed; 0 when each named its partition. */
  readonly partitionCount: number;
}

export interface AppendRequest {
  /** One validated RecordBatch v2, borrowed until the promise settles; stamped in place. */
  readonly batch: Slice;
  readonly acks: Acks;
  readonly conditions?: Conditions;
  readonly idempotency?: Idempotency;
  /** The append time that stands in the batch already (LogAppendTime), or -1. */
  readonly logAppendTime: number;
  /** Leader epoch that the caller believes in; undefined: any. */
  readonly expectedTerm?: number;
}

export interface AppendedBatch {
  readonly ok: true;
  readonly baseOffset: number;
  readonly recordCount: number;
  readonly logAppendTime: number;
  /** Largest record timestamp of the batch as stored, ms. */
  readonly maxTimestamp: number;
  readonly leaderEpoch: number;
  readonly logStartOffset: number;
  /** Answered from memory of an earlier append (idempotency key or producer sequence). */
  readonly duplicate: boolean;
  /** When the key is forgotten at the latest, ms since the epoch; null without a key. */
  readonly idempotencyExpires: number | null;
}

export type AppendOutcome = AppendedBatch | Refusal;

/** What the check looks at. */
export interface Candidate {
  readonly producer: ProducerBatch | null;
  readonly key: PendingKey | null;
  readonly conditions: Conditions | undefined;
  /** Offset that the batch would get. */
  readonly logEnd: number;
}

export type Decision =
  | { readonly kind: "append" }
  /** The same append is on its way: its outcome is this one's. */
  | { readonly kind: "follow"; readonly original: PendingAppend }
  | { readonly kind: "repeatKey"; readonly remembered: RememberedKey }
  | { readonly kind: "repeatSequence"; readonly written: WrittenBatch }
  | { readonly kind: "refused"; readonly refusal: Refusal };

const append = { kind: "append" } as const;

export function decide(fold: PartitionFold, overlay: Overlay, candidate: Candidate): Decision {
  return (
    decideByKey(fold, overlay, candidate.key) ??
    decideBySequence(overlay, candidate.producer) ??
    refuseFence(overlay.fence, candidate.conditions?.fence) ??
    refuseOffset(candidate.logEnd, candidate.conditions?.expectedOffset) ??
    append
  );
}

function decideByKey(
  fold: PartitionFold,
  overlay: Overlay,
  key: PendingKey | null,
): Decision | null {
  if (key === null) return null;
  const original = overlay.key(key.keyHash);
  if (original !== undefined) {
    const same = sameHash(original.key!.bodyHash, key.bodyHash);
    return same ? { kind: "follow", original } : reused();
  }
  const remembered = fold.keys.get(key.keyHash);
  if (remembered === null) return null;
  return sameHash(remembered.bodyHash, key.bodyHash) ? { kind: "repeatKey", remembered } : reused();
}

function decideBySequence(overlay: Overlay, producer: ProducerBatch | null): Decision | null {
  if (producer === null) return null;
  const verdict = checkSequence(overlay.producer(producer.producerId), producer);
  if (verdict.kind !== "duplicate") return verdict.kind === "append" ? null : verdict;
  const { batch } = verdict;
  return batch.pending === null
    ? { kind: "repeatSequence", written: batch }
    : { kind: "follow", original: batch.pending };
}

function refuseFence(current: string | null, wanted: string | undefined): Decision | null {
  if (wanted === undefined || wanted === current) return null;
  const found = current === null ? "none is set" : JSON.stringify(current);
  const detail = `Cannot append: fence must be ${JSON.stringify(wanted)}, found ${found}`;
  const members = { expectedFence: wanted, currentFence: current };
  return { kind: "refused", refusal: refuse("fence_mismatch", detail, { members }) };
}

function refuseOffset(logEnd: number, expected: number | undefined): Decision | null {
  if (expected === undefined || expected === logEnd) return null;
  const detail = `Cannot append: log end must be ${expected}, found ${logEnd}`;
  const members = { expectedOffset: expected, currentOffset: logEnd };
  return { kind: "refused", refusal: refuse("expected_offset_mismatch", detail, { members }) };
}

function reused(): Decision {
  const detail = "Cannot append: the Idempotency-Key was used with another request body";
  return { kind: "refused", refusal: refuse("idempotency_key_reused", detail) };
}

/** When a key whose entry has this time is forgotten. */
export function keyExpiry(entryTime: number): number {
  return entryTime + limits.idempotencyKeyAgeMsMax;
}
