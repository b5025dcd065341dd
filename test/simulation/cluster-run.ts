// bun run test/simulation/cluster-run.ts --seeds N [--from SEED] [--load-ms MS] [--faults a,b] [--twice] [--trace]
//
// Runs seeds of the simulated cluster one by one; a failing one prints its command and ends with 1.

import { parseArgs } from "node:util";

import { systemWorld } from "../../src/world.ts";
import { simulateCluster, type ClusterResult } from "./cluster/cluster.ts";
import { faultKinds, type FaultKind } from "./cluster/scenario.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    from: { type: "string", default: "1" },
    "load-ms": { type: "string" },
    faults: { type: "string" },
    /** Every seed runs twice, and must give the same trace. */
    twice: { type: "boolean", default: false },
    trace: { type: "boolean", default: false },
    "keep-going": { type: "boolean", default: false },
  },
});

const loadMs = values["load-ms"] === undefined ? undefined : Number(values["load-ms"]);
const faults = values.faults?.split(",").filter(isFault);
const sums = {
  virtualMs: 0,
  steps: 0,
  acknowledged: 0,
  reads: 0,
  elections: 0,
  changes: 0,
  crashes: 0,
};
const faultSums = new Map<FaultKind, number>();
const healed: number[] = [];
let escaped: Error | null = null;
process.on("unhandledRejection", (error) => {
  escaped ??= error instanceof Error ? error : new Error(JSON.stringify(error));
});

function isFault(name: string): name is FaultKind {
  return (faultKinds as readonly string[]).includes(name);
}

async function runSeed(seed: number): Promise<ClusterResult> {
  const onTrace = values.trace ? (line: string): void => console.log(line) : undefined;
  const options = { seed, ...(loadMs && { loadMs }), ...(faults && { faults }) };
  const result = simulateCluster({ ...options, ...(onTrace && { onTrace }) });
  // What was rejected and caught by nobody shows up only now.
  await new Promise((resolve) => setImmediate(resolve));
  if (escaped !== null)
    throw new Error(`Seed ${seed}: unhandled ${String(escaped)}`, { cause: escaped });
  if (!values.twice) return result;
  const again = simulateCluster(options);
  if (again.hash !== result.hash) throw new Error(`Seed ${seed}: two runs differ`);
  return result;
}

function add(result: ClusterResult): void {
  for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += result[name];
  for (const [kind, count] of result.faults)
    faultSums.set(kind, (faultSums.get(kind) ?? 0) + count);
  healed.push(result.healedMs);
}

const first = Number(values.from);
const count = Number(values.seeds);
const started = systemWorld.monotonic();
let failed = 0;
for (let seed = first; seed < first + count; seed += 1) {
  try {
    const result = await runSeed(seed);
    add(result);
    if (count === 1) console.log(result);
  } catch (error) {
    failed += 1;
    await new Promise((resolve) => setImmediate(resolve));
    escaped = null;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    console.log(
      values["keep-going"]
        ? String(error).slice(0, 400)
        : cause instanceof Error
          ? cause.stack
          : cause,
    );
    console.log(
      `${String(error).slice(0, 600)}\nAgain: bun run test/simulation/cluster-run.ts --seeds 1 --from ${seed} --trace`,
    );
    if (!values["keep-going"]) process.exit(1);
  }
}
const minutes = (systemWorld.monotonic() - started) / 60_000;
const hours = sums.virtualMs / 3_600_000;
const byKind = [...faultSums].sort(([, a], [, b]) => b - a).map(([kind, n]) => `${kind} ${n}`);
healed.sort((a, b) => a - b);
console.log(
  `${count} seeds from ${first}: ${failed} failed; ${(hours * 60).toFixed(1)} virtual minutes in ${(minutes * 60).toFixed(0)} s, ` +
    `${(hours / minutes).toFixed(2)} simulated hours a minute; ${sums.acknowledged} records acknowledged, ${sums.reads} reads, ` +
    `${sums.elections} elections, ${sums.changes} changes of configuration, ${sums.crashes} crashes`,
);
console.log(
  `healed in ${((healed[healed.length >> 1] ?? 0) / 1000).toFixed(1)} s (median), ${((healed.at(-1) ?? 0) / 1000).toFixed(1)} s (longest); faults: ${byKind.join(", ") || "none"}`,
);
if (failed > 0) process.exit(1);
