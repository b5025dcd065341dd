// Every partition's log as one node sees it: those whose replica lies here, and all the others by calls.
//
//   open(group)      a RoutedLog; the replica here is opened (or created, as the metadata says) when one is wanted here
//   wanted(group)    a peer speaks to a replica that is not open here: opened or created if the metadata names it
//   remove(group)    the replica here is out of the group for good, or the topic was deleted
//
// Promise: a replica is created only where committed metadata names it, and dropped only when a committed record says
// that it is out; whatever happens to the replica here, the partition is served through the others. Left to others: who
// leads (leader-route.ts), asking (routed-log.ts), being asked (log-server.ts).

import type { Replica } from "../consensus/replica.ts";
import type { Calls } from "../transport/calls.ts";
import type { World } from "../world.ts";
import type { ForwardBudget } from "./append-line.ts";
import type { Assignments } from "./assignments.ts";
import { Closing } from "./closing.ts";
import type { HostedLog } from "./hosted-log.ts";
import type { HostedLogs } from "./hosted-logs.ts";
import { LeaderRoute } from "./leader-route.ts";
import { describedMax } from "./log-calls.ts";
import type {
  GroupReport,
  GroupReports,
  Keep,
  LogBounds,
  PartitionLog,
  PartitionLogs,
} from "./partition-log.ts";
import { PeerLogs } from "./peer-logs.ts";
import { RoutedLog } from "./routed-log.ts";

/** How long appends under way to other nodes may hold up a stop, ms. */
const farewellMs = 2_000;
/** How long the leaders may take to tell of their groups, ms. */
const describeMs = 3_000;

export interface RoutedLogsParts {
  readonly world: World;
  readonly nodeId: number;
  readonly calls: Calls;
  readonly hosted: HostedLogs;
  readonly assignments: Assignments;
}

export class RoutedLogs implements PartitionLogs {
  readonly peekIsCurrent = false;
  readonly peers: PeerLogs;
  readonly #parts: RoutedLogsParts;
  readonly #closing = new Closing();
  readonly #stop = new AbortController();
  readonly #budget: ForwardBudget = { bytes: 0 };
  readonly #logs = new Map<string, RoutedLog>();
  /** Replicas that are being opened. */
  readonly #opening = new Map<string, Promise<HostedLog | null>>();

  constructor(parts: RoutedLogsParts) {
    this.#parts = parts;
    this.peers = new PeerLogs(parts.calls, this.#stop.signal);
  }

  /** Rejects when the only replica lies here and cannot be opened. */
  async open(groupId: string): Promise<PartitionLog> {
    const log = this.#logOf(groupId);
    try {
      await this.host(groupId);
    } catch (thrown) {
      const others = this.#parts.assignments.of(groupId).length - 1;
      if (others < 1) throw thrown;
    }
    return log;
  }

  /** The replica here, opened or created if the metadata wants one; null: it does not. Rejects as opening does. */
  host(groupId: string): HostedLog | null | Promise<HostedLog | null> {
    const { hosted, assignments } = this.#parts;
    const open = hosted.opened(groupId);
    if (open !== null) return open;
    const opening = this.#opening.get(groupId);
    if (opening !== undefined) return opening;
    if (assignments.birthHere(groupId) === null && hosted.incarnationOf(groupId) === null)
      return null;
    const begun = this.#host(groupId).finally(() => this.#opening.delete(groupId));
    this.#opening.set(groupId, begun);
    return begun;
  }

  /** A peer speaks to that replica. */
  wanted(groupId: string, incarnation: number): void {
    const birth = this.#parts.assignments.birthHere(groupId);
    const held = this.#parts.hosted.incarnationOf(groupId);
    if (birth?.incarnation !== incarnation && held !== incarnation) return;
    // One that cannot be opened is tried again a second later, when the host tells again.
    Promise.resolve(this.host(groupId)).catch(() => undefined);
  }

  leaderOf(groupId: string): number | null {
    const known = this.#logs.get(groupId)?.route.known() ?? null;
    if (known !== null) return known;
    const leaderId = this.#parts.hosted.opened(groupId)?.replica.role.leaderId ?? 0;
    return leaderId === 0 ? null : leaderId;
  }

  /** Of those that the journal holds. */
  groupIds(): readonly string[] {
    return [...this.#parts.hosted.groupIds()];
  }

  /** Of the replica that lies here; null: none does. */
  incarnationOf(groupId: string): number | null {
    return this.#parts.hosted.incarnationOf(groupId);
  }

  /** The replica here, opened or created as the metadata says; null: none belongs here, or it cannot be opened. */
  async wake(groupId: string): Promise<Replica | null> {
    try {
      return (await this.host(groupId))?.replica ?? null;
    } catch {
      return null;
    }
  }

  peek(groupId: string): { readonly bounds: LogBounds; readonly bytes: number } | null {
    const here = this.#parts.hosted.peek(groupId);
    const log = this.#logs.get(groupId);
    if (log === undefined) return here;
    return { bounds: log.bounds(), bytes: here?.bytes ?? 0 };
  }

  /** The leader alone cuts. An idle group that nobody leads since a restart is woken by its preferred leader. */
  async retentionDue(groupId: string, keep: Keep): Promise<boolean> {
    const { assignments, nodeId, hosted } = this.#parts;
    const leader = this.leaderOf(groupId) ?? assignments.of(groupId)[0]?.nodeId;
    return leader === nodeId && (await hosted.retentionDue(groupId, keep));
  }

  /** The log itself goes on, by calls, as long as the metadata knows the group. */
  async remove(groupId: string): Promise<void> {
    await this.#drop(groupId);
    if (this.#parts.assignments.of(groupId).length > 0) return;
    this.#logs.get(groupId)?.end();
    this.#logs.delete(groupId);
  }

  reports(groupIds: readonly string[]): GroupReports | Promise<GroupReports> {
    const told = this.reportsHere(groupIds);
    if (told.size === groupIds.length) return told;
    const elsewhere = groupIds.filter((groupId) => !told.has(groupId));
    return this.#askLeaders(new Map(told), elsewhere);
  }

  reportsHere(groupIds: readonly string[]): GroupReports {
    const told = new Map<string, GroupReport>();
    for (const groupId of groupIds) {
      const hosted = this.#parts.hosted.opened(groupId);
      if (hosted?.answers === true) told.set(groupId, this.#parts.hosted.report(hosted));
    }
    return told;
  }

  /** Waits until each partition can be written, or the time is over. Never rejects. */
  async untilLed(groupIds: readonly string[], timeoutMs: number): Promise<void> {
    const { world } = this.#parts;
    const until = world.monotonic() + timeoutMs;
    const left = [...groupIds];
    const wait = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const ms = until - world.monotonic();
        if (ms <= 0 || this.#closing.isOver) return;
        await this.#untilLed(next, ms).catch(() => undefined);
      }
    };
    await Promise.all(Array.from({ length: electionsAtOnce }, wait));
    // Who was elected a moment ago is not ready yet: asked what it leads, it answers when it is.
    await this.reports(groupIds);
  }

  /** Ends every wait for a leader; what is under way to other nodes is given up soon. */
  close(): void {
    this.#closing.close();
    this.#parts.world.setTimer(farewellMs, () => this.#stop.abort());
    for (const log of this.#logs.values()) log.end();
  }

  /** Gauges and counters by name. */
  metrics(): Readonly<Record<string, number>> {
    let searches = 0;
    let watches = 0;
    let led = 0;
    let leaderless = 0;
    for (const { route, watching } of this.#logs.values()) {
      searches += route.searches;
      if (watching) watches += 1;
    }
    for (const log of this.#parts.hosted.all()) {
      if (log.answers) led += 1;
      else if (log.replica.role.leaderId === 0) leaderless += 1;
    }
    const { forwarded, appendBytes, fetchBytes, failed } = this.peers.counters;
    return {
      forwarded_requests_total: forwarded,
      forwarded_failures_total: failed,
      forwarded_append_bytes_total: appendBytes,
      forwarded_fetch_bytes_total: fetchBytes,
      forward_waiting_bytes: this.#budget.bytes,
      leader_searches_total: searches,
      partitions_watched: watches,
      partitions_led: led,
      partitions_leaderless: leaderless,
    };
  }

  async #untilLed(groupId: string, timeoutMs: number): Promise<void> {
    const log = this.#logOf(groupId);
    await this.host(groupId);
    await log.leader(timeoutMs);
  }

  #logOf(groupId: string): RoutedLog {
    const known = this.#logs.get(groupId);
    if (known !== undefined) return known;
    const { world, nodeId } = this.#parts;
    const route = new LeaderRoute({ ...this.#parts, closing: this.#closing }, groupId);
    const log = new RoutedLog({ world, nodeId, route, peers: this.peers, budget: this.#budget });
    const hosted = this.#parts.hosted.opened(groupId);
    if (hosted !== null) log.host(hosted);
    this.#logs.set(groupId, log);
    return log;
  }

  async #host(groupId: string): Promise<HostedLog | null> {
    const { hosted, assignments } = this.#parts;
    const birth = assignments.birthHere(groupId);
    const held = hosted.incarnationOf(groupId);
    if (held !== null && held !== birth?.incarnation) {
      // Out of the group for good: the one that is wanted now begins empty. Else it stays until a record says so.
      if (assignments.isGone(groupId, held)) await this.#drop(groupId);
      if (birth === null) return null;
    }
    const log = await hosted.open(groupId, birth ?? undefined);
    // A deletion may have come meanwhile: it waits for this and drops the replica.
    this.#logs.get(groupId)?.host(log);
    return log;
  }

  async #drop(groupId: string): Promise<void> {
    const opening = this.#opening.get(groupId);
    if (opening !== undefined) await opening.catch(() => undefined);
    this.#logs.get(groupId)?.host(null);
    await this.#parts.hosted.remove(groupId);
  }

  /** Asks whom this node believes to lead, then whom they named. */
  async #askLeaders(
    told: Map<string, GroupReport>,
    groupIds: readonly string[],
  ): Promise<GroupReports> {
    const asked = new Map<string, Set<number>>();
    let wanted: ReadonlyMap<string, number | null> = new Map(
      groupIds.map((groupId) => [groupId, this.#believed(groupId)]),
    );
    for (let round = 0; round < 2 && wanted.size > 0; round += 1)
      wanted = await this.#askRound(wanted, told, asked);
    return told;
  }

  /** The groups that were told to be led elsewhere, with where. */
  async #askRound(
    wanted: ReadonlyMap<string, number | null>,
    told: Map<string, GroupReport>,
    asked: Map<string, Set<number>>,
  ): Promise<ReadonlyMap<string, number>> {
    const byNode = new Map<number, string[]>();
    for (const [groupId, node] of wanted) {
      const before = asked.get(groupId) ?? new Set();
      if (node === null || node === this.#parts.nodeId || before.has(node)) continue;
      asked.set(groupId, before.add(node));
      const groups = byNode.get(node);
      if (groups === undefined) byNode.set(node, [groupId]);
      else groups.push(groupId);
    }
    const elsewhere = new Map<string, number>();
    const rounds = [...byNode].flatMap(([to, groups]) =>
      pagesOf(groups).map(async (page) => {
        const answer = await this.peers.describe({ to, timeoutMs: describeMs }, page);
        if (!answer.ok) return;
        for (const [groupId, report] of answer.reports) told.set(groupId, report);
        for (const [groupId, leader] of answer.elsewhere) elsewhere.set(groupId, leader);
      }),
    );
    await Promise.all(rounds);
    return elsewhere;
  }

  /** The known leader, else the first other node of the assignment, which may know. */
  #believed(groupId: string): number | null {
    const { assignments, nodeId } = this.#parts;
    const other = assignments.of(groupId).find((one) => one.nodeId !== nodeId);
    return this.leaderOf(groupId) ?? other?.nodeId ?? null;
  }
}

/** Groups of a new topic that hold their first elections at once. */
const electionsAtOnce = 64;

function pagesOf(groupIds: readonly string[]): readonly (readonly string[])[] {
  const pages: (readonly string[])[] = [];
  for (let at = 0; at < groupIds.length; at += describedMax)
    pages.push(groupIds.slice(at, at + describedMax));
  return pages;
}
