// The in-flight window against a plain list.

import { expect, test } from "bun:test";
import { RaftBug } from "../../raft/bug.ts";
import { Inflights } from "../../raft/inflights.ts";
import { Random } from "../../raft/random.ts";

test("a window behaves like a list of (index, bytes), for random sizes and histories", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new Random(seed);
    const size = 1 + random.below(9);
    const maxBytes = 10 + random.below(40);
    const window = new Inflights(size, maxBytes);
    let model: { index: number; bytes: number }[] = [];
    let last = 0;
    for (let i = 0; i < 200; i++) {
      const bytes = model.reduce((sum, each) => sum + each.bytes, 0);
      const full = model.length === size || bytes >= maxBytes;
      const seen = { seed, i, count: window.count, bytes: window.bytes, full: window.full() };
      expect(seen).toEqual({ seed, i, count: model.length, bytes, full });
      const at = random.below(10);
      if (at === 0) {
        window.reset();
        model = [];
      } else if (at < 6 && !full) {
        last += 1 + random.below(3);
        const added = { index: last, bytes: random.below(15) };
        window.add(added.index, added.bytes);
        model.push(added);
      } else {
        const to = Math.max(0, last - random.below(12));
        window.freeTo(to);
        model = model.filter((each) => each.index > to);
      }
    }
  }
});

test("a message larger than the byte limit goes through an empty window, and fills it", () => {
  const window = new Inflights(10, 100);
  window.add(1, 1_000_000);
  expect(window.full()).toBe(true);
  expect(() => window.add(2, 1)).toThrow(RaftBug);
  window.freeTo(1);
  expect(window.full()).toBe(false);
});
