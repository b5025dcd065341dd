import { describe, expect, test } from "bun:test";

import type { Leadership } from "../../../src/consensus/liveness/leaderships.ts";
import { beatMs, silentMs } from "../../../src/consensus/liveness/liveness.ts";
import { NodeWatch } from "../../../src/consensus/liveness/node-watch.ts";
import type { UnfitReason } from "../../../src/consensus/liveness/node-health.ts";
import { MemoryNetwork } from "../../../src/transport/memory-network.ts";
import type { MemoryTransport } from "../../../src/transport/memory-transport.ts";
import type { InPacket } from "../../../src/transport/transport.ts";
import { VirtualWorld } from "../virtual-world.ts";

const nodes = [1, 2, 3];
const peers = nodes.map((nodeId) => ({ nodeId, host: "memory", port: nodeId }));

/** A node without replicas, which believes what it is told. */
class Node {
  readonly nodeId: number;
  readonly watch: NodeWatch;
  readonly transport: MemoryTransport;
  readonly gone: string[] = [];
  readonly told: Leadership[] = [];
  readonly changes: string[] = [];
  readonly reach: string[] = [];
  readonly fitness: (UnfitReason | null)[] = [];
  oldestFlushMs = 0;
  packets = 0;

  constructor(world: VirtualWorld, network: MemoryNetwork, nodeId: number) {
    this.nodeId = nodeId;
    this.transport = network.transport(nodeId);
    this.watch = new NodeWatch({
      nodeId,
      world,
      transport: this.transport,
      health: () => ({ state: "ok", oldestFlushMs: this.oldestFlushMs }),
      events: {
        onLeaderGone: (groupIds) => void this.gone.push(...groupIds),
        onLeaderTold: (row) => {
          this.told.push(row);
          this.watch.leaderships.follow(row);
        },
        onNode: (node) =>
          void this.changes.push(`${node} ${this.watch.live(node) ? "lives" : "silent"}`),
        onReach: (node, reached) => void this.reach.push(`${node} ${reached}`),
        onFitness: (reason) => void this.fitness.push(reason),
      },
    });
  }

  async open(): Promise<void> {
    const { watch } = this;
    await this.transport.open({
      onPacket: (packet: InPacket) => {
        this.packets += 1;
        watch.onPacket(packet);
      },
      onUp: (node) => watch.onUp(node),
      onBroken: () => {},
      onDown: (node) => watch.onDown(node),
    });
    this.transport.setPeers(peers);
    watch.start();
  }

  lead(groups: number, term: number): void {
    for (let i = 0; i < groups; i += 1) {
      this.watch.leaderships.lead(`t/${i}`, { leader: this.nodeId, term, members: nodes });
    }
  }
}

interface Cluster {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly at: (node: number) => Node;
}

async function cluster(seed = 1): Promise<Cluster> {
  const world = new VirtualWorld(seed);
  const network = new MemoryNetwork(world);
  const made = nodes.map((nodeId) => new Node(world, network, nodeId));
  for (const node of made) await node.open();
  await world.run(1_000);
  return { world, network, at: (node) => made[node - 1] };
}

describe("nodes that watch one another", () => {
  test("hear of each other as soon as they are connected", async () => {
    const { at } = await cluster();
    for (const node of nodes) {
      const others = nodes.filter((other) => other !== node);
      expect(at(node).changes.toSorted()).toEqual(others.map((other) => `${other} lives`));
      for (const other of others) expect(at(node).watch.active(other)).toBe(true);
    }
  });

  test("learn within half a second who leads what, though no group sends anything", async () => {
    const { world, at } = await cluster();
    at(1).lead(1_000, 4);
    await world.run(500);
    expect(at(2).told.length).toBe(1_000);
    expect(at(3).told.length).toBe(1_000);
    expect(at(2).watch.leaderships.believedOf(1)).toEqual(at(1).watch.leaderships.ledToward(2));
  });

  test("learn that a leader is none any more, and of its successor", async () => {
    const { world, at } = await cluster();
    at(1).lead(10, 4);
    await world.run(500);
    at(2).watch.leaderships.lead("t/3", { leader: 2, term: 5, members: nodes });
    at(1).watch.leaderships.cease("t/3");
    await world.run(500);
    expect(at(1).told).toEqual([{ groupId: "t/3", leader: 2, member: 1, term: 5 }]);
    expect(at(3).watch.leaderships.believedOf(2).count).toBe(1);
    expect(at(3).watch.leaderships.believedOf(1).count).toBe(9);
  });

  test("lose the leaders of a killed node at once", async () => {
    const { world, network, at } = await cluster();
    at(1).lead(1_000, 4);
    await world.run(500);
    network.kill(1);
    await world.run(5);
    expect(at(2).gone.length).toBe(1_000);
    expect(at(2).changes.at(-1)).toBe("1 silent");
  });

  test("lose the leaders of a node that is merely silent after silentMs, and find them again", async () => {
    const { world, network, at } = await cluster();
    at(1).lead(10, 4);
    await world.run(500);
    for (const node of [2, 3]) network.cut(1, node);
    await world.run(silentMs - beatMs);
    expect(at(2).gone).toEqual([]);
    await world.run(3 * beatMs);
    expect(at(2).gone.length).toBe(10);
    expect(at(2).reach.toSorted()).toEqual(["1 false", "1 true", "3 true"]);
    for (const node of [2, 3]) network.heal(1, node);
    await world.run(500);
    expect(at(2).reach.at(-1)).toBe("1 true");
    expect(at(2).told.length).toBe(20);
    expect(at(2).changes.at(-1)).toBe("1 lives");
  });

  test("know that the way is cut one way: the other lives, but does not hear", async () => {
    const { world, network, at } = await cluster();
    network.cutOneWay(1, 2);
    await world.run(2 * silentMs);
    expect(at(1).watch.live(2)).toBe(true);
    expect(at(1).watch.active(2)).toBe(false);
    expect(at(1).watch.active(3)).toBe(true);
    expect(at(2).watch.live(1)).toBe(false);
  });

  test("let go of what a node led that does not hear them any more, when it leads no longer", async () => {
    const { world, network, at } = await cluster();
    at(1).lead(10, 4);
    await world.run(500);
    network.cutOneWay(2, 1);
    await world.run(2 * silentMs);
    // Others may hear it: it leads on.
    expect(at(2).gone).toEqual([]);
    for (const groupId of at(2).told.map((row) => row.groupId))
      at(1).watch.leaderships.cease(groupId);
    await world.run(6 * beatMs);
    expect(at(2).watch.live(1)).toBe(true);
    expect(at(2).gone.length).toBe(10);
  });

  test("send as much for 10,000 idle groups as for none", async () => {
    const { world, at } = await cluster();
    at(1).lead(10_000, 4);
    await world.run(1_000);
    const before = at(2).packets;
    await world.run(15_000);
    expect(at(2).packets - before).toBeLessThanOrEqual(2 * (15_000 / beatMs));
  });

  test("tell that a hung disk makes one unfit, and go on beating", async () => {
    const { world, at } = await cluster();
    at(1).oldestFlushMs = 5_500;
    await world.run(2 * beatMs);
    expect(at(1).fitness).toEqual(["flush"]);
    expect(at(2).watch.canLead(1)).toBe(false);
    expect(at(2).watch.live(1)).toBe(true);
    at(1).oldestFlushMs = 0;
    await world.run(3_000);
    expect(at(1).fitness).toEqual(["flush", null]);
    expect(at(2).watch.canLead(1)).toBe(true);
    expect(at(2).gone).toEqual([]);
  });

  test("drop what they cannot read, and count it", async () => {
    const { at } = await cluster();
    const head = new Uint8Array([2, 9]);
    const packet = { from: 2, lane: "control", head, body: new Uint8Array() } as const;
    expect(at(1).watch.onPacket(packet)).toBe(true);
    expect(at(1).watch.onPacket({ ...packet, head: new Uint8Array([3]) })).toBe(true);
    expect(at(1).watch.onPacket({ ...packet, head: new Uint8Array([4]) })).toBe(true);
    expect(at(1).watch.onPacket({ ...packet, head: new Uint8Array([1]) })).toBe(false);
    expect(at(1).watch.metrics()["consensus_watch_packets_refused_total"]).toBe(3);
  });
});
