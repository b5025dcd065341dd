import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { pack } from "msgpackr/pack";
import { lengthsFit, unpackFromPeer } from "../../src/transport/message-pack.ts";

const plain = fc.anything({
  withDate: true,
  withBigInt: false,
  withTypedArray: false,
  withNullPrototype: false,
  maxDepth: 4,
});

describe("MessagePack of a peer", () => {
  test("is read whatever it holds", () => {
    const values: unknown[] = [undefined, null, -1, 2 ** 40, 1.5, "x".repeat(70_000), new Date(5)];
    values.push(
      new Uint8Array(300),
      Buffer.alloc(70_000),
      { a: [1, { b: undefined }] },
      10n ** 12n,
    );
    values.push(
      Array.from({ length: 70_000 }, (_, i) => i),
      new Map([[1, 2]]),
      true,
    );
    for (const value of values) expect(lengthsFit(pack(value))).toBe(true);
    const keys = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`k${i}`, i]));
    expect(unpackFromPeer(pack(keys))).toEqual({ ok: true, value: keys });
    fc.assert(
      fc.property(plain, (value) => {
        expect(lengthsFit(pack(value))).toBe(true);
      }),
      { numRuns: 1_000, seed: 3 },
    );
  });

  test("is refused when it is cut off, or goes on behind its end", () => {
    const bytes = pack({ a: [1, "two", new Uint8Array(3)], b: { c: new Date(1), d: 1.5 } });
    for (let length = 0; length < bytes.length; length += 1)
      expect([length, lengthsFit(bytes.subarray(0, length))]).toEqual([length, false]);
    expect(lengthsFit(Buffer.concat([bytes, Buffer.of(1)]))).toBe(false);
  });

  test("is refused when it announces more than follows, however it is nested", () => {
    const huge = [0xdd, 0, 0x98, 0x96, 0x80];
    const bombs = [
      huge,
      [0xdf, 0x7f, 0xff, 0xff, 0xff],
      [0xdc, 0xff, 0xff, 1],
      [0xc6, 0xff, 0xff, 0xff, 0xff],
      [0xc9, 0xff, 0xff, 0xff, 0xff, 1],
      Array.from({ length: 1_000 }, () => huge).flat(),
    ];
    for (const bomb of bombs) expect(unpackFromPeer(Uint8Array.from(bomb))).toEqual({ ok: false });
    // Each array alone would fit: together they announce more than there is.
    const nested = Array.from({ length: 200 }, () => [0xdc, 1, 0]).flat();
    expect(lengthsFit(Uint8Array.from(nested))).toBe(false);
  });

  test("is refused or read, and never thrown at, whatever the bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(typeof unpackFromPeer(bytes).ok).toBe("boolean");
      }),
      { numRuns: 3_000, seed: 4 },
    );
    const deep = unpackFromPeer(new Uint8Array(1_000_000).fill(0x91));
    expect(deep.ok).toBe(false);
  });
});
