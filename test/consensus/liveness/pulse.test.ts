import { describe, expect, test } from "bun:test";

import { MemoryStorage, noMembers, RawNode } from "../../../raft/index.ts";
import type { Message } from "../../../raft/types.ts";
import { hasQuorum, needsTicks, type NodeTable } from "../../../src/consensus/liveness/pulse.ts";

const ids = [1, 2, 3];

/** Three cores, durable at once, whose messages arrive at once unless a node is cut off. */
class Trio {
  readonly #nodes = new Map<number, RawNode<string>>();
  readonly #storages = new Map<number, MemoryStorage<string>>();
  readonly cut = new Set<number>();

  constructor() {
    const confState = { ...noMembers, voters: ids };
    for (const id of ids) {
      const storage = new MemoryStorage<string>({ index: 0, term: 0, confState, data: null });
      const config = { id, seed: id, asyncStorageWrites: false };
      this.#storages.set(id, storage);
      this.#nodes.set(id, new RawNode<string>(config, storage));
    }
  }

  at(id: number): RawNode<string> {
    return this.#nodes.get(id)!;
  }

  /** As node `id` sees the others. */
  table(id: number): NodeTable {
    const live = (other: number): boolean => !this.cut.has(id) && !this.cut.has(other);
    return { live, active: live };
  }

  needs(id: number): boolean {
    return needsTicks(this.at(id), this.table(id));
  }

  /** Until nothing moves. */
  settle(): void {
    for (let moved = true; moved;) {
      moved = false;
      for (const id of ids) moved = this.#turn(id) || moved;
    }
  }

  tick(id: number, n: number): void {
    for (let i = 0; i < n; i += 1) {
      for (const peer of ids) if (this.table(id).active(peer)) this.at(id).reportActive(peer);
      this.at(id).tick();
      this.settle();
    }
  }

  #turn(id: number): boolean {
    const node = this.at(id);
    const storage = this.#storages.get(id)!;
    if (!node.hasReady()) return false;
    const { entries, hardState, messages } = node.ready();
    if (hardState !== null) storage.hardState = hardState;
    storage.append(entries);
    node.advance();
    for (const message of messages) this.#deliver(id, message);
    return true;
  }

  #deliver(from: number, message: Message<string>): void {
    if (!this.cut.has(from) && !this.cut.has(message.to)) this.at(message.to).step(message);
  }
}

function led(): Trio {
  const trio = new Trio();
  trio.at(1).campaign();
  trio.settle();
  expect(trio.at(1).core.role).toBe("leader");
  return trio;
}

describe("a replica needs ticks", () => {
  test("as long as nobody leads", () => {
    const trio = new Trio();
    expect(ids.map((id) => trio.needs(id))).toEqual([true, true, true]);
  });

  test("not while the group is at rest", () => {
    const trio = led();
    expect(ids.map((id) => trio.needs(id))).toEqual([false, false, false]);
    trio.at(1).propose("a", 1);
    trio.settle();
    expect(ids.map((id) => trio.needs(id))).toEqual([false, false, false]);
  });

  test("while a living follower lacks entries, and not for one whose node is gone", () => {
    const trio = led();
    trio.at(1).propose("a", 1);
    expect(trio.needs(1)).toBe(true);
    trio.cut.add(3);
    trio.settle();
    expect(trio.needs(1)).toBe(false);
    trio.cut.delete(3);
    trio.at(1).reportUnreachable(3);
    expect(trio.needs(1)).toBe(true);
    trio.tick(1, 3);
    expect(trio.at(3).core.log.lastIndex()).toBe(2);
    expect(trio.needs(1)).toBe(false);
  });

  test("while a read waits", () => {
    const trio = led();
    trio.at(1).readIndex();
    expect(trio.needs(1)).toBe(true);
    trio.settle();
    expect(trio.needs(1)).toBe(false);
  });

  test("while the leadership is being handed over", () => {
    const trio = led();
    trio.cut.add(2);
    trio.at(1).transferLeader(2);
    expect(trio.needs(1)).toBe(true);
    trio.tick(1, 11);
    expect(trio.needs(1)).toBe(false);
  });

  test("when the leader has lost its quorum, until it steps down; then nobody campaigns in vain", () => {
    const trio = led();
    trio.cut.add(1);
    expect(trio.needs(1)).toBe(true);
    trio.tick(1, 25);
    expect(trio.at(1).core.role).toBe("follower");
    expect(trio.needs(1)).toBe(false);
    expect([2, 3].map((id) => trio.needs(id))).toEqual([true, true]);
    trio.at(2).forgetLeader();
    trio.at(3).forgetLeader();
    expect([2, 3].map((id) => trio.needs(id))).toEqual([true, true]);
    trio.tick(2, 25);
    expect(trio.at(2).core.role).toBe("leader");
    expect([2, 3].map((id) => trio.needs(id))).toEqual([false, false]);
  });

  test("not as one of a minority without a leader", () => {
    const trio = led();
    trio.cut.add(1).add(2);
    trio.at(3).forgetLeader();
    expect(trio.needs(3)).toBe(false);
    trio.cut.delete(2);
    expect(trio.needs(3)).toBe(true);
  });
});

describe("a quorum", () => {
  test("counts this node, and both halves of a joint configuration", () => {
    const configurations: readonly [number[], number[], number[], boolean][] = [
      [[1], [], [], true],
      [[1, 2, 3], [], [], false],
      [[1, 2, 3], [], [2], true],
      [[1, 2], [], [], false],
      [[2, 3], [], [3], false],
      [[1, 2, 3], [1, 4, 5], [2], false],
      [[1, 2, 3], [1, 4, 5], [2, 4], true],
      [[], [], [2, 3], false],
    ];
    for (const [voters, votersOutgoing, live, wanted] of configurations) {
      const confState = { ...noMembers, voters, votersOutgoing };
      const index = voters.length === 0 ? 0 : 5;
      const storage = new MemoryStorage<string>({ index, term: index, confState, data: null });
      const node = new RawNode<string>({ id: 1, seed: 1 }, storage);
      expect(hasQuorum(node, (nodeId) => live.includes(nodeId))).toBe(wanted);
    }
  });
});
