// One phase of a bench, from its warm-up to its figures: time, counts, latencies, and how the bench itself fared.
//
//   |- warm-up -|------------- measured -------------|- late -|
//   counts nothing      counts                        what was begun may end, then it is cut off
//
// Promise: memory does not grow with the run; nothing is begun after the end, after Ctrl-C or beyond the plan's
// bounds. Left to others: what a phase does (bench-phases.ts).

import process from "node:process";
import type { World } from "../world.ts";
import type { Client } from "./client.ts";
import { benchBounds, type BenchPlan, type PhaseName } from "./bench-plan.ts";
import { startGapMeter, type Gaps } from "./gap-meter.ts";
import { LatencyHistogram } from "./latency-histogram.ts";

export interface BenchGround {
  readonly plan: BenchPlan;
  readonly client: Client;
  /** "/v1/topics/NAME" */
  readonly path: string;
  readonly world: World;
  /** Ctrl-C. */
  readonly interrupted: AbortSignal;
  /** Waits; keeps the process alive meanwhile. */
  readonly pause: (ms: number) => Promise<void>;
  readonly progress: (line: string) => void;
}

export interface PhaseFigures {
  readonly phase: PhaseName;
  readonly records: number;
  /** Of the values alone. */
  readonly bytes: number;
  readonly wallMs: number;
  readonly latencies: LatencyHistogram;
  /** Requests that the node refused for the moment. */
  readonly refused: number;
  /** Records of the tail that did not come in time. */
  readonly missing: number;
  readonly gaps: Gaps;
  /** CPU time of the bench itself by wall time: 1 is one core. */
  readonly ownCpu: number;
  /** Why it ended before its time; null when it did not. */
  readonly stoppedBy: string | null;
}

/** What a phase counts, and when it is over. */
export class PhaseRun {
  readonly ground: BenchGround;
  readonly phase: PhaseName;
  /** Cuts off what is under way once it is too late. */
  readonly cut = new AbortController();
  refused = 0;
  missing = 0;
  stoppedBy: string | null = null;
  #latencies = new LatencyHistogram();
  #records = 0;
  #bytes = 0;
  /** The records of the warm-up too, for the bounds. */
  #recordsInAll = 0;
  #beganAt = 0;
  #measuresFrom: number;
  #endsAt: number;
  #ownCpuMs = 0;

  constructor(ground: BenchGround, phase: PhaseName) {
    const { durationMs } = ground.plan;
    this.ground = ground;
    this.phase = phase;
    const warmUpMs = Math.min(durationMs / 10, benchBounds.warmUpMsMax);
    this.#beganAt = ground.world.monotonic();
    this.#measuresFrom = this.#beganAt + warmUpMs;
    this.#endsAt = this.#measuresFrom + durationMs;
  }

  /** Nothing new is begun. */
  get over(): boolean {
    return (
      this.stoppedBy !== null ||
      this.ground.interrupted.aborted ||
      this.ground.world.monotonic() >= this.#endsAt
    );
  }

  /** Counts records that took `ms`; those of the warm-up only for the bounds. */
  count({
    records,
    bytes,
    ms,
  }: {
    readonly records: number;
    readonly bytes: number;
    readonly ms: number;
  }): void {
    this.#recordsInAll += records;
    if (this.phase !== "read") this.#watchBounds();
    if (this.ground.world.monotonic() < this.#measuresFrom) return;
    this.#records += records;
    this.#bytes += bytes;
    this.#latencies.add(ms);
  }

  #watchBounds(): void {
    const { writtenBytesMax, writtenRecordsMax } = benchBounds;
    if (this.#recordsInAll * this.ground.plan.recordBytes >= writtenBytesMax)
      this.stoppedBy ??= `${writtenBytesMax / 1e6} MB were written, the most that a bench writes`;
    if (this.#recordsInAll >= writtenRecordsMax)
      this.stoppedBy ??= `${writtenRecordsMax} records were written, the most that a bench writes`;
  }

  /** Runs `work` to its end and gives the figures, also when it throws: those so far, beside what was thrown. */
  async measure(
    work: (run: PhaseRun) => Promise<void>,
  ): Promise<{ readonly figures: PhaseFigures; readonly thrown: unknown }> {
    const { world } = this.ground;
    const clocks = [this.#startProgress(), this.#startCutOff()];
    let gaps = startGapMeter(world);
    const measured = world.setTimer(this.#measuresFrom - this.#beganAt, () => {
      gaps.stop();
      gaps = startGapMeter(world);
      this.#ownCpuMs = cpuMs();
    });
    this.#ownCpuMs = cpuMs();
    let thrown: unknown = null;
    try {
      await work(this);
    } catch (fault) {
      thrown = fault;
    }
    for (const stop of clocks) stop();
    measured.cancel();
    this.ground.progress("");
    return { figures: this.#figures(gaps.stop()), thrown };
  }

  #figures(gaps: Gaps): PhaseFigures {
    const now = this.ground.world.monotonic();
    const wallMs = Math.max(now - this.#measuresFrom, 0);
    return {
      phase: this.phase,
      records: this.#records,
      bytes: this.#bytes,
      wallMs,
      latencies: this.#latencies,
      refused: this.refused,
      missing: this.missing,
      gaps,
      ownCpu: wallMs === 0 ? 0 : (cpuMs() - this.#ownCpuMs) / wallMs,
      stoppedBy: this.stoppedBy,
    };
  }

  /** A line four times a second: where it is, and how fast. Returns what stops it. */
  #startProgress(): () => void {
    const { world, plan, progress } = this.ground;
    const total = (plan.durationMs / 1_000).toFixed(0);
    const show = (): void => {
      const ms = world.monotonic() - this.#measuresFrom;
      const rate = Math.round((this.#records / Math.max(ms, 1)) * 1_000).toLocaleString("en");
      const words =
        ms < 0 ? "warming up" : `${(ms / 1_000).toFixed(1)} s of ${total} s, ${rate} records/s`;
      progress(`${this.phase.padEnd(5)} ${words}`);
      timer = world.setTimer(250, show);
    };
    let timer = world.setTimer(0, show);
    return () => timer.cancel();
  }

  /** What was begun ends within the bound, or is cut off. Returns what releases the timers. */
  #startCutOff(): () => void {
    const { world, interrupted } = this.ground;
    const cutOff = (): void => this.cut.abort();
    const late = this.#endsAt - world.monotonic() + benchBounds.lateMsMax;
    let timer = world.setTimer(late, cutOff);
    const hurry = (): void => {
      timer.cancel();
      timer = world.setTimer(benchBounds.lateMsInterrupted, cutOff);
    };
    interrupted.addEventListener("abort", hurry);
    return () => {
      timer.cancel();
      interrupted.removeEventListener("abort", hurry);
    };
  }
}

/** CPU time of this process so far, ms. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
