import { expect, test } from "bun:test";
import process from "node:process";
import { Nemesis } from "./cluster-nemesis.ts";

const first = Number(process.env["RIVULET_SEED"] ?? 1);
const count = Number(process.env["RIVULET_SEEDS"] ?? 3);

test.each(Array.from({ length: count }, (_, n) => first + n))(
  "three nodes under faults keep what they acknowledge (seed %p)",
  async (seed) => {
    const run = await Nemesis.run(seed, 8);
    expect({ seed, faults: run.faults, log: run.faults.length > 0 ? run.log : [] }).toEqual({
      seed,
      faults: [],
      log: [],
    });
    expect(run.acked.size).toBeGreaterThan(200);
    expect(run.linearizableReads).toBeGreaterThan(20);
  },
  60_000,
);
