// Lanes whose connections keep breaking: what arrives is in order and once, what is lost was told, every packet is let
// go of once. Over real sockets, and over the network in memory with more kinds of faults and many seeds.

import { expect, test } from "bun:test";
import { MemoryNetwork } from "../../src/transport/memory-network.ts";
import { type InPacket, lanes, type Lane, type Transport } from "../../src/transport/transport.ts";
import { settle, until, VirtualWorld } from "../broker/virtual-world.ts";
import { addressed } from "./conformance.ts";
import { startNode } from "./http2-nodes.ts";
import { Proxy } from "./proxy.ts";
import { Recorder, textPacket } from "./recorder.ts";

/** Sends numbered packets to node 2 and judges what came of them. */
class Traffic {
  readonly #random: () => number;
  readonly #sent: Record<Lane, number[]> = { control: [], append: [], call: [], bulk: [] };
  readonly #released = new Map<string, number>();
  #number = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** One packet on a lane chosen by chance; sizes up to several fragments where `large`. */
  send(transport: Transport, { large }: { readonly large: boolean }): void {
    const lane = lanes[Math.floor(this.#random() * lanes.length)];
    const bytesMax = lane === "bulk" && large ? 700_000 : 3_000;
    const body = [new Uint8Array(Math.floor(this.#random() * bytesMax))];
    const number = (this.#number += 1);
    const name = `${lane} ${number}`;
    const release = (): void => {
      this.#released.set(name, (this.#released.get(name) ?? 0) + 1);
    };
    if (transport.send(2, lane, textPacket(name, body, release))) this.#sent[lane].push(number);
  }

  get allReleased(): boolean {
    return this.#released.size === this.#number;
  }

  /** Throws when a promise of the transport was broken. Answers how many packets were lost. */
  judge(got: readonly Pick<InPacket, "lane" | "head">[], brokenLanes: ReadonlySet<Lane>): number {
    let lost = 0;
    for (const lane of lanes) {
      const numbers = got
        .filter((packet) => packet.lane === lane)
        .map(({ head }) => Number(new TextDecoder().decode(head).split(" ")[1]));
      const sent = new Set(this.#sent[lane]);
      numbers.forEach((number, i) => {
        expect(sent.has(number)).toBe(true);
        // In order, and so none twice.
        if (i > 0) expect(number).toBeGreaterThan(numbers[i - 1]);
      });
      const missing = sent.size - numbers.length;
      if (missing > 0) expect([lane, brokenLanes.has(lane)]).toEqual([lane, true]);
      lost += missing;
    }
    for (const [name, times] of this.#released) expect([name, times]).toEqual([name, 1]);
    return lost;
  }
}

const brokenIn = ({ events }: Recorder): Set<Lane> =>
  new Set(
    events
      .filter((event) => event.startsWith("broken"))
      .map((event) => event.split(" ")[2] as Lane),
  );

test.each(["http2", "http1"] as const)(
  "%s lanes through a network of resets",
  async (protocol) => {
    const world = new VirtualWorld(11);
    const traffic = new Traffic(() => world.random());
    const options = { pace: { backOffMsMin: 5, stallMs: 2_000 }, protocol };
    const [a, b] = [await startNode(1, options), await startNode(2, options)];
    const proxy = await Proxy.to(b.transport.address.port);
    a.transport.setPeers([{ nodeId: 2, ...proxy.address }]);
    b.transport.setPeers([addressed(a)]);
    const ups = () => a.told.events.filter((event) => event === "up 2").length;
    await until(() => ups() === 1, "the first connection");
    for (let round = 0; round < 25; round += 1) {
      for (let i = 0; i < 20; i += 1) {
        traffic.send(a.transport, { large: true });
        await settle(1);
      }
      const before = ups();
      proxy.cut();
      await until(() => ups() > before, "the next connection");
    }
    for (let i = 0; i < 20; i += 1) traffic.send(a.transport, { large: true });
    const idle = () => traffic.allReleased && a.transport.links()[0].queuedBytes === 0;
    await until(idle, "everything to have left");
    a.transport.send(2, "control", textPacket("last"));
    // The last packet of every lane is behind all others of it.
    for (const lane of ["append", "call", "bulk"] as const)
      a.transport.send(2, lane, textPacket("last"));
    await until(() => b.told.heads().filter((head) => head === "last").length === 4, "the last");
    const got = b.told.packets.filter(({ head }) => new TextDecoder().decode(head) !== "last");
    traffic.judge(got, brokenIn(a.told));
    expect(got.length).toBeGreaterThan(100);
    await a.transport.close();
    await b.transport.close();
    await proxy.close();
  },
  60_000,
);

test("lanes in memory through faults of every kind", async () => {
  let lost = 0;
  let arrived = 0;
  for (let seed = 1; seed <= 40; seed += 1) {
    const outcome = await memoryCourse(seed);
    lost += outcome.lost;
    arrived += outcome.arrived;
  }
  // Neither is without the other, or the faults or the healing do nothing.
  expect(lost).toBeGreaterThan(100);
  expect(arrived).toBeGreaterThan(1_000);
}, 60_000);

async function memoryCourse(seed: number): Promise<{ lost: number; arrived: number }> {
  const world = new VirtualWorld(seed);
  const delay = { minMs: 0, maxMs: 20 };
  const network = new MemoryNetwork(world, { delay, stallMs: 500, reconnectMs: 20 });
  const traffic = new Traffic(() => world.random());
  const [a, b] = [network.transport(1), network.transport(2)];
  const [toldA, toldB] = [new Recorder(), new Recorder()];
  await a.open(toldA);
  await b.open(toldB);
  for (const transport of [a, b])
    transport.setPeers([1, 2].map((nodeId) => ({ nodeId, host: "memory", port: nodeId })));
  const faults: readonly (() => void)[] = [
    () => network.cut(1, 2),
    () => network.cutOneWay(1, 2),
    () => network.cutOneWay(2, 1),
    () => network.clog(1, 2),
    () => network.lose(1, 2, 0.2),
    () => network.reset(1, 2),
    () => network.breakLane(1, 2, lanes[Math.floor(world.random() * lanes.length)]),
    () => network.heal(),
    () => network.heal(),
  ];
  for (let step = 0; step < 150; step += 1) {
    if (world.random() < 0.1) faults[Math.floor(world.random() * faults.length)]();
    traffic.send(a, { large: false });
    world.advance(world.random() * 60);
    await settle(1);
  }
  network.heal();
  for (let i = 0; i < 100; i += 1) {
    world.advance(50);
    await settle(1);
  }
  expect([seed, a.links()[0].connected, traffic.allReleased]).toEqual([seed, true, true]);
  return { lost: traffic.judge(toldB.packets, brokenIn(toldA)), arrived: toldB.packets.length };
}
