// Text at the border: nothing altered in silence, shared memory taken as it is.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import * as unicode from "../../src/bytes/unicode.ts";

const anyText = fc.string({ unit: "binary" });

describe("isWellFormed()", () => {
  test("finds lone surrogates", () => {
    expect(unicode.isWellFormed("a😀b")).toBe(true);
    expect(unicode.isWellFormed("a\ud83d")).toBe(false);
    expect(unicode.isWellFormed("\ude00a")).toBe(false);
  });
});

describe("decodeUtf8()", () => {
  test("gives back what was encoded, a byte order mark included", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(unicode.decodeUtf8(unicode.encodeUtf8(text))).toBe(text);
      }),
    );
    const marked = Uint8Array.of(0xef, 0xbb, 0xbf, 0x61);
    expect(unicode.decodeUtf8(marked)).toBe("\ufeffa");
    expect(unicode.decodeUtf8Lenient(marked)).toBe("\ufeffa");
  });

  const invalid: readonly (readonly [string, readonly number[]])[] = [
    ["a lone continuation", [0x80]],
    ["a cut off sequence", [0xe2, 0x82]],
    ["an overlong slash", [0xc0, 0xaf]],
    ["an encoded surrogate", [0xed, 0xa0, 0x80]],
    ["beyond U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
    ["0xff", [0x61, 0xff]],
  ];
  for (const [what, bytes] of invalid) {
    test(`is null for ${what}, also in the call after it`, () => {
      expect(unicode.decodeUtf8(Uint8Array.from(bytes))).toBeNull();
      expect(unicode.decodeUtf8(Uint8Array.of(0x61))).toBe("a");
      expect(unicode.decodeUtf8Lenient(Uint8Array.from(bytes))).toContain("\ufffd");
    });
  }

  test("agrees with the platform's fatal decoder on any bytes", () => {
    const fatal = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const nearText = fc.tuple(
      fc.string({ unit: "binary", maxLength: 6 }),
      fc.uint8Array({ maxLength: 3 }),
    );
    const agree = fc.property(nearText, ([text, tail]) => {
      const bytes = Uint8Array.from([...unicode.encodeUtf8(text), ...tail]);
      const found = unicode.decodeUtf8(bytes);
      if (found === null) expect(() => fatal.decode(bytes)).toThrow();
      else expect(fatal.decode(bytes)).toBe(found);
    });
    fc.assert(agree, { numRuns: 500 });
  });

  test("takes a view over a SharedArrayBuffer", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(8));
    unicode.encodeUtf8Into("é", shared, 3);
    expect(unicode.decodeUtf8(shared.subarray(3, 5))).toBe("é");
  });
});

describe("encodeUtf8Into()", () => {
  test("writes utf8Length() bytes at the position and nothing else", () => {
    fc.assert(
      fc.property(fc.oneof(anyText, fc.string({ maxLength: 100 })), (text) => {
        const length = unicode.utf8Length(text);
        const bytes = new Uint8Array(length + 5).fill(0xee);
        expect(unicode.encodeUtf8Into(text, bytes, 2)).toBe(2 + length);
        expect(bytes.subarray(2, 2 + length)).toEqual(unicode.encodeUtf8(text));
        expect([...bytes.subarray(0, 2), ...bytes.subarray(2 + length)]).toEqual(
          Array.from({ length: 5 }, () => 0xee),
        );
      }),
    );
  });

  test("asserts that there is room", () => {
    for (const text of ["abcd", "ééé", "x".repeat(100)]) {
      expect(() => unicode.encodeUtf8Into(text, new Uint8Array(3), 0)).toThrow("room for");
    }
  });
});
