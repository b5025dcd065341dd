// The partition logs of this node by group id, as the broker sees them: every replica that lies here, open or not.
//
// Promise: partition-log.ts, where each log's replica lies here (in a cluster, routed-logs.ts stands before it). Left to
// others: which replicas there should be.

import type { Birth } from "../consensus/replica.ts";
import { PartitionLogs as Partitions } from "../partition/partition-logs.ts";
import type { PartitionLogsOptions } from "../partition/partition-logs.ts";
import { HostedLog, type HostedLogOptions } from "./hosted-log.ts";
import { membersOf } from "./group-members.ts";
import type { GroupReport, GroupReports, Keep, LogBounds, PartitionLogs } from "./partition-log.ts";
import { emptyBounds } from "./partition-slot.ts";

export interface HostedLogsOptions extends HostedLogOptions {
  readonly nodeId: number;
}

export class HostedLogs implements PartitionLogs {
  readonly peekIsCurrent = true;
  readonly #partitions: Partitions;
  readonly #options: HostedLogsOptions;
  readonly #open = new Map<string, HostedLog>();

  constructor(parts: PartitionLogsOptions, options: HostedLogsOptions) {
    this.#partitions = new Partitions(parts);
    this.#options = options;
  }

  async open(groupId: string, birth?: Birth): Promise<HostedLog> {
    const log = new HostedLog(await this.#partitions.open(groupId, birth), this.#options);
    this.#open.set(groupId, log);
    return log;
  }

  /** Those that are open. */
  all(): Iterable<HostedLog> {
    return this.#open.values();
  }

  /** The log if it is open. */
  opened(groupId: string): HostedLog | null {
    return this.#open.get(groupId) ?? null;
  }

  /** Alone, this node leads whatever there is. */
  leaderOf(): number {
    return this.#options.nodeId;
  }

  /** Alone: a partition that was never touched is as new as its first append will find it. */
  reports(groupIds: readonly string[]): GroupReports {
    return new Map(groupIds.map((groupId) => [groupId, this.#reportAlone(groupId)]));
  }

  reportsHere(groupIds: readonly string[]): GroupReports {
    return this.reports(groupIds);
  }

  /** Alone, each leads as soon as it is used. */
  untilLed(): Promise<void> {
    return Promise.resolve();
  }

  /** What the leader here tells of its group. */
  report(log: HostedLog): GroupReport {
    const { role, members, groupId } = log.replica;
    const { nodeId, lagMsMax } = this.#options;
    return {
      leader: nodeId,
      term: role.term,
      joint: members.joint,
      members: membersOf(log.replica, lagMsMax),
      bounds: log.bounds(),
      bytes: this.peek(groupId)?.bytes ?? 0,
    };
  }

  peek(groupId: string): { readonly bounds: LogBounds; readonly bytes: number } | null {
    return this.#partitions.peek(groupId);
  }

  retentionDue(groupId: string, keep: Keep): Promise<boolean> {
    return this.#partitions.retentionDue(groupId, keep);
  }

  groupIds(): Iterable<string> {
    return this.#partitions.groupIds();
  }

  incarnationOf(groupId: string): number | null {
    return this.#partitions.incarnationOf(groupId);
  }

  remove(groupId: string): Promise<void> {
    this.#open.delete(groupId);
    return this.#partitions.remove(groupId);
  }

  #reportAlone(groupId: string): GroupReport {
    const { bounds = emptyBounds, bytes = 0 } = this.peek(groupId) ?? {};
    const { nodeId } = this.#options;
    const incarnation = this.incarnationOf(groupId) ?? 1;
    const me = { nodeId, incarnation, voter: true, inSync: true, lagEntries: 0, lagMs: 0 };
    const term = bounds.leaderEpoch;
    return { leader: nodeId, term, joint: false, members: [me], bounds, bytes };
  }
}
