import { expect, test } from "bun:test";
import { traceparentOf, type Visit } from "../../edge/server/visit.ts";

test("a traceparent goes into logs when it is one (W3C Trace Context), else not at all", () => {
  const ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
  for (const [text, isOne] of [
    [`00-${ids}-01`, true],
    [`01-${ids}-01`, true],
    [`01-${ids}-01-what-comes-later`, true],
    [`00-${ids}-01-more`, false],
    [`ff-${ids}-01`, false],
    [`00-${ids.toUpperCase()}-01`, false],
    [`00-${"0".repeat(32)}-00f067aa0ba902b7-01`, false],
    [`00-4bf92f3577b34da6a3ce929d0e0e4736-${"0".repeat(16)}-01`, false],
    [`00-${ids}-1`, false],
    [`00-${ids}`, false],
    [`00-${ids}-01\n`, false],
    ["", false],
  ] as const) {
    const visit = { headers: { traceparent: text } } as unknown as Visit;
    expect([text, traceparentOf(visit)]).toEqual([text, isOne ? text : null]);
  }
});
