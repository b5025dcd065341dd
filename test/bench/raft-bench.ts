// How fast the Raft core alone is: `bun run bench --only raft`. Printed, never judged.
//
// Two loads, both in one process with storage in arrays and no disk, network or payload bytes: three participants that
// replicate single proposals (one step = one message delivered), and a sole voter from propose to applied.

import {
  appendThread,
  hardStateOf,
  isStorageThread,
  MemoryStorage,
  RawNode,
  type Message,
} from "../../raft/index.ts";
import { openReport, type BenchRow } from "./report.ts";

const now = () => performance.now();

class Member {
  readonly storage: MemoryStorage<number>;
  readonly node: RawNode<number>;
  applied = 0;

  constructor(id: number, voters: readonly number[]) {
    const confState = {
      voters,
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    };
    this.storage = new MemoryStorage<number>({ index: 1, term: 1, confState, data: null });
    const config = { id, seed: id, applied: 1, maxInflightMessages: 1024 };
    this.node = new RawNode<number>(config, this.storage);
  }

  /** Does the work of one Ready; returns what goes to others and to itself. */
  drain(out: Message<number>[]): void {
    const ready = this.node.ready();
    for (const message of ready.messages) {
      if (!isStorageThread(message.to)) {
        out.push(message);
        continue;
      }
      if (message.to === appendThread) {
        this.storage.append(message.entries);
        const hardState = hardStateOf(message);
        if (hardState !== null) this.storage.hardState = hardState;
      } else {
        this.applied += message.entries.length;
      }
      for (const response of message.responses) out.push(response);
    }
  }
}

interface Load {
  readonly commits: number;
  /** Proposals in flight. */
  readonly window: number;
}

interface Run {
  readonly steps: number;
  readonly commits: number;
  readonly ms: number;
}

/** `window` proposals at a time, until `commits` entries are applied by the leader. */
function run(members: readonly Member[], load: Load): Run {
  const byId = new Map(members.map((member) => [member.node.core.id, member]));
  const leader = members[0];
  let steps = 0;
  let queue: Message<number>[] = [];
  const settle = () => {
    for (;;) {
      for (const member of members) if (member.node.hasReady()) member.drain(queue);
      if (queue.length === 0) return;
      const batch = queue;
      queue = [];
      for (const message of batch) byId.get(message.to)!.node.step(message);
      steps += batch.length;
    }
  };
  leader.node.campaign();
  settle();
  const from = leader.applied;
  steps = 0;
  const start = now();
  while (leader.applied - from < load.commits) {
    for (let i = 0; i < load.window; i++) leader.node.propose(i, 0);
    settle();
    compact(members);
  }
  return { steps, commits: leader.applied - from, ms: now() - start };
}

/** Keeps the arrays short, as retention does. */
function compact(members: readonly Member[]): void {
  for (const { storage, node } of members) {
    const { applied } = node.core.log;
    if (applied - storage.firstIndex() > 20_000) storage.compact(applied - 1_000);
  }
}

function rowOf(what: string, result: Run): BenchRow {
  const perSecond = (count: number) => Math.round((count / result.ms) * 1_000);
  return {
    core: what,
    "steps/s": perSecond(result.steps),
    "commits/s": perSecond(result.commits),
    steps: result.steps,
    ms: Math.round(result.ms),
  };
}

/** After a run that warms up. */
function measured(what: string, ids: readonly number[], load: Load): BenchRow {
  const group = () => ids.map((id) => new Member(id, ids));
  run(group(), { ...load, commits: load.commits / 5 });
  return rowOf(what, run(group(), load));
}

const report = openReport("raft");
const scale = report.smoke ? 0.01 : 1;
const rows: BenchRow[] = [];
for (const window of [1, 16])
  rows.push(measured(`3 nodes, ${window} in flight`, [1, 2, 3], { commits: 1e5 * scale, window }));
for (const window of [1, 16])
  rows.push(measured(`sole voter, ${window} in flight`, [1], { commits: 2e5 * scale, window }));

const idle = 10_000 * scale;
Bun.gc(true);
const before = process.memoryUsage().heapUsed;
const replicas = Array.from({ length: idle }, (_, at) => new Member(1 + (at % 3), [1, 2, 3]));
Bun.gc(true);
const perReplica = (process.memoryUsage().heapUsed - before) / replicas.length;
report.table("The Raft core alone: one core used, storage in arrays", rows, [
  `idle replica of three, storage included: ${Math.round(perReplica)} B of heap`,
]);
