// What the tailers of a node share: one subscription a topic, and each record encoded once.
//
//   commit -> wake -> (end of turn) every tailer of the topic -> block(partition, offset)
//                                     the first one reads and encodes, the others take the same block
//
// Promise: tailers at the same place share one read and its bytes; one that is slow reads the log at its own pace; the
// blocks kept are bounded. Left to others: what each tailer sends (tail.ts).

import type { Broker } from "../../src/broker/broker.ts";
import { encodeUtf8 } from "../../src/bytes/unicode.ts";
import type { Refusal } from "../../src/errors.ts";
import type { World } from "../../src/world.ts";
import { Feed } from "./feed.ts";
import type { RecordFilter } from "./record-filter.ts";
import { recordText, type ShownAs } from "./record-text.ts";

/** Stored bytes that one read takes, and about what one block holds. */
const blockBytes = 64 * 1024;
/** Blocks kept for tailers that come a moment later. */
const blocksKept = 64;

/** One record as a tailer sends it: `data: {...}\n`, without its id. */
export interface TailRecord {
  readonly offset: number;
  readonly data: Uint8Array;
}

/** Records of one partition from an offset on. */
export interface Block {
  readonly ok: true;
  readonly records: readonly TailRecord[];
  /** Where reading goes on behind the last record, markers passed over. */
  readonly next: number;
}

export interface TailedTopic {
  readonly topic: string;
  readonly topicId: string;
}

export interface BlockPlace extends TailedTopic {
  readonly partition: number;
  readonly offset: number;
  readonly as: ShownAs;
  readonly filter: RecordFilter | null;
}

export class TailHub {
  readonly #broker: Broker;
  readonly #world: World;
  /** By topic id: a topic made anew under the same name is another one, and some tailer may still hold the old. */
  readonly #topics = new Map<string, TopicWaiters>();
  /** In order of use; a pending read is here too, so that it is shared. */
  readonly #blocks = new Map<string, Promise<Block | Refusal>>();
  /** Records that were encoded: less than records sent when tailers share. */
  recordsEncoded = 0;

  constructor(broker: Broker, world: World) {
    this.#broker = broker;
    this.#world = world;
  }

  /** Calls wake at the end of a turn in which the topic moved, until the returned function is called. */
  join({ topic, topicId }: TailedTopic, wake: () => void): () => void {
    let waiters = this.#topics.get(topicId);
    if (waiters === undefined) {
      waiters = new TopicWaiters(this.#broker, this.#world, topic);
      this.#topics.set(topicId, waiters);
    }
    waiters.wakes.add(wake);
    return () => {
      waiters.wakes.delete(wake);
      if (waiters.wakes.size > 0) return;
      waiters.close();
      this.#topics.delete(topicId);
    };
  }

  /** The block at a place: shared with whoever asked for the same. An empty one is not kept. */
  block(place: BlockPlace): Promise<Block | Refusal> {
    const key = `${place.topicId} ${place.partition} ${place.offset} ${place.as} ${place.filter?.text ?? ""}`;
    const known = this.#blocks.get(key);
    const logStart = this.#topics.get(place.topicId)?.logStart(place.partition) ?? 0;
    if (known !== undefined && place.offset >= logStart) return known;
    const reading = this.#read(place);
    this.#blocks.set(key, reading);
    void this.#keep(key, place.offset, reading);
    return reading;
  }

  /** A block that leads nowhere is true only now; a fault may be over at the next attempt. */
  async #keep(key: string, offset: number, reading: Promise<Block | Refusal>): Promise<void> {
    const block = await reading.catch(() => null);
    if (block === null || !block.ok || block.next === offset) this.#blocks.delete(key);
    else this.#trim();
  }

  #trim(): void {
    for (const key of this.#blocks.keys()) {
      if (this.#blocks.size <= blocksKept) return;
      this.#blocks.delete(key);
    }
  }

  async #read({ topic, partition, offset, as, filter }: BlockPlace): Promise<Block | Refusal> {
    const fetched = await this.#broker.fetch({
      topic,
      positions: [{ partition, offset, maxBytes: blockBytes }],
      maxBytes: blockBytes,
      minBytes: 0,
      maxWaitMs: 0,
    });
    if ("ok" in fetched) return fetched;
    try {
      const part = fetched.partitions[0];
      return part.ok ? this.#encode(new Feed(part, offset), as, filter) : part;
    } finally {
      fetched.release();
    }
  }

  #encode(feed: Feed, as: ShownAs, filter: RecordFilter | null): Block {
    const records: TailRecord[] = [];
    let bytes = 0;
    for (;;) {
      const cursor = feed.peekWanted(filter);
      if (cursor === null || bytes >= blockBytes) break;
      const data = encodeUtf8(dataLines(recordText(cursor, feed.partition, as)));
      records.push({ offset: cursor.offset, data });
      bytes += data.length;
      feed.take();
    }
    this.recordsEncoded += records.length;
    return { ok: true, records, next: feed.next };
  }
}

/** A line end inside a stored JSON text would end the field: each line gets its own, and the reader's parser joins them. */
function dataLines(text: string): string {
  if (!/[\r\n]/.test(text)) return `data: ${text}\n`;
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join("");
}

/** One subscription for all tailers of a topic. */
class TopicWaiters {
  readonly wakes = new Set<() => void>();
  readonly #broker: Broker;
  readonly #topic: string;
  readonly #world: World;
  readonly #unsubscribe: () => void;
  #due = false;
  /** Log start of each partition, read when it is asked for after the topic moved: what retention has taken must not come
   *  out of a block that was read before. */
  #logStarts: readonly number[] | null = null;

  constructor(broker: Broker, world: World, topic: string) {
    this.#broker = broker;
    this.#topic = topic;
    this.#world = world;
    this.#unsubscribe = broker.subscribe(topic, () => this.#moved());
  }

  close(): void {
    this.#unsubscribe();
  }

  /** Cost: a look-up; once after each move, one entry a partition. */
  logStart(partition: number): number {
    if (this.#logStarts === null) {
      const bounds = this.#broker.bounds(this.#topic);
      this.#logStarts = "ok" in bounds ? [] : bounds.map(({ logStartOffset }) => logStartOffset);
    }
    return this.#logStarts[partition] ?? 0;
  }

  #moved(): void {
    this.#logStarts = null;
    if (this.#due) return;
    this.#due = true;
    this.#world.defer(() => {
      this.#due = false;
      for (const wake of this.wakes) wake();
    });
  }
}
