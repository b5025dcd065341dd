// Fences: a token on a partition that conditional appends must show, so that a writer that was replaced is kept out.
//
// Promise: a change is committed, in order with the appends around it, before it is answered. Left to others: comparing
// tokens with appends (the partition).

import { refuse, type Refusal } from "../errors.ts";
import type { PartitionLog } from "./partition-log.ts";
import { unknownPartition, unknownTopic } from "./partition-slot.ts";
import type { Topics } from "./topics.ts";

export interface FenceChange {
  readonly token: string | null;
  readonly expected?: string | null;
}

export class Fences {
  readonly #topics: Topics;

  constructor(topics: Topics) {
    this.#topics = topics;
  }

  async get(
    topic: string,
    partition: number,
  ): Promise<{ readonly ok: true; readonly token: string | null } | Refusal> {
    const log = await this.#log(topic, partition);
    return "ok" in log ? log : await log.fence();
  }

  async set(
    topic: string,
    partition: number,
    { token, expected }: FenceChange,
  ): Promise<{ readonly ok: true } | Refusal> {
    if (token === "")
      return refuse("invalid_request", "Cannot set fence: a token is wanted, got none");
    const log = await this.#log(topic, partition);
    return "ok" in log ? log : await log.setFence(token, expected);
  }

  #log(name: string, partition: number): PartitionLog | Refusal | Promise<PartitionLog | Refusal> {
    const topic = this.#topics.byName(name);
    if (topic === null) return unknownTopic(name);
    return topic.slot(partition)?.log() ?? unknownPartition(name, partition);
  }
}
