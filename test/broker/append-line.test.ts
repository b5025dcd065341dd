import { describe, expect, test } from "bun:test";
import type { ProduceRequest } from "../../src/broker/broker.ts";
import type { Refusal } from "../../src/errors.ts";
import { Fault, refuse, type Code, type SideEffects } from "../../src/errors.ts";
import { AppendLine } from "../../src/broker/append-line.ts";
import { Assignments } from "../../src/broker/assignments.ts";
import { Closing } from "../../src/broker/closing.ts";
import { LeaderRoute } from "../../src/broker/leader-route.ts";
import type { LogAppend } from "../../src/broker/partition-log.ts";
import { PeerLogs } from "../../src/broker/peer-logs.ts";
import { ClusterState } from "../../src/cluster/cluster-state.ts";
import { limits } from "../../src/limits.ts";
import { buildBatch, batchBytes } from "../../src/records/batch-builder.ts";
import { privateSlice } from "../../src/bytes/slab-pool.ts";
import type { CallAnswer, CallRequest, Calls } from "../../src/transport/calls.ts";
import { VirtualWorld } from "../consensus/virtual-world.ts";
import { batchOf } from "./batches.ts";

const topicId = "00000000-0000-4000-8000-000000000001";

/** One call that nobody has answered yet. */
interface Asked {
  readonly request: CallRequest;
  /** First value of the batch, of an append. */
  readonly value: string;
  answer(head: unknown): void;
  fault(code: Code, sideEffects: SideEffects): void;
}

/** Node 1 has no replica of the partition, which lies on nodes 2 and 3. */
class Bench {
  readonly world = new VirtualWorld(1);
  readonly asked: Asked[] = [];
  readonly closing = new Closing();
  readonly budget = { bytes: 0 };
  readonly line: AppendLine;
  /** Who leads, as the nodes say. */
  leader = 2;

  constructor() {
    const state = new ClusterState();
    for (const nodeId of [1, 2, 3]) state.apply({ kind: "registerNode", nodeId, version: "0" }, 0);
    const assignment = [2, 3].map((nodeId) => ({ nodeId, incarnation: 1 }));
    state.apply(
      { kind: "createTopic", name: "t", topicId, assignments: [assignment], configs: {} },
      0,
    );
    const assignments = new Assignments(() => state, 1);
    const { world, closing } = this;
    const calls: Calls = { call: (request) => this.#call(request), serve: () => undefined };
    const route = new LeaderRoute({ world, calls, assignments, closing }, `${topicId}/0`);
    const peers = new PeerLogs(calls, new AbortController().signal);
    this.line = new AppendLine({ world, nodeId: 1, route, peers, budget: this.budget });
  }

  append(value: string, more: Partial<LogAppend> = {}) {
    const rules = { stampTime: false, minInsyncReplicas: 1 };
    const batch = batchOf(value);
    return this.line.submit({ batch, acks: "all", timeoutMs: 30_000, ...rules, ...more });
  }

  /** Appends that wait for an answer, as "node:value". */
  async waiting(ms = 500): Promise<readonly string[]> {
    await this.world.run(ms);
    return this.asked.map(({ request, value }) => `${request.to}:${value}`);
  }

  #call(request: CallRequest): Promise<CallAnswer> {
    if (request.verb === "leader")
      return Promise.resolve({ head: { ok: true, leader: this.leader }, body: new Uint8Array(0) });
    return new Promise((resolve, reject) => {
      const text = new TextDecoder().decode(request.body![0]);
      const one: Asked = {
        request,
        value: /<(.*)>/.exec(text)?.[1] ?? "",
        answer: (head) => {
          this.asked.splice(this.asked.indexOf(one), 1);
          resolve({ head, body: new Uint8Array(0) });
        },
        fault: (code, sideEffects) => {
          this.asked.splice(this.asked.indexOf(one), 1);
          reject(new Fault(code, code, { sideEffects }));
        },
      };
      this.asked.push(one);
    });
  }
}

const done = (baseOffset: number) => ({
  ok: true,
  baseOffset,
  recordCount: 1,
  logAppendTime: -1,
  leaderEpoch: 1,
  logStartOffset: 0,
  duplicate: false,
  idempotencyExpires: null,
});
const moved = (leader: number): Refusal =>
  refuse("not_leader_or_follower", "elsewhere", { members: { leader } });
const idempotency: ProduceRequest["idempotency"] = {
  principal: "p",
  key: "k",
  bodyHash: new Uint8Array(16),
  partitionCount: 1,
};

describe("appends to a leader elsewhere", () => {
  test("go in order, and again in that order when the leader has moved", async () => {
    const bench = new Bench();
    const outcomes = ["<a>", "<b>", "<c>"].map((value) => bench.append(value));
    expect(await bench.waiting()).toEqual(["2:a", "2:b", "2:c"]);
    bench.leader = 3;
    // The refusals come in another order than the appends were sent in.
    for (const at of [2, 0, 0]) bench.asked[at].answer(moved(3));
    expect(await bench.waiting()).toEqual(["3:a", "3:b", "3:c"]);
    for (const n of [0, 1, 2]) bench.asked[0].answer(done(n));
    expect(await Promise.all(outcomes)).toMatchObject([0, 1, 2].map((n) => ({ baseOffset: n })));
    expect(bench.budget.bytes).toBe(0);
  });

  test("are not sent again when nobody knows what became of them", async () => {
    for (const code of ["node_unreachable", "not_leader_or_follower"] as const) {
      const bench = new Bench();
      const outcome = bench.append("<a>");
      await bench.waiting();
      bench.asked[0].fault(code, "unknown");
      expect(await bench.waiting()).toEqual([]);
      expect(await outcome).toMatchObject({ code, sideEffects: "unknown" });
    }
  });

  test("are sent again when nothing can have come of them", async () => {
    for (const code of [
      "node_unreachable",
      "shutting_down",
      "unknown_topic_or_partition",
    ] as const) {
      const bench = new Bench();
      const outcome = bench.append("<a>");
      await bench.waiting();
      bench.leader = 3;
      bench.asked[0].fault(code, "none");
      expect(await bench.waiting()).toEqual(["3:a"]);
      bench.asked[0].answer(done(7));
      expect(await outcome).toMatchObject({ ok: true, baseOffset: 7 });
    }
  });

  test("are sent again when the leader would notice: a key, a producer's sequence", async () => {
    const record = { key: null, value: new TextEncoder().encode("<a>"), headers: [], timestamp: 1 };
    const producer = { id: 5, epoch: 0, baseSequence: 0 };
    const sequenced = new Uint8Array(batchBytes([record]));
    buildBatch(sequenced, [record], { producer });
    for (const more of [{ idempotency }, { batch: privateSlice(sequenced) }]) {
      const bench = new Bench();
      const outcome = bench.append("<a>", more);
      await bench.waiting();
      const first = bench.asked[0].request.body![0];
      bench.asked[0].fault("node_unreachable", "unknown");
      expect(await bench.waiting()).toEqual(["2:a"]);
      // The first try's bytes may still be on their way while a leader stamps the second one's.
      expect(bench.asked[0].request.body![0]).not.toBe(first);
      expect(bench.asked[0].request.body![0]).toEqual(first);
      // The second try's refusal does not tell what became of the first one.
      bench.asked[0].answer(refuse("overloaded", "busy"));
      expect(await outcome).toMatchObject({ code: "overloaded", sideEffects: "unknown" });
    }
  });

  test("wait for a leader as long as their own time lasts", async () => {
    const bench = new Bench();
    bench.leader = 0;
    const short = bench.append("<a>", { timeoutMs: 1_000 });
    const long = bench.append("<b>", { timeoutMs: 20_000 });
    await bench.world.run(1_000);
    expect(await short).toMatchObject({ code: "not_leader_or_follower", sideEffects: "none" });
    bench.leader = 3;
    expect(await bench.waiting(2_000)).toEqual(["3:b"]);
    bench.asked[0].answer(done(0));
    expect(await long).toMatchObject({ ok: true });
  });

  test("hold a bounded number of bytes, and let go of them at a stop", async () => {
    const bench = new Bench();
    bench.leader = 0;
    const waiting = bench.append("<a>");
    bench.budget.bytes += limits.journalQueueBytesMax;
    expect(await bench.append("<b>")).toMatchObject({ code: "overloaded", sideEffects: "none" });
    bench.closing.close();
    await bench.world.run(100);
    expect(await waiting).toMatchObject({ code: "shutting_down", sideEffects: "none" });
    expect(bench.budget.bytes).toBe(limits.journalQueueBytesMax);
  });
});
