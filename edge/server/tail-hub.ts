// What the tailers of a node share: one subscription a topic, and each record encoded once.
//
//   commit -> wake -> (end of turn) every convoy of the topic -> block(partition, offset)
//                                     the first one reads and encodes, the others take the same block
//
// Promise: tailers at the same place share one read and its bytes; one that is slow reads the log at its own pace; the
// blocks and chunks kept are bounded. Left to others: what each tailer sends (tail-reader.ts), who travels with whom
// (tail-convoy.ts).

import type { Broker } from "../../src/broker/broker.ts";
import { encodeUtf8 } from "../../src/bytes/unicode.ts";
import type { Refusal } from "../../src/errors.ts";
import type { World } from "../../src/world.ts";
import { Feed } from "./feed.ts";
import type { RecordFilter } from "./record-filter.ts";
import { recordText, type ShownAs } from "./record-text.ts";
import type { Convoy } from "./tail-convoy.ts";
import type { TailChunk, TailReader } from "./tail-reader.ts";

/** Stored bytes that one read takes, and about what one block holds. */
const blockBytes = 64 * 1024;
/** Blocks kept for tailers that come a moment later. */
const blocksKept = 64;
/** Bytes of chunks kept for tailers that fell behind their convoy. */
const chunkBytesKept = 4 * 1_048_576;

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
  /** Nothing lay behind it, and how often topics had moved then (TailHub.moves). */
  readonly atEnd: boolean;
  readonly moves: number;
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

type Encoded = Pick<Block, "records" | "next">;

/** A read, under way or done, and how often topics had moved when it began. */
interface Kept {
  readonly reading: Promise<Block | Refusal>;
  readonly moves: number;
  settled: boolean;
}

export class TailHub {
  readonly #broker: Broker;
  readonly #world: World;
  /** By the place at which they stand (TailReader.key). */
  readonly convoys = new Map<string, Convoy>();
  /** By topic id: a topic made anew under the same name is another one, and some tailer may still hold the old. */
  readonly #topics = new Map<string, TopicWaiters>();
  /** In order of use; a pending read is here too, so that it is shared. */
  readonly #blocks = new Map<string, Kept>();
  /** What convoys have sent last, by the place before it, oldest first. */
  readonly #chunks = new Map<string, TailChunk>();
  #chunkBytes = 0;
  /** How often followed topics have moved, or began to be followed: what a read said of the log's end holds until then. */
  moves = 0;
  /** Records that were encoded: less than records sent when tailers share. */
  recordsEncoded = 0;

  constructor(broker: Broker, world: World) {
    this.#broker = broker;
    this.#world = world;
  }

  /** Follows a topic until the returned function is called; wake is called at the end of each turn in which it moved. */
  join({ topic, topicId }: TailedTopic, wake: (() => void) | null): () => void {
    let waiters = this.#topics.get(topicId);
    if (waiters === undefined) {
      waiters = new TopicWaiters(this.#broker, this.#world, { topic, moved: () => this.moves++ });
      this.#topics.set(topicId, waiters);
      this.moves++;
    }
    waiters.followers++;
    if (wake !== null) waiters.wakes.add(wake);
    return () => {
      if (wake !== null) waiters.wakes.delete(wake);
      if (--waiters.followers > 0) return;
      waiters.close();
      this.#topics.delete(topicId);
    };
  }

  /** The block at a place: shared with whoever asked for the same. An empty one is not kept. */
  block(place: BlockPlace): Promise<Block | Refusal> {
    const key = `${place.topicId} ${place.partition} ${place.offset} ${place.as} ${place.filter?.text ?? ""}`;
    const known = this.#blocks.get(key);
    // A read that is under way may have seen less than the log has now.
    if (known !== undefined && (known.settled || known.moves === this.moves)) {
      if (this.#holds(place.topicId, place)) return known.reading;
    }
    const kept = { reading: this.#read(place), moves: this.moves, settled: false };
    this.#blocks.set(key, kept);
    void this.#keep(key, place.offset, kept);
    return kept.reading;
  }

  /** A chunk that a convoy sent, for those who will come to the place where it was. */
  remember(key: string, chunk: TailChunk): void {
    this.#chunks.set(key, chunk);
    this.#chunkBytes += chunk.bytes.length;
    for (const [oldest, { bytes }] of this.#chunks) {
      if (this.#chunkBytes <= chunkBytesKept && this.#chunks.size <= blocksKept) return;
      this.#chunks.delete(oldest);
      this.#chunkBytes -= bytes.length;
    }
  }

  /** The chunk that comes next for a reader, if a convoy made it a moment ago and its records are still there. */
  recall(reader: TailReader): TailChunk | null {
    const chunk = this.#chunks.get(reader.key);
    if (chunk === undefined) return null;
    const place = { partition: reader.partitionAt(chunk.moved), offset: chunk.from };
    return this.#holds(reader.subject.topicId, place) ? chunk : null;
  }

  /** Retention has not passed this place. */
  #holds(topicId: string, place: { readonly partition: number; readonly offset: number }): boolean {
    return place.offset >= (this.#topics.get(topicId)?.logStart(place.partition) ?? Infinity);
  }

  /** A block that leads nowhere is true only now; a fault may be over at the next attempt. */
  async #keep(key: string, offset: number, kept: Kept): Promise<void> {
    const block = await kept.reading.catch(() => null);
    kept.settled = true;
    if (block !== null && block.ok && block.next > offset) this.#trim();
    else if (this.#blocks.get(key) === kept) this.#blocks.delete(key);
  }

  #trim(): void {
    for (const key of this.#blocks.keys()) {
      if (this.#blocks.size <= blocksKept) return;
      this.#blocks.delete(key);
    }
  }

  async #read({ topic, partition, offset, as, filter }: BlockPlace): Promise<Block | Refusal> {
    const { moves } = this;
    const fetched = await this.#broker.fetch({
      topic,
      positions: [{ partition, offset, maxBytes: blockBytes }],
      maxBytes: blockBytes,
      minBytes: 0,
      maxWaitMs: 0,
      // By this node's own replica, which wakes its tailers: a tail asks nobody else.
      consistency: "local",
    });
    if ("ok" in fetched) return fetched;
    try {
      const part = fetched.partitions[0];
      if (!part.ok) return part;
      const { records, next } = this.#encode(new Feed(part, offset), as, filter);
      return { ok: true, records, next, atEnd: next >= part.highWatermark, moves };
    } finally {
      fetched.release();
    }
  }

  #encode(feed: Feed, as: ShownAs, filter: RecordFilter | null): Encoded {
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
    return { records, next: feed.next };
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
  /** Those who follow, asleep or not. */
  followers = 0;
  readonly #broker: Broker;
  readonly #topic: string;
  readonly #world: World;
  readonly #tell: () => void;
  readonly #unsubscribe: () => void;
  #due = false;
  /** Log start of each partition, read when it is asked for after the topic moved: what retention has taken must not come
   *  out of a block that was read before. */
  #logStarts: readonly number[] | null = null;

  constructor(
    broker: Broker,
    world: World,
    { topic, moved }: { readonly topic: string; readonly moved: () => void },
  ) {
    this.#broker = broker;
    this.#topic = topic;
    this.#tell = moved;
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
    this.#tell();
    if (this.#due) return;
    this.#due = true;
    this.#world.defer(() => {
      this.#due = false;
      for (const wake of this.wakes) wake();
    });
  }
}
