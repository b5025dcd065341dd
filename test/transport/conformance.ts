// What every Transport does, whatever carries it: one suite for the network in memory and for HTTP/2.

import { afterEach, describe, expect, test } from "bun:test";
import { Bug } from "../../src/assert.ts";
import { limits } from "../../src/limits.ts";
import { type Lane, lanes, type Transport } from "../../src/transport/transport.ts";
import { until } from "../broker/virtual-world.ts";
import { Recorder, textPacket } from "./recorder.ts";

export interface Member {
  readonly nodeId: number;
  readonly transport: Transport;
  readonly told: Recorder;
}

export interface Fixture {
  /** A started transport that no one is a peer of. A second one of the same node is its next process. */
  start(nodeId: number): Promise<Member>;
  /** Its process is gone. */
  kill(member: Member): Promise<void>;
  end(): Promise<void>;
}

export function transportSuite(name: string, newFixture: () => Fixture): void {
  let fixture: Fixture | null = null;
  afterEach(async () => {
    await fixture?.end();
    fixture = null;
  });

  /** Nodes 1..count, each connected with each. */
  async function cluster(count: number): Promise<Member[]> {
    const own = (fixture = newFixture());
    const members: Member[] = [];
    for (let nodeId = 1; nodeId <= count; nodeId += 1) members.push(await own.start(nodeId));
    introduce(members);
    await connected(members);
    return members;
  }

  describe(`a transport over ${name}`, () => {
    test("tells that peers are up, and only then takes packets", async () => {
      const own = (fixture = newFixture());
      const [a, b] = [await own.start(1), await own.start(2)];
      expect(a.transport.send(2, "control", textPacket("early"))).toBe(false);
      expect(a.transport.room(2, "control")).toBe(0);
      introduce([a, b]);
      await connected([a, b]);
      expect(a.told.events).toEqual(["up 2"]);
      expect(a.transport.links()).toEqual([
        { nodeId: 2, connected: true, queuedBytes: 0, appendStalledMs: 0 },
      ]);
      expect(a.transport.room(2, "bulk")).toBe(limits.laneQueueBytesMax);
      expect(a.transport.send(9, "control", textPacket("nobody"))).toBe(false);
    });

    test("carries packets of each lane in order, head and body", async () => {
      const [a, b] = await cluster(2);
      const count = 300;
      for (let i = 0; i < count; i += 1)
        for (const lane of lanes)
          expect(a.transport.send(2, lane, textPacket(`${lane} ${i}`, pieces(i)))).toBe(true);
      await until(() => b.told.packets.length === count * lanes.length, "all packets");
      for (const lane of lanes) {
        const got = b.told.packets.filter((packet) => packet.lane === lane);
        expect(got.map(({ head }) => new TextDecoder().decode(head))).toEqual(
          Array.from({ length: count }, (_, i) => `${lane} ${i}`),
        );
        expect(got.every(({ body, from }, i) => from === 1 && isPattern(body, i * 3))).toBe(true);
      }
    });

    test("carries packets of every size, up to the largest", async () => {
      const [a, b] = await cluster(2);
      const { fragmentBytesMax: fragment, packetBodyBytesMax: largest } = limits;
      const sizes = [0, 1, 27, 28, 32_768, 65_507, 65_508, 65_509, fragment - 1, fragment];
      sizes.push(fragment + 1, 3 * fragment, 1_000_000, largest);
      for (const size of sizes)
        expect(
          a.transport.send(2, "bulk", { head: new Uint8Array(0), body: [pattern(size)] }),
        ).toBe(true);
      await until(() => b.told.packets.length === sizes.length, "all packets");
      expect(b.told.packets.map(({ body }) => body.length)).toEqual(sizes);
      expect(b.told.packets.every(({ body, head }) => head.length === 0 && isPattern(body))).toBe(
        true,
      );
      expect(() =>
        a.transport.send(2, "bulk", { head: new Uint8Array(0), body: [pattern(largest + 1)] }),
      ).toThrow(Bug);
    }, 30_000);

    test("releases every packet once, sent or not", async () => {
      const [a, b] = await cluster(2);
      const released: number[] = [];
      const send = (i: number, lane: Lane, size: number): boolean =>
        a.transport.send(
          2,
          lane,
          textPacket("x", [pattern(size)], () => void released.push(i)),
        );
      let sent = 0;
      const size = limits.packetBodyBytesMax;
      for (let i = 0; i < 5; i += 1) if (send(i, "bulk", size)) sent += 1;
      // Two fill the queue: the third waits for nothing, it is refused.
      expect(sent).toBeLessThan(5);
      await until(() => b.told.packets.length === sent && released.length === 5, "all released");
      expect(released.sort((x, y) => x - y)).toEqual([0, 1, 2, 3, 4]);
    }, 30_000);

    test("sends both ways at once", async () => {
      const [a, b] = await cluster(2);
      for (let i = 0; i < 100; i += 1) {
        a.transport.send(2, "append", textPacket(`a${i}`, [pattern(20_000)]));
        b.transport.send(1, "append", textPacket(`b${i}`, [pattern(20_000)]));
      }
      await until(() => a.told.packets.length + b.told.packets.length === 200, "all packets");
      expect(a.told.heads()).toEqual(Array.from({ length: 100 }, (_, i) => `b${i}`));
      expect(b.told.heads()).toEqual(Array.from({ length: 100 }, (_, i) => `a${i}`));
    });

    test("a killed node is broken, then down; its next process is up and gets packets", async () => {
      const [a, b, c] = await cluster(3);
      await fixture?.kill(b);
      await until(() => a.told.events.includes("down 2"), "node 2 down at node 1");
      await until(() => c.told.events.includes("down 2"), "node 2 down at node 3");
      const ofNode2 = a.told.events.filter((event) => event.split(" ")[1] === "2");
      expect(ofNode2[0]).toBe("up 2");
      expect(ofNode2.at(-1)).toBe("down 2");
      expect(ofNode2.slice(1, -1).sort()).toEqual(lanes.map((lane) => `broken 2 ${lane}`).sort());
      expect(a.told.events.filter((event) => event.endsWith("3"))).toEqual(["up 3"]);
      expect(a.transport.send(2, "control", textPacket("dead"))).toBe(false);
      const next = await fixture!.start(2);
      introduce([a, next, c]);
      await connected([a, next, c]);
      expect(a.told.events.at(-1)).toBe("up 2");
      a.transport.send(2, "control", textPacket("again"));
      await until(() => next.told.packets.length === 1, "the packet");
      expect(next.told.heads()).toEqual(["again"]);
    });

    test("a peer that is left out is disconnected, and told of later it is back", async () => {
      const [a, b, c] = await cluster(3);
      a.transport.setPeers([addressed(c)]);
      b.transport.setPeers([addressed(c)]);
      await until(() => a.told.events.includes("down 2"), "node 2 down");
      await until(() => b.told.events.includes("down 1"), "node 1 down");
      expect(a.transport.send(2, "control", textPacket("x"))).toBe(false);
      introduce([a, b, c]);
      await connected([a, b, c]);
      a.transport.send(2, "control", textPacket("back"));
      await until(() => b.told.packets.length === 1, "the packet");
    });

    test("after close() nothing is told, and closing again is nothing", async () => {
      const [a, b] = await cluster(2);
      const before = a.told.events.length;
      await a.transport.close();
      await a.transport.close();
      await until(() => b.told.events.includes("down 1"), "node 1 down");
      expect(a.told.events).toHaveLength(before);
      expect(a.transport.send(2, "control", textPacket("x"))).toBe(false);
    });

    test("counts what it does", async () => {
      const [a, b] = await cluster(2);
      a.transport.send(2, "control", textPacket("x"));
      await until(() => b.told.packets.length === 1, "the packet");
      expect(a.transport.metrics()).toMatchObject({
        packets_sent: 1,
        links: 1,
        links_connected: 1,
      });
      expect(b.transport.metrics()).toMatchObject({ packets_received: 1 });
    });
  });
}

/** Each becomes a peer of each. */
export function introduce(members: readonly Member[]): void {
  for (const { transport } of members) transport.setPeers(members.map(addressed));
}

export const addressed = ({ nodeId, transport }: Member) => ({ nodeId, ...transport.address });

export async function connected(members: readonly Member[]): Promise<void> {
  await until(
    () =>
      members.every(({ transport }) => {
        const links = transport.links();
        return links.length === members.length - 1 && links.every((link) => link.connected);
      }),
    "all connected",
  );
}

/** Three pieces of `each` bytes, one pattern over all. */
function pieces(each: number): Uint8Array[] {
  const whole = pattern(each * 3);
  return [0, 1, 2].map((i) => whole.subarray(i * each, (i + 1) * each));
}

/** Bytes that tell their place. */
export function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i += 1) bytes[i] = (i * 31 + (i >> 8) * 7) & 255;
  return bytes;
}

function isPattern(bytes: Uint8Array, length = bytes.length): boolean {
  return bytes.length === length && Buffer.compare(bytes, pattern(length)) === 0;
}
