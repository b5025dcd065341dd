// Timeouts behind one timer: each is called when its own time is over, and none is left running.

import { describe, expect, test } from "bun:test";
import { Timeouts } from "../../src/broker/timeouts.ts";
import { VirtualWorld } from "./virtual-world.ts";

function started() {
  const world = new VirtualWorld();
  const timeouts = new Timeouts(world);
  const expired: string[] = [];
  const one = (name: string) => ({
    expire: () => void expired.push(`${name} ${world.monotonic()}`),
  });
  return { world, timeouts, expired, one };
}

describe("timeouts", () => {
  test("each expires at its own time, lengths side by side", async () => {
    const { world, timeouts, expired, one } = started();
    const from = world.monotonic();
    timeouts.begin(100, one("a"));
    world.advance(30);
    timeouts.begin(100, one("b"));
    timeouts.begin(20, one("c"));
    world.advance(200);
    expect(expired).toEqual([`c ${from + 50}`, `a ${from + 100}`, `b ${from + 130}`]);
  });

  test("what has ended does not expire, whichever it was", async () => {
    const { world, timeouts, expired, one } = started();
    const [a, b, c] = [one("a"), one("b"), one("c")];
    for (const each of [a, b, c]) timeouts.begin(100, each);
    timeouts.end(100, a);
    timeouts.end(100, c);
    world.advance(500);
    expect(expired).toEqual([`b ${world.monotonic() - 400}`]);
    timeouts.end(100, b);
  });
});
