// What every handler of one door shares: the broker, memory, clock, counters. Made once by createDoor().

import type { Authorize } from "../../src/authorize.ts";
import type { Broker } from "../../src/broker/broker.ts";
import type { SlabPool } from "../../src/bytes/slab.ts";
import type { World } from "../../src/world.ts";
import type { AnswerHeads } from "./answer-heads.ts";
import type { BodyDecoder } from "./content-encoding.ts";
import type { Deadlines } from "./deadlines.ts";
import type { DoorMetrics } from "./metrics.ts";
import type { Route } from "./route.ts";
import type { TailHub } from "./tail-hub.ts";
import type { Waiters } from "./waiters.ts";

/** One line for the log of the node; the door formats nothing. */
export interface DoorLogLine {
  readonly level: "debug" | "warn" | "error";
  readonly message: string;
  readonly requestId: string;
  /** As the caller sent it, or null. */
  readonly traceparent: string | null;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** What was thrown, or undefined. */
  readonly cause?: unknown;
}

export interface DoorOptions {
  /** "loopback": only names of this machine are taken as Host, else 421. "any": the bind is public by decision. */
  readonly hosts: "loopback" | "any";
  /** The Host under which others were told to call this node, as its URL has it ("log.example:443"); null: none. */
  readonly advertisedHost: string | null;
  /** Origins that may call from a web page, exactly as browsers send them; none by default. */
  readonly corsOrigins: readonly string[];
  /** How long an append may take before the answer is request_timed_out, ms. */
  readonly requestTimeoutMs: number;
  readonly authorize: Authorize;
  /** Called for each answer; null: nobody listens and nothing is built. */
  readonly log: ((line: DoorLogLine) => void) | null;
}

export interface Services {
  readonly broker: Broker;
  readonly slabs: SlabPool;
  readonly world: World;
  readonly options: DoorOptions;
  readonly metrics: DoorMetrics;
  readonly deadlines: Deadlines;
  readonly heads: AnswerHeads;
  readonly decoder: BodyDecoder;
  readonly waiters: Waiters;
  readonly tails: TailHub;
  /** The routing table, for the door's own description. */
  readonly routes: readonly Route[];
  /** Starts anew for each request without keys, so that they spread over the partitions. */
  nextKeylessPartition(partitions: number): number;
  nextRequestId(): string;
  /** The door is closing: waits end, tails say `end`. */
  readonly closing: AbortSignal;
}
