import { expect, test } from "bun:test";
import process from "node:process";
import { Nemesis } from "./cluster-nemesis.ts";

const first = Number(process.env["RIVULET_SEED"] ?? 1);
const count = Number(process.env["RIVULET_SEEDS"] ?? 2);

test.each(
  Array.from({ length: count }, (_, n) => ({ seed: first + n, nodes: n % 2 === 1 ? 4 : 3 })),
)(
  "$nodes nodes under faults keep what they acknowledge (seed $seed)",
  async ({ seed, nodes }) => {
    const run = await Nemesis.run(seed, { rounds: 5, nodes });
    expect({ seed, faults: run.faults, log: run.faults.length > 0 ? run.log : [] }).toEqual({
      seed,
      faults: [],
      log: [],
    });
    expect(run.acked.size).toBeGreaterThan(100);
    expect(run.linearizableReads).toBeGreaterThan(10);
  },
  60_000,
);
