// What nodes ask each other about partition logs: the heads of the calls and of their answers, and reading them.
//
//   verb                 body of the question   body of the answer
//   append               the batch              -
//   fetch                -                      batches, back to back
//   leader, bounds, delete-records, count-of-key, fence, set-fence, offset-for-timestamp, wait-advance, describe
//
// A refusal is an answer like any other (ok: false). Promise: what a peer sent is read field by field; what does not fit
// is a Fault invalid_request, never a guess. Left to others: the bytes of heads (transport), doing what is asked.

import { codes, Fault, type Code, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Acks, GroupMember, GroupStatus, ReadConsistency } from "./broker.ts";
import type { GroupReport, LogAppend, LogAppended, LogBounds } from "./partition-log.ts";

/** A field of a head, before it is known to be what it should be. */
type Fields = Readonly<Record<string, unknown>>;

export interface LeaderQuestion {
  readonly groupId: string;
  /** How long to wait for an election, ms. */
  readonly waitMs: number;
}

export interface AppendQuestion extends Omit<LogAppend, "batch"> {
  readonly groupId: string;
}

export interface FetchQuestion {
  readonly groupId: string;
  readonly offset: number;
  readonly maxBytes: number;
  readonly consistency: ReadConsistency;
}

/** Groups of one `describe`. */
export const describedMax = 1_000;
const groupIdCharsMax = 300;
const waitMsMax = 60_000;

export function fieldsOf(head: unknown): Fields {
  if (typeof head === "object" && head !== null && !Array.isArray(head)) return head as Fields;
  throw unreadable("an object is wanted");
}

export function groupIdOf(fields: Fields): string {
  const { groupId } = fields;
  if (typeof groupId === "string" && groupId.length <= groupIdCharsMax) return groupId;
  throw unreadable("groupId must be a group's id");
}

/** A wait that a peer asks for, within bounds, ms. */
export function waitMsOf({ waitMs }: Fields): number {
  return Math.min(waitMsMax, Math.max(0, numberIn(waitMs, "waitMs")));
}

export function offsetIn(value: unknown, name: string): number {
  const n = numberIn(value, name);
  if (Number.isSafeInteger(n) && n >= -1) return n;
  throw unreadable(`${name} must be an offset, got ${n}`);
}

export function textIn(value: unknown, name: string): string {
  if (typeof value === "string") return value;
  throw unreadable(`${name} must be text`);
}

export function numberIn(value: unknown, name: string): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw unreadable(`${name} must be a number`);
}

export function appendQuestion(groupId: string, append: LogAppend): AppendQuestion {
  const { acks, conditions, idempotency, stampTime, minInsyncReplicas, timeoutMs } = append;
  return { groupId, acks, conditions, idempotency, stampTime, minInsyncReplicas, timeoutMs };
}

/** The append but for its batch; everything that outlives the call is copied out of the peer's bytes. */
export function readAppend(head: unknown): AppendQuestion {
  const fields = fieldsOf(head);
  const { acks } = fields;
  if (acks !== "all" && acks !== "leader" && acks !== "none") throw unreadable("acks is unknown");
  return {
    groupId: groupIdOf(fields),
    acks: acks satisfies Acks,
    conditions: conditionsIn(fields.conditions),
    idempotency: idempotencyIn(fields.idempotency),
    stampTime: fields.stampTime === true,
    minInsyncReplicas: numberIn(fields.minInsyncReplicas, "minInsyncReplicas"),
    timeoutMs: numberIn(fields.timeoutMs, "timeoutMs"),
  };
}

function conditionsIn(value: unknown): LogAppend["conditions"] {
  if (value === undefined || value === null) return undefined;
  const { expectedOffset, fence } = fieldsOf(value);
  return {
    expectedOffset: isAbsent(expectedOffset)
      ? undefined
      : offsetIn(expectedOffset, "expectedOffset"),
    fence: isAbsent(fence) ? undefined : textIn(fence, "fence"),
  };
}

function idempotencyIn(value: unknown): LogAppend["idempotency"] {
  if (isAbsent(value)) return undefined;
  const { principal, key, bodyHash, partitionCount } = fieldsOf(value);
  if (!(bodyHash instanceof Uint8Array) || bodyHash.length !== 16)
    throw unreadable("bodyHash must have 16 bytes");
  return {
    principal: textIn(principal, "principal"),
    key: textIn(key, "key"),
    // The overlay keeps it for as long as the key: it must not hold the whole request.
    bodyHash: Uint8Array.from(bodyHash),
    partitionCount: numberIn(partitionCount, "partitionCount"),
  };
}

export function readFetch(head: unknown): FetchQuestion {
  const fields = fieldsOf(head);
  const { consistency } = fields;
  if (consistency !== "leader" && consistency !== "linearizable")
    throw unreadable("consistency must be the leader's");
  return {
    groupId: groupIdOf(fields),
    offset: offsetIn(fields.offset, "offset"),
    maxBytes: Math.min(limits.responseBytesMax, numberIn(fields.maxBytes, "maxBytes")),
    consistency,
  };
}

/** Groups of a `describe`; more than a page are not looked at. */
export function readGroupIds(head: unknown): readonly string[] {
  const { groupIds } = fieldsOf(head);
  if (!Array.isArray(groupIds)) throw unreadable("groupIds must be a list");
  return groupIds.slice(0, describedMax).map((one) => textIn(one, "groupId"));
}

/** The node id that a `leader` call was answered; null for a refusal. */
export function leaderAnswer(head: unknown): number | null {
  const { leader } = fieldsOf(head);
  return typeof leader === "number" && leader > 0 ? leader : null;
}

/** The refusal that a peer answered, or null for an answer with ok: true. */
export function refusalIn(head: unknown): Refusal | null {
  const { ok, code, detail, sideEffects, retryAfterMs, members } = fieldsOf(head);
  if (ok === true) return null;
  if (typeof code !== "string" || !Object.hasOwn(codes, code)) throw unreadable("code is unknown");
  return {
    ok: false,
    code: code as Code,
    detail: textIn(detail, "detail"),
    sideEffects: sideEffects === "none" ? "none" : "unknown",
    ...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}),
    ...(isAbsent(members) ? {} : { members: fieldsOf(members) }),
  };
}

/** Who leads, as a refusal names it; null: it does not say. */
export function leaderIn({ members }: Refusal): number | null {
  const leader = members?.leader;
  return typeof leader === "number" && leader > 0 ? leader : null;
}

export function readAppended(head: unknown): LogAppended {
  const fields = fieldsOf(head);
  const { maxTimestamp, idempotencyExpires } = fields;
  return {
    ok: true,
    baseOffset: offsetIn(fields.baseOffset, "baseOffset"),
    recordCount: numberIn(fields.recordCount, "recordCount"),
    logAppendTime: numberIn(fields.logAppendTime, "logAppendTime"),
    maxTimestamp: isAbsent(maxTimestamp) ? undefined : numberIn(maxTimestamp, "maxTimestamp"),
    leaderEpoch: numberIn(fields.leaderEpoch, "leaderEpoch"),
    logStartOffset: offsetIn(fields.logStartOffset, "logStartOffset"),
    duplicate: fields.duplicate === true,
    idempotencyExpires: isAbsent(idempotencyExpires)
      ? null
      : numberIn(idempotencyExpires, "idempotencyExpires"),
  };
}

export function readBounds(value: unknown): LogBounds {
  const fields = fieldsOf(value);
  return {
    logStartOffset: offsetIn(fields.logStartOffset, "logStartOffset"),
    highWatermark: offsetIn(fields.highWatermark, "highWatermark"),
    lastStableOffset: offsetIn(fields.lastStableOffset, "lastStableOffset"),
    logEndOffset: offsetIn(fields.logEndOffset, "logEndOffset"),
    leaderEpoch: numberIn(fields.leaderEpoch, "leaderEpoch"),
  };
}

export function readReport(value: unknown): GroupReport {
  const fields = fieldsOf(value);
  const leader = numberIn(fields.leader, "leader");
  return {
    ...readGroup(value),
    leader,
    bounds: readBounds(fields.bounds),
    bytes: numberIn(fields.bytes, "bytes"),
  };
}

/** What the controller's leader tells of its group. */
export function readGroup(value: unknown): GroupStatus {
  const fields = fieldsOf(value);
  const { members } = fields;
  if (!Array.isArray(members)) throw unreadable("members must be a list");
  return {
    leader: numberIn(fields.leader, "leader"),
    term: numberIn(fields.term, "term"),
    joint: fields.joint === true,
    members: members.map(readMember),
  };
}

function readMember(value: unknown): GroupMember {
  const fields = fieldsOf(value);
  return {
    nodeId: numberIn(fields.nodeId, "nodeId"),
    incarnation: numberIn(fields.incarnation, "incarnation"),
    voter: fields.voter === true,
    inSync: fields.inSync === true,
    lagEntries: numberIn(fields.lagEntries, "lagEntries"),
    lagMs: numberIn(fields.lagMs, "lagMs"),
  };
}

/** Batches that lie back to back in `bytes`, as views. */
export function batchesOf(bytes: Uint8Array, lengths: unknown): readonly Uint8Array[] {
  if (!Array.isArray(lengths)) throw unreadable("lengths must be a list");
  const batches: Uint8Array[] = [];
  let at = 0;
  for (const length of lengths) {
    const end = at + numberIn(length, "length");
    if (!(end > at && end <= bytes.length)) throw unreadable("a batch ends outside the answer");
    batches.push(bytes.subarray(at, end));
    at = end;
  }
  return batches;
}

/** undefined becomes null on its way. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

function unreadable(what: string): Fault {
  return new Fault("invalid_request", `Cannot read what another node sent: ${what}`);
}
