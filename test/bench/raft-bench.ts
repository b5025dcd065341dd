// How fast the Raft core alone is: `bun test/bench/raft-bench.ts`. Prints its conditions; never a timed test.
//
// Two loads, both in one process with storage in arrays and no disk, network or payload bytes: three participants that
// replicate single proposals (one step = one message delivered), and a sole voter from propose to applied.

import { cpus } from "node:os";
import {
  appendThread,
  hardStateOf,
  isStorageThread,
  MemoryStorage,
  RawNode,
  type Message,
} from "../../raft/index.ts";

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

interface Run {
  readonly steps: number;
  readonly commits: number;
  readonly ms: number;
}

/** `window` proposals at a time, until `commits` entries are applied by the leader. */
function run(members: readonly Member[], load: { commits: number; window: number }): Run {
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

function report(name: string, result: Run): void {
  const perSecond = (count: number) => Math.round((count / result.ms) * 1000).toLocaleString("en");
  console.log(
    `${name}: ${perSecond(result.steps)} steps/s, ${perSecond(result.commits)} commits/s ` +
      `(${result.steps.toLocaleString("en")} steps in ${Math.round(result.ms)} ms)`,
  );
}

const runtime = typeof Bun === "undefined" ? "unknown runtime" : `Bun ${Bun.version}`;
console.log(`${runtime}, ${cpus().length} x ${cpus()[0]?.model}; one core used, storage in arrays`);
for (const window of [1, 16]) {
  const three = () => [1, 2, 3].map((id) => new Member(id, [1, 2, 3]));
  run(three(), { commits: 20_000, window });
  report(`3 nodes, ${window} in flight`, run(three(), { commits: 100_000, window }));
}
for (const window of [1, 16]) {
  run([new Member(1, [1])], { commits: 20_000, window });
  report(
    `sole voter, ${window} in flight`,
    run([new Member(1, [1])], { commits: 200_000, window }),
  );
}

const idle = 10_000;
Bun.gc(true);
const before = process.memoryUsage().heapUsed;
const replicas = Array.from({ length: idle }, (_, at) => new Member(1 + (at % 3), [1, 2, 3]));
Bun.gc(true);
const perReplica = (process.memoryUsage().heapUsed - before) / replicas.length;
console.log(`idle replica of three, storage included: ${Math.round(perReplica)} B of heap`);
