// bun run test/simulation/mutants.ts [--only TEXT,TEXT] [--skip N] [--raft-seeds N] [--cluster-seeds N] [--jobs N]
//
// Plants each mutant alone and lets the simulators find it; prints the table, and ends with 1 when one survives.

import { parseArgs } from "node:util";

import { mutants, type Mutant } from "./mutant-list.ts";
import type { Verdict } from "./mutant-victim.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    /** Leave out so many at the front. */
    skip: { type: "string", default: "0" },
    "raft-seeds": { type: "string", default: "1000" },
    "cluster-seeds": { type: "string", default: "300" },
    jobs: { type: "string", default: "2" },
  },
});

/** One that neither fails nor ends is killed too: it hangs. */
const victimMsMax = 240_000;
const here = new URL("./", import.meta.url).pathname;

async function judge(mutant: Mutant): Promise<Verdict> {
  // The core's simulator knows nothing of a host.
  const ofCore = mutant.file.startsWith("raft/");
  const seeds = [ofCore ? values["raft-seeds"] : "0", values["cluster-seeds"]];
  const loader = ["--preload", `${here}mutant-loader.ts`];
  const child = Bun.spawn([process.execPath, ...loader, `${here}mutant-victim.ts`, ...seeds], {
    env: { ...process.env, MUTANT: mutant.id },
    stdout: "pipe",
    stderr: "pipe",
    timeout: victimMsMax,
    killSignal: "SIGKILL",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  const line = out.trim().split("\n").at(-1) ?? "";
  if (line.startsWith("{")) return JSON.parse(line) as Verdict;
  if (child.signalCode === "SIGKILL") return { killer: "cluster", seeds: 0, by: "never ends" };
  throw new Error(`"${mutant.id}" could not run: ${err.slice(0, 500)}`);
}

const texts = values.only.split(",");
const named = mutants.filter(({ id }) => texts.some((text) => id.includes(text)));
const chosen = named.slice(Number(values.skip));
const survivors: string[] = [];
const worst = { raft: 0, cluster: 0, nobody: 0 };
console.log("mutant | file | killed by | seeds needed\n--- | --- | --- | ---");
const queue = [...chosen];
async function work(): Promise<void> {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const { killer, seeds, by } = await judge(mutant);
    worst[killer] = Math.max(worst[killer], seeds);
    if (killer === "nobody") survivors.push(mutant.id);
    console.log(
      `${mutant.id} | ${mutant.file} | ${killer === "nobody" ? "SURVIVES" : `${killer}: ${by}`} | ${seeds}`,
    );
  }
}
await Promise.all(Array.from({ length: Number(values.jobs) }, work));
console.log(
  `${chosen.length} mutants, ${chosen.length - survivors.length} killed, at most ${worst.raft} seeds of the core's simulator, ${worst.cluster} of the cluster's`,
);
for (const id of survivors) console.log(`survives: ${id}`);
process.exit(survivors.length > 0 ? 1 : 0);
