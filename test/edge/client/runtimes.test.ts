import { afterAll, beforeAll, expect, test } from "bun:test";
import { prepare, runtimes, type Ground } from "./runtimes.ts";

let ground: Ground;

beforeAll(async () => {
  ground = await prepare();
}, 30_000);

afterAll(async () => {
  await ground[Symbol.asyncDispose]();
});

for (const [runtime, run] of Object.entries(runtimes)) {
  const name = `the client does on ${runtime} what it does everywhere`;
  if (run === null) {
    test.skip(`${name} (skipped: not on this machine)`, () => undefined);
    continue;
  }
  test(
    name,
    async () => {
      const checks = await run(ground);
      expect(checks.length).toBeGreaterThan(5);
      expect(checks.filter(({ fault }) => fault !== null)).toEqual([]);
    },
    60_000,
  );
}
