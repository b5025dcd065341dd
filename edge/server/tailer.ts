// One connection of a tail. It reads alone, at its own pace, until it has caught up; then it travels in a convoy.
//
//   pull() -> greeting -> alone: next chunk each time that all before it is taken -> caught up: joins a convoy
//                           ^                                                             |
//                           +------------------ no room for the convoy's chunk <----------+
//
// Promise: at most limits.tailBufferBytesMax (or one record) waits here; a chunk is made for a slow connection only when
// it asks for one. Left to others: what comes next (tail-reader.ts), who travels along (tail-convoy.ts).

import { refusalOf } from "../../src/errors.ts";
import { tailTimes } from "../contract/names.ts";
import { problemOf } from "./problem.ts";
import type { Services } from "./services.ts";
import { Convoy, type Passenger, type Traveller } from "./tail-convoy.ts";
import { bytesOf, chunkBytesMax, chunksAheadMax } from "./tail-reader.ts";
import type { TailChunk, TailEnd, TailReader } from "./tail-reader.ts";

export class Tailer implements Traveller {
  readonly #services: Services;
  readonly #requestId: string;
  readonly #leave: () => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  /** null: the convoy reads. */
  #reader: TailReader | null;
  #convoy: Convoy | null = null;
  #greeted = false;
  /** monotonic ms at which it was last given something of its own. */
  #sentAt: number;
  /** Nothing may be enqueued any more. */
  #over = false;

  /** The caller has entered the waiters; the tailer leaves them when it ends. The reader is its own from now on. */
  constructor(services: Services, reader: TailReader, requestId: string) {
    this.#services = services;
    this.#reader = reader;
    this.#requestId = requestId;
    this.#sentAt = services.world.monotonic();
    this.#leave = services.tails.join(reader.subject, null);
    services.closing.addEventListener("abort", this.#closing);
  }

  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#pull(),
        cancel: () => this.#stop(),
      },
      { highWaterMark: chunksAheadMax },
    );
  }

  offer(bytes: Uint8Array): boolean {
    const room = this.#controller?.desiredSize ?? null;
    if (room === null) {
      // The stream has failed: nobody will read or cancel it.
      this.#stop();
      return true;
    }
    if (room <= 0 || (bytes.length > chunkBytesMax && room < chunksAheadMax)) return false;
    this.#controller?.enqueue(bytes);
    return true;
  }

  comment(bytes: Uint8Array): void {
    if (this.#drained()) this.#controller?.enqueue(bytes);
  }

  joined(convoy: Convoy): void {
    this.#convoy = convoy;
    this.#reader = null;
  }

  fellBehind(reader: TailReader): void {
    this.#convoy = null;
    this.#reader = reader;
  }

  finish({ over }: TailEnd): void {
    if (this.#over) return;
    if (this.#controller?.desiredSize === null) return this.#stop();
    const event =
      over === "deleted"
        ? `event: end\ndata: {"reason":"topic_deleted"}\n\n`
        : `event: problem\ndata: ${JSON.stringify(problemOf(over, this.#requestId))}\n\n`;
    this.#controller?.enqueue(bytesOf(event));
    this.#closing();
  }

  /** The connection has taken something. A promise only while this tailer reads for itself. */
  #pull(): Promise<void> | undefined {
    const reader = this.#reader;
    // Alone, nothing is made ahead of what the connection takes.
    if (reader === null || this.#over || !this.#drained()) return undefined;
    if (this.#greeted) return this.#readOn(reader);
    this.#greeted = true;
    this.#send({ bytes: reader.greeting(), records: 0 });
    return undefined;
  }

  #drained(): boolean {
    return this.#controller?.desiredSize === chunksAheadMax;
  }

  async #readOn(reader: TailReader): Promise<void> {
    try {
      reader.wake();
      while (!this.#over && this.#reader === reader) {
        const ended = reader.widen();
        if (ended !== null) return this.finish(ended);
        if (this.#travel(reader)) return;
        const known = this.#services.tails.recall(reader);
        if (known !== null) {
          reader.follow(known);
          return this.#send(known);
        }
        const found = await reader.look();
        if (this.#over) return;
        const taken = reader.take(found);
        if (taken === "on") continue;
        if (taken === "idle") {
          if (!this.#travel(reader)) Convoy.start(this.#services, reader, this.#passenger(reader));
          return;
        }
        if (taken === "passed") {
          await new Promise<void>((resolve) => this.#services.world.defer(resolve));
          continue;
        }
        return "over" in taken ? this.finish(taken) : this.#send(taken);
      }
    } catch (thrown) {
      this.finish({ over: refusalOf(thrown) });
    }
  }

  /** Whether there was a convoy at the reader's place. */
  #travel(reader: TailReader): boolean {
    const convoy = this.#services.tails.convoys.get(reader.key);
    convoy?.board(this.#passenger(reader));
    return convoy !== undefined;
  }

  #passenger({ checkpointAt }: TailReader): Passenger {
    return { traveller: this, checkpointAt, commentAt: this.#sentAt + tailTimes.commentMs };
  }

  #send({ bytes, records }: Pick<TailChunk, "bytes" | "records">): void {
    this.#services.metrics.recordsTailed += records;
    this.#sentAt = this.#services.world.monotonic();
    this.#controller?.enqueue(bytes);
  }

  /** Idempotent: the topic is gone, or the door closes. */
  readonly #closing = (): void => {
    if (this.#over) return;
    const failed = this.#controller?.desiredSize === null;
    this.#stop();
    if (!failed) this.#controller?.close();
  };

  /** Idempotent. */
  #stop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#convoy?.alight(this);
    this.#leave();
    this.#services.waiters.leave();
    this.#services.closing.removeEventListener("abort", this.#closing);
  }
}
