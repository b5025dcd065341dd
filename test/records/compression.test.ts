// Codecs within their limits: bombs, cut off and doubled data, and what the runtimes' own decoders pass over in silence.

import { describe, expect, test } from "bun:test";
import { constants, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { compress, decompress, isSupported } from "../../src/records/compression.ts";
import { zstdFrames } from "../../src/records/zstd-frames.ts";
import { ascii } from "./samples.ts";

const MiB = 1 << 20;
const text = ascii("the same words, the same words, the same words, the same words");
const packed = {
  gzip: new Uint8Array(gzipSync(text)),
  zstd: new Uint8Array(zstdCompressSync(text)),
};

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

describe("compress() and decompress()", () => {
  for (const codec of ["none", "gzip", "zstd"] as const) {
    test(`give back what went in, also out of and into shared memory (${codec})`, () => {
      const shared = new Uint8Array(new SharedArrayBuffer(text.length));
      shared.set(text);
      const small = compress(codec, shared);
      const smallShared = new Uint8Array(new SharedArrayBuffer(small.length));
      smallShared.set(small);
      expect(decompress(codec, smallShared, MiB)).toEqual(text);
      expect(decompress(codec, compress(codec, new Uint8Array(0)), MiB)).toEqual(new Uint8Array(0));
    });

    test(`allow exactly the limit (${codec})`, () => {
      const small = compress(codec, text);
      expect(decompress(codec, small, text.length)).toEqual(text);
      const refusal = decompress(codec, small, text.length - 1);
      expect(refusal).toMatchObject({ ok: false, code: "message_too_large" });
    });
  }

  for (const codec of ["snappy", "lz4"] as const) {
    test(`refuse ${codec}`, () => {
      expect(isSupported(codec)).toBe(false);
      const refusal = decompress(codec, text, MiB);
      expect(refusal).toMatchObject({ ok: false, code: "unsupported_compression_type" });
      expect(() => compress(codec, text)).toThrow(`got ${codec}`);
    });
  }

  for (const codec of ["gzip", "zstd"] as const) {
    test(`refuse a bomb without holding what it would become (${codec})`, () => {
      const bomb = compress(codec, new Uint8Array(64 * MiB));
      expect(bomb.length).toBeLessThan(128 * 1024);
      const before = process.memoryUsage().rss;
      for (let i = 0; i < 10; i++) {
        expect(decompress(codec, bomb, MiB)).toMatchObject({ code: "message_too_large" });
      }
      expect(process.memoryUsage().rss - before).toBeLessThan(48 * MiB);
    });

    test(`refuse data that is cut off anywhere (${codec})`, () => {
      const whole = packed[codec];
      for (let length = 0; length < whole.length; length++) {
        const refusal = decompress(codec, whole.subarray(0, length), MiB);
        expect(refusal).toMatchObject({ ok: false, code: "invalid_record" });
      }
    });

    test(`refuse data with other bytes behind it (${codec})`, () => {
      for (const tail of [ascii("x"), ascii("something longer")]) {
        const refusal = decompress(codec, join(packed[codec], tail), MiB);
        expect(refusal).toMatchObject({ ok: false, code: "invalid_record" });
      }
    });

    test(`read data in several parts, the limit over all of them (${codec})`, () => {
      const twice = join(packed[codec], packed[codec]);
      expect(decompress(codec, twice, MiB)).toEqual(join(text, text));
      for (const limit of [text.length, text.length * 2 - 1]) {
        expect(decompress(codec, twice, limit)).toMatchObject({ code: "message_too_large" });
      }
    });
  }
});

describe("zstdFrames()", () => {
  test("finds the end of each frame, whatever its header says", () => {
    const plain = new Uint8Array(zstdCompressSync(ascii("a")));
    const sizes = [0, 1, 255, 256, 65_791, 65_792, 200_000];
    for (const size of sizes) {
      const frame = new Uint8Array(zstdCompressSync(new Uint8Array(size)));
      expect(zstdFrames(frame)).toEqual([frame.length]);
      expect(zstdFrames(join(frame, plain))).toEqual([frame.length, frame.length + plain.length]);
    }
  });

  test("knows frames with a checksum, without their size, and from a stream of blocks", () => {
    const { ZSTD_c_checksumFlag, ZSTD_c_contentSizeFlag, ZSTD_c_windowLog } = constants;
    for (const checksum of [0, 1]) {
      for (const contentSize of [0, 1]) {
        const params = {
          [ZSTD_c_checksumFlag]: checksum,
          [ZSTD_c_contentSizeFlag]: contentSize,
          [ZSTD_c_windowLog]: 10,
        };
        const data = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) >>> 5);
        const frame = new Uint8Array(zstdCompressSync(data, { params }));
        expect(zstdFrames(frame)).toEqual([frame.length]);
        expect(zstdFrames(frame.subarray(0, frame.length - 1))).toBeNull();
        expect(decompress("zstd", join(frame, packed.zstd), MiB)).toEqual(join(data, text));
      }
    }
  });

  test("passes over a skippable frame", () => {
    const skippable = Uint8Array.of(0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2);
    const data = join(skippable, packed.zstd);
    expect(zstdFrames(data)).toEqual([10, data.length]);
    expect(decompress("zstd", data, MiB)).toEqual(text);
  });

  test("refuses no frame, more than 16, and a reserved block type", () => {
    expect(zstdFrames(new Uint8Array(0))).toBeNull();
    const many = Array.from({ length: 17 }, () => packed.zstd);
    expect(zstdFrames(join(...many.slice(1)))).toHaveLength(16);
    expect(zstdFrames(join(...many))).toBeNull();
    expect(zstdFrames(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 7, 0, 0))).toBeNull();
  });

  test("is needed: the runtime's own decoder passes over a frame that is cut off", () => {
    // When this fails, the runtime tells it and the frames need not be measured any more.
    const frame = zstdCompressSync(new Uint8Array(300_000));
    expect(zstdDecompressSync(frame.subarray(0, frame.length - 3)).length).toBeLessThan(300_000);
  });
});
