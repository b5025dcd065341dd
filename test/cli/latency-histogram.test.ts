// The histogram beside a sorted list of the same values.

import { expect, test } from "bun:test";
import { array, assert, double, property } from "fast-check";
import { LatencyHistogram } from "../../src/cli/latency-histogram.ts";

test("a quantile is the sorted list's, or up to 2 % above it; the largest value is exact", () => {
  const values = array(double({ min: 0.001, max: 600_000, noNaN: true }), { minLength: 1 });
  assert(
    property(values, double({ min: 0, max: 1, noNaN: true }), (latencies, part) => {
      const histogram = new LatencyHistogram();
      for (const ms of latencies) histogram.add(ms);
      const sorted = latencies.toSorted((a, b) => a - b);
      const wanted = sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)];
      const found = histogram.quantile(part) ?? Number.NaN;
      expect(found).toBeGreaterThanOrEqual(wanted * 0.999_999);
      expect(found).toBeLessThanOrEqual(wanted * 1.020_001);
      expect(histogram.max).toBe(sorted[sorted.length - 1]);
      expect(histogram.count).toBe(latencies.length);
    }),
  );
});

test("nothing added has no quantile; what is beyond the ends counts as the ends", () => {
  const histogram = new LatencyHistogram();
  expect(histogram.quantile(0.5)).toBeNull();
  histogram.add(0);
  expect(histogram.quantile(1)).toBe(0);
  histogram.add(10_000_000);
  expect(histogram.quantile(0.5)).toBe(0.001);
  expect(histogram.max).toBe(10_000_000);
});
