// By how many partitions a request with an Idempotency-Key is placed: a retry must go where its first try went, also
// when partitions were added in between.
//
//   first try, 2 partitions: k -> 1       topic grows to 8       retry: k -> 1 again, not 8's place
//
// Promise: the count of the first try while a partition remembers the key or is appending it, else today's. Costs
// nothing for a topic that has not grown within the life of a key. Left to others: placing records (the doors).

import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import type { World } from "../world.ts";
import type { KeyedPlacement } from "./broker.ts";
import { unknownPartition, unknownTopic } from "./partition-slot.ts";
import type { Topic, Topics } from "./topics.ts";

export class KeyCounts {
  readonly #world: World;
  readonly #topics: Topics;

  constructor(world: World, topics: Topics) {
    this.#world = world;
    this.#topics = topics;
  }

  /** The value itself when the topic has not grown lately. Never rejects. */
  countFor(request: KeyedPlacement): number | Refusal | Promise<number | Refusal> {
    const topic = this.#topics.byName(request.topic);
    if (topic === null) return unknownTopic(request.topic);
    const bornAfter = this.#world.now() - limits.idempotencyKeyAgeMsMax;
    const counts = topic.state.earlierCounts.filter(({ until }) => until > bornAfter);
    return counts.length === 0 ? topic.partitions : this.#search(topic, request, counts);
  }

  /** The newest count first: most retries come soon. */
  async #search(
    topic: Topic,
    request: KeyedPlacement,
    counts: readonly { readonly partitions: number }[],
  ): Promise<number | Refusal> {
    for (const { partitions: count } of counts.toReversed()) {
      for (const partition of new Set(request.partitionsOf(count))) {
        // A partition that the count did not have cannot hold a first try that was placed by it.
        if (partition >= count) continue;
        const found = await this.#countAt(topic, partition, request);
        if (found === count || typeof found === "object") return found;
      }
    }
    return topic.partitions;
  }

  /** The count that the partition's append of the key recorded; -1 when there is none. */
  async #countAt(
    topic: Topic,
    partition: number,
    { principal, key }: KeyedPlacement,
  ): Promise<number | Refusal> {
    const slot = topic.slot(partition);
    if (slot === null) return unknownPartition(topic.name, partition);
    const log = await slot.log();
    if ("ok" in log) return log;
    const found = await log.countOfKey({ principal, key });
    if (typeof found === "number") return found;
    const detail = `Cannot tell whether the Idempotency-Key was used before: ${found.detail}`;
    return refuse(found.code, detail, { members: { partition } });
  }
}
