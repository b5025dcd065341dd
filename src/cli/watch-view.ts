// What a watcher shows: a table that fits the terminal, or a line for each event.
//
//   node  state               leads  replicas  lag         http
//   1     DOWN for 3.20 s     0      7         -           http://127.0.0.1:7480
//   2     up                  4      7         -           http://127.0.0.1:7481
//
// Promise: pure; the worst comes first, so that what does not fit is what is well. Left to others: what is known
// (watch-model.ts), where it goes (watch.ts).

import { unreachable } from "../assert.ts";
import { plural, tableLines, timeText } from "./amounts.ts";
import type { MemberRow } from "./cluster-answers.ts";
import {
  controllerName,
  lookMs,
  type Gap,
  type WatchedGroup,
  type WatchedNode,
  type WatchEvent,
  type WatchModel,
} from "./watch-model.ts";

/** Now, by both clocks: events are timed by the monotonic one and shown by the other. */
export interface Clocks {
  readonly at: number;
  readonly wallMs: number;
}

/** The table, at most `rows` lines of at most `columns` characters. */
export function tableOf(
  model: WatchModel,
  clocks: Clocks,
  size: { readonly columns: number; readonly rows: number },
): readonly string[] {
  const groups = [...model.groups.values()];
  const head = [
    `Cluster ${model.clusterId}  ${clockText(clocks, clocks.at)}  (Ctrl-C ends this)`,
    "",
    ...nodeLines(model, clocks.at),
    "",
    ...summaryLines(groups, model, clocks),
    "",
  ];
  const room = Math.max(0, size.rows - head.length - 1);
  const shown = [...groups].sort(worstFirst).slice(0, room);
  const down = new Set<number>();
  for (const [nodeId, { state }] of model.nodes) if (state === "down") down.add(nodeId);
  const lines = [...head, ...groupLines(shown, down, clocks)];
  return lines.slice(0, size.rows).map((line) => line.slice(0, size.columns));
}

function nodeLines({ nodes, groups }: WatchModel, at: number): readonly string[] {
  const rows = [...nodes.values()]
    .sort((a, b) => a.row.nodeId - b.row.nodeId)
    .map((node) => [
      String(node.row.nodeId),
      stateText(node, at),
      String(ledBy(groups.values(), node.row.nodeId)),
      String(node.row.replicas),
      lagText(worstLag(groups.values(), node.row.nodeId)),
      node.row.http ?? "-",
      node.row.region ?? "",
    ]);
  return tableLines([["node", "state", "leads", "replicas", "lag", "http", "region"], ...rows]);
}

function stateText({ state, since }: WatchedNode, at: number): string {
  if (state === "up") return "up";
  const words = state === "down" ? "DOWN" : "no answer here";
  return `${words} for ${timeText(at - since)}`;
}

function ledBy(groups: Iterable<WatchedGroup>, nodeId: number): number {
  let count = 0;
  for (const { leader, lostAt } of groups) if (leader === nodeId && lostAt === null) count += 1;
  return count;
}

/** The replica of the node that is furthest behind. */
function worstLag(groups: Iterable<WatchedGroup>, nodeId: number): MemberRow | null {
  let worst: MemberRow | null = null;
  for (const { members } of groups)
    for (const member of members)
      if (member.nodeId === nodeId && member.lagMs > (worst?.lagMs ?? 0)) worst = member;
  return worst;
}

function lagText(member: MemberRow | null): string {
  if (member === null) return "-";
  return `${member.lagEntries} entries, ${timeText(member.lagMs)}`;
}

function summaryLines(
  groups: readonly WatchedGroup[],
  { partitions }: WatchModel,
  clocks: Clocks,
): readonly string[] {
  const lost = groups.filter(({ leader, lostAt }) => leader === null || lostAt !== null);
  const looked =
    groups.length - 1 < partitions ? `, the first ${groups.length - 1} are watched` : "";
  const led =
    lost.length === 0
      ? "everything is led"
      : `NO LEADER: ${lost
          .map((one) => lostText(one, clocks.at))
          .slice(0, 6)
          .join(", ")}${lost.length > 6 ? ` and ${lost.length - 6} more` : ""}`;
  return [
    `${plural(partitions, "partition")} and the controller${looked}: ${led}`,
    lastGapLine(groups, clocks),
  ];
}

function lostText({ name, lostAt }: WatchedGroup, at: number): string {
  return lostAt === null ? name : `${name} for ${timeText(at - lostAt)}`;
}

/** Gaps that ended within this time of the last one belong to the same loss. */
const sameLossMs = 5_000;

function lastGapLine(groups: readonly WatchedGroup[], clocks: Clocks): string {
  const gaps = groups.flatMap(({ name, gap }) => (gap === null ? [] : [{ name, gap }]));
  const last = gaps.reduce<Gap | null>(
    (newest, { gap }) => (newest === null || gap.at > newest.at ? gap : newest),
    null,
  );
  if (last === null) return "last gap: none since this began";
  const same = gaps.filter(({ gap }) => last.at - gap.at < sameLossMs && gap.from === last.from);
  const longest = same.reduce((a, b) => (b.gap.ms > a.gap.ms ? b : a));
  const where = same.length === 1 ? longest.name : `${same.length} groups, ${longest.name} longest`;
  return `last gap: ${gapText(longest.gap)} at ${clockText(clocks, last.at)}, when node ${last.from} no longer led (${where})`;
}

/** A gap shorter than two questions may as well be none; one in which the watcher itself stood still is shorter. */
function gapText({ ms, ownMs }: Pick<Gap, "ms" | "ownMs">): string {
  if (ms < 2 * lookMs) return `under ${timeText(2 * lookMs)}`;
  return ownMs < lookMs ? timeText(ms) : `${timeText(ms)} (${timeText(ownMs)} less, perhaps)`;
}

function groupLines(
  groups: readonly WatchedGroup[],
  down: ReadonlySet<number>,
  clocks: Clocks,
): readonly string[] {
  const rows = groups.map((group) => [
    group.name,
    group.leader === null || group.lostAt !== null ? "NONE" : String(group.leader),
    String(group.term),
    membersText(group, down),
    group.gap === null ? "" : `${gapText(group.gap)} at ${clockText(clocks, group.gap.at)}`,
  ]);
  return tableLines([["group", "leader", "term", "members", "last gap"], ...rows]);
}

/** "1 (down), 2 (20 behind), 3 (learner)"; where the replicas are to be while their leader does not tell. */
function membersText({ members, assigned }: WatchedGroup, down: ReadonlySet<number>): string {
  if (members.length === 0) return assigned.join(", ");
  return members
    .map(({ nodeId, voter, inSync, lagEntries }) => {
      if (down.has(nodeId)) return `${nodeId} (down)`;
      if (!voter) return `${nodeId} (learner)`;
      return inSync ? String(nodeId) : `${nodeId} (${lagEntries} behind)`;
    })
    .join(", ");
}

function worstFirst(a: WatchedGroup, b: WatchedGroup): number {
  return rank(a) - rank(b) || (b.gap?.at ?? 0) - (a.gap?.at ?? 0) || (a.name < b.name ? -1 : 1);
}

/** The controller, what has no leader, what is behind, what had a gap, the rest. */
function rank({ name, leader, lostAt, members, gap }: WatchedGroup): number {
  if (name === controllerName) return 0;
  if (leader === null || lostAt !== null) return 1;
  if (members.some(({ inSync, voter }) => voter && !inSync)) return 2;
  return gap === null ? 4 : 3;
}

/** One event as a line of words. */
export function eventLine(event: WatchEvent, clocks: Clocks): string {
  return `${clockText(clocks, event.at)}  ${wordsOf(event)}`;
}

function wordsOf(event: WatchEvent): string {
  switch (event.kind) {
    case "nodeDown":
      return `node ${event.nodeId} is down`;
    case "nodeUp":
      return `node ${event.nodeId} is up again after ${timeText(event.ms)}`;
    case "nodeJoined":
      return `node ${event.nodeId} has joined`;
    case "nodeGone":
      return `node ${event.nodeId} was removed`;
    case "leaderLost":
      return `${event.group} has no leader (node ${event.from} led it)`;
    case "leader":
      return `${event.group} is led by node ${event.to} in term ${event.term}; nobody led it for ${gapText(event)}`;
    default:
      return unreachable(event);
  }
}

const two = (value: number): string => String(value).padStart(2, "0");

/** "15:10:24.310", of this machine's time zone. */
function clockText({ at, wallMs }: Clocks, of: number): string {
  const local = new Date(wallMs - (at - of));
  const ms = String(local.getMilliseconds()).padStart(3, "0");
  return `${two(local.getHours())}:${two(local.getMinutes())}:${two(local.getSeconds())}.${ms}`;
}
