// The two halves of a lane without a network between: what the sender writes, the receiver reads.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { uint32At } from "../../src/bytes/big-endian.ts";
import { crc32c } from "../../src/bytes/crc32c.ts";
import { limits } from "../../src/limits.ts";
import { ChunkPool } from "../../src/transport/chunk-pool.ts";
import {
  flagFirst,
  frameHeaderBytes,
  putFrameChecksum,
  putFrameHeader,
} from "../../src/transport/frame.ts";
import { LaneReceiver } from "../../src/transport/lane-receiver.ts";
import { LaneSender, type LaneSenderOptions } from "../../src/transport/lane-sender.ts";
import type { OutPacket } from "../../src/transport/transport.ts";
import { pattern } from "./conformance.ts";
import { textPacket } from "./recorder.ts";

const seed = 77;

interface Stream {
  readonly sender: LaneSender;
  /** What was written, one after the other; copied when written. */
  readonly writes: Uint8Array[];
  /** Runs what was deferred. */
  turn(): void;
  now: number;
}

function stream(options: Partial<LaneSenderOptions> = {}): Stream {
  const writes: Uint8Array[] = [];
  let deferred: (() => void)[] = [];
  const own: Stream = {
    now: 0,
    writes,
    turn() {
      const due = deferred;
      deferred = [];
      for (const fn of due) fn();
    },
    sender: new LaneSender({
      seed,
      pool: new ChunkPool(),
      now: () => own.now,
      defer: (fn) => void deferred.push(fn),
      write: (bytes) => void writes.push(bytes.slice()),
      windowBytes: 1e9,
      ...options,
    }),
  };
  return own;
}

function push({ sender }: Stream, packet: OutPacket): void {
  sender.push(
    packet,
    packet.head.length + packet.body.reduce((sum, { length }) => sum + length, 0),
  );
}

function receiver(budgetBytes?: number): { receiver: LaneReceiver; got: string[] } {
  const got: string[] = [];
  const one = new LaneReceiver({
    name: "append of node 2",
    seed,
    budgetBytes,
    onPacket: (head, body) => void got.push(`${new TextDecoder().decode(head)} ${crc32c(body)}`),
  });
  return { receiver: one, got };
}

const told = (name: string, body: Uint8Array): string => `${name} ${crc32c(body)}`;

/** The bytes of some packets on the wire. */
function wire(packets: readonly OutPacket[]): Uint8Array {
  const own = stream();
  for (const packet of packets) push(own, packet);
  while (own.sender.queuedBytes > 0 || own.writes.length === 0) own.turn();
  return new Uint8Array(Buffer.concat(own.writes));
}

describe("a lane", () => {
  test("carries packets of any sizes, however the bytes are cut on their way", () => {
    const packets = fc.array(
      fc.record({
        head: fc.nat(300),
        pieces: fc.array(fc.oneof(fc.nat(100), fc.nat(600_000)), { maxLength: 4 }),
      }),
      { minLength: 1, maxLength: 8 },
    );
    const cuts = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(packets, cuts, (packets, cuts) => {
        const sent = packets.map(({ head, pieces }) => ({
          head: pattern(head),
          body: pieces.map(pattern),
        }));
        const bytes = wire(sent);
        const got: Uint8Array[] = [];
        const one = new LaneReceiver({
          name: "x",
          seed,
          onPacket: (head, body) => void got.push(Buffer.concat([head, Buffer.of(0), body])),
        });
        for (let at = 0, i = 0; at < bytes.length; i += 1) {
          const end = at + cuts[i % cuts.length];
          expect(one.push(bytes.subarray(at, end))).toBeNull();
          at = end;
        }
        expect(one.receivedBytes).toBe(bytes.length);
        expect(one.heldBytes).toBeLessThanOrEqual(frameHeaderBytes + limits.fragmentBytesMax);
        expect(got.length).toBe(sent.length);
        sent.forEach(({ head, body }, i) => {
          const wanted = Buffer.concat([head, Buffer.of(0), ...body]);
          expect(Buffer.compare(got[i], wanted)).toBe(0);
        });
      }),
      { numRuns: 60, seed: 5 },
    );
  });

  test("packets of another flow pass between the fragments of a long one, its own do not", () => {
    const { receiver: one, got } = receiver();
    const long = pattern(4 * limits.fragmentBytesMax);
    const none = new Uint8Array(0);
    const packets = [
      { ...textPacket("long", [long]), flow: "a" },
      { ...textPacket("b1"), flow: "b" },
      { ...textPacket("b2"), flow: "b" },
      { ...textPacket("a2"), flow: "a" },
      { ...textPacket("b3"), flow: "b" },
    ];
    one.push(wire(packets));
    expect(got).toEqual([
      told("b1", none),
      told("b2", none),
      told("long", long),
      told("a2", none),
      told("b3", none),
    ]);
  });

  test("packets without a flow keep their order, whatever their size", () => {
    const { receiver: one, got } = receiver();
    const long = pattern(2 * limits.fragmentBytesMax);
    one.push(wire([textPacket("long", [long]), textPacket("short"), textPacket("long2", [long])]));
    expect(got.map((line) => line.split(" ")[0])).toEqual(["long", "short", "long2"]);
  });

  test("what one turn sends is one write, and no more than the window is outstanding", () => {
    const own = stream({ windowBytes: 100_000 });
    for (let i = 0; i < 10; i += 1) push(own, textPacket("x", [new Uint8Array(100)]));
    own.turn();
    expect(own.writes.length).toBe(1);
    const chunk = new Uint8Array(50_000);
    for (let i = 0; i < 10; i += 1) push(own, textPacket("y", [chunk]));
    own.turn();
    const outstanding = own.sender.outstandingBytes;
    expect(outstanding).toBeGreaterThanOrEqual(100_000);
    expect(outstanding).toBeLessThan(100_000 + 2 * 50_100);
    own.turn();
    expect(own.sender.outstandingBytes).toBe(outstanding);
    expect(own.sender.acked(own.sender.sentBytes)).toBe(true);
    own.turn();
    expect(own.sender.sentBytes).toBeGreaterThan(outstanding);
  });

  test("tells how long it waits for an acknowledgement; a ping is sent only where none is awaited", () => {
    const own = stream();
    own.now = 10;
    expect([own.sender.waitingMs, own.sender.stalledMs]).toEqual([0, 0]);
    push(own, textPacket("x"));
    own.turn();
    own.now = 60;
    expect([own.sender.waitingMs, own.sender.stalledMs, own.sender.silentMs]).toEqual([50, 50, 50]);
    own.sender.ping();
    own.turn();
    expect(own.writes.length).toBe(1);
    own.sender.acked(own.sender.sentBytes);
    expect([own.sender.waitingMs, own.sender.stalledMs]).toEqual([0, 0]);
    own.sender.ping();
    own.turn();
    expect(own.writes.length).toBe(2);
    const { receiver: one, got } = receiver();
    for (const bytes of own.writes) expect(one.push(bytes)).toBeNull();
    expect(got.length).toBe(1);
  });

  test("acknowledgements that make no sense are told", () => {
    const own = stream();
    push(own, textPacket("x"));
    own.turn();
    const sent = own.sender.sentBytes;
    expect(own.sender.acked(sent + 1)).toBe(false);
    expect(own.sender.acked(Number.NaN)).toBe(false);
    expect(own.sender.acked(sent)).toBe(true);
    expect(own.sender.acked(sent - 1)).toBe(false);
  });

  test("its chunks are used again once acknowledged, and never before", () => {
    const pool = new ChunkPool();
    const seen = new Set<ArrayBufferLike>();
    let bytes = 0;
    const own = stream({
      pool,
      write: (chunk) => {
        seen.add(chunk.buffer);
        bytes += chunk.length;
      },
    });
    const round = (acknowledge: boolean): void => {
      push(own, textPacket("x", [new Uint8Array(60_000)]));
      own.turn();
      if (acknowledge) own.sender.acked(bytes);
    };
    for (let i = 0; i < 20; i += 1) round(true);
    expect(seen.size).toBeLessThan(4);
    for (let i = 0; i < 20; i += 1) round(false);
    expect(seen.size).toBeGreaterThan(15);
  });

  test("close() releases what waits, once", () => {
    const own = stream({ windowBytes: 1 });
    const released: string[] = [];
    for (const name of ["a", "b", "c"])
      push(
        own,
        textPacket(name, [new Uint8Array(300_000)], () => void released.push(name)),
      );
    own.turn();
    own.sender.close();
    own.sender.close();
    expect(released).toEqual(["a", "b", "c"]);
    expect(own.sender.queuedBytes).toBe(0);
  });
});

describe("a lane's receiver ends the lane at", () => {
  const good = wire([textPacket("one"), textPacket("two"), textPacket("three")]);
  const frame = good.slice(0, frameHeaderBytes + 3);
  const rest = good.slice(frame.length);

  /** Why the bytes are refused. */
  function refusal(...chunks: readonly Uint8Array[]): string {
    const { receiver: one } = receiver();
    for (const chunk of chunks) {
      const wrong = one.push(chunk);
      if (wrong === null) continue;
      expect(wrong.code).toBe("corrupt_message");
      // Nothing is taken any more, and nothing is held.
      expect([one.push(frame), one.heldBytes]).toEqual([wrong, 0]);
      return wrong.detail;
    }
    return "nothing";
  }

  test("garbage", () => {
    expect(refusal(pattern(1_000))).toContain("version must be 1");
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 40, maxLength: 4_000 }), (bytes) => {
        expect(refusal(bytes)).not.toBe("nothing");
      }),
      { numRuns: 300, seed: 9 },
    );
  });

  test("any flipped bit", () => {
    for (let bit = 0; bit < frame.length * 8; bit += 1) {
      const flipped = frame.slice();
      flipped[bit >> 3] ^= 1 << (bit & 7);
      // A longer length waits for bytes that the next frames bring.
      expect([bit, refusal(flipped, rest, good, pattern(300_000))]).not.toEqual([bit, "nothing"]);
    }
  });

  test("a flipped bit in bytes that come in pieces, of a short packet and of a long one", () => {
    for (const length of [1_000, 2 * limits.fragmentBytesMax]) {
      const bytes = wire([textPacket("x", [pattern(length)])]);
      for (const at of [30, 500, bytes.length - 1]) {
        const flipped = bytes.slice();
        flipped[at] ^= 1;
        const pieces = [0, 1, 2, 3].map((i) =>
          flipped.subarray((i * flipped.length) / 4, ((i + 1) * flipped.length) / 4),
        );
        expect(refusal(...pieces)).toContain("checksum does not match");
      }
    }
  });

  test("a replayed, a missing and a swapped frame", () => {
    expect(refusal(frame, frame)).toContain("frame 2 is wanted, got 1");
    expect(refusal(rest)).toContain("frame 1 is wanted, got 2");
  });

  test("a frame of another stream", () => {
    const { receiver: one } = receiver();
    const other = new LaneReceiver({ name: "x", seed: seed + 1, onPacket: () => undefined });
    expect(one.push(frame)).toBeNull();
    expect(other.push(frame)?.detail).toContain("damaged, or of another stream");
  });

  test("an oversized frame, before any of it is kept", () => {
    const huge = header({ payloadLength: limits.fragmentBytesMax + 1 });
    expect(refusal(huge)).toContain("payload must be at most");
  });

  test("an oversized packet or head, and lengths that do not fit together", () => {
    const large = limits.packetHeadBytesMax + limits.packetBodyBytesMax + 1;
    expect(refusal(header({ packetLength: large }, pattern(8)))).toContain("a packet of at most");
    const head = { headLength: limits.packetHeadBytesMax + 1, packetLength: large - 10 };
    expect(refusal(header(head, pattern(8)))).toContain("a head of at most");
    expect(refusal(header({ headLength: 9, packetLength: 8 }, pattern(8)))).toContain("a head of");
    expect(refusal(header({ packetLength: 9 }, pattern(10)))).toContain("came with 10");
    expect(refusal(header({ flags: 3, packetLength: 9 }, pattern(8)))).toContain("came with 8");
    expect(refusal(header({ flags: 0, packetLength: 9 }, pattern(8)))).toContain("never began");
    expect(refusal(header({ packetLength: 0 }))).toContain("came with 0");
  });

  test("more incomplete packets than the budget", () => {
    const { receiver: one } = receiver(1_000);
    expect(one.push(header({ packetLength: 900 }, pattern(8)))).toBeNull();
    expect(one.heldBytes).toBe(900);
    const second = header({ packetLength: 200, sequence: 2, packet: 2 }, pattern(8));
    expect(one.push(second)?.detail).toContain("may be incomplete");
  });

  test("nothing that is merely cut off: it waits", () => {
    for (let length = 0; length < frame.length; length += 1)
      expect(refusal(frame.slice(0, length))).toBe("nothing");
    expect(uint32At(frame, 8)).toBe(3);
  });
});

/** One frame with a right checksum and wrong fields. */
function header(fields: object, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(frameHeaderBytes + payload.length);
  putFrameHeader(bytes, 0, {
    flags: flagFirst,
    payloadLength: payload.length,
    sequence: 1,
    packet: 1,
    headLength: 0,
    packetLength: 0,
    ...fields,
  });
  bytes.set(payload, frameHeaderBytes);
  putFrameChecksum(bytes, 0, crc32c(bytes.subarray(4), seed));
  return bytes;
}
