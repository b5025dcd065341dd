import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import { newMessage } from "../../../raft/index.ts";
import type { Message } from "../../../raft/types.ts";
import { createSlabPool } from "../../../src/bytes/slab-pool.ts";
import { decodeMessage, encodeMessage } from "../../../src/consensus/wire/message-codec.ts";
import type { PacketFault } from "../../../src/consensus/wire/packet-refusal.ts";
import { noopPayload, type Payload } from "../../../src/consensus/payload.ts";
import { offset } from "../../../src/quantities.ts";
import { appends, groupIds, messages, receiver, sender, snapshots } from "../arbitrary-messages.ts";

interface Packet {
  head: Uint8Array;
  body: Uint8Array;
}

/** As the network delivers it: pieces joined. */
function packetOf(groupId: string, message: Message<Payload>): Packet {
  const { head, body, release } = encodeMessage(groupId, message);
  const joined = new Uint8Array(Buffer.concat(body));
  release?.();
  return { head, body: joined };
}

function decode(packet: Packet, slabs = createSlabPool()) {
  return decodeMessage({ from: sender, ...packet }, { nodeId: receiver, slabs });
}

/** Slices as their bytes, so that equal is equal. */
function plainForm(message: Message<Payload>) {
  const entries = message.entries.map((entry) => ({
    ...entry,
    data: entry.data === null ? null : { ...entry.data, batch: copyOf(entry.data.batch?.bytes) },
  }));
  return { ...message, entries };
}

function copyOf(bytes: Uint8Array | undefined): number[] | null {
  return bytes === undefined ? null : [...bytes];
}

const heartbeat = (): ReturnType<typeof newMessage<Payload>> => {
  const message = newMessage<Payload>("MsgHeartbeat", receiver, sender);
  message.term = 4;
  return message;
};

const append = (): ReturnType<typeof newMessage<Payload>> => {
  const message = newMessage<Payload>("MsgApp", receiver, sender);
  message.term = 4;
  message.index = 9;
  message.logTerm = 3;
  const data = noopPayload(offset(100), 1_700_000_000_000);
  message.entries = [{ index: 10, term: 4, type: "normal", data, change: null, bytes: 0 }];
  return message;
};

describe("a message's packet", () => {
  test("is read back as it was, with the offset at which the previous entry ends", () => {
    fc.assert(
      fc.property(groupIds, messages, (groupId, message) => {
        const decoded = decode(packetOf(groupId, message));
        if (!decoded.ok) throw new Error(decoded.detail);
        expect(decoded.groupId).toBe(groupId);
        expect(plainForm(decoded.message)).toEqual(plainForm(message));
        const first = message.entries[0]?.data?.baseOffset ?? null;
        expect(decoded.nextOffset).toBe(first);
      }),
    );
  });

  test("holds the batches until release(), then lets go; the receiver's slices are its own", () => {
    const pool = createSlabPool();
    const batch = pool.allocate(1000);
    batch.bytes.fill(7);
    const message = append();
    const data = { ...message.entries[0].data!, batch };
    message.entries = [{ ...message.entries[0], data, bytes: 1000 }];
    const packet = encodeMessage("g", message);
    expect(packet.body[1]).toBe(batch.bytes);
    batch.release();
    expect(pool.bytesInUse).toBeGreaterThan(0);
    const body = new Uint8Array(Buffer.concat(packet.body));
    packet.release?.();
    expect(pool.bytesInUse).toBe(0);
    const receiving = createSlabPool();
    const decoded = decode({ head: packet.head, body }, receiving);
    body.fill(0);
    if (!decoded.ok) throw new Error(decoded.detail);
    const slice = decoded.message.entries[0].data!.batch!;
    expect(slice.bytes).toEqual(new Uint8Array(1000).fill(7));
    slice.release();
    expect(receiving.bytesInUse).toBe(0);
  });

  test("of a heartbeat takes less than 60 bytes beside the group id's", () => {
    const { head, body } = packetOf("controller", heartbeat());
    expect(head.length + body.length).toBeLessThan(60);
  });

  test("keeps its head within the transport's bound, whatever it carries", () => {
    const max = 1024;
    fc.assert(
      fc.property(groupIds, messages, (groupId, message) => {
        expect(packetOf(groupId, message).head.length).toBeLessThanOrEqual(max);
      }),
    );
  });
});

describe("a packet that nobody wrote", () => {
  test("is refused or read, never thrown; nothing of it stays in the slabs", () => {
    const mutation = fc.record({
      inHead: fc.boolean(),
      at: fc.nat(),
      value: fc.integer({ min: 0, max: 255 }),
    });
    const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(messages, mutations, (message, changes) => {
        const packet = packetOf("controller", message);
        for (const { inHead, at, value } of changes) {
          const bytes = inHead ? packet.head : packet.body;
          if (bytes.length > 0) bytes[at % bytes.length] = value;
        }
        const pool = createSlabPool();
        const decoded = decode(packet, pool);
        if (decoded.ok) for (const { data } of decoded.message.entries) data?.batch?.release();
        expect(pool.bytesInUse).toBe(0);
      }),
      { numRuns: 2_000 },
    );
  });

  test("is refused at any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.uint8Array(), (head, body) => {
        head[0] = 1;
        head[1] %= 16;
        decode({ head, body });
      }),
      { numRuns: 2_000 },
    );
  });

  test("is refused when it is cut off or goes on behind its end", () => {
    fc.assert(
      fc.property(fc.oneof(appends, snapshots), fc.nat(), (message, n) => {
        const packet = packetOf("controller", message);
        const { head, body } = packet;
        const shorter = decode({ head: head.subarray(0, n % head.length), body });
        expect(shorter.ok).toBe(false);
        const longer = decode({ head: new Uint8Array([...head, 0]), body });
        expect(longer.ok).toBe(false);
        if (message.type === "MsgSnap") return;
        expect(decode({ head, body: new Uint8Array([...body, 0]) }).ok).toBe(false);
        if (body.length === 0) return;
        expect(decode({ head, body: body.subarray(0, n % body.length) }).ok).toBe(false);
      }),
    );
  });
});

describe("a packet with one wrong byte", () => {
  const table: readonly [string, PacketFault, (packet: Packet) => void][] = [
    ["another version", "version", ({ head }) => (head[0] = 2)],
    ["an unknown type", "type", ({ head }) => (head[1] = 14)],
    ["type 0", "type", ({ head }) => (head[1] = 0)],
    ["an unknown field", "malformed", ({ head }) => (head[2] |= 0x80)],
    ["a sender of another node", "sender", ({ head }) => (head[4] = 10)],
    ["a receiver of another node", "receiver", ({ head }) => (head[5] = 10)],
    ["an unknown kind", "kind", ({ body }) => (body[0] = 6)],
    ["a term beyond the message's", "order", ({ body }) => (body[1] = 4)],
    ["a term that falls", "order", ({ body }) => (body[1] = 1)],
    ["an empty packet", "version", (packet) => (packet.head = new Uint8Array(0))],
  ];
  for (const [name, fault, change] of table) {
    test(`is refused as ${fault}: ${name}`, () => {
      const packet = packetOf("controller", append());
      expect(decode(packet).ok).toBe(true);
      change(packet);
      const decoded = decode(packet);
      expect(decoded).toMatchObject({ ok: false, fault });
    });
  }

  test("cannot claim more entries than its bytes can hold", () => {
    const message = append();
    const { head, body } = packetOf("g", message);
    // The last three numbers of the head: entries, first offset, bytes of columns.
    const many = Buffer.concat([
      head.subarray(0, -4),
      new Uint8Array([0xfe, 0xff, 0xff, 0x7f]),
      head.subarray(-3),
    ]);
    expect(decode({ head: many, body })).toMatchObject({ ok: false, fault: "malformed" });
  });
});

describe("encodeMessage() asserts", () => {
  test("that the entries follow one another", () => {
    const message = append();
    message.index = 8;
    expect(() => encodeMessage("g", message)).toThrow("Entry 9 at offset 100 must follow");
  });

  test("that the payload is at hand", () => {
    const message = append();
    message.entries = [{ ...message.entries[0], data: null }];
    expect(() => encodeMessage("g", message)).toThrow("on the disk only");
  });

  test("that the type travels", () => {
    const message = newMessage<Payload>("MsgProp", receiver, sender);
    expect(() => encodeMessage("g", message)).toThrow("MsgProp does not travel");
  });
});
