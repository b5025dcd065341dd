import { expect, test } from "bun:test";
import { Assignments } from "../../src/broker/assignments.ts";
import { Closing } from "../../src/broker/closing.ts";
import type { HostedLog } from "../../src/broker/hosted-log.ts";
import { LeaderRoute } from "../../src/broker/leader-route.ts";
import { PeerLogs } from "../../src/broker/peer-logs.ts";
import { RoutedLog } from "../../src/broker/routed-log.ts";
import { ClusterState } from "../../src/cluster/cluster-state.ts";
import { refuse } from "../../src/errors.ts";
import type { Calls } from "../../src/transport/calls.ts";
import { VirtualWorld } from "../consensus/virtual-world.ts";
import { batchOf, valuesIn } from "./batches.ts";

const bounds = {
  logStartOffset: 0,
  highWatermark: 1,
  lastStableOffset: 1,
  logEndOffset: 1,
  leaderEpoch: 1,
};

/** A follower on node 1 whose rows are damaged, and the leader on node 2 whose are not. */
function damagedFollower(): { readonly log: RoutedLog; readonly asked: string[] } {
  const world = new VirtualWorld(1);
  const asked: string[] = [];
  const { bytes } = batchOf("whole");
  const calls: Calls = {
    serve: () => undefined,
    call: ({ verb }) => {
      asked.push(verb);
      const head = { ok: true, bounds, lengths: [bytes.length] };
      return Promise.resolve({ head, body: verb === "fetch" ? bytes : new Uint8Array(0) });
    },
  };
  const assignments = new Assignments(() => new ClusterState(), 1);
  const route = new LeaderRoute({ world, calls, assignments, closing: new Closing() }, "t/0");
  const peers = new PeerLogs(calls, new AbortController().signal);
  const log = new RoutedLog({ world, nodeId: 1, route, peers, budget: { bytes: 0 } });
  const hosted = {
    answers: false,
    leads: false,
    replica: { highWatermark: 1, role: { leaderId: 2 } },
    bounds: () => bounds,
    fetch: () => refuse("storage_damaged", "row 7 is damaged"),
    onAdvance: () => () => undefined,
  };
  log.host(hosted as unknown as HostedLog);
  return { log, asked };
}

test.each(["leader", "local"] as const)(
  "what is damaged in the replica here is read from the leader (%p)",
  async (consistency) => {
    const { log, asked } = damagedFollower();
    const read = await log.fetch({ offset: 0, maxBytes: 1_000, consistency });
    if (!read.ok) throw new Error(read.detail);
    expect(read.batches.flatMap((batch) => valuesIn(batch))).toEqual(["whole"]);
    expect(asked).toEqual(consistency === "local" ? ["fetch"] : ["bounds", "fetch"]);
  },
);
