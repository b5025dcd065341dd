// CRC-32C against published values, and the traps of the native library that a change of version could bring back.

import { describe, expect, test } from "bun:test";
import { crc32c } from "../../src/bytes/crc32c.ts";

const ascii = (text: string) => new TextEncoder().encode(text);

describe("crc32c()", () => {
  // RFC 3720, appendix B.4, and the check value of the CRC catalogue.
  const published: readonly (readonly [string, Uint8Array, number])[] = [
    ["nothing", new Uint8Array(0), 0],
    ["123456789", ascii("123456789"), 0xe3069283],
    ["32 bytes of zeroes", new Uint8Array(32), 0x8a9136aa],
    ["32 bytes of ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ["32 bytes rising from 0", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ["32 bytes falling to 0", Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ];
  for (const [what, bytes, sum] of published) {
    test(`gives the published value of ${what}`, () => expect(crc32c(bytes)).toBe(sum));
  }

  test("sums parts as it sums the whole", () => {
    const whole = ascii("the quick brown fox");
    for (let cut = 0; cut <= whole.length; cut++) {
      expect(crc32c(whole.subarray(cut), crc32c(whole.subarray(0, cut)))).toBe(crc32c(whole));
    }
  });

  test("takes a view over a SharedArrayBuffer, at any position, without reading its neighbours", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(64)).fill(0xaa);
    for (const at of [0, 1, 7, 55]) {
      shared.fill(0xaa).set(ascii("123456789"), at);
      expect(crc32c(shared.subarray(at, at + 9))).toBe(0xe3069283);
    }
  });
});
