// Asking other nodes about partition logs: one method a verb, each one call, its answer read and checked.
//
// Promise: nothing is thrown for a peer's sake: what the call lane or the peer's answer faults with comes back as a
// refusal whose sideEffects say whether the peer may have acted. Left to others: whom to ask, and asking again
// (routed-log.ts, append-line.ts).

import { refusalOf, type Refusal } from "../errors.ts";
import type { CallAnswer, CallRequest, Calls } from "../transport/calls.ts";
import type { GroupStatus, ReadConsistency } from "./broker.ts";
import {
  appendQuestion,
  batchesOf,
  fieldsOf,
  isAbsent,
  numberIn,
  offsetIn,
  readAppended,
  readBounds,
  readGroup,
  readReport,
  refusalIn,
  textIn,
  type FetchQuestion,
} from "./log-calls.ts";
import type { GroupReport, LogAppend, LogAppended, LogBounds, LogRead } from "./partition-log.ts";

export interface PeerCounters {
  /** Requests that were sent to another node. */
  forwarded: number;
  /** Batch bytes that were sent to a leader, and that came from one. */
  appendBytes: number;
  fetchBytes: number;
  /** Calls that could not be made, or broke. */
  failed: number;
}

/** Whom, and for how long. */
export interface Asked {
  readonly to: number;
  readonly groupId: string;
  readonly timeoutMs: number;
}

export interface PeerRead extends LogRead {
  readonly bounds: LogBounds;
}

export class PeerLogs {
  readonly #calls: Calls;
  readonly #stopped: AbortSignal;
  readonly counters: PeerCounters = { forwarded: 0, appendBytes: 0, fetchBytes: 0, failed: 0 };

  /** Once `stopped` is aborted, what is under way is given up. */
  constructor(calls: Calls, stopped: AbortSignal) {
    this.#calls = calls;
    this.#stopped = stopped;
  }

  /** The batch is held until it has left, which may be after the answer; a retry needs a copy where it is stamped. */
  append({ to, groupId, timeoutMs }: Asked, append: LogAppend): Promise<LogAppended | Refusal> {
    const head = appendQuestion(groupId, append);
    const { batch } = append;
    this.counters.appendBytes += batch.bytes.length;
    batch.retain();
    const body = [batch.bytes];
    const release = (): void => batch.release();
    const request = { to, verb: "append", head, body, release, timeoutMs, signal: this.#stopped };
    return this.#ask(request, (answer) => readAppended(answer.head));
  }

  /** Batches are views of one answer, owned by the garbage collector. */
  fetch({ to, timeoutMs }: Asked, question: FetchQuestion): Promise<PeerRead | Refusal> {
    return this.#ask({ to, verb: "fetch", head: question, timeoutMs }, ({ head, body }) => {
      const { lengths, bounds } = fieldsOf(head);
      const batches = batchesOf(body, lengths);
      this.counters.fetchBytes += body.length;
      return { ok: true, batches, bounds: readBounds(bounds), release: nothingToRelease };
    });
  }

  bounds(
    { to, groupId, timeoutMs }: Asked,
    consistency: ReadConsistency = "leader",
  ): Promise<LogBounds | Refusal> {
    const head = { groupId, consistency };
    return this.#ask({ to, verb: "bounds", head, timeoutMs }, readBoundsAnswer);
  }

  /** The bounds once they are others than those given, or as they are after waitMs. */
  waitAdvance(
    { to, groupId, timeoutMs }: Asked,
    known: { readonly highWatermark: number; readonly logStartOffset: number },
    wait: { readonly waitMs: number; readonly signal: AbortSignal },
  ): Promise<LogBounds | Refusal> {
    const { waitMs, signal } = wait;
    const head = { groupId, waitMs, ...known };
    return this.#ask({ to, verb: "wait-advance", head, timeoutMs, signal }, readBoundsAnswer);
  }

  deleteRecords(
    { to, groupId, timeoutMs }: Asked,
    before: number,
  ): Promise<{ readonly ok: true; readonly logStartOffset: number } | Refusal> {
    const request = { to, verb: "delete-records", head: { groupId, before }, timeoutMs };
    return this.#ask(request, ({ head }) => {
      const { logStartOffset } = fieldsOf(head);
      return { ok: true, logStartOffset: offsetIn(logStartOffset, "logStartOffset") };
    });
  }

  countOfKey(
    { to, groupId, timeoutMs }: Asked,
    of: { readonly principal: string; readonly key: string },
  ): Promise<{ readonly ok: true; readonly count: number } | Refusal> {
    const request = { to, verb: "count-of-key", head: { groupId, ...of }, timeoutMs };
    return this.#ask(request, ({ head }) => ({
      ok: true,
      count: numberIn(fieldsOf(head).count, "count"),
    }));
  }

  fence({
    to,
    groupId,
    timeoutMs,
  }: Asked): Promise<{ readonly ok: true; readonly token: string | null } | Refusal> {
    return this.#ask({ to, verb: "fence", head: { groupId }, timeoutMs }, ({ head }) => {
      const { token } = fieldsOf(head);
      return { ok: true, token: isAbsent(token) ? null : textIn(token, "token") };
    });
  }

  setFence(
    { to, groupId, timeoutMs }: Asked,
    change: { readonly token: string | null; readonly expected?: string | null },
  ): Promise<{ readonly ok: true } | Refusal> {
    // undefined and null would arrive as the same: whether a token is expected is said beside it.
    const head = { groupId, ...change, isExpected: change.expected !== undefined };
    return this.#ask({ to, verb: "set-fence", head, timeoutMs }, () => ({ ok: true }));
  }

  offsetForTimestamp(
    { to, groupId, timeoutMs }: Asked,
    timestamp: number,
  ): Promise<
    | {
        readonly ok: true;
        readonly found: { readonly offset: number; readonly timestamp: number } | null;
      }
    | Refusal
  > {
    const request = { to, verb: "offset-for-timestamp", head: { groupId, timestamp }, timeoutMs };
    return this.#ask(request, ({ head }) => {
      const fields = fieldsOf(head);
      if (isAbsent(fields.offset)) return { ok: true, found: null };
      const at = numberIn(fields.timestamp, "timestamp");
      return { ok: true, found: { offset: offsetIn(fields.offset, "offset"), timestamp: at } };
    });
  }

  /** What that node tells of the groups that it leads, and whom it believes to lead the others. */
  describe(
    { to, timeoutMs }: Omit<Asked, "groupId">,
    groupIds: readonly string[],
  ): Promise<Described | Refusal> {
    return this.#ask({ to, verb: "describe", head: { groupIds }, timeoutMs }, ({ head }) => {
      const { reports, elsewhere } = fieldsOf(head);
      const told = new Map<string, GroupReport>();
      for (const [groupId, report] of pairsOf(reports)) told.set(groupId, readReport(report));
      const leaders = new Map<string, number>();
      for (const [groupId, leader] of pairsOf(elsewhere))
        leaders.set(groupId, numberIn(leader, "leader"));
      return { ok: true, reports: told, elsewhere: leaders };
    });
  }

  /** Asked of the controller's leader. */
  controller({ to, timeoutMs }: Omit<Asked, "groupId">): Promise<GroupStatus | Refusal> {
    return this.#ask({ to, verb: "describe-controller", head: {}, timeoutMs }, ({ head }) =>
      readGroup(fieldsOf(head).group),
    );
  }

  /** Hands a group's leadership over; asked of its leader. */
  transfer(
    { to, groupId, timeoutMs }: Asked,
    toNode: number,
  ): Promise<{ readonly ok: true } | Refusal> {
    const head = { groupId, toNode };
    return this.#ask({ to, verb: "transfer", head, timeoutMs }, () => ({ ok: true }));
  }

  async #ask<T>(request: CallRequest, read: (answer: CallAnswer) => T): Promise<T | Refusal> {
    this.counters.forwarded += 1;
    try {
      const answer = await this.#calls.call(request);
      return refusalIn(answer.head) ?? read(answer);
    } catch (thrown) {
      this.counters.failed += 1;
      return refusalOf(thrown);
    }
  }
}

export interface Described {
  readonly ok: true;
  readonly reports: ReadonlyMap<string, GroupReport>;
  readonly elsewhere: ReadonlyMap<string, number>;
}

function readBoundsAnswer({ head }: CallAnswer): LogBounds {
  return readBounds(fieldsOf(head).bounds);
}

/** [[group id, value], ...] */
function pairsOf(value: unknown): readonly [string, unknown][] {
  if (!Array.isArray(value)) return [];
  return value
    .filter((pair): pair is [unknown, unknown] => Array.isArray(pair) && pair.length === 2)
    .map(([groupId, told]) => [textIn(groupId, "groupId"), told]);
}

const nothingToRelease = (): void => undefined;
