// Words for what the core works with: for golden scripts, traces and a person who debugs.
//
// Promise: one fixed text for each value, in the form that etcd/raft's scripts use (ids of senders and receivers in
// hexadecimal, entries as term/index), so that both can be compared line by line. Not for parsing.

import { appendThread, applyThread } from "./message.ts";
import type { ProgressStatus } from "./status.ts";
import type { Acknowledged, Voters } from "./quorum.ts";
import { voterIds } from "./quorum.ts";
import type { Configuration } from "./tracker.ts";
import type {
  ConfChange,
  ConfChangeType,
  ConfState,
  Entry,
  HardState,
  Message,
  NodeId,
  Ready,
  Role,
  Snapshot,
} from "./types.ts";

/** Text of an entry after its term and index. */
export type EntryFormat<P> = (entry: Entry<P>) => string;

const roleNames: Readonly<Record<Role, string>> = {
  follower: "StateFollower",
  preCandidate: "StatePreCandidate",
  candidate: "StateCandidate",
  leader: "StateLeader",
};

const progressNames = {
  probe: "StateProbe",
  replicate: "StateReplicate",
  snapshot: "StateSnapshot",
} as const;

const stepLetters: Readonly<Record<ConfChangeType, string>> = {
  addVoter: "v",
  addLearner: "l",
  remove: "r",
  update: "u",
};

export function describeRole(role: Role): string {
  return roleNames[role];
}

export function describeTarget(id: NodeId): string {
  if (id === 0) return "None";
  if (id === appendThread) return "AppendThread";
  return id === applyThread ? "ApplyThread" : id.toString(16);
}

/** v1 l2 r3 u4: voter, learner, removed, updated. */
export function describeChange(change: ConfChange): string {
  return change.steps.map(({ type, id }) => `${stepLetters[type]}${id}`).join(" ");
}

/** Payloads as JSON, nothing as "". */
export function describeAsJson(entry: Entry<unknown>): string {
  if (entry.type === "normal") return `EntryNormal ${JSON.stringify(entry.data ?? "")}`;
  const change = entry.change === null ? "" : describeChange(entry.change);
  return change === "" ? "EntryConfChangeV2" : `EntryConfChangeV2 ${change}`;
}

/** term/index and what the format says of the rest, by default the payload as JSON. */
export function describeEntry<P>(entry: Entry<P>, format: EntryFormat<P> = describeAsJson): string {
  return `${entry.term}/${entry.index} ${format(entry)}`;
}

/** One line each, every line ended. */
export function describeEntries<P>(entries: readonly Entry<P>[], format?: EntryFormat<P>): string {
  return entries.map((entry) => `${describeEntry(entry, format)}\n`).join("");
}

export function describeHardState({ term, vote, commit }: HardState): string {
  return `Term:${term}${vote === 0 ? "" : ` Vote:${vote}`} Commit:${commit}`;
}

export function describeConfState(state: ConfState): string {
  return (
    `Voters:${idList(state.voters)} VotersOutgoing:${idList(state.votersOutgoing)} ` +
    `Learners:${idList(state.learners)} LearnersNext:${idList(state.learnersNext)} ` +
    `AutoLeave:${state.autoLeave}`
  );
}

function idList(ids: readonly NodeId[]): string {
  return `[${ids.join(" ")}]`;
}

export function describeSnapshot({ index, term, confState }: Snapshot): string {
  return `Index:${index} Term:${term} ConfState:${describeConfState(confState)}`;
}

/** One line, more when it carries several entries, a snapshot or responses. */
export function describeMessage<P>(
  message: Message<P>,
  format?: EntryFormat<P>,
  indent = "",
): string {
  const { from, to, type, term, logTerm, index } = message;
  let text = `${indent}${describeTarget(from)}->${describeTarget(to)} ${type}`;
  text += ` Term:${term} Log:${logTerm}/${index}`;
  if (message.reject) text += ` Rejected (Hint: ${message.rejectHint})`;
  if (message.commit !== 0) text += ` Commit:${message.commit}`;
  if (message.vote !== 0) text += ` Vote:${message.vote}`;
  text += describeMessageEntries(message, format, indent);
  if (message.snapshot !== null) {
    text += `\n${indent}  Snapshot: ${describeSnapshot(message.snapshot)}`;
  }
  if (message.responses.length === 0) return text;
  const lines = message.responses.map((each) => describeMessage(each, format, `${indent}  `));
  return `${text} Responses:[\n${lines.join("\n")}\n${indent}]`;
}

function describeMessageEntries<P>(
  { entries }: Message<P>,
  format: EntryFormat<P> | undefined,
  indent: string,
): string {
  if (entries.length === 0) return "";
  if (entries.length === 1) return ` Entries:[${describeEntry(entries[0], format)}]`;
  const lines = entries.map((entry) => `\n${indent}  ${describeEntry(entry, format)}`);
  return ` Entries:[${lines.join("")}\n${indent}]`;
}

/** Several lines, the last one ended. */
export function describeReady<P>(ready: Ready<P>, format?: EntryFormat<P>): string {
  let text = "";
  if (ready.softState !== null) {
    text += `Lead:${ready.softState.lead} State:${describeRole(ready.softState.role)}\n`;
  }
  if (ready.hardState !== null) text += `HardState ${describeHardState(ready.hardState)}\n`;
  if (ready.readStates.length > 0) {
    text += `ReadStates ${ready.readStates.map((read) => `${read.request}@${read.index}`).join(" ")}\n`;
  }
  if (ready.entries.length > 0) text += `Entries:\n${describeEntries(ready.entries, format)}`;
  if (ready.snapshot !== null) text += `Snapshot ${describeSnapshot(ready.snapshot)}\n`;
  if (ready.committedEntries.length > 0) {
    text += `CommittedEntries:\n${describeEntries(ready.committedEntries, format)}`;
  }
  if (ready.messages.length > 0) {
    const lines = ready.messages.map((message) => `${describeMessage(message, format)}\n`);
    text += `Messages:\n${lines.join("")}`;
  }
  return text === "" ? "<empty Ready>" : `Ready MustSync=${ready.mustSync}:\n${text}`;
}

export function describeProgress(progress: ProgressStatus): string {
  let text = `${progressNames[progress.state]} match=${progress.match} next=${progress.next}`;
  if (progress.isLearner) text += " learner";
  if (progress.paused) text += " paused";
  if (progress.pendingSnapshot > 0) text += ` pendingSnap=${progress.pendingSnapshot}`;
  if (!progress.recentActive) text += " inactive";
  if (progress.inflightMessages > 0) {
    text += ` inflight=${progress.inflightMessages}${progress.windowFull ? "[full]" : ""}`;
  }
  return text;
}

export function describeVoters({ incoming, outgoing }: Voters): string {
  return outgoing.length === 0 ? idSet(incoming) : `${idSet(incoming)}&&${idSet(outgoing)}`;
}

/** voters=(1 2)&&(1 3) learners=(4) learners_next=(3) autoleave: what there is of it. */
export function describeConfiguration(configuration: Configuration): string {
  const { voters, learners, learnersNext, autoLeave } = configuration;
  let text = `voters=${describeVoters(voters)}`;
  if (learners.length > 0) text += ` learners=${idSet(learners)}`;
  if (learnersNext.length > 0) text += ` learners_next=${idSet(learnersNext)}`;
  return autoLeave ? `${text} autoleave` : text;
}

function idSet(ids: readonly NodeId[]): string {
  return `(${ids.map((id) => id.toString(16)).join(" ")})`;
}

/** A bar chart of what each voter acknowledged: the bar counts the voters that are strictly behind. */
export function describeQuorum(voters: Voters, acked: Acknowledged): string {
  const ids = voterIds(voters);
  const n = ids.length;
  if (n === 0) return "<empty majority quorum>";
  const indexes = ids.map((id) => acked.ackedIndex(id) ?? 0);
  const lines = ids.map((id, at) => {
    const index = indexes[at];
    const behind = indexes.filter((other) => other < index).length;
    const known = acked.ackedIndex(id) !== undefined;
    const bar = known ? `${"x".repeat(behind)}>`.padEnd(n + 1) : "?".padEnd(n + 1);
    return `${bar} ${String(index).padStart(5)}    (id=${id.toString(16)})\n`;
  });
  return `${" ".repeat(n)}    idx\n${lines.join("")}`;
}
