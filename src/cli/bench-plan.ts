// What a bench will do, decided from its options before it does anything: what is measured, how much at most, where.
//
// Promise: a run is bounded in time, in records, in bytes written and in requests under way; what cannot be done is
// refused here, with the words that make it possible. Pure.

import type { Options } from "../options.ts";
import { Failure } from "./failure.ts";

export const phaseNames = ["write", "read", "tail"] as const;
export type PhaseName = (typeof phaseNames)[number];

/** Bounds of one run, whatever it is asked for. */
export const benchBounds = {
  /** Values written; the disk is the person's. */
  writtenBytesMax: 1_000_000_000,
  writtenRecordsMax: 10_000_000,
  /** One request: below the default max.message.bytes, which a batch must not exceed. */
  requestBytesMax: 1_000_000,
  /** What was begun may take this long after the time is up ... */
  lateMsMax: 10_000,
  /** ... and this long after Ctrl-C. */
  lateMsInterrupted: 2_000,
  /** The tail is measured with one record each ... */
  tailEveryMs: 10,
  /** ... as long as no more than these have not been seen. */
  tailUnseenMax: 1_000,
  /** Before the clock starts: connections open, code warms up. A tenth of the duration, and at most this. */
  warmUpMsMax: 1_000,
} as const;

export interface BenchPlan {
  readonly phases: readonly PhaseName[];
  /** Each phase, without its warm-up. */
  readonly durationMs: number;
  readonly recordBytes: number;
  /** Records a request of the write phase. */
  readonly batch: number;
  readonly inFlight: number;
  /** The topic that a person named; null: a new one. */
  readonly topic: string | null;
  /** A person has confirmed that another machine, or a topic that is there, is meant. */
  readonly confirmed: boolean;
}

/** Throws Failure for what cannot be done. */
export function planOf(options: Options): BenchPlan {
  const { durationMs, recordBytes, batch, inFlight, topic, only } = options;
  if (recordBytes * batch > benchBounds.requestBytesMax)
    throw new Failure(
      `--batch ${batch} of --record-bytes ${recordBytes} makes requests of ${recordBytes * batch} bytes; at most ${benchBounds.requestBytesMax} fit into a topic's batch`,
    );
  const phases = phaseNames.filter((name) => only.length === 0 || only.includes(name));
  if (topic === null && phases.includes("read") && !phases.includes("write"))
    throw new Failure(
      "There is nothing to read in a new topic: name one (--topic NAME), or let the bench write too (--only write,read)",
    );
  if (!options.yes && !isLoopback(options.url))
    throw new Failure(
      `${options.url} is another machine, and a bench loads it as much as it can. If that is meant: --yes`,
    );
  return { phases, durationMs, recordBytes, batch, inFlight, topic, confirmed: options.yes };
}

/** Whether the plan writes records into the topic. */
export function writes({ phases }: BenchPlan): boolean {
  return phases.includes("write") || phases.includes("tail");
}

/** What is no URL is not judged here; the client says what is wrong with it. */
function isLoopback(url: string): boolean {
  const withScheme = url.includes("://") ? url : `http://${url}`;
  if (!URL.canParse(withScheme)) return true;
  const host = new URL(withScheme).hostname.replace(/^\[|\]$/g, "");
  return host === "localhost" || host === "::1" || /^127(\.\d+){3}$/.test(host);
}
