// The closing line must never say more than the runner did.

import { expect, test } from "bun:test";
import { closingLine, summaryOf } from "./test-summary.ts";

const output = `
(pass) something > 7 pass
 12 pass
 2 skip
 1 todo
 3 fail
 1 error
 40 expect() calls
Ran 18 tests across 2 files. [6.00ms]
`;

test("summaryOf() reads the counts of the runner", () => {
  expect(summaryOf(output, 1)).toEqual({ passed: 12, failed: 3, skipped: 3 });
});

test("summaryOf() counts a failure when the runner died without a summary", () => {
  expect(summaryOf("Segmentation fault", 139)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

test("summaryOf() counts a failure when the runner failed and no test did", () => {
  expect(summaryOf(" 3 pass\n 0 fail\n", 1).failed).toBe(1);
});

test("closingLine() names skipped tests only when there are some", () => {
  expect(closingLine({ passed: 3, failed: 0, skipped: 0 })).toBe("3 passed, 0 failed");
  expect(closingLine({ passed: 3, failed: 1, skipped: 2 })).toBe("3 passed, 1 failed, 2 skipped");
});
