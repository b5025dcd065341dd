// What a seed means: the size of the cluster, its speed, its clocks, and which faults may happen (a swarm: each seed
// enables a random subset, and a quarter of the seeds none at all).
//
// Promise: everything comes from the stream "scenario", nothing from the course of the simulation. Left to others:
// causing the faults (nemesis.ts).

import { Stream } from "./random.ts";

export const faultKinds = [
  // network
  "loss",
  "delay",
  "cut-one-way",
  "cut",
  "split",
  "isolate",
  "clog",
  "reset",
  // processes
  "crash",
  "power-cut",
  "crash-at-commit",
  "power-cut-all",
  "stop",
  "pause",
  "clock-jump",
  // disks
  "disk-failed",
  "disk-full",
  "disk-hang",
  "disk-slow",
  "bit-flip",
  // operators
  "membership",
  "transfer",
  "replace-node",
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Scenario {
  readonly seed: number;
  readonly nodes: number;
  readonly groups: number;
  readonly clients: number;
  readonly restMsMax: number;
  readonly loadMs: number;
  readonly delay: { readonly minMs: number; readonly maxMs: number };
  readonly diskSlowness: number;
  readonly fileRowsMax: number;
  readonly cacheBytesMax: number;
  /** How far each node's clock may be off: wall ms, rate. */
  readonly clockOffsetMsMax: number;
  readonly clockDriftMax: number;
  readonly faults: readonly FaultKind[];
  /** Mean time from one fault to the next, ms. */
  readonly faultEveryMs: number;
}

/** Permanent losses need a majority of others; a group of one or two has none. */
const needThree: ReadonlySet<FaultKind> = new Set(["replace-node", "bit-flip"]);

export function scenarioOf(options: {
  readonly seed: number;
  readonly loadMs?: number;
  readonly only?: readonly FaultKind[];
  readonly restMsMax?: number;
}): Scenario {
  const { seed, only } = options;
  const draw = new Stream(seed, "scenario");
  const nodes = draw.pick([3, 3, 3, 3, 3, 3, 4, 5, 5, 2, 1]);
  const calm = draw.chance(0.25);
  const share = draw.pick([0.15, 0.3, 0.5]);
  const drawn = faultKinds.filter(() => draw.chance(share));
  const possible = (only ?? (calm ? [] : drawn)).filter(
    (kind) => nodes >= 3 || !needThree.has(kind),
  );
  const slow = draw.chance(0.2);
  const scenario: Scenario = {
    seed,
    nodes,
    groups: draw.between(1, 3),
    clients: draw.between(2, 6),
    restMsMax: draw.pick([10, 40, 40, 150]),
    loadMs: options.loadMs ?? draw.pick([6_000, 8_000, 12_000]),
    delay: slow ? { minMs: 5, maxMs: 60 } : { minMs: 0.05, maxMs: draw.pick([0.5, 2, 10]) },
    diskSlowness: draw.pick([0.3, 1, 1, 5]),
    fileRowsMax: draw.pick([60, 200, 1_000]),
    cacheBytesMax: draw.pick([20_000, 200_000, 4_000_000]),
    clockOffsetMsMax: draw.pick([0, 50, 5_000]),
    clockDriftMax: draw.pick([0, 0.001, 0.05]),
    faults: possible,
    faultEveryMs: draw.pick([150, 400, 400, 1_000]),
  };
  return options.restMsMax === undefined ? scenario : { ...scenario, restMsMax: options.restMsMax };
}
