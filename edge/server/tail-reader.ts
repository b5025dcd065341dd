// Where a tail stands, and what comes next: turns the blocks of its partitions into chunks of events, in turn.
//
//   look()  reads on, changes nothing      take()  moves on at once and gives the chunk: no await lies between
//
// Promise: every record's id is the cursor behind it; retention that passed the position is told as `gap`, never passed
// over; a chunk holds 64 KiB, or one record. Left to others: who gets the chunk (tailer.ts for one connection,
// tail-convoy.ts for all that stand at the same place).

import { Buffer } from "node:buffer";
import type { Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { tailTimes } from "../contract/names.ts";
import { CursorWriter, type Position } from "./cursor.ts";
import { outOfRange, tooManyToTail } from "./positions.ts";
import type { RecordFilter } from "./record-filter.ts";
import type { ShownAs } from "./record-text.ts";
import type { Services } from "./services.ts";
import type { Block, TailRecord } from "./tail-hub.ts";

/** Chunks that may wait for one connection: together limits.tailBufferBytesMax. */
export const chunksAheadMax = 4;
export const chunkBytesMax = limits.tailBufferBytesMax / chunksAheadMax;
/** Room for an id: a cursor of a few partitions; more only cost a larger chunk. */
const idBytes = 64;

/** What is followed, and how it is shown. */
export interface TailSubject {
  readonly topic: string;
  readonly topicId: string;
  readonly as: ShownAs;
  readonly filter: RecordFilter | null;
  /** Partitions made later are followed too. */
  readonly all: boolean;
}

/** Bytes to send. Borrowed by every connection that gets them: never written again. */
export interface TailChunk {
  readonly bytes: Uint8Array;
  readonly records: number;
  /** The place that it moved, as an index, and from where to where; -1: it moved none. */
  readonly moved: number;
  readonly from: number;
  readonly to: number;
}

/** Why a tail is over. */
export type TailEnd = { readonly over: "deleted" } | { readonly over: Refusal };

/** `passed`: records were passed over; go on after others have had their turn. `on`: look again. */
export type Taken = TailChunk | TailEnd | "passed" | "on" | "idle";

type Found =
  | { readonly kind: "left"; readonly index: number }
  | { readonly kind: "block"; readonly index: number; readonly block: Block | Refusal }
  | { readonly kind: "idle" };

interface Place {
  readonly partition: number;
  offset: number;
  /** Records read and not yet taken. */
  left: readonly TailRecord[];
  /** Where reading goes on behind `left`. */
  next: number;
  /** Nothing lies behind `left`, as long as nobody says that the topic moved. */
  atEnd: boolean;
}

export class TailReader {
  readonly subject: TailSubject;
  readonly #services: Services;
  readonly #cursors: CursorWriter;
  /** In order of partition, as the cursor wants them. */
  readonly #places: Place[];
  #turn = 0;
  /** The cursor of the places; null when they have moved since it was written. */
  #cursor: string | null = null;
  /** monotonic ms from which a checkpoint is due since positions moved on without an id that says so; NaN: all is told. */
  #checkpointAt = Number.NaN;

  constructor(services: Services, subject: TailSubject, positions: readonly Position[]) {
    this.#services = services;
    this.subject = subject;
    this.#cursors = new CursorWriter(
      subject.topicId,
      subject.all ? "all" : "some",
      subject.filter?.sum,
    );
    this.#places = positions.map(({ partition, offset }) => placeOf(partition, offset));
  }

  /** The same for two tails exactly when the same bytes come next for both. */
  get key(): string {
    const { as, filter } = this.subject;
    return `${as} ${filter?.text ?? ""} ${this.#id()}`;
  }

  get checkpointAt(): number {
    return this.#checkpointAt;
  }

  /** Somebody who comes along has not been told either (NaN: has been). Whether that is news. */
  untold(checkpointAt: number): boolean {
    if (Number.isNaN(checkpointAt) || this.#checkpointAt <= checkpointAt) return false;
    this.#checkpointAt = checkpointAt;
    return true;
  }

  partitionAt(index: number): number {
    return this.#places[index].partition;
  }

  /** A reader that stands where this one stood before the chunk. */
  before(chunk: TailChunk): TailReader {
    const positions = this.#places.map(({ partition, offset }, index) => ({
      partition,
      offset: index === chunk.moved ? chunk.from : offset,
    }));
    return new TailReader(this.#services, this.subject, positions);
  }

  /** Goes where a chunk leads that a reader with the same key made. */
  follow({ moved, to }: TailChunk): void {
    const place = this.#places[moved];
    place.left = [];
    place.offset = place.next = to;
    place.atEnd = false;
    this.#isTold();
    this.#cursor = null;
  }

  /** The topic may have moved: each partition is looked at again. */
  wake(): void {
    for (const place of this.#places) place.atEnd = false;
  }

  /** The position at once, so that a reader who leaves before the first record can come back. */
  greeting(): Uint8Array {
    return bytesOf(
      `retry: ${tailTimes.retryMs}\n\nevent: checkpoint\nid: ${this.#id()}\ndata:\n\n`,
    );
  }

  /** New partitions join. What ends the tail, or null. */
  widen(): TailEnd | null {
    const { all, topicId } = this.subject;
    const view = this.#services.broker.topicById(topicId);
    if (view === null) return { over: "deleted" };
    if (!all || view.partitions === this.#places.length) return null;
    const refused = tooManyToTail(view.partitions);
    if (refused !== null) return { over: refused };
    for (let partition = this.#places.length; partition < view.partitions; partition++) {
      this.#places.push(placeOf(partition, 0));
    }
    this.#cursor = null;
    return null;
  }

  /** Finds the next partition, in turn, that has something. Nothing moves. */
  async look(): Promise<Found> {
    const { tails } = this.#services;
    const { topic, topicId, as, filter } = this.subject;
    for (let i = 0; i < this.#places.length; i++) {
      const index = this.#turn++ % this.#places.length;
      const { partition, offset, left, atEnd } = this.#places[index];
      if (left.length > 0) return { kind: "left", index };
      if (atEnd) continue;
      const block = await tails.block({ topic, topicId, partition, offset, as, filter });
      return { kind: "block", index, block };
    }
    return { kind: "idle" };
  }

  /** Moves on over what look() found. */
  take(found: Found): Taken {
    const now = this.#services.world.monotonic();
    if (found.kind !== "idle") {
      const taken = found.kind === "left" ? this.#events(found.index) : this.#refill(found);
      if (taken !== "passed") return taken;
      if (Number.isNaN(this.#checkpointAt)) this.#checkpointAt = now + tailTimes.checkpointMs;
    }
    if (now >= this.#checkpointAt) return this.#checkpoint();
    return found.kind === "idle" ? "idle" : "passed";
  }

  #refill({ index, block }: { readonly index: number; readonly block: Block | Refusal }): Taken {
    const place = this.#places[index];
    if (!block.ok) return this.#refused(index, block);
    place.left = block.records;
    place.next = block.next;
    place.atEnd = block.atEnd && block.moves === this.#services.tails.moves;
    if (block.records.length > 0) return this.#events(index);
    if (block.next === place.offset) return "on";
    place.offset = block.next;
    this.#cursor = null;
    return this.subject.filter === null ? this.#checkpoint() : "passed";
  }

  #refused(index: number, refusal: Refusal): TailChunk | TailEnd {
    const { topic, topicId } = this.subject;
    const place = this.#places[index];
    if (this.#services.broker.topicById(topicId) === null) return { over: "deleted" };
    if (refusal.code !== "offset_out_of_range") return { over: refusal };
    const range = outOfRange(this.#services, topic, place);
    const logStartOffset = range.members?.["logStartOffset"];
    const from = place.offset;
    if (typeof logStartOffset !== "number" || from >= logStartOffset) return { over: range };
    const gap = { partition: place.partition, wanted: from, logStartOffset };
    place.offset = logStartOffset;
    this.#isTold();
    this.#cursor = null;
    const bytes = bytesOf(`event: gap\nid: ${this.#id()}\ndata: ${JSON.stringify(gap)}\n\n`);
    return { bytes, records: 0, moved: index, from, to: place.offset };
  }

  /** Events of a run of records, each with the cursor behind it. */
  #events(index: number): TailChunk {
    const place = this.#places[index];
    const from = place.offset;
    let room = 0;
    let count = 0;
    while (count < place.left.length && (count === 0 || room < chunkBytesMax)) {
      room += place.left[count++].data.length + idBytes;
    }
    const parts: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const { offset, data } = place.left[i];
      const last = i + 1 === place.left.length;
      place.offset = last ? Math.max(place.next, offset + 1) : offset + 1;
      this.#cursor = this.#cursors.write(this.#places);
      parts.push(bytesOf(`id: ${this.#cursor}\n`), data, eventEnd);
    }
    place.left = place.left.slice(count);
    this.#isTold();
    return { bytes: Buffer.concat(parts), records: count, moved: index, from, to: place.offset };
  }

  #checkpoint(): TailChunk {
    this.#isTold();
    const bytes = bytesOf(`event: checkpoint\nid: ${this.#id()}\ndata:\n\n`);
    return { bytes, records: 0, moved: -1, from: 0, to: 0 };
  }

  /** An id that goes out tells every position. */
  #isTold(): void {
    this.#checkpointAt = Number.NaN;
  }

  #id(): string {
    this.#cursor ??= this.#cursors.write(this.#places);
    return this.#cursor;
  }
}

const eventEnd = bytesOf("\n");

function placeOf(partition: number, offset: number): Place {
  return { partition, offset, left: [], next: offset, atEnd: false };
}

export function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, "utf8");
}
