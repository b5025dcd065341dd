import { describe, expect, test } from "bun:test";

import { campaignSpreadMs } from "../../../src/consensus/liveness/campaign-pace.ts";
import type { Leadership } from "../../../src/consensus/liveness/leaderships.ts";
import { beatMs } from "../../../src/consensus/liveness/liveness.ts";
import { Vigil, type VigilantReplica } from "../../../src/consensus/liveness/vigil.ts";
import { MemoryNetwork } from "../../../src/transport/memory-network.ts";
import { VirtualWorld } from "../virtual-world.ts";

const nodes = [1, 2, 3];
const peers = nodes.map((nodeId) => ({ nodeId, host: "memory", port: nodeId }));

/** A replica that writes down what it is told. */
class Told implements VigilantReplica {
  readonly events: string[] = [];
  readonly #world: VirtualWorld;
  /** It leads, and a transfer takes until the next beat. */
  leads = false;
  gone = true;
  /** It knows no leader, and hears a quorum. */
  leaderless = false;
  rank = 0;

  constructor(world: VirtualWorld) {
    this.#world = world;
  }

  leaderGone(): number | null {
    this.#note("gone");
    return this.gone ? this.rank : null;
  }
  leaderTold({ leader, term }: Leadership): void {
    this.#note(`told ${leader} of ${term}`);
  }
  campaignDue(): void {
    this.#note("campaign");
  }
  handOver(canLead: (nodeId: number) => boolean): "offered" | "waits" | "leads not" {
    if (!this.leads) return "leads not";
    const to = [2, 3].find(canLead);
    if (to === undefined) return "waits";
    this.#note(`to ${to}`);
    this.leads = false;
    return "offered";
  }
  nodeChanged(nodeId: number): number | null {
    this.#note(`node ${nodeId}`);
    return this.leaderless ? this.rank : null;
  }

  count(prefix: string): number {
    return this.events.filter((event) => event.includes(prefix)).length;
  }

  #note(event: string): void {
    this.events.push(`${Math.round(this.#world.monotonic())} ${event}`);
  }
}

interface Node {
  readonly vigil: Vigil<Told>;
  readonly replicas: Map<string, Told>;
  readonly health: { state: "ok" | "failed"; oldestFlushMs: number };
}

async function cluster(groups: number) {
  const world = new VirtualWorld(7);
  const network = new MemoryNetwork(world);
  const made: Node[] = [];
  for (const nodeId of nodes) {
    const transport = network.transport(nodeId);
    const replicas = new Map<string, Told>();
    for (let i = 0; i < groups; i += 1) replicas.set(`t/${i}`, new Told(world));
    const health: Node["health"] = { state: "ok", oldestFlushMs: 0 };
    const find = (groupId: string): Told | null => replicas.get(groupId) ?? null;
    const all = (): Iterable<Told> => replicas.values();
    const ways = { find, open: find, all, onReach: () => undefined };
    const options = { nodeId, world, transport, health: () => health, ...ways };
    const vigil = new Vigil<Told>(options);
    await transport.open({
      onPacket: (packet) => void vigil.onPacket(packet),
      onUp: (node) => vigil.onUp(node),
      onBroken: () => {},
      onDown: (node) => vigil.onDown(node),
    });
    transport.setPeers(peers);
    made.push({ vigil, replicas, health });
  }
  await world.run(500);
  return { world, network, at: (node: number) => made[node - 1] };
}

describe("replicas that know no leader", () => {
  test("campaign within the spread when a node is heard that was missing", async () => {
    const { world, network, at } = await cluster(2);
    network.cut(1, 2);
    await world.run(2_000);
    const [asking, settled] = at(2).replicas.values();
    asking.leaderless = true;
    network.heal();
    await world.run(1_000);
    expect(asking.count("campaign")).toBe(1);
    expect(settled.count("campaign")).toBe(0);
  });
});

describe("replicas whose leader's node is gone", () => {
  test("are told at once, and campaign within the spread, each once", async () => {
    const { world, network, at } = await cluster(250);
    for (const groupId of at(2).replicas.keys()) {
      at(2).vigil.leaderships.follow({ groupId, leader: 1, member: 2, term: 3 });
    }
    network.kill(1);
    await world.run(1);
    const told = [...at(2).replicas.values()];
    expect(told.every((replica) => replica.count("gone") === 1)).toBe(true);
    expect(told.every((replica) => replica.count("campaign") === 0)).toBe(true);
    await world.run(campaignSpreadMs + 20);
    expect(told.every((replica) => replica.count("campaign") === 1)).toBe(true);
    expect(at(3).replicas.get("t/0")!.count("gone")).toBe(0);
  });

  test("campaign after those of a lower rank", async () => {
    const { world, network, at } = await cluster(2);
    const [first, second] = at(2).replicas.values();
    for (const groupId of ["t/0", "t/1"]) {
      at(2).vigil.leaderships.follow({ groupId, leader: 1, member: 2, term: 3 });
    }
    second.rank = 1;
    network.kill(1);
    await world.run(campaignSpreadMs + 10);
    expect(first.count("campaign")).toBe(1);
    expect(second.count("campaign")).toBe(0);
    await world.run(campaignSpreadMs);
    expect(second.count("campaign")).toBe(1);
  });

  test("do not campaign when they say so, nor once they are gone themselves", async () => {
    const { world, network, at } = await cluster(2);
    const [first, second] = at(2).replicas.values();
    for (const groupId of ["t/0", "t/1"]) {
      at(2).vigil.leaderships.follow({ groupId, leader: 1, member: 2, term: 3 });
    }
    first.gone = false;
    network.kill(1);
    await world.run(1);
    at(2).vigil.forget(second, "t/1");
    await world.run(1_000);
    expect(first.count("campaign") + second.count("campaign")).toBe(0);
    expect(at(2).vigil.metrics()["consensus_campaigns_waiting"]).toBe(0);
  });
});

describe("a node that is unfit to lead", () => {
  test("offers its leaderships to those that are fit, and once more what comes to it meanwhile", async () => {
    const { world, at } = await cluster(600);
    for (const replica of at(1).replicas.values()) replica.leads = true;
    at(2).health.oldestFlushMs = 9_000;
    await world.run(2 * beatMs);
    at(1).health.oldestFlushMs = 9_000;
    await world.run(5 * beatMs);
    const told = [...at(1).replicas.values()];
    expect(told.every((replica) => replica.count("to 3") === 1)).toBe(true);
    expect(at(1).vigil.fit).toBe(false);
    expect(at(3).vigil.fit).toBe(true);
  });

  test("waits while nobody else is fit", async () => {
    const { world, at } = await cluster(1);
    const [replica] = at(1).replicas.values();
    replica.leads = true;
    for (const node of [2, 3]) at(node).health.oldestFlushMs = 9_000;
    await world.run(2 * beatMs);
    at(1).health.oldestFlushMs = 9_000;
    await world.run(1_000);
    expect(replica.leads).toBe(true);
    at(3).health.oldestFlushMs = 0;
    await world.run(3_000);
    expect(replica.count("to 3")).toBe(1);
  });
});
