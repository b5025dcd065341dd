import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { CursorWriter, readCursor } from "../../edge/server/cursor.ts";

const topicId = "5121b595-6143-40ee-ad55-fb638c77fee0";

test("a cursor gives back what it was made of", () => {
  const position = fc.record({
    partition: fc.nat({ max: 9_999 }),
    offset: fc.maxSafeNat(),
  });
  const filters = fc.option(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }));
  const positions = fc.uniqueArray(position, { selector: (p) => p.partition, maxLength: 50 });
  fc.assert(
    fc.property(positions, fc.boolean(), filters, (unsorted, all, filter) => {
      const sorted = unsorted.sort((a, b) => a.partition - b.partition);
      const text = new CursorWriter(topicId, all ? "all" : "some", filter).write(sorted);
      expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(readCursor(text)).toEqual({ topicId, all, filter, positions: sorted });
    }),
    { numRuns: 300 },
  );
});

test("a changed, cut or lengthened cursor is none", () => {
  const text = new CursorWriter(topicId, "all").write([{ partition: 0, offset: 12_345 }]);
  const canonical = (other: string): boolean =>
    Buffer.from(other, "base64url").equals(Buffer.from(text, "base64url"));
  for (let i = 0; i < text.length; i++) {
    for (const letter of ["A", "b", "_", "=", "%"]) {
      const changed = text.slice(0, i) + letter + text.slice(i + 1);
      if (!canonical(changed)) expect([changed, readCursor(changed)]).toEqual([changed, null]);
    }
    expect(readCursor(text.slice(0, i))).toBeNull();
  }
  expect(readCursor(`${text}AAAA`)).toBeNull();
  expect(readCursor("A".repeat(1_000_000))).toBeNull();
});

test("a cursor of one partition is short", () => {
  const text = new CursorWriter(topicId, "some").write([{ partition: 3, offset: 1_000_000 }]);
  expect(text.length).toBeLessThan(40);
});
