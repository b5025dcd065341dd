// Answering other nodes about the partitions that this node leads.
//
// Promise: what this node does not lead is refused with who does (members {leader}), after a bounded wait for an election
// where nobody is known; nothing is forwarded a second time. Appends are decided in the order of their arrival; a batch
// is copied once, into a slab. Left to others: finding the leader (leader-route.ts), the bytes (log-calls.ts).

import { assert } from "../assert.ts";
import { controllerGroupId, type Controller } from "../cluster/controller.ts";
import type { SlabPool } from "../bytes/slab.ts";
import { refuse, refusalOf, type Refusal } from "../errors.ts";
import { inspectBatch } from "../records/batch-layout.ts";
import type { CallHandler, CallResult, Calls, IncomingCall } from "../transport/calls.ts";
import type { World } from "../world.ts";
import type { Assignments } from "./assignments.ts";
import type { ClusterView } from "./cluster-view.ts";
import type { HostedLog } from "./hosted-log.ts";
import type { HostedLogs } from "./hosted-logs.ts";
import {
  fieldsOf,
  groupIdOf,
  isAbsent,
  numberIn,
  offsetIn,
  readAppend,
  readFetch,
  readGroupIds,
  textIn,
  waitMsOf,
  type AppendQuestion,
} from "./log-calls.ts";
import type { GroupReport, LogRead } from "./partition-log.ts";
import { unknownGroup } from "./partition-slot.ts";
import type { RoutedLogs } from "./routed-logs.ts";

/** How long a question waits for an election here before its asker looks elsewhere, ms. */
const electionMs = 1_000;

/** Calls of other nodes that may wait here for an advance at once, of limits.callsUnderWayMax. */
const waitsMax = 4_000;

export interface LogServerParts {
  readonly world: World;
  readonly nodeId: number;
  readonly slabs: SlabPool;
  readonly hosted: HostedLogs;
  readonly logs: RoutedLogs;
  readonly assignments: Assignments;
  readonly controller: Controller;
  readonly cluster: ClusterView;
}

type Fields = ReturnType<typeof fieldsOf>;
/** What a verb does on the leader. */
type OnLeader = (log: HostedLog, fields: Fields, asked: Asked) => Promise<CallResult>;

interface Asked {
  readonly call: IncomingCall;
  readonly world: World;
  /** Calls that wait here for an advance. */
  readonly waits: { count: number };
}

export class LogServer {
  #open: LogServerParts | null = null;
  readonly #counters = { served: 0, moved: 0 };
  readonly #waits = { count: 0 };

  /** Until open() it answers that it leads nothing: others may ask while this node starts. */
  constructor(calls: Calls) {
    const serve = (verb: string, handle: CallHandler): void =>
      calls.serve(verb, (call) => (this.#open === null ? Promise.resolve(starting) : handle(call)));
    serve("leader", (call) => this.#leader(call));
    serve("describe", (call) => this.#describe(call));
    serve("describe-controller", () => Promise.resolve(this.#describeController()));
    serve("transfer", (call) => this.#transfer(call));
    serve("append", (call) => this.#append(call));
    for (const [verb, handle] of Object.entries(verbs)) serve(verb, this.#handler(handle));
  }

  /** From now on other nodes are answered. */
  open(parts: LogServerParts): void {
    this.#open = parts;
  }

  /** Counters by name. */
  metrics(): Readonly<Record<string, number>> {
    const { served, moved } = this.#counters;
    return {
      served_requests_total: served,
      served_elsewhere_total: moved,
      served_waits: this.#waits.count,
    };
  }

  get #parts(): LogServerParts {
    assert(this.#open !== null, "A question is answered before the server is open");
    return this.#open;
  }

  /** A group's leader, after a wait for its election. The replica here is opened: so begins a new group's first one. */
  async #leader({ head }: IncomingCall): Promise<CallResult> {
    const fields = fieldsOf(head);
    const groupId = groupIdOf(fields);
    const log = await this.#hosted(groupId);
    if ("ok" in log) return { head: log };
    if (log.answers) return { head: { ok: true, leader: this.#parts.nodeId } };
    const leader = await log.replica.leader(waitMsOf(fields));
    return { head: { ok: true, leader } };
  }

  async #describe({ head }: IncomingCall): Promise<CallResult> {
    const { hosted, logs } = this.#parts;
    const groupIds = readGroupIds(head);
    await Promise.all(groupIds.map((groupId) => this.#untilReady(groupId)));
    const reports: [string, GroupReport][] = [];
    const elsewhere: [string, number][] = [];
    for (const groupId of groupIds) {
      const log = hosted.opened(groupId);
      const leader = logs.leaderOf(groupId);
      if (log?.answers === true) reports.push([groupId, hosted.report(log)]);
      else if (leader !== null) elsewhere.push([groupId, leader]);
    }
    return { head: { ok: true, reports, elsewhere } };
  }

  /** A leader that was just elected knows in a moment how far its log is committed. */
  async #untilReady(groupId: string): Promise<void> {
    const log = this.#parts.hosted.opened(groupId);
    if (log === null || log.answers || !log.leads) return;
    await log.replica.leader(electionMs).catch(() => undefined);
  }

  #describeController(): CallResult {
    const group = this.#parts.cluster.controllerHere();
    if (group !== null) return { head: { ok: true, group } };
    return { head: refuse("not_leader_or_follower", "This node does not lead the controller") };
  }

  async #transfer({ head }: IncomingCall): Promise<CallResult> {
    const fields = fieldsOf(head);
    const groupId = groupIdOf(fields);
    const toNode = numberIn(fields.toNode, "toNode");
    const { controller } = this.#parts;
    if (groupId === controllerGroupId)
      return { head: await controller.replica.transferLeadership(toNode) };
    const log = await this.#led(groupId);
    return { head: "ok" in log ? log : await log.transfer(toNode) };
  }

  /** Without an await between arrival and decision while this node leads: the order of arrival is the log's. */
  #append({ head, body }: IncomingCall): Promise<CallResult> {
    this.#counters.served += 1;
    const question = readAppend(head);
    const log = this.#parts.hosted.opened(question.groupId);
    if (log !== null && log.answers) return this.#appendTo(log, question, body);
    return this.#led(question.groupId).then((led) =>
      "ok" in led ? { head: led } : this.#appendTo(led, question, body),
    );
  }

  async #appendTo(log: HostedLog, question: AppendQuestion, body: Uint8Array): Promise<CallResult> {
    // Its sender has walked the records; what this node's own log relies on is looked at again.
    const header = inspectBatch(body);
    if (!header.ok) return { head: header };
    const batch = this.#parts.slabs.allocate(body.length);
    try {
      batch.bytes.set(body);
      return { head: await log.append({ ...question, batch }) };
    } finally {
      batch.release();
    }
  }

  #handler(handle: OnLeader): CallHandler {
    return async (call) => {
      this.#counters.served += 1;
      const fields = fieldsOf(call.head);
      const log = await this.#led(groupIdOf(fields));
      const { world } = this.#parts;
      const waits = this.#waits;
      return "ok" in log ? { head: log } : await handle(log, fields, { call, world, waits });
    };
  }

  /** The log, if this node leads it; else who does. */
  async #led(groupId: string): Promise<HostedLog | Refusal> {
    const log = await this.#hosted(groupId);
    if ("ok" in log || log.answers) return log;
    const { leaderId } = log.replica.role;
    const isElsewhere = leaderId !== 0 && leaderId !== this.#parts.nodeId;
    const leader = isElsewhere ? leaderId : await log.replica.leader(electionMs).catch(() => 0);
    if (log.answers) return log;
    this.#counters.moved += 1;
    const detail = `Node ${this.#parts.nodeId} does not lead ${groupId}, ${leader === 0 ? "nobody does as far as it knows" : `node ${leader} does`}`;
    return refuse("not_leader_or_follower", detail, { members: { leader } });
  }

  /** The asker's metadata may be ahead of what this node has applied: a new topic is a moment away. */
  async #untilKnown(groupId: string): Promise<void> {
    const { assignments, controller, world } = this.#parts;
    if (assignments.knows(groupId)) return;
    await new Promise<void>((resolve) => {
      const over = (): void => {
        timer.cancel();
        stop();
        resolve();
      };
      const stop = controller.onChange(() => {
        if (assignments.knows(groupId)) over();
      });
      const timer = world.setTimer(electionMs, over);
    });
  }

  async #hosted(groupId: string): Promise<HostedLog | Refusal> {
    await this.#untilKnown(groupId);
    try {
      return (await this.#parts.logs.host(groupId)) ?? unknownGroup(groupId);
    } catch (thrown) {
      // A replica that cannot be opened here leads nothing; others may.
      const { detail } = refusalOf(thrown);
      return refuse("not_leader_or_follower", `Cannot open the replica of ${groupId}: ${detail}`);
    }
  }
}

const starting: CallResult = {
  head: refuse("not_leader_or_follower", "The node is starting"),
};

const verbs: Readonly<Record<string, OnLeader>> = {
  fetch: async (log, _fields, { call }) => {
    const read = await log.fetch(readFetch(call.head));
    return read.ok ? batchesAnswer(log, read) : { head: read };
  },
  bounds: async (log, { consistency }) => {
    const isLinearizable = consistency === "linearizable";
    const bounds = await log.leaderBounds(isLinearizable ? "linearizable" : "leader");
    return { head: "ok" in bounds ? bounds : { ok: true, bounds } };
  },
  "wait-advance": waitAdvance,
  "delete-records": async (log, { before }) => ({
    head: await log.deleteRecords(offsetIn(before, "before")),
  }),
  "count-of-key": async (log, { principal, key }) => {
    const of = { principal: textIn(principal, "principal"), key: textIn(key, "key") };
    const count = await log.countOfKey(of);
    return { head: typeof count === "number" ? { ok: true, count } : count };
  },
  fence: async (log) => ({ head: await log.fence() }),
  "set-fence": async (log, { token, expected, isExpected }) => {
    const wanted = textOrNull(expected, "expected");
    const change = textOrNull(token, "token");
    return { head: await log.setFence(change, isExpected === true ? wanted : undefined) };
  },
  "offset-for-timestamp": async (log, { timestamp }) => {
    const found = await log.offsetForTimestamp(numberIn(timestamp, "timestamp"));
    return { head: found !== null && "ok" in found ? found : { ok: true, ...found } };
  },
};

function textOrNull(value: unknown, name: string): string | null {
  return isAbsent(value) ? null : textIn(value, name);
}

function boundsAnswer(log: HostedLog): CallResult {
  return { head: { ok: true, bounds: log.bounds() } };
}

function batchesAnswer(log: HostedLog, read: LogRead): CallResult {
  const lengths = read.batches.map(({ length }) => length);
  const head = { ok: true, lengths, bounds: log.bounds() };
  return { head, body: read.batches, release: () => read.release() };
}

/** Answers at the first advance beyond what the asker knows, when this node leads no more, or when its time is over. */
function waitAdvance(
  log: HostedLog,
  fields: Fields,
  { call, world, waits }: Asked,
): Promise<CallResult> {
  const known = {
    highWatermark: offsetIn(fields.highWatermark, "highWatermark"),
    logStartOffset: offsetIn(fields.logStartOffset, "logStartOffset"),
  };
  // Each holds a place among the calls under way: others need some too.
  const waitMs = waits.count < waitsMax ? waitMsOf(fields) : 0;
  waits.count += 1;
  return new Promise((resolve) => {
    const look = (): void => {
      const { highWatermark, logStartOffset } = log.bounds();
      const hasMoved = highWatermark > known.highWatermark || logStartOffset > known.logStartOffset;
      if (hasMoved || !log.answers) end();
    };
    const end = (): void => {
      waits.count -= 1;
      stopHearing();
      timer.cancel();
      call.signal.removeEventListener("abort", end);
      resolve(log.answers ? boundsAnswer(log) : { head: movedAway(log) });
    };
    const stopHearing = log.onAdvance(look);
    const timer = world.setTimer(waitMs, end);
    call.signal.addEventListener("abort", end, { once: true });
    look();
  });
}

function movedAway({ replica }: HostedLog): Refusal {
  const { leaderId } = replica.role;
  const detail = `This node leads ${replica.groupId} no more`;
  return refuse("not_leader_or_follower", detail, { members: { leader: leaderId } });
}
