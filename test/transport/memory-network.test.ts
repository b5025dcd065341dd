import { describe, expect, test } from "bun:test";
import { Bug } from "../../src/assert.ts";
import { limits } from "../../src/limits.ts";
import { MemoryNetwork, type MemoryNetworkOptions } from "../../src/transport/memory-network.ts";
import type { MemoryTransport } from "../../src/transport/memory-transport.ts";
import { settle, VirtualWorld } from "../broker/virtual-world.ts";
import { Recorder, textPacket } from "./recorder.ts";

interface Setup {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly transports: MemoryTransport[];
  readonly told: Recorder[];
  /** Moves the clock and lets everything run. */
  readonly run: (ms?: number) => Promise<void>;
}

/** `count` nodes 1..count, each a peer of each, connected. */
async function cluster(count = 2, options: MemoryNetworkOptions = {}, seed = 1): Promise<Setup> {
  const world = new VirtualWorld(seed);
  const network = new MemoryNetwork(world, { reconnectMs: 50, stallMs: 1_000, ...options });
  const transports: MemoryTransport[] = [];
  const told: Recorder[] = [];
  for (let nodeId = 1; nodeId <= count; nodeId += 1) {
    const { transport, recorder } = await start(network, nodeId, count);
    transports.push(transport);
    told.push(recorder);
  }
  const run = async (ms = 0): Promise<void> => {
    await settle(3);
    world.advance(ms);
    await settle(3);
  };
  await run(100);
  return { world, network, transports, told, run };
}

async function start(
  network: MemoryNetwork,
  nodeId: number,
  count: number,
): Promise<{ transport: MemoryTransport; recorder: Recorder }> {
  const transport = network.transport(nodeId);
  const recorder = new Recorder();
  await transport.open(recorder);
  const peers = Array.from({ length: count }, (_, i) => i + 1);
  transport.setPeers(peers.map((id) => ({ nodeId: id, host: "memory", port: id })));
  return { transport, recorder };
}

const broken = (nodeId: number): string[] =>
  ["control", "append", "call", "bulk"].map((lane) => `broken ${nodeId} ${lane}`);

describe("MemoryNetwork", () => {
  test("a cut holds packets; healed in time they arrive, else they are lost and told", async () => {
    const { network, transports, told, run } = await cluster();
    network.cut(1, 2);
    let released = 0;
    const held = (name: string) => textPacket(name, [], () => void (released += 1));
    expect(transports[0].send(2, "append", held("a"))).toBe(true);
    await run(900);
    expect([told[1].heads(), released, told[0].events]).toEqual([[], 0, ["up 2"]]);
    expect(transports[0].links()[0].appendStalledMs).toBe(900);
    network.heal();
    await run();
    expect([told[1].heads(), released]).toEqual([["a"], 1]);

    network.cut(1, 2);
    transports[0].send(2, "append", held("b"));
    await run(999);
    expect(told[0].events).toEqual(["up 2"]);
    await run(1);
    // Its own connection broke; the other's is idle and stands until that one has something to say.
    expect([told[0].events, released]).toEqual([["up 2", ...broken(2)], 2]);
    expect(transports[0].send(2, "append", held("c"))).toBe(false);
    expect(transports[0].room(2, "append")).toBe(0);
    transports[1].send(1, "control", textPacket("d"));
    await run(2_000);
    expect(told[0].events.at(-1)).toBe("down 2");
    expect(told[1].events.at(-1)).toBe("down 1");
    network.heal();
    await run(100);
    expect(told[0].events.at(-1)).toBe("up 2");
    transports[0].send(2, "append", textPacket("e"));
    await run();
    expect(told[1].heads()).toEqual(["a", "e"]);
  });

  test("a cut one way leaves the other way open", async () => {
    const { network, transports, told, run } = await cluster();
    network.cutOneWay(1, 2);
    transports[0].send(2, "control", textPacket("lost"));
    transports[1].send(1, "control", textPacket("heard"));
    await run(5_000);
    expect(told[0].heads()).toEqual(["heard"]);
    expect(told[1].heads()).toEqual([]);
    expect(told[0].events).toEqual(["up 2", ...broken(2)]);
    expect(told[1].events).toEqual(["up 1"]);
  });

  test("a clog holds packets, and its connection is made anew when it lasts", async () => {
    const { network, transports, told, run } = await cluster();
    network.clog(1, 2);
    transports[0].send(2, "bulk", textPacket("a"));
    await run(500);
    network.unclog(1, 2);
    await run();
    expect(told[1].heads()).toEqual(["a"]);
    network.clog(1, 2);
    transports[0].send(2, "bulk", textPacket("b"));
    await run(1_000);
    await run(50);
    expect(told[0].events).toEqual(["up 2", ...broken(2), "up 2"]);
  });

  test("a lost packet breaks its lane alone, and later ones go on in order", async () => {
    const { network, transports, told, run } = await cluster();
    network.lose(1, 2, 1);
    transports[0].send(2, "append", textPacket("lost"));
    network.heal();
    for (const name of ["a", "b"]) transports[0].send(2, "append", textPacket(name));
    transports[0].send(2, "control", textPacket("c"));
    await run();
    expect(told[0].events).toEqual(["up 2", "broken 2 append"]);
    expect(told[1].heads("append")).toEqual(["a", "b"]);
    expect(told[1].heads("control")).toEqual(["c"]);
  });

  test("packets of a lane keep their order under random delays", async () => {
    const { transports, told, run } = await cluster(2, { delay: { minMs: 1, maxMs: 50 } });
    const names = Array.from({ length: 100 }, (_, i) => String(i));
    for (const name of names) transports[0].send(2, "append", textPacket(name));
    await run(49);
    expect(told[1].heads().length).toBeLessThan(100);
    await run(1);
    expect(told[1].heads()).toEqual(names);
  });

  test("the others hear of a killed node at once, and of its next process", async () => {
    const { network, transports, told, run } = await cluster(3);
    transports[0].send(2, "control", textPacket("on its way"));
    network.kill(2);
    await run();
    expect(told[0].events).toEqual(["up 2", "up 3", ...broken(2), "down 2"]);
    expect(told[2].events.at(-1)).toBe("down 2");
    expect(told[1].events).toEqual(["up 1", "up 3"]);
    expect(transports[1].send(1, "control", textPacket("dead"))).toBe(false);
    const { recorder } = await start(network, 2, 3);
    await run(100);
    expect(recorder.events.sort()).toEqual(["up 1", "up 3"]);
    expect(told[0].events.at(-1)).toBe("up 2");
    transports[0].send(2, "control", textPacket("new"));
    await run();
    expect([told[1].heads(), recorder.heads()]).toEqual([[], ["new"]]);
  });

  test("the late news of an ended connection does not end the one that was made meanwhile", async () => {
    const { network, told, run } = await cluster();
    network.cutOneWay(1, 2);
    network.reset(1, 2);
    network.heal();
    await run(200);
    expect(told[0].events.at(-1)).toBe("up 2");
    await run(2_000);
    network.kill(2);
    await run();
    expect(told[0].events.at(-1)).toBe("down 2");
  });

  test("a node left out of the peers is disconnected", async () => {
    const { transports, told, run } = await cluster(3);
    transports[0].setPeers([{ nodeId: 3, host: "memory", port: 3 }]);
    await run();
    expect(told[0].events.slice(2)).toEqual([...broken(2), "down 2"]);
    expect(told[1].events.slice(2)).toEqual([...broken(1), "down 1"]);
    expect(transports[0].send(2, "control", textPacket("x"))).toBe(false);
    expect(transports[0].links().map((link) => link.nodeId)).toEqual([3]);
  });

  test("delivered bytes are borrowed: the packet is poisoned afterwards", async () => {
    const { transports, run, told } = await cluster();
    const kept: Uint8Array[] = [];
    told[1].onPacket = (packet) => void kept.push(packet.body);
    transports[0].send(2, "append", textPacket("a", [new Uint8Array(3)]));
    await run();
    expect(kept).toEqual([Uint8Array.of(0xdb, 0xdb, 0xdb)]);
  });

  test("bytes changed before release() arrive changed", async () => {
    const { transports, run, told } = await cluster();
    const body = Uint8Array.of(1, 2);
    transports[0].send(2, "append", textPacket("a", [body, Uint8Array.of(3)]));
    body[0] = 9;
    await run();
    expect(told[1].packets[0].body).toEqual(Uint8Array.of(9, 2, 3));
  });

  test("a full queue refuses, and a packet beyond the limits is a bug", async () => {
    const { network, transports } = await cluster();
    network.clog(1, 2);
    const body = [new Uint8Array(limits.packetBodyBytesMax)];
    let released = 0;
    const send = () =>
      transports[0].send(
        2,
        "bulk",
        textPacket("", body, () => void (released += 1)),
      );
    expect([send(), send(), send(), released]).toEqual([true, true, false, 1]);
    expect(transports[0].room(2, "bulk")).toBe(
      limits.laneQueueBytesMax - 2 * limits.packetBodyBytesMax,
    );
    expect(() => transports[0].send(2, "bulk", textPacket("", [...body, ...body]))).toThrow(Bug);
  });

  test("one seed is one course of events", async () => {
    expect(await course(7)).toBe(await course(7));
    expect(await course(7)).not.toBe(await course(8));
  });
});

/** What a seed makes of one script of sends. */
async function course(seed: number): Promise<string> {
  const { network, transports, told, run } = await cluster(
    2,
    { delay: { minMs: 1, maxMs: 20 } },
    seed,
  );
  network.lose(1, 2, 0.3);
  for (let i = 0; i < 50; i += 1) {
    transports[0].send(2, i % 2 === 0 ? "append" : "control", textPacket(String(i)));
    await run(3);
  }
  return JSON.stringify([told[0].events, told[1].heads()]);
}
