import { describe, expect, test } from "bun:test";
import { createSlabPool, privateSlice } from "../../src/bytes/slab-pool.ts";
import type { Slice } from "../../src/bytes/slab.ts";

const pool = (slabBytes = 64, freeBytesMax = 128) => createSlabPool({ slabBytes, freeBytesMax });

describe("createSlabPool()", () => {
  test("an unused pool holds nothing", () => {
    expect(pool().bytesAllocated).toBe(0);
  });

  test("slices are cut from the front, aligned, and do not overlap", () => {
    const slabs = pool();
    const [a, b] = [slabs.allocate(5), slabs.allocate(16)];
    expect([a.slab, a.start, a.bytes.length]).toEqual([1, 0, 5]);
    expect([b.slab, b.start, b.bytes.length]).toEqual([1, 8, 16]);
    a.bytes.fill(1);
    b.bytes.fill(2);
    expect([...a.bytes]).toEqual([1, 1, 1, 1, 1]);
    expect(new Uint8Array(slabs.buffer(1), b.start, 1)[0]).toBe(2);
  });

  test("a slab is used again when its last slice is released", () => {
    const slabs = pool();
    const first = slabs.allocate(60);
    const second = slabs.allocate(60);
    expect(slabs.bytesInUse).toBe(128);
    first.release();
    expect([slabs.bytesInUse, slabs.bytesAllocated]).toEqual([64, 128]);
    expect(slabs.allocate(60).slab).toBe(1);
    second.release();
  });

  test("the slab that is being cut starts over when nothing of it is held", () => {
    const slabs = pool();
    for (let i = 0; i < 100; i++) slabs.allocate(60).release();
    expect(slabs.bytesAllocated).toBe(64);
  });

  test("a retained slice lives until its last holder releases it", () => {
    const slabs = pool();
    const slice = slabs.allocate(8).retain();
    slice.release();
    expect(slabs.bytesInUse).toBe(64);
    slice.release();
    expect(slabs.bytesInUse).toBe(0);
    expect(() => slice.release()).toThrow("its last holder already did");
    expect(() => slice.retain()).toThrow("released");
  });

  test("what is larger than a slab gets its own, which is let go at once", () => {
    const slabs = pool();
    const large = slabs.allocate(1_000);
    expect(slabs.bytesInUse).toBe(1_000);
    large.release();
    expect(slabs.bytesAllocated).toBe(0);
    expect(() => slabs.buffer(large.slab)).toThrow("not in the pool");
  });

  test("free slabs beyond the bound are let go", () => {
    const slabs = pool(64, 128);
    const held = Array.from({ length: 10 }, () => slabs.allocate(64));
    for (const slice of held) slice.release();
    expect(slabs.bytesAllocated).toBeLessThanOrEqual(192);
    expect(slabs.bytesInUse).toBe(0);
  });

  test("an empty slice is a slice", () => {
    const slabs = pool();
    const slice = slabs.allocate(0);
    expect(slice.bytes.length).toBe(0);
    slice.release();
    expect(slabs.bytesInUse).toBe(0);
  });

  test("random holders beside a naive model: no slice is overwritten while it is held", () => {
    const slabs = pool(256, 512);
    const held: { slice: Slice; mark: number }[] = [];
    let state = 12_345;
    const below = (n: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state % n;
    };
    for (let step = 0; step < 5_000; step++) {
      if (held.length < 20 && below(2) === 0) {
        const slice = slabs.allocate(below(300));
        slice.bytes.fill(step & 255);
        held.push({ slice, mark: step & 255 });
      } else if (held.length > 0) {
        const [gone] = held.splice(below(held.length), 1);
        expect(gone.slice.bytes.every((byte) => byte === gone.mark)).toBe(true);
        gone.slice.release();
      }
    }
    for (const { slice } of held) slice.release();
    expect(slabs.bytesInUse).toBe(0);
  });
});

test("a private slice counts its holders and has no slab", () => {
  const slice = privateSlice(Uint8Array.of(1, 2));
  expect(slice.slab).toBe(-1);
  slice.release();
  expect(() => slice.release()).toThrow("its last holder already did");
});
