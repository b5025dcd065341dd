// bun --preload ./mutant-loader.ts mutant-victim.ts RAFT_SEEDS CLUSTER_SEEDS      (MUTANT in the environment)
//
// Runs seeds, first of the core's own simulator, then of the cluster (the known ones first), until one fails; prints one line of JSON: which
// simulator, how many seeds it took, which invariant.

import { Simulation } from "../raft/simulation.ts";
import { simulateCluster } from "./cluster/cluster.ts";
import { knownSeeds } from "./cluster/known-seeds.ts";
import { mutants } from "./mutant-list.ts";
import { Violation } from "./cluster/violation.ts";

export interface Verdict {
  readonly killer: "raft" | "cluster" | "nobody";
  /** Of that simulator, the failing one included. */
  readonly seeds: number;
  readonly by: string;
}

const events = 2_000;
/** Many short lives under light load find more than a few long ones. */
const life = { loadMs: 5_000, restMsMax: 100 };
const faults = mutants.find(({ id }) => id === process.env["MUTANT"])?.faults;
const [raftSeeds, clusterSeeds] = process.argv.slice(2).map(Number);
let escaped: unknown = null;
process.on("unhandledRejection", (error) => (escaped ??= error));

function raftVerdict(): Verdict | null {
  for (let seed = 1; seed <= raftSeeds; seed += 1) {
    try {
      new Simulation({ seed, events }).run(events);
    } catch (error) {
      return { killer: "raft", seeds: seed, by: nameOf(error) };
    }
  }
  return null;
}

async function clusterVerdict(): Promise<Verdict | null> {
  const lives = [
    ...(faults === undefined ? knownSeeds.map((seed) => ({ seed })) : []),
    ...Array.from({ length: clusterSeeds }, (_, i) => ({
      seed: i + 1,
      ...(faults === undefined ? life : { loadMs: 4_000, faults }),
    })),
  ];
  for (const [at, options] of lives.entries()) {
    try {
      simulateCluster(options);
      await new Promise((resolve) => setImmediate(resolve));
      if (escaped !== null) throw escaped;
    } catch (error) {
      return { killer: "cluster", seeds: at + 1, by: nameOf(error) };
    }
  }
  return null;
}

/** The invariant's name, or the beginning of what was said. */
function nameOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof Violation) return cause.invariant;
  return String(cause).replaceAll(/\d+/g, "N").slice(0, 60);
}

const verdict: Verdict = raftVerdict() ??
  (await clusterVerdict()) ?? { killer: "nobody", seeds: 0, by: "" };
console.log(JSON.stringify(verdict));
process.exit(0);
