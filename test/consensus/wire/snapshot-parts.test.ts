import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import { newMessage } from "../../../raft/index.ts";
import type { Message } from "../../../raft/types.ts";
import { createSlabPool } from "../../../src/bytes/slab-pool.ts";
import { decodeMessage, encodeMessage } from "../../../src/consensus/wire/message-codec.ts";
import { packetKinds } from "../../../src/consensus/wire/packet-kinds.ts";
import type { Payload } from "../../../src/consensus/payload.ts";
import {
  encodeParts,
  partBytesMax,
  snapshotBytesMax,
  SnapshotParts,
} from "../../../src/consensus/wire/snapshot-parts.ts";
import { limits } from "../../../src/limits.ts";
import { logIndex, offset } from "../../../src/quantities.ts";
import { joinBytes } from "../../../src/transport/packet.ts";
import { TestCluster, record } from "../cluster.ts";

const [sender, receiver, index] = [7, 3, 50];
const key = { groupId: "g", from: sender, to: receiver, index };
const slabs = createSlabPool();

interface Arrived {
  from: number;
  head: Uint8Array;
  body: Uint8Array;
}

/** All packets of a snapshot as they arrive, the MsgSnap last. */
function packetsOf(data: Uint8Array): Arrived[] {
  const message: Message<Payload> = {
    ...newMessage<Payload>("MsgSnap", receiver, sender),
    term: 4,
    snapshot: {
      index,
      term: 4,
      confState: {
        voters: [3, 7],
        votersOutgoing: [],
        learners: [],
        learnersNext: [],
        autoLeave: false,
      },
      data,
    },
  };
  const packets = [...encodeParts(key, data), encodeMessage("g", message)];
  return packets.map(({ head, body }) => ({ from: sender, head, body: joinBytes(body) }));
}

/** The data as the receiver has it, or the fault. */
function receive(parts: SnapshotParts, packets: readonly Arrived[]): unknown {
  for (const packet of packets) {
    if (packet.head[0] === packetKinds.snapshotPart) parts.take(packet);
    else {
      const decoded = decodeMessage(packet, { nodeId: receiver, slabs, parts });
      return decoded.ok ? decoded.message.snapshot!.data : decoded.fault;
    }
  }
  return null;
}

const bytesOf = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 11)) & 0xff);
const large = bytesOf(2 * partBytesMax + 5);

describe("a snapshot in parts", () => {
  for (const length of [0, 1, partBytesMax, partBytesMax + 1, 2 * partBytesMax, large.length]) {
    test(`of ${length} bytes arrives whole, in packets within the bound`, () => {
      const data = large.subarray(0, length);
      const packets = packetsOf(data);
      expect(packets.length).toBe(Math.max(1, Math.ceil(length / partBytesMax)));
      for (const { head, body } of packets) {
        expect(head.length).toBeLessThanOrEqual(limits.packetHeadBytesMax);
        expect(body.length).toBeLessThanOrEqual(limits.packetBodyBytesMax);
      }
      const parts = new SnapshotParts(receiver);
      const got = receive(parts, packets) as Uint8Array;
      expect(Buffer.compare(got, data)).toBe(0);
      expect(parts.bytes).toBe(0);
    });
  }

  test("is refused when a part is missing, comes twice, or the connection broke between", () => {
    const [first, second, last] = packetsOf(large);
    const courses = [[second, last], [first, last], [first, first, last], [last]];
    for (const course of courses) {
      const parts = new SnapshotParts(receiver);
      expect(receive(parts, course)).toBe("order");
      expect(parts.bytes).toBe(0);
    }
    const parts = new SnapshotParts(receiver);
    receive(parts, [first, second]);
    expect(parts.bytes).toBe(large.length);
    parts.forget(sender);
    expect(parts.bytes).toBe(0);
    expect(receive(parts, [last])).toBe("order");
  });

  test("begins anew with its first part", () => {
    const [first, second, last] = packetsOf(large);
    const parts = new SnapshotParts(receiver);
    const got = receive(parts, [first, second, first, second, last]) as Uint8Array;
    expect(Buffer.compare(got, large)).toBe(0);
  });

  test("makes this node hold no more than a bound, whoever sends how many", () => {
    const parts = new SnapshotParts(receiver);
    const data = new Uint8Array(snapshotBytesMax);
    for (let i = 0; i < 20; i += 1) {
      const [packet] = encodeParts({ ...key, groupId: `g${i}` }, data);
      parts.take({ from: sender, head: packet.head, body: joinBytes(packet.body) });
    }
    expect(parts.bytes).toBeLessThanOrEqual(2 * limits.laneQueueBytesMax);
    const beyond = new Uint8Array(snapshotBytesMax + 1);
    const [packet] = encodeParts(key, beyond);
    const refused = new SnapshotParts(receiver);
    expect(
      refused.take({ from: sender, head: packet.head, body: joinBytes(packet.body) }),
    ).toMatchObject({ fault: "malformed" });
  });

  test("nobody wrote is refused or taken, never thrown", () => {
    const [first] = packetsOf(large);
    const small = { ...first, body: first.body.subarray(0, 100) };
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        fc.uint8Array(),
        (at, value, head) => {
          const changed = small.head.slice();
          changed[at % changed.length] = value;
          const parts = new SnapshotParts(receiver);
          parts.take({ ...small, head: changed });
          parts.take({ ...small, head: changed.subarray(0, at % changed.length) });
          parts.take({ ...small, head });
        },
      ),
    );
    expect(new SnapshotParts(receiver).take({ ...small, from: 8 })).toMatchObject({
      fault: "sender",
    });
    expect(new SnapshotParts(4).take(small)).toMatchObject({ fault: "receiver" });
  });
});

test("a follower whose entries are gone gets a state of more than one packet", async () => {
  const cluster = new TestCluster();
  cluster.sizes = { fileBytesMax: 64_000_000, fileRowsMax: 100_000, snapshotChunkBytes: 1_000_000 };
  await cluster.add(3);
  cluster.group("g");
  void cluster.on(1).replica.lead();
  const leader = await cluster.leader();
  const { replica, machine } = cluster.on(1);
  const padding = new Uint8Array(partBytesMax + 1_000).fill(0x20);
  const plain = machine.snapshot.bind(machine);
  machine.snapshot = () => joinBytes([plain(), padding]);
  cluster.node(3).crash();
  const said: string[] = [];
  for (let i = 0; i < 20; i += 1) {
    said.push(`w${i}`);
    const draft = record(leader, replica, `w${i}`);
    replica.propose(draft, replica.role.term);
    draft.batch!.release();
    await cluster.world.run(5);
  }
  await cluster.heard(said, [leader, cluster.node(2)]);
  const at = logIndex(replica.commitIndex - 5);
  const prevTerm = leader.journal.term(replica.number, logIndex(at - 1))!;
  const start = { index: at, prevTerm, offset: offset(replica.highWatermark - 4) };
  expect(await cluster.world.until(replica.advanceLogStart(start))).toEqual({ ok: true });
  await cluster.node(3).start();
  await cluster.heard(said);
  expect(cluster.on(3).machine.restores).toBeGreaterThan(0);
}, 30_000);
