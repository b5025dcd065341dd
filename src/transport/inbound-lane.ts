// A lane of a peer, as it comes in: by one long request (HTTP/2), or by one short request after the other (batches).
//
//   acknowledgements, as they go down:  | int64: bytes of the lane taken so far | ...
//                                       | int64: -n | n bytes: a fault           |  then the end
//
// Promise: bytes reach the receiver in their order; acknowledgements are sent together: after ackBytes, or ackMs. The end
// is told once. Left to others: who may open a lane (peer-door.ts).

import { putInt64 } from "../bytes/big-endian.ts";
import { type Refusal, refuse } from "../errors.ts";
import type { Timer, World } from "../world.ts";
import { encodeFault } from "./call-message.ts";
import type { LaneReceiver } from "./lane-receiver.ts";
import type { Lane } from "./transport.ts";

/** An acknowledgement at once after so many bytes: well below limits.laneWindowBytes ... */
const ackBytes = 128 * 1024;
/** ... and at the latest after so long. It frees the sender's window and chunks, no packet waits for it. */
const ackMs = 20;
/** Acknowledgements that may lie unread before the lane is given up. */
const unreadAcksMax = 4_096;

export interface InboundLaneOptions {
  readonly world: World;
  readonly lane: Lane;
  readonly from: number;
  readonly receiver: LaneReceiver;
  /** The lane ended, because of `why` or because the peer ended it (null). Called once. */
  readonly onEnd: (why: Refusal | null) => void;
}

export class InboundLane {
  readonly lane: Lane;
  readonly from: number;
  readonly #options: InboundLaneOptions;
  #acks: ReadableStreamDefaultController<Uint8Array> | null = null;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  #ackTimer: Timer | null = null;
  #ackedBytes = 0;
  #heardAt: number;
  #busy = false;
  #ended = false;

  constructor(options: InboundLaneOptions) {
    this.#options = options;
    this.lane = options.lane;
    this.from = options.from;
    this.#heardAt = options.world.monotonic();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** How long nothing came, ms. */
  get silentMs(): number {
    return this.#options.world.monotonic() - this.#heardAt;
  }

  /** Begins to read one long body. Answers the stream of acknowledgements. */
  stream(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const acks = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#acks = controller;
          // The first bytes carry the answer's head: a lane is open once they are there.
          controller.enqueue(int64(0));
        },
        cancel: () => this.end(null),
      },
      { highWaterMark: 0 },
    );
    void this.#pump(body).then(() => this.end(null));
    return acks;
  }

  /** Takes one batch of the lane's bytes. Answers how many bytes were taken of the lane, or what is wrong. */
  async batch(body: ReadableStream<Uint8Array>): Promise<number | Refusal> {
    if (this.#busy || this.#ended)
      return refuse("invalid_request", "Cannot take batch: the lane ended, or one is under way");
    this.#busy = true;
    const whole = await this.#pump(body);
    this.#busy = false;
    if (!whole) this.end(null);
    if (this.#ended) return refuse("corrupt_message", "Cannot take batch: the lane ended");
    return this.#options.receiver.receivedBytes;
  }

  /** Ends the lane; `why` is told to the peer. Idempotent. */
  end(why: Refusal | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#ackTimer?.cancel();
    if (why !== null) this.#tell(why);
    this.#close();
    // The session remembers the lane for a while, so that it is not opened twice.
    this.#options.receiver.close();
    void this.#reader?.cancel().catch(() => undefined);
    this.#options.onEnd(why);
  }

  /** Whether the body came to its end. */
  async #pump(body: ReadableStream<Uint8Array>): Promise<boolean> {
    const reader = body.getReader();
    this.#reader = reader;
    while (!this.#ended) {
      const read = await reader.read().catch(() => null);
      if (read === null) return false;
      if (read.done) return true;
      if (!this.#ended) this.#take(read.value);
    }
    return false;
  }

  #take(chunk: Uint8Array): void {
    this.#heardAt = this.#options.world.monotonic();
    const wrong = this.#options.receiver.push(chunk);
    if (wrong !== null) return this.end(wrong);
    if (this.#acks === null) return;
    const unacked = this.#options.receiver.receivedBytes - this.#ackedBytes;
    if (unacked >= ackBytes) this.#ack();
    else this.#ackTimer ??= this.#options.world.setTimer(ackMs, () => this.#ack());
  }

  #ack(): void {
    this.#ackTimer?.cancel();
    this.#ackTimer = null;
    const { receivedBytes } = this.#options.receiver;
    if (this.#ended || this.#acks === null || receivedBytes === this.#ackedBytes) return;
    if ((this.#acks.desiredSize ?? 0) < -unreadAcksMax)
      return this.end(refuse("invalid_request", "Acknowledgements are not read"));
    this.#ackedBytes = receivedBytes;
    try {
      this.#acks.enqueue(int64(receivedBytes));
    } catch {
      // The answer's connection is gone, and nobody said so yet.
      this.end(null);
    }
  }

  #tell(why: Refusal): void {
    const fault = encodeFault(why);
    try {
      this.#acks?.enqueue(int64(-fault.length));
      this.#acks?.enqueue(fault);
    } catch {
      // Nobody reads any more.
    }
  }

  #close(): void {
    try {
      this.#acks?.close();
    } catch {
      // The peer had cancelled it.
    }
  }
}

function int64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  putInt64(bytes, 0, value);
  return bytes;
}
