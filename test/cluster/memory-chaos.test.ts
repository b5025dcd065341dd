import { expect, test } from "bun:test";
import { chaos } from "./memory-chaos.ts";

const seeds = Number(process.env.RIVULET_CHAOS_SEEDS ?? 6);
const first = Number(process.env.RIVULET_CHAOS_FIRST ?? 1);

for (let seed = first; seed < first + seeds; seed += 1)
  test(`after a storm every group is where it is wanted, with all of its words (seed ${seed})`, async () => {
    await chaos(seed, 40);
    expect(seed).toBePositive();
  }, 60_000);
