// The commands of interaction scripts, one handler each, over an Interaction.

import {
  describeEntries,
  describeMessage,
  describeProgress,
  describeRole,
} from "../../raft/describe.ts";
import { voterIds } from "../../raft/quorum.ts";
import { newMessage } from "../../raft/message.ts";
import type { Config, Proposed, Snapshot, Transition } from "../../raft/index.ts";
import { parseSteps } from "./confchange-script.ts";
import { numbersOf, valuesOf, type Handler, type Stanza } from "./datadriven.ts";
import { formatEntry, Interaction, oldFormat } from "./interaction.ts";

/** Returns an error to print, or nothing. */
type Command = (env: Interaction, stanza: Stanza) => string | void;

const commands: Readonly<Record<string, Command>> = {
  "add-nodes": addNodes,
  campaign: onFirst((env, id) => env.participant(id).node.campaign()),
  compact,
  "deliver-msgs": deliver,
  "forget-leader": onFirst((env, id) => env.participant(id).node.forgetLeader()),
  "log-level": (env, stanza) => {
    env.quiet = stanza.args[0].key.toLowerCase() === "none";
  },
  "process-append-thread": (env, stanza) =>
    env.forEach(numbersOf(stanza), "processing append thread", (id) =>
      env.processThread(id, "append"),
    ),
  "process-apply-thread": (env, stanza) =>
    env.forEach(numbersOf(stanza), "processing apply thread", (id) =>
      env.processThread(id, "apply"),
    ),
  "process-ready": (env, stanza) =>
    env.forEach(numbersOf(stanza), "handling Ready", (id) => env.processReady(id)),
  propose: (env, stanza) => {
    const [node, payload] = stanza.args;
    const proposed = env
      .participant(Number(node.key))
      .node.propose(payload.key, payload.key.length);
    return refusal(proposed);
  },
  "propose-conf-change": proposeConfChange,
  "raft-log": onFirst(printLog),
  "raft-log-memory": onFirst((env, id) => {
    const { offset, offsetInProgress, entries } = env.participant(id).node.core.log.unstable;
    env.print(`unstable from ${offset}, in progress to ${offsetInProgress}\n`);
    env.print(describeEntries(entries, formatEntry));
  }),
  "raft-state": printState,
  "read-index": onFirst((env, id) => {
    if (!env.participant(id).node.readIndex().ok) env.print("no leader");
  }),
  "report-unreachable": (env, stanza) => {
    const [node, peer] = numbersOf(stanza);
    env.participant(node).node.reportUnreachable(peer);
  },
  "send-append": sendAppend,
  "send-snapshot": sendSnapshot,
  "set-randomized-election-timeout": (env, stanza) => {
    const node = env.participant(Number(stanza.args[0].key)).node;
    node.core.randomizedElectionTicks = Number(valuesOf(stanza, "timeout")[0]);
  },
  stabilize: (env, stanza) => {
    const { quiet } = env;
    if (valuesOf(stanza, "log-level")[0]?.toLowerCase() === "none") env.quiet = true;
    const ids = numbersOf(stanza);
    env.stabilize(ids.length > 0 ? ids : env.participants.map(({ id }) => id));
    env.quiet = quiet;
  },
  status: onFirst(printStatus),
  "tick-election": onFirst((env, id) => tick(env, id, "electionTicks")),
  "tick-heartbeat": onFirst((env, id) => tick(env, id, "heartbeatTicks")),
  "transfer-leadership": (env, stanza) => {
    const from = Number(valuesOf(stanza, "from")[0]);
    env.participant(from).node.transferLeader(Number(valuesOf(stanza, "to")[0]));
  },
};

/** `asynchronous`: storage writes of every node are, whatever the script says. */
export function interactionHandler(options: { readonly asynchronous?: boolean } = {}): Handler {
  const env = new Interaction(options);
  return (stanza) => {
    const command = commands[stanza.command];
    const error = command === undefined ? "unknown command" : command(env, stanza);
    for (const participant of env.participants) participant.check();
    const output = env.takeOutput() + (error ?? "");
    return output === "" ? "ok" : output;
  };
}

/** The outputs without the lines of etcd's logger, which this core does not have. */
export function withoutLog(output: string): string {
  const lines = output
    .split("\n")
    .filter((line) => !/^\s*(DEBUG|INFO|WARN|ERROR|FATAL) /.test(line));
  const rest = lines.join("\n");
  return rest === "ok" ? "" : rest;
}

function onFirst(run: (env: Interaction, id: number) => void): Command {
  return (env, stanza) => run(env, Number(stanza.args[0].key));
}

function refusal(proposed: Proposed): string | void {
  if (proposed.ok || proposed.reason === "forwarded" || proposed.reason === "changeRefused") return;
  return "raft proposal dropped";
}

function tick(env: Interaction, id: number, option: "electionTicks" | "heartbeatTicks"): void {
  const { node, config } = env.participant(id);
  for (let i = 0; i < config[option]!; i++) node.tick();
}

function addNodes(env: Interaction, stanza: Stanza): string | void {
  const value = (key: string) => valuesOf(stanza, key)[0];
  const flag = (key: string) => value(key) === "true";
  const unlimited = Number.MAX_SAFE_INTEGER;
  const config: Omit<Config<string>, "id"> = {
    seed: 1,
    applied: Number(value("index") ?? 0),
    electionTicks: 3,
    heartbeatTicks: 1,
    maxSizePerMessage: unlimited,
    maxCommittedBytesPerReady: Number(value("max-committed-size-per-ready") ?? unlimited),
    maxInflightMessages: Number(value("inflight") ?? 2 ** 31 - 1),
    asyncStorageWrites: flag("async-storage-writes"),
    preVote: flag("prevote"),
    checkQuorum: flag("checkquorum"),
    readOnly: value("read-only") === "lease-based" ? "leaseBased" : "safe",
    stepDownOnRemoval: flag("step-down-on-removal"),
    disableConfChangeValidation: flag("disable-conf-change-validation"),
    disableProposalForwarding: flag("disable-proposal-forwarding"),
    electAloneAtOnce: flag("elect-alone-at-once"),
    priority: Number(value("priority") ?? 0),
  };
  const named = ["voters", "learners", "index", "content"].some((key) => value(key) !== undefined);
  const first = named ? bootstrap(stanza) : null;
  if (first !== null && first.index <= 1) {
    return "index must be specified as > 1 due to bootstrap";
  }
  env.addNodes(Number(stanza.args[0].key), config, first);
}

function bootstrap(stanza: Stanza): Snapshot {
  const ids = (key: string) => valuesOf(stanza, key).map(Number);
  return {
    index: Number(valuesOf(stanza, "index")[0] ?? 0),
    term: 1,
    confState: {
      voters: ids("voters"),
      votersOutgoing: [],
      learners: ids("learners"),
      learnersNext: [],
      autoLeave: false,
    },
    data: valuesOf(stanza, "content")[0] ?? "",
  };
}

function compact(env: Interaction, stanza: Stanza): void {
  const [id, index] = numbersOf(stanza);
  env.participant(id).storage.compact(index);
  printLog(env, id);
}

function deliver(env: Interaction, stanza: Stanza): void {
  const type = valuesOf(stanza, "type")[0];
  let count = 0;
  for (const { key, values } of stanza.args) {
    if (values.length === 0) count += env.deliver(Number(key), { type });
    if (key !== "drop") continue;
    for (const id of values) count += env.deliver(Number(id), { type, drop: true });
  }
  if (count === 0) env.print("no messages\n");
}

function proposeConfChange(env: Interaction, stanza: Stanza): string | void {
  const transition = (valuesOf(stanza, "transition")[0] ?? "auto") as Transition;
  const old = valuesOf(stanza, "v1")[0] === "true";
  const change = { transition, steps: parseSteps(stanza.input) };
  const { node } = env.participant(Number(stanza.args[0].key));
  return refusal(node.proposeConfChange(change, old ? { data: oldFormat, bytes: 0 } : undefined));
}

function printLog(env: Interaction, id: number): void {
  const { storage } = env.participant(id);
  const [first, last] = [storage.firstIndex(), storage.lastIndex()];
  if (last < first) {
    env.print(`log is empty: first index=${first}, last index=${last}`);
    return;
  }
  const entries = storage.entries(first, last + 1, Number.MAX_SAFE_INTEGER);
  if (typeof entries !== "string") env.print(describeEntries(entries, formatEntry));
}

function printState(env: Interaction): void {
  for (const { node } of env.participants) {
    const { id, role, term, lead, configuration } = node.status();
    const voter = voterIds(configuration.voters).includes(id) ? "(Voter)" : "(Non-Voter)";
    env.print(`${id}: ${describeRole(role)} ${voter} Term:${term} Lead:${lead}\n`);
  }
}

function printStatus(env: Interaction, id: number): void {
  for (const [peer, progress] of env.participant(id).node.status().progress) {
    env.print(`${peer}: ${describeProgress(progress)}\n`);
  }
}

/** A MsgApp made by hand: `send-append from=1 to=3 term=2 log=1/11 commit=11 entries=(1/12,2/13)`. */
function sendAppend(env: Interaction, stanza: Stanza): void {
  const value = (key: string) => Number(valuesOf(stanza, key)[0] ?? 0);
  const message = newMessage<string>("MsgApp", value("to"), value("from"));
  const previous = position(valuesOf(stanza, "log")[0]);
  message.term = value("term");
  message.logTerm = previous.term;
  message.index = previous.index;
  message.commit = value("commit");
  message.entries = valuesOf(stanza, "entries").map((text) => ({
    ...position(text),
    type: "normal" as const,
    data: null,
    change: null,
    bytes: 0,
  }));
  env.messages.push(message);
  env.print(describeMessage(message));
}

/** "2/13" */
function position(text: string): { term: number; index: number } {
  const [term, index] = text.split("/").map(Number);
  return { term, index };
}

function sendSnapshot(env: Interaction, stanza: Stanza): void {
  const [from, to] = numbersOf(stanza);
  const { node, storage } = env.participant(from);
  const message = newMessage<string>("MsgSnap", to, from);
  message.term = node.status().term;
  message.snapshot = storage.snapshot();
  env.messages.push(message);
  env.print(describeMessage(message));
}
