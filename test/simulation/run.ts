// bun run test/simulation/run.ts --seeds N [--from SEED] [--load-ms MS] [--trace]
//
// Runs seeds one by one; a failing one prints its seed and ends with 1.

import { parseArgs } from "node:util";

import { systemWorld } from "../../src/world.ts";
import { simulate } from "./simulation.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "300" },
    from: { type: "string", default: "1" },
    "load-ms": { type: "string", default: "5000" },
    trace: { type: "boolean", default: false },
  },
});

const first = Number(values.from);
const count = Number(values.seeds);
const loadMs = Number(values["load-ms"]);
const started = systemWorld.monotonic();
const sum = { virtualMs: 0, acknowledged: 0, crashes: 0, faults: 0 };
for (let seed = first; seed < first + count; seed += 1) {
  const onTrace = values.trace ? (line: string): void => console.log(line) : undefined;
  const result = await simulate({ seed, loadMs, ...(onTrace && { onTrace }) });
  sum.virtualMs += result.virtualMs;
  sum.acknowledged += result.acknowledged;
  sum.crashes += result.crashes;
  sum.faults += result.faults;
  if (count === 1) console.log(result);
}
const minutes = (systemWorld.monotonic() - started) / 60_000;
const hours = sum.virtualMs / 3_600_000;
console.log(
  `${count} seeds from ${first}: ${(hours * 60).toFixed(1)} virtual minutes, ${sum.acknowledged} records acknowledged, ` +
    `${sum.crashes} crashes, ${sum.faults} faults; ${(hours / minutes).toFixed(2)} simulated hours a minute`,
);
