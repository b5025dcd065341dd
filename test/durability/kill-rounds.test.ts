// A bounded number of kill -9 rounds on a real process, as part of the checks. The long run is a command: see
// kill-rounds.ts.

import { expect, test } from "bun:test";
import { killRounds } from "./kill-rounds.ts";

test("kill -9 under load loses no acknowledged record and doubles none", async () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9));
  const result = await killRounds({ rounds: 6, seed });
  expect(result.acknowledged).toBeGreaterThan(20);
  expect(result.replayed).toBe(60);
}, 120_000);
