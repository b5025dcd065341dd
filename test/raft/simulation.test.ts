// Random worlds against what Raft promises. RAFT_SEED=n replays one, RAFT_SEEDS=n runs more.

import { expect, test } from "bun:test";
import { Simulation } from "./simulation.ts";

const one = process.env["RAFT_SEED"];
const count = Number(process.env["RAFT_SEEDS"] ?? 150);
const seeds = one === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(one)];
const events = 2000;

function history(seed: number): string {
  const simulation = new Simulation({ seed, events });
  simulation.run(events);
  return simulation.fingerprint();
}

test("one seed gives one history, twice", () => {
  expect(history(11)).toBe(history(11));
  expect(history(11)).not.toBe(history(12));
});

test(`a group stays safe in ${seeds.length} hostile worlds, and recovers when they heal`, () => {
  const sum: Record<string, number> = {};
  for (const seed of seeds) {
    const simulation = new Simulation({ seed, events });
    try {
      simulation.run(events);
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
    for (const [name, n] of Object.entries(simulation.counts)) sum[name] = (sum[name] ?? 0) + n;
  }
  if (process.env["RAFT_VERBOSE"] !== undefined) console.log(sum);
  if (one !== undefined) return;
  // The worlds are worth something only if much happens in them.
  for (const [name, n] of Object.entries(sum))
    expect([name, n >= seeds.length]).toEqual([name, true]);
}, 120_000);
