// One partition's log, wherever it is led: the replica here when it leads, else the leader's node by calls.
//
//   append         append-line.ts: in order, to whoever leads
//   fetch          leader: up to where the leader's log is committed, the bytes from the replica here as far as it has them
//                  linearizable: likewise, behind a majority's word     local: the replica here, up to its own end
//   the rest       where it is led; repeated elsewhere when the leader has moved and nothing can have come of it
//   advances       of the replica here (it follows the leader), else of the leader, while somebody waits
//
// Promise: partition-log.ts. While this node leads, nothing here costs a wait or a call. What the leader's log holds is
// never out of range here: a replica that lags behind brings nothing yet. Left to others: topics, waiting.

import { refuse, type Refusal } from "../errors.ts";
import { nextOffsetAt } from "../records/batch-layout.ts";
import type { World } from "../world.ts";
import { AppendLine, type ForwardBudget } from "./append-line.ts";
import type { ReadConsistency } from "./broker.ts";
import type { HostedLog } from "./hosted-log.ts";
import type { LeaderRoute } from "./leader-route.ts";
import { leaderIn } from "./log-calls.ts";
import type {
  Keep,
  LogAppend,
  LogAppended,
  LogBounds,
  LogFetch,
  LogRead,
  PartitionLog,
} from "./partition-log.ts";
import { emptyBounds } from "./partition-slot.ts";
import type { Asked, PeerLogs } from "./peer-logs.ts";
import { RemoteWatch } from "./remote-watch.ts";

/** How long anything but an append may take, an election included, ms. */
const requestMs = 10_000;
/** How long a local read may ask whether its offset lies within the leader's log, ms. */
const lookMs = 1_000;

export interface RoutedLogParts {
  readonly world: World;
  readonly nodeId: number;
  readonly route: LeaderRoute;
  readonly peers: PeerLogs;
  readonly budget: ForwardBudget;
}

type Done = { readonly ok: true } | Refusal;

/** What is to be done where the partition is led. */
interface AtLeader<T> {
  readonly here: (log: HostedLog) => T | Refusal | Promise<T | Refusal>;
  readonly there: (asked: Asked) => Promise<T | Refusal>;
  /** Twice does no harm. */
  readonly isRepeatable: boolean;
}

export class RoutedLog implements PartitionLog {
  readonly route: LeaderRoute;
  readonly #parts: RoutedLogParts;
  readonly #line: AppendLine;
  readonly #watch: RemoteWatch;
  readonly #wakes = new Set<() => void>();
  #watchers = 0;
  #stopHearing: (() => void) | null = null;
  /** What a leader elsewhere told last. */
  #told: LogBounds | null = null;

  constructor(parts: RoutedLogParts) {
    this.#parts = parts;
    this.route = parts.route;
    this.#line = new AppendLine(parts);
    this.#watch = new RemoteWatch({
      ...parts,
      known: () => this.#told,
      told: (bounds) => this.#heard(bounds),
    });
  }

  /** A call waits at the leader for what comes next. */
  get watching(): boolean {
    return this.#watch.running;
  }

  /** The replica here was opened; null: it was dropped. */
  host(hosted: HostedLog | null): void {
    this.#stopHearing?.();
    this.route.hosted = hosted;
    this.#stopHearing = hosted?.onAdvance(() => this.#hear()) ?? null;
    if (hosted !== null) this.#watch.stop();
    else if (this.#watchers > 0) this.#watch.start();
    this.#wake();
  }

  /** The partition is no more. */
  end(): void {
    this.#watch.stop();
    this.host(null);
    this.#watch.stop();
  }

  bounds(consistency?: ReadConsistency): LogBounds {
    const { hosted } = this.route;
    const told = this.#told;
    if (hosted === null) return told ?? emptyBounds;
    const here = hosted.bounds();
    if (told === null || consistency === "local" || hosted.answers) return here;
    return told.highWatermark > here.highWatermark ? told : here;
  }

  currentBounds(consistency?: ReadConsistency): LogBounds | Refusal | Promise<LogBounds | Refusal> {
    const { hosted } = this.route;
    if (consistency === "linearizable") return this.#askBounds(requestMs, consistency);
    if (hosted !== null && (consistency === "local" || hosted.answers)) return hosted.bounds();
    return this.#askBounds(requestMs);
  }

  append(append: LogAppend): Promise<LogAppended | Refusal> {
    return this.#line.submit(append);
  }

  fetch(from: LogFetch): LogRead | Refusal | Promise<LogRead | Refusal> {
    const { hosted } = this.route;
    if (hosted !== null && from.consistency === "local") return this.#fetchLocal(hosted, from);
    if (hosted !== null && hosted.answers) return this.#fetchHere(hosted, from);
    const isHere = hosted !== null && from.offset < hosted.replica.highWatermark;
    return isHere ? this.#fetchCopy(from) : this.#fetchLed(from);
  }

  onAdvance(wake: () => void): () => void {
    this.#wakes.add(wake);
    return () => void this.#wakes.delete(wake);
  }

  watch(): () => void {
    this.#watchers += 1;
    if (this.route.hosted === null) this.#watch.start();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#watchers -= 1;
      if (this.#watchers === 0) this.#watch.stop();
    };
  }

  async offsetForTimestamp(
    timestamp: number,
    consistency?: ReadConsistency,
  ): Promise<{ readonly offset: number; readonly timestamp: number } | null | Refusal> {
    const { hosted } = this.route;
    if (hosted !== null && consistency === "local")
      return await hosted.offsetForTimestamp(timestamp);
    if (consistency === "linearizable") {
      const bounds = await this.#askBounds(requestMs, consistency);
      if ("ok" in bounds) return bounds;
    }
    type Answer = {
      readonly ok: true;
      readonly found: { readonly offset: number; readonly timestamp: number } | null;
    };
    const answer = await this.#atLeader<Answer>({
      here: async (log) => {
        const found = await log.offsetForTimestamp(timestamp);
        return found !== null && "ok" in found ? found : { ok: true, found };
      },
      there: (asked) => this.#parts.peers.offsetForTimestamp(asked, timestamp),
      isRepeatable: true,
    });
    return answer.ok ? answer.found : answer;
  }

  deleteRecords(before: number): ReturnType<PartitionLog["deleteRecords"]> {
    return this.#atLeader({
      here: (log) => log.deleteRecords(before),
      there: (asked) => this.#parts.peers.deleteRecords(asked, before),
      isRepeatable: true,
    });
  }

  async countOfKey(of: {
    readonly principal: string;
    readonly key: string;
  }): Promise<number | Refusal> {
    type Answer = { readonly ok: true; readonly count: number };
    const answer = await this.#atLeader<Answer>({
      here: async (log) => {
        const count = await log.countOfKey(of);
        return typeof count === "number" ? { ok: true, count } : count;
      },
      there: (asked) => this.#parts.peers.countOfKey(asked, of),
      isRepeatable: true,
    });
    return answer.ok ? answer.count : answer;
  }

  fence(): ReturnType<PartitionLog["fence"]> {
    return this.#atLeader({
      here: (log) => log.fence(),
      there: (asked) => this.#parts.peers.fence(asked),
      isRepeatable: true,
    });
  }

  setFence(token: string | null, expected?: string | null): Promise<Done> {
    const change = expected === undefined ? { token } : { token, expected };
    return this.#atLeader<{ readonly ok: true }>({
      here: (log) => log.setFence(token, expected),
      there: (asked) => this.#parts.peers.setFence(asked, change),
      // The second try would find the first one's token instead of the expected one.
      isRepeatable: expected === undefined,
    });
  }

  transfer(toNode: number): Promise<Done> {
    return this.#atLeader<{ readonly ok: true }>({
      here: (log) => log.transfer(toNode),
      there: (asked) => this.#parts.peers.transfer(asked, toNode),
      isRepeatable: false,
    });
  }

  /** Only the leader cuts; a leader elsewhere runs its own rounds. */
  async applyRetention(keep: Keep): Promise<Done> {
    const { hosted } = this.route;
    if (hosted === null) return { ok: true };
    const cut = await hosted.applyRetention(keep);
    return !cut.ok && cut.code === "not_leader_or_follower" ? { ok: true } : cut;
  }

  /** Resolves with the leader's node id once the partition can be written. */
  leader(timeoutMs: number): Promise<number | Refusal> {
    return this.route.find(timeoutMs);
  }

  #fetchHere(hosted: HostedLog, from: LogFetch): LogRead | Refusal | Promise<LogRead | Refusal> {
    const read = hosted.fetch(from);
    // The leader may have moved while the barrier was waited for.
    return from.consistency === "linearizable" && read instanceof Promise
      ? read.then((late) => (!late.ok && this.#movedFromHere(late) ? this.#fetchLed(from) : late))
      : read;
  }

  #movedFromHere(refusal: Refusal): boolean {
    return this.route.hasMoved(this.#parts.nodeId, refusal);
  }

  /** Beyond this replica's log end may lie what it has not got yet: then nothing comes, and a wait goes on. */
  #fetchLocal(hosted: HostedLog, from: LogFetch): LogRead | Refusal | Promise<LogRead | Refusal> {
    const isBeyond = !hosted.leads && from.offset > hosted.bounds().logEndOffset;
    return isBeyond ? this.#lookBeyond(hosted, from) : this.#read(hosted, from);
  }

  /** Of the replica here; what is damaged in it is whole elsewhere. */
  #read(hosted: HostedLog, from: LogFetch): LogRead | Refusal | Promise<LogRead | Refusal> {
    const mended = (read: LogRead | Refusal): LogRead | Refusal | Promise<LogRead | Refusal> =>
      !read.ok && read.code === "storage_damaged" && !hosted.leads ? this.#fetchLed(from) : read;
    const read = hosted.fetch({ ...from, consistency: "local" });
    return read instanceof Promise ? read.then(mended) : mended(read);
  }

  async #lookBeyond(hosted: HostedLog, from: LogFetch): Promise<LogRead | Refusal> {
    const known = this.#told?.logEndOffset ?? -1;
    if (from.offset <= known) return await hosted.fetch(from);
    const bounds = await this.#askBounds(lookMs);
    // A leader that cannot be asked cannot say that the offset is wrong.
    if ("ok" in bounds || from.offset <= bounds.logEndOffset) return await hosted.fetch(from);
    return outOfRange(from.offset, bounds);
  }

  /** The leader says how far its log reaches; what this replica has of it is read here, and the rest by the next read. So
   *  readers at every node cost their leader a few bytes each. */
  async #fetchCopy(from: LogFetch): Promise<LogRead | Refusal> {
    const bounds = await this.#askBounds(requestMs, from.consistency);
    if ("ok" in bounds) return bounds;
    const { hosted } = this.route;
    if (from.offset < bounds.logStartOffset) return outOfRange(from.offset, bounds);
    return hosted === null ? await this.#fetchLed(from) : await this.#read(hosted, from);
  }

  #fetchLed(from: LogFetch): Promise<LogRead | Refusal> {
    const { offset, maxBytes } = from;
    const consistency = from.consistency === "linearizable" ? "linearizable" : "leader";
    return this.#atLeader<LogRead>({
      here: (log) => log.fetch(from),
      there: async ({ to, groupId, timeoutMs }) => {
        const question = { groupId, offset, maxBytes, consistency } as const;
        const read = await this.#parts.peers.fetch({ to, groupId, timeoutMs }, question);
        if (!read.ok) return read;
        this.#told = reaching(read.bounds, read.batches);
        return read;
      },
      isRepeatable: true,
    });
  }

  #askBounds(timeoutMs: number, consistency?: ReadConsistency): Promise<LogBounds | Refusal> {
    return this.#atLeader<LogBounds>(
      {
        here: (log) => log.leaderBounds(consistency),
        there: async (asked) => {
          const bounds = await this.#parts.peers.bounds(asked, consistency);
          if (!("ok" in bounds)) this.#told = bounds;
          return bounds;
        },
        isRepeatable: true,
      },
      timeoutMs,
    );
  }

  async #atLeader<T>(what: AtLeader<T>, timeoutMs = requestMs): Promise<T | Refusal> {
    const { world, nodeId } = this.#parts;
    const { route } = this;
    const until = world.monotonic() + timeoutMs;
    for (;;) {
      const left = Math.max(1, until - world.monotonic());
      const leader = route.now() ?? (await route.find(left));
      if (typeof leader !== "number") return leader;
      const { hosted } = route;
      // The replica here was dropped meanwhile.
      if (leader === nodeId && hosted === null) continue;
      const outcome =
        leader === nodeId
          ? await what.here(hosted!)
          : await what.there({ to: leader, groupId: route.groupId, timeoutMs: left });
      if (!isRefusal(outcome) || !route.hasMoved(leader, outcome)) return outcome;
      route.moved(leader, leaderIn(outcome));
      if (outcome.sideEffects === "unknown" && !what.isRepeatable) return outcome;
      if (world.monotonic() >= until) return outcome;
    }
  }

  #heard(bounds: LogBounds): void {
    const before = this.#told;
    this.#told = bounds;
    const hasMoved =
      before === null ||
      bounds.highWatermark > before.highWatermark ||
      bounds.logStartOffset > before.logStartOffset;
    if (hasMoved) this.#wake();
  }

  /** The replica here has moved on, or its role has changed. */
  #hear(): void {
    this.route.heard();
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
  }
}

function outOfRange(offset: number, bounds: LogBounds): Refusal {
  const { logStartOffset, highWatermark } = bounds;
  const detail = `Cannot read offset ${offset}: the log holds ${logStartOffset} to ${highWatermark}`;
  return refuse("offset_out_of_range", detail, { members: { logStartOffset, highWatermark } });
}

/** What was read is there, whatever the bounds beside it say. */
function reaching(bounds: LogBounds, batches: readonly Uint8Array[]): LogBounds {
  const last = batches.at(-1);
  const end = last === undefined ? 0 : nextOffsetAt(last, 0);
  return end <= bounds.highWatermark ? bounds : { ...bounds, highWatermark: end };
}

function isRefusal(outcome: unknown): outcome is Refusal {
  return typeof outcome === "object" && outcome !== null && "ok" in outcome && outcome.ok === false;
}
