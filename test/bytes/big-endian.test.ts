// Integers in bytes, with a DataView as the model.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import * as be from "../../src/bytes/big-endian.ts";

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

describe("big-endian integers", () => {
  test("are read as a DataView reads them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.nat(4), (bytes, at) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        expect(be.int16At(bytes, at)).toBe(view.getInt16(at));
        expect(be.int32At(bytes, at)).toBe(view.getInt32(at));
        expect(be.uint32At(bytes, at)).toBe(view.getUint32(at));
      }),
    );
  });

  test("of 64 bits are read exactly, or as NaN when a number cannot hold them", () => {
    const bytes = new Uint8Array(8);
    const edges = [0n, -1n, 2n ** 53n - 1n, 2n ** 53n, -(2n ** 53n) + 1n, -(2n ** 53n)];
    const read = (value: bigint) => {
      new DataView(bytes.buffer).setBigInt64(0, value);
      const safe = value < 2n ** 53n && value > -(2n ** 53n);
      expect(be.int64At(bytes, 0)).toBe(safe ? Number(value) : Number.NaN);
    };
    edges.forEach(read);
    fc.assert(fc.property(int64, read));
    fc.assert(fc.property(fc.maxSafeInteger().map(BigInt), read));
  });

  test("are written as a DataView writes them", () => {
    fc.assert(
      fc.property(fc.integer(), fc.maxSafeInteger(), (small, large) => {
        const bytes = new Uint8Array(14);
        be.putInt16(bytes, 0, small);
        be.putInt32(bytes, 2, small);
        be.putInt64(bytes, 6, large);
        const view = new DataView(bytes.buffer);
        expect(view.getInt16(0)).toBe((small << 16) >> 16);
        expect(view.getInt32(2)).toBe(small);
        expect(view.getBigInt64(6)).toBe(BigInt(large));
      }),
    );
  });

  test("of 64 bits are not written inexactly", () => {
    for (const value of [2 ** 53, Number.NaN, 0.5, Infinity]) {
      expect(() => be.putInt64(new Uint8Array(8), 0, value)).toThrow("a safe integer is wanted");
    }
  });
});
