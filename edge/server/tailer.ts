// One tailer: turns blocks into SSE events for one connection, as fast as that connection takes them.
//
//   pull() -> next partition with records -> one chunk (id + data of each record) -> the runtime's socket
//          -> none has any: sleep until woken by a commit, the comment's deadline, or the end
//
// Promise: a chunk is made only when the connection asks for one, so that at most one (64 KiB, or one record) waits here;
// every record's id is the cursor behind it; retention that passed the position is told as `gap`, never passed over.

import { Buffer } from "node:buffer";
import { type Refusal, refusalOf } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { tailTimes } from "../contract/names.ts";
import { CursorWriter } from "./cursor.ts";
import type { Deadline } from "./deadlines.ts";
import { outOfRange, tooManyToTail, type Start } from "./positions.ts";
import { problemOf } from "./problem.ts";
import type { RecordFilter } from "./record-filter.ts";
import type { ShownAs } from "./record-text.ts";
import type { Services } from "./services.ts";
import type { TailRecord } from "./tail-hub.ts";

const chunkBytesMax = limits.tailBufferBytesMax / 4;
/** Room for an id: a cursor of a few partitions; more only cost a larger chunk. */
const idBytes = 64;

export interface TailRequest {
  readonly topic: string;
  readonly topicId: string;
  readonly as: ShownAs;
  readonly start: Start;
  readonly filter: RecordFilter | null;
  readonly requestId: string;
}

interface Place {
  readonly partition: number;
  offset: number;
  /** Records read and not yet sent. */
  left: readonly TailRecord[];
  /** Where reading goes on behind `left`. */
  next: number;
}

export class Tailer {
  readonly #services: Services;
  readonly #request: TailRequest;
  readonly #cursors: CursorWriter;
  /** In order of partition, as the cursor wants them. */
  readonly #places: Place[];
  readonly #comment: Deadline;
  readonly #leave: () => void;
  /** While records are passed over, the place is told now and then, so that nobody looks through them again. */
  readonly #checkpoint: Deadline;
  #checkpointDue = false;
  /** Positions have moved on without an id that says so. */
  #passed = false;
  #turn = 0;
  #moved = true;
  #commentDue = false;
  #over = false;
  /** The connection is gone: nothing may be enqueued any more. */
  #cancelled = false;
  #greeted = false;
  #wake: (() => void) | null = null;

  /** The caller has entered the waiters; the tailer leaves them when it ends. */
  constructor(services: Services, request: TailRequest) {
    const { start, topicId, topic, filter } = request;
    this.#services = services;
    this.#request = request;
    this.#cursors = new CursorWriter(topicId, start.all ? "all" : "some", filter?.sum);
    this.#places = start.positions.map(({ partition, offset }) => placeOf(partition, offset));
    this.#leave = services.tails.join({ topic, topicId }, () => this.#woken());
    this.#comment = { dueAt: 0, expire: () => this.#commentIsDue() };
    this.#checkpoint = { dueAt: 0, expire: () => this.#checkpointIsDue() };
    this.#awaitComment();
    services.closing.addEventListener("abort", this.#stop);
  }

  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      { pull: (controller) => this.#pull(controller), cancel: () => this.#cancel() },
      // Nothing is made ahead of what the connection takes.
      { highWaterMark: 1 },
    );
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      for (;;) {
        if (this.#cancelled) return;
        if (this.#over) return controller.close();
        const chunk = await this.#nextChunk();
        if (this.#cancelled) return;
        if (chunk === null) await this.#sleep();
        else {
          controller.enqueue(chunk);
          if (this.#over) controller.close();
          return;
        }
      }
    } catch (thrown) {
      if (this.#cancelled) return;
      controller.enqueue(this.#problem(refusalOf(thrown)));
      controller.close();
    }
  }

  /** The next bytes to send, or null when there is nothing to say now. */
  async #nextChunk(): Promise<Uint8Array | null> {
    this.#awaitComment();
    if (!this.#greeted) return this.#greeting();
    const { broker } = this.#services;
    const view = broker.topicById(this.#request.topicId);
    if (view === null) return this.#end();
    this.#moved = false;
    const joined = this.#joinNewPartitions(view.partitions);
    if (joined !== null) return joined;
    const chunk = await this.#readNext();
    if (chunk !== null) return chunk;
    if (this.#passed && this.#checkpointDue) return this.#checkpointEvent();
    if (!this.#commentDue) return null;
    this.#commentDue = false;
    return bytesOf(": still here\n\n");
  }

  /** The position at once, so that a reader who leaves before the first record can come back. */
  #greeting(): Uint8Array {
    this.#greeted = true;
    const id = this.#cursors.write(this.#places);
    return bytesOf(`retry: ${tailTimes.retryMs}\n\nevent: checkpoint\nid: ${id}\ndata:\n\n`);
  }

  #joinNewPartitions(count: number): Uint8Array | null {
    if (!this.#request.start.all) return null;
    const refused = tooManyToTail(count);
    if (refused !== null) return this.#problem(refused);
    for (let partition = this.#places.length; partition < count; partition++) {
      this.#places.push(placeOf(partition, 0));
    }
    return null;
  }

  /** A chunk of the next partition, in turn, that has something. */
  async #readNext(): Promise<Uint8Array | null> {
    for (let i = 0; i < this.#places.length; i++) {
      const place = this.#places[this.#turn++ % this.#places.length];
      const before = place.offset;
      if (place.left.length === 0) {
        const told = await this.#refill(place);
        if (told !== null) return told;
      }
      if (place.left.length > 0) return this.#events(place);
      if (place.offset === before) continue;
      if (this.#request.filter === null) return this.#checkpointEvent();
      await this.#pass();
    }
    return null;
  }

  /** A block held nothing that is wanted: look on, after others have had their turn. */
  async #pass(): Promise<void> {
    const { deadlines, world } = this.#services;
    this.#moved = true;
    if (!this.#passed) {
      this.#passed = true;
      this.#checkpoint.dueAt = world.monotonic() + tailTimes.checkpointMs;
      deadlines.add(this.#checkpoint);
    }
    await new Promise<void>((resolve) => world.defer(resolve));
  }

  /** Reads on. Bytes only when there is something to say other than records. */
  async #refill(place: Place): Promise<Uint8Array | null> {
    const { topic, topicId, as, filter } = this.#request;
    const { partition, offset } = place;
    const { tails } = this.#services;
    const block = await tails.block({ topic, topicId, partition, offset, as, filter });
    if (!block.ok) return this.#refused(place, block);
    place.left = block.records;
    place.next = block.next;
    if (block.records.length === 0) place.offset = block.next;
    return null;
  }

  #refused(place: Place, refusal: Refusal): Uint8Array {
    const { topic, topicId } = this.#request;
    if (this.#services.broker.topicById(topicId) === null) return this.#end();
    if (refusal.code !== "offset_out_of_range") return this.#problem(refusal);
    const range = outOfRange(this.#services, topic, place);
    const logStartOffset = range.members?.["logStartOffset"];
    if (typeof logStartOffset !== "number" || place.offset >= logStartOffset) {
      return this.#problem(range);
    }
    const gap = { partition: place.partition, wanted: place.offset, logStartOffset };
    place.offset = logStartOffset;
    const id = this.#cursors.write(this.#places);
    return bytesOf(`event: gap\nid: ${id}\ndata: ${JSON.stringify(gap)}\n\n`);
  }

  /** Events of a run of records, each with the cursor behind it. */
  #events(place: Place): Uint8Array {
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
      parts.push(bytesOf(`id: ${this.#cursors.write(this.#places)}\n`), data, eventEnd);
    }
    place.left = place.left.slice(count);
    this.#isTold();
    this.#services.metrics.recordsTailed += count;
    return Buffer.concat(parts);
  }

  #checkpointEvent(): Uint8Array {
    this.#isTold();
    return bytesOf(`event: checkpoint\nid: ${this.#cursors.write(this.#places)}\ndata:\n\n`);
  }

  /** An id that goes out tells every position. */
  #isTold(): void {
    if (!this.#passed && !this.#checkpointDue) return;
    this.#passed = false;
    this.#checkpointDue = false;
    this.#services.deadlines.remove(this.#checkpoint);
  }

  #end(): Uint8Array {
    this.#stop();
    return bytesOf(`event: end\ndata: {"reason":"topic_deleted"}\n\n`);
  }

  #problem(refusal: Refusal): Uint8Array {
    this.#stop();
    const problem = problemOf(refusal, this.#request.requestId);
    return bytesOf(`event: problem\ndata: ${JSON.stringify(problem)}\n\n`);
  }

  #sleep(): Promise<void> {
    const due = this.#commentDue || (this.#passed && this.#checkpointDue);
    if (this.#moved || this.#over || due) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #woken(): void {
    this.#moved = true;
    this.#wakeUp();
  }

  #checkpointIsDue(): void {
    this.#checkpointDue = true;
    this.#wakeUp();
  }

  #commentIsDue(): void {
    this.#commentDue = true;
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = null;
  }

  /** The next comment is due a full interval after what was sent last. */
  #awaitComment(): void {
    const { deadlines, world } = this.#services;
    this.#comment.dueAt = world.monotonic() + tailTimes.commentMs;
    deadlines.add(this.#comment);
  }

  #cancel(): void {
    this.#cancelled = true;
    this.#stop();
  }

  /** Idempotent: the connection left, the topic is gone, or the door closes. */
  readonly #stop = (): void => {
    if (this.#over) return;
    this.#over = true;
    this.#leave();
    this.#services.deadlines.remove(this.#comment);
    this.#services.deadlines.remove(this.#checkpoint);
    this.#services.waiters.leave();
    this.#services.closing.removeEventListener("abort", this.#stop);
    this.#wakeUp();
  };
}

const eventEnd = bytesOf("\n");

function placeOf(partition: number, offset: number): Place {
  return { partition, offset, left: [], next: offset };
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, "utf8");
}
