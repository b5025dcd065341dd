// Mutants: one-line bugs that consensus systems really had, each to be planted alone, to see that the simulators notice.
//
// Promise: `find` occurs exactly once in the file (mutants.test.ts checks that), so that a change of the source cannot
// leave a mutant behind in silence. `bug` is what it does, in the words of ../shared/reference/raft.md section 2 and 4.
// Left to others: planting and running (mutants.ts, mutant-victim.ts).

import type { FaultKind } from "./cluster/scenario.ts";

export interface Mutant {
  readonly id: string;
  /** From the root. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** The faults under which it does harm; left out: the cluster's seeds say. */
  readonly faults?: readonly FaultKind[];
}

const election = "raft/election.ts";
const log = "raft/log.ts";
const core = "raft/core.ts";
const replication = "raft/replication.ts";
const membership = "raft/membership.ts";
const durable = "src/consensus/durable-log.ts";

export const coreMutants: readonly Mutant[] = [
  {
    id: "forgets its vote when it steps down",
    file: election,
    find: "  if (core.term !== term) {\n    core.term = term;",
    replace: "  if (core.term <= term) {\n    core.term = term;",
  },
  {
    id: "votes twice in a term",
    file: election,
    find: "const free = core.vote === 0 && core.lead === 0;",
    replace: "const free = core.lead === 0;",
  },
  {
    id: "forgets its vote in a restart",
    file: core,
    find: "this.vote = state?.vote ?? 0;",
    replace: "this.vote = 0;",
  },
  {
    id: "tells its vote before it is on disk",
    file: core,
    find: "if (messageTypes[message.type].afterAppend) {",
    replace:
      'if (messageTypes[message.type].afterAppend && (message.type !== "MsgVoteResp" || message.to === this.id)) {',
  },
  {
    id: "acknowledges entries before they are on disk",
    file: core,
    find: "if (messageTypes[message.type].afterAppend) {",
    replace:
      'if (messageTypes[message.type].afterAppend && (message.type !== "MsgAppResp" || message.to === this.id)) {',
  },
  {
    id: "leader counts its own entries before they are on disk",
    file: replication,
    find: "  message.index = index;\n  core.send(message);\n  return true;",
    replace:
      "  message.index = index;\n  core.send(message);\n  core.tracker.progress(core.id)?.maybeUpdate(index);\n  return true;",
  },
  {
    id: "leads by the votes of others alone",
    file: election,
    find: "return core.tracker.votes.get(core.id) === true;",
    replace: "return true;",
  },
  {
    id: "commits entries of former terms by counting",
    file: log,
    find: "if (index <= this.committed || !this.matches(index, term)) return false;",
    replace: "if (index <= this.committed || term === 0) return false;",
  },
  {
    id: "leader appends no entry of its own",
    file: election,
    find: '  appendAsLeader(core, [ownEntry(core, "normal", 0)]);',
    replace: "  void [appendAsLeader, ownEntry];",
  },
  {
    id: "heartbeat commits beyond the match",
    file: "raft/sending.ts",
    find: "message.commit = Math.min(progress.match, core.log.committed);",
    replace: "message.commit = core.log.committed;",
  },
  {
    id: "follower truncates entries that match",
    file: log,
    find: "while (at < entries.length && this.matches(entries[at].index, entries[at].term)) at++;",
    replace: "",
  },
  {
    id: "follower keeps a conflicting entry",
    file: log,
    find: "while (at < entries.length && this.matches(entries[at].index, entries[at].term)) at++;",
    replace: "while (at < entries.length && entries[at].index <= this.lastIndex()) at++;",
  },
  {
    id: "follower appends without the entry before",
    file: log,
    find: "if (!this.matches(previous.index, previous.term)) return null;",
    replace: "if (previous.index > this.lastIndex()) return null;",
  },
  {
    id: "votes for a shorter log",
    file: log,
    find: "return their.term > term || (their.term === term && their.index >= this.lastIndex());",
    replace: "return their.term >= term;",
  },
  {
    id: "votes for an older log",
    file: log,
    find: "return their.term > term || (their.term === term && their.index >= this.lastIndex());",
    replace: "return their.index >= this.lastIndex() || their.term > term;",
  },
  {
    id: "pre-vote raises the term",
    file: "raft/step.ts",
    find: 'if (type === "MsgPreVote" || (type === "MsgPreVoteResp" && !message.reject)) return true;',
    replace: 'if (type === "MsgPreVoteResp" && !message.reject) return true;',
  },
  {
    id: "counts a pre-vote as a vote",
    file: "raft/step.ts",
    find: '      if (core.role === "preCandidate") handleVoteResponse(core, message);',
    replace: "      handleVoteResponse(core, message);",
  },
  {
    id: "next falls to match",
    file: "raft/progress.ts",
    find: "this.next = Math.max(this.next, index + 1);",
    replace: "this.next = Math.max(this.next, index);",
  },
  {
    id: "window is never freed",
    file: replication,
    find: "    progress.inflights.freeTo(index);",
    replace: "    progress.inflights.freeTo(0);",
  },
  {
    id: "sends nothing when the window is full",
    file: "raft/sending.ts",
    find: 'if (progress.state === "replicate" && progress.inflights.full()) return noEntries;',
    replace:
      'if (progress.state === "replicate" && progress.inflights.full()) return "unavailable";',
  },
  {
    id: "an answer to an older heartbeat confirms a read",
    file: "raft/read-requests.ts",
    find: "this.#waiting.length === 0 ? 0 : this.#confirmed + this.#waiting.length;",
    replace: "this.#waiting.length === 0 ? 0 : 2 ** 40;",
  },
  {
    id: "reads before its own term has committed",
    file: "raft/reads.ts",
    find: "if (core.committedInTerm()) ask(core, message);\n  else",
    replace: "if (core.term > 0) ask(core, message);\n  else",
  },
  {
    id: "reads without asking anybody",
    file: "raft/reads.ts",
    find: 'return settings.readOnly === "leaseBased" && core.leadTransferee === 0;',
    replace: 'return settings.readOnly !== "leaseBased" || core.leadTransferee === 0;',
  },
  {
    id: "joint: commits by one majority",
    file: "raft/quorum.ts",
    find: "return Math.min(incoming, majorityCommitted(voters.outgoing, acked));",
    replace: "return incoming;",
  },
  {
    id: "joint: elects by one majority",
    file: "raft/quorum.ts",
    find: "if (incoming === outgoing) return incoming;",
    replace: "if (voters.incoming.length > 0) return incoming;",
  },
  {
    id: "half is a majority",
    file: "raft/quorum.ts",
    find: "return (n >>> 1) + 1;",
    replace: "return (n + 1) >>> 1;",
  },
  {
    id: "second change while one is pending",
    file: "raft/proposals.ts",
    find: "if (core.pendingConfIndex > core.log.applied) return false;",
    replace: "",
  },
  {
    id: "new leader does not look for a pending change",
    file: election,
    find: "core.pendingConfIndex = core.log.lastIndex();",
    replace: "core.pendingConfIndex = 0;",
  },
  {
    id: "campaigns over a change that is not applied",
    file: election,
    find: 'for (const entry of page) if (entry.type === "confChange") return true;',
    replace: "",
  },
  {
    id: "joint configuration forgets a voter of the former one",
    file: "raft/confchange.ts",
    find: "  working.outgoing = new Set(incoming);",
    replace: "  working.outgoing = new Set(incoming.slice(0, Math.max(1, incoming.length - 2)));",
  },
  {
    id: "joint configuration is never left",
    file: membership,
    find: 'if (autoLeave && core.role === "leader" && applied >= core.pendingConfIndex) leaveJoint(core);',
    replace:
      'if (autoLeave && core.role === "leader" && applied < core.pendingConfIndex) leaveJoint(core);',
  },
  {
    id: "snapshot older than the commit is installed",
    file: "raft/snapshots.ts",
    find: "if (snapshot.index <= log.committed) return false;",
    replace: "",
  },
  {
    id: "configuration is lost in a snapshot",
    file: "raft/snapshots.ts",
    find: "  loadConfiguration(core, snapshot.confState);\n  return true;",
    replace: "  return true;",
  },
  {
    id: "completion of a replaced entry is believed",
    file: "raft/unstable.ts",
    find: "if (index < this.offset || this.term(index) !== term) return;",
    replace: "if (index < this.offset || index > this.lastIndex()) return;",
  },
  {
    id: "replaced entries are not written again",
    file: "raft/unstable.ts",
    find: "      this.offsetInProgress = Math.min(this.offsetInProgress, from);",
    replace: "",
  },
  {
    id: "learns a commit of a log that differs",
    file: election,
    find: "if (known <= log.committed || !log.matches(known, knownTerm)) return false;",
    replace: "if (known <= log.committed || known > log.lastIndex()) return false;",
  },
  {
    id: "priority refuses for ever",
    file: election,
    find: "if (message.index > core.log.lastIndex() || core.priorityRefusals >= priorityRefusalsMax) {",
    replace: "if (message.index > core.log.lastIndex() + priorityRefusalsMax * 1e9) {",
  },
  {
    id: "room for proposals is never given back",
    file: "raft/step.ts",
    find: "  releaseUncommitted(core, payloadBytes(entries));",
    replace: "  releaseUncommitted(core, payloadBytes(entries) * 0);",
  },
  {
    id: "commit runs ahead of what is applied in order",
    file: log,
    find: "    this.applying = last;\n    this.#applyingBytes",
    replace: "    this.applying = last + 1;\n    this.#applyingBytes",
  },
];

/** Of the host, of the journal's promises to it, and of what stands on them. */
export const hostMutants: readonly Mutant[] = [
  {
    id: "hands back what rests on a write at once",
    file: durable,
    find: "this.#write({ entries, hardState, installs, responses, run });\n      return nothing;",
    replace:
      "this.#write({ entries, hardState, installs, responses: [], run });\n      return responses;",
  },
  {
    id: "a term is written without its vote",
    file: durable,
    find: "    if (hardState !== null) write.hardState = hardState;",
    replace: "    if (hardState !== null) write.hardState = { ...hardState, vote: 0 };",
  },
  {
    id: "term and vote are left out beside entries",
    file: durable,
    find: "    if (hardState !== null) write.hardState = hardState;",
    replace: "    if (hardState !== null && entries.length === 0) write.hardState = hardState;",
  },
  {
    id: "responses do not wait for earlier writes",
    file: durable,
    find: "this.writes.join(responses) ? nothing : responses",
    replace: "this.writes.join([]) ? responses : responses",
  },
  {
    id: "window keeps entries that were replaced",
    file: durable,
    find: "    run.window.dropFrom(index);\n    this.positions.cut",
    replace: "    this.positions.cut",
  },
  {
    id: "positions keep entries that were replaced",
    file: durable,
    find: "    this.positions.cut(index, replaced?.baseOffset ?? -1);",
    replace: "",
  },
  {
    id: "proposals forget the core's own entry before them",
    file: durable,
    find: "    const end = unstable.offset + unstable.entries.length;",
    replace: "    const end = 0 * unstable.offset;",
    faults: ["membership", "transfer"],
  },
  {
    id: "entry time follows a clock that runs back",
    file: durable,
    find: "return Math.max(this.#parts.context.world.now(), this.positions.lastTime);",
    replace: "return this.#parts.context.world.now();",
  },
  {
    id: "outcome of changes in a snapshot is not remembered",
    file: durable,
    find: "    this.configurations.told(installs.configurationIndex, snapshot.confState);",
    replace: "",
  },
  {
    id: "a removed and re-added replica keeps its identity",
    file: "src/consensus/identity.ts",
    find: "return nodeId + (incarnation - 1) * incarnationFactor;",
    replace: "return nodeId + (incarnation - 1) * 0 * incarnationFactor;",
  },
  {
    id: "high watermark runs to the log's end",
    file: "src/consensus/positions.ts",
    find: "if (data !== null) this.atLeast(offset(data.baseOffset + data.offsetCount));",
    replace: "if (data !== null) this.atLeast(this.nextOffset);",
  },
  {
    id: "high watermark covers an uncommitted tail after a restart",
    file: "src/consensus/positions.ts",
    find: "this.highWatermark = whole ? state.nextOffset : state.logStart.offset;",
    replace: "this.highWatermark = state.nextOffset;",
  },
  {
    id: "a read passes before its index is applied",
    file: "src/consensus/read-barriers.ts",
    find: "asked.index !== null && asked.index <= index",
    replace: "asked.index !== null && asked.index <= index + 1e9",
  },
  {
    id: "a read passes without a word of the leader",
    file: "src/consensus/read-barriers.ts",
    find: "barriers: new Set(this.#asking), index: null });",
    replace: "barriers: new Set(this.#asking), index: 0 });",
  },
  {
    id: "a deposed leader does not tell its proposers",
    file: "src/consensus/hosted-replica.ts",
    find: "    this.#membership.lost(refusal);\n    this.#machine.onLost(this.#undecided(), refusal);",
    replace: "    this.#membership.lost(refusal);",
  },
  {
    id: "only what failed is told as lost",
    file: "src/consensus/hosted-replica.ts",
    find: "this.#lose(this.#alone ? first : this.#undecided(), fault);",
    replace: "this.#lose(first, fault);",
  },
  {
    id: "a leader rests while a member lacks entries",
    file: "src/consensus/liveness/pulse.ts",
    find: 'if (progress.match < last || progress.state !== "replicate") return true;',
    replace: "if (progress.match > last) return true;",
  },
  {
    id: "nobody campaigns where no leader is known",
    file: "src/consensus/liveness/pulse.ts",
    find: "  return hasQuorum(node, (nodeId) => nodes.live(nodeId));",
    replace: "  return !hasQuorum(node, (nodeId) => nodes.live(nodeId));",
  },
  {
    id: "the log is cut before the fold is saved",
    file: "src/consensus/log-starts.ts",
    find: "      await this.#save();\n",
    replace: "",
  },
  {
    id: "a partition snapshot names too low an index",
    file: "src/consensus/snapshot-source.ts",
    find: "      foldIndex: feed.applied,",
    replace: "      foldIndex: logIndex(logStart.index - 1),",
  },
  {
    id: "a fold keeps its producers when it is restored",
    file: "src/partition/producers.ts",
    find: "    this.#states.clear();\n    let at = 0;",
    replace: "    let at = 0;",
  },
  {
    id: "an applied configuration is never written",
    file: "src/consensus/configurations.ts",
    find: "    if (!this.#dirty) return null;\n",
    replace: "    if (!this.#dirty || this.index > 0) return null;\n",
  },
  {
    id: "acks=all is answered when the leader has flushed",
    file: "src/partition/appender.ts",
    find: 'return item.kind === "append" && item.acks === "leader";',
    replace: 'return item.kind === "append" && item.acks !== "none";',
  },
  {
    id: "commits are not synced",
    file: "src/journal/writer.ts",
    find: 'const durability = flush.full ? "full" : settings.durability;',
    replace: 'const durability = flush.full ? "os" : ("os" as typeof settings.durability);',
  },
  {
    id: "recovery passes over cuts",
    file: "src/journal/recovery.ts",
    find: "return log?.cut(logIndex(row.idx), offset(row.baseOffset));",
    replace: "return void [log, logIndex, offset];",
  },
  {
    id: "a producer's sequence is not remembered",
    file: "src/partition/fold.ts",
    find: "if (hasProducer(bytes, at)) this.#applyProducer(bytes, at, entry);",
    replace: "if (!hasProducer(bytes, at)) this.#applyProducer(bytes, at, entry);",
  },
];

export const mutants: readonly Mutant[] = [...coreMutants, ...hostMutants];
