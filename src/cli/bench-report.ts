// What a bench found, as a table for a person and as one JSON object for a program.
//
// Promise: both hold the same figures. How the bench itself fared stands beside each phase, so that its own gaps are
// not taken for the node's.

import { version } from "../version.ts";
import type { BenchPlan } from "./bench-plan.ts";
import type { PhaseFigures } from "./bench-run.ts";
import { gapMsMin } from "./gap-meter.ts";

export interface BenchResult {
  readonly url: string;
  /** As the node tells it. */
  readonly nodeVersion: string | null;
  readonly topic: string;
  readonly plan: BenchPlan;
  readonly phases: readonly PhaseFigures[];
  /** Ctrl-C came before the end. */
  readonly interrupted: boolean;
  /** What ended it early, in words; null when nothing did. */
  readonly failure: string | null;
}

const columns = {
  "": (one) => one.phase,
  records: (one) => one.records.toLocaleString("en"),
  "records/s": (one) => Math.round(perSecond(one, one.records)).toLocaleString("en"),
  "MB/s": (one) => (perSecond(one, one.bytes) / 1e6).toFixed(2),
  "p50 ms": (one) => milliseconds(one.latencies.quantile(0.5)),
  "p99 ms": (one) => milliseconds(one.latencies.quantile(0.99)),
  "p99.9 ms": (one) => milliseconds(one.latencies.quantile(0.999)),
  "max ms": (one) => milliseconds(one.latencies.max),
  refused: (one) => String(one.refused),
  "own gaps": (one) => String(one.gaps.count),
  "own longest ms": (one) => milliseconds(one.gaps.maxMs),
  "own CPU": (one) => `${Math.round(one.ownCpu * 100)} %`,
} as const satisfies Record<string, (one: PhaseFigures) => string>;

/** What each phase's latency is a latency of. */
const meanings = {
  write: "write: a request, from sending it to its answer",
  read: "read: a page, from asking for it to its last record parsed",
  tail: "tail: a record, from sending it to seeing it in a tail; one each 10 ms",
} as const;

/** Lines for a person. */
export function benchTable(result: BenchResult): string {
  const { plan, phases, topic, url, nodeVersion } = result;
  const { recordBytes, batch, inFlight } = plan;
  const notes = phases.flatMap(({ phase, missing, stoppedBy }) => [
    ...(missing === 0 ? [] : [`${phase}: ${missing} records did not come within 2 s`]),
    ...(stoppedBy === null ? [] : [`${phase} ended early: ${stoppedBy}`]),
  ]);
  return [
    `Rivulet ${nodeVersion ?? "?"} at ${url}, topic ${topic}: values of ${recordBytes} bytes, ${batch} a request, ${inFlight} requests in flight`,
    "",
    ...alignedRows(phases),
    "",
    ...phases.map(({ phase }) => `  ${meanings[phase]}`),
    `  own gaps: how often this bench itself did not run for over ${gapMsMin} ms; a tail as long as its own longest gap says nothing about the node`,
    ...notes.map((note) => `  ${note}`),
    ...(result.interrupted ? ["  Interrupted: these are the figures so far"] : []),
  ].join("\n");
}

function alignedRows(phases: readonly PhaseFigures[]): readonly string[] {
  const names = Object.keys(columns);
  const rows = [names, ...phases.map((one) => Object.values(columns).map((text) => text(one)))];
  const widths = names.map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => {
    const cells = row.map((text, i) =>
      i === 0 ? text.padEnd(widths[0]) : text.padStart(widths[i]),
    );
    return `  ${cells.join("  ")}`.trimEnd();
  });
}

/** For a program; null stands where nothing was measured. */
export function benchJson({ plan, phases, ...result }: BenchResult): unknown {
  const { durationMs, recordBytes, batch, inFlight } = plan;
  return {
    ...result,
    version,
    durationMs,
    recordBytes,
    batch,
    inFlight,
    phases: phases.map((one) => ({
      phase: one.phase,
      records: one.records,
      wallMs: round(one.wallMs),
      recordsPerSecond: round(perSecond(one, one.records)),
      megabytesPerSecond: round(perSecond(one, one.bytes) / 1e6),
      p50Ms: round(one.latencies.quantile(0.5)),
      p99Ms: round(one.latencies.quantile(0.99)),
      p999Ms: round(one.latencies.quantile(0.999)),
      maxMs: one.latencies.count === 0 ? null : round(one.latencies.max),
      refused: one.refused,
      missing: one.missing,
      stoppedBy: one.stoppedBy,
      ownGaps: one.gaps.count,
      ownGapMsTotal: round(one.gaps.totalMs),
      ownGapMsMax: round(one.gaps.maxMs),
      ownCpu: round(one.ownCpu),
    })),
  };
}

function perSecond({ wallMs }: PhaseFigures, amount: number): number {
  return wallMs === 0 ? 0 : (amount / wallMs) * 1_000;
}

function milliseconds(ms: number | null): string {
  if (ms === null) return "-";
  return ms >= 100 ? ms.toFixed(0) : ms.toFixed(ms >= 10 ? 1 : 2);
}

function round(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1_000) / 1_000;
}
