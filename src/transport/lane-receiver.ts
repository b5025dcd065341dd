// The receiving half of a lane: bytes in, packets out.
//
// Promise: a packet is handed on once, whole and checked, in the order in which its last frame came; memory is bounded by
// `budgetBytes` for packets that are not complete, and one frame. What is wrong is told once, and nothing is handed on
// after it. A packet that lies in one frame and one chunk is handed on where it lies, without a copy. Left to others:
// acknowledging `receivedBytes`, closing the connection.

import { uint32At } from "../bytes/big-endian.ts";
import { type Refusal, refuse } from "../errors.ts";
import { limits } from "../limits.ts";
import {
  flagFirst,
  flagLast,
  flagPing,
  type FrameHeader,
  frameHeaderAt,
  frameHeaderBytes,
  frameVerifies,
  headerFault,
} from "./frame.ts";

export interface LaneReceiverOptions {
  /** "append from node 2", for messages. */
  readonly name: string;
  readonly seed: number;
  /** Both borrowed for the time of the call. */
  readonly onPacket: (head: Uint8Array, body: Uint8Array) => void;
  /** Default limits.laneQueueBytesMax: the sender cannot have more packets open. */
  readonly budgetBytes?: number;
}

/** A packet of which not all fragments have come. */
interface Partial {
  readonly bytes: Uint8Array;
  readonly headLength: number;
  filled: number;
}

export class LaneReceiver {
  readonly #options: LaneReceiverOptions;
  readonly #budgetBytes: number;
  readonly #partials = new Map<number, Partial>();
  #partialBytes = 0;
  #sequence = 0;
  #receivedBytes = 0;
  /** The beginning of a frame whose rest has yet to come. */
  #carry: Uint8Array | null = null;
  #carried = 0;
  #broken: Refusal | null = null;

  constructor(options: LaneReceiverOptions) {
    this.#options = options;
    this.#budgetBytes = options.budgetBytes ?? limits.laneQueueBytesMax;
  }

  /** Bytes that were taken. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Bytes held for packets that are not complete. */
  get heldBytes(): number {
    return this.#partialBytes + (this.#carry?.length ?? 0);
  }

  /** Takes the next bytes of the stream, borrowed for the time of the call. Answers what is wrong with them, or null;
   *  throws what onPacket() throws. */
  push(chunk: Uint8Array): Refusal | null {
    if (this.#broken !== null) return this.#broken;
    // A Buffer's slice() is a view, a Uint8Array's a copy: those who get packets count on the latter.
    this.#broken = this.#take(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
    this.#receivedBytes += chunk.length;
    if (this.#broken !== null) this.#partials.clear();
    return this.#broken;
  }

  #take(chunk: Uint8Array): Refusal | null {
    let at = 0;
    while (at < chunk.length) {
      if (this.#carried > 0 || chunk.length - at < frameHeaderBytes) {
        at += this.#fill(chunk, at);
        const wrong = this.#carriedFrame();
        if (wrong !== null) return wrong;
        continue;
      }
      const fault = this.#headerFault(chunk, at);
      if (fault !== null) return fault;
      const end = at + frameHeaderBytes + uint32At(chunk, at + 8);
      if (end > chunk.length) {
        at += this.#fill(chunk, at);
        continue;
      }
      const wrong = this.#frame(chunk.subarray(at, end));
      if (wrong !== null) return wrong;
      at = end;
    }
    return null;
  }

  /** Moves bytes into the carry: up to the end of the header while it is incomplete, then up to the end of the frame.
   *  Answers how many. */
  #fill(chunk: Uint8Array, at: number): number {
    this.#carry ??= new Uint8Array(frameHeaderBytes + limits.fragmentBytesMax);
    const wanted =
      this.#carried < frameHeaderBytes
        ? frameHeaderBytes
        : frameHeaderBytes + uint32At(this.#carry, 8);
    const count = Math.min(wanted - this.#carried, chunk.length - at);
    this.#carry.set(chunk.subarray(at, at + count), this.#carried);
    this.#carried += count;
    return count;
  }

  /** Takes the carried frame when it is complete. */
  #carriedFrame(): Refusal | null {
    const carry = this.#carry;
    if (carry === null || this.#carried < frameHeaderBytes) return null;
    const fault = this.#headerFault(carry, 0);
    if (fault !== null) return fault;
    const end = frameHeaderBytes + uint32At(carry, 8);
    if (this.#carried < end) return null;
    this.#carried = 0;
    return this.#frame(carry.subarray(0, end));
  }

  #headerFault(bytes: Uint8Array, at: number): Refusal | null {
    const fault = headerFault(bytes, at);
    return fault === null ? null : this.#refuse(fault);
  }

  #frame(frame: Uint8Array): Refusal | null {
    const header = frameHeaderAt(frame, 0);
    if (!frameVerifies(frame, this.#options.seed))
      return this.#refuse("its checksum does not match: it is damaged, or of another stream");
    const wanted = (this.#sequence + 1) >>> 0;
    if (header.sequence !== wanted)
      return this.#refuse(`frame ${wanted} is wanted, got ${header.sequence}`);
    this.#sequence = wanted;
    if (header.flags === flagPing) return null;
    const headMax = Math.min(header.packetLength, limits.packetHeadBytesMax);
    if (header.headLength > headMax)
      return this.#refuse(`a head of at most ${headMax} bytes is wanted, got ${header.headLength}`);
    const whole = flagFirst | flagLast;
    if (header.flags !== whole) return this.#fragment(header, frame.subarray(frameHeaderBytes));
    if (header.payloadLength !== header.packetLength)
      return this.#refuse(
        `packet of ${header.packetLength} bytes came with ${header.payloadLength}`,
      );
    this.#hand(frame.subarray(frameHeaderBytes), header.headLength);
    return null;
  }

  #fragment(header: FrameHeader, payload: Uint8Array): Refusal | null {
    const { packet, packetLength, headLength, flags } = header;
    if ((flags & flagFirst) !== 0) {
      const wrong = this.#begin(header);
      if (wrong !== null) return wrong;
    }
    const partial = this.#partials.get(packet);
    if (partial === undefined) return this.#refuse(`packet ${packet} goes on but never began`);
    if (partial.bytes.length !== packetLength || partial.headLength !== headLength)
      return this.#refuse(`packet ${packet} changed its length`);
    const filled = partial.filled + payload.length;
    const isLast = (flags & flagLast) !== 0;
    if (filled > packetLength || isLast !== (filled === packetLength) || payload.length === 0)
      return this.#refuse(`packet ${packet} of ${packetLength} bytes came with ${filled}`);
    partial.bytes.set(payload, partial.filled);
    partial.filled = filled;
    if (!isLast) return null;
    this.#partials.delete(packet);
    this.#partialBytes -= packetLength;
    this.#hand(partial.bytes, headLength);
    return null;
  }

  #begin({ packet, packetLength, headLength }: FrameHeader): Refusal | null {
    const bytesMax = limits.packetHeadBytesMax + limits.packetBodyBytesMax;
    if (packetLength > bytesMax || packetLength - headLength > limits.packetBodyBytesMax)
      return this.#refuse(`a packet of at most ${bytesMax} bytes is wanted, got ${packetLength}`);
    if (this.#partials.has(packet)) return this.#refuse(`packet ${packet} began twice`);
    if (
      this.#partials.size >= limits.openPacketsMax ||
      this.#partialBytes + packetLength > this.#budgetBytes
    )
      return this.#refuse(
        `at most ${limits.openPacketsMax} packets and ${this.#budgetBytes} bytes may be incomplete`,
      );
    this.#partialBytes += packetLength;
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(packetLength).buffer);
    this.#partials.set(packet, { bytes, headLength, filled: 0 });
    return null;
  }

  #hand(bytes: Uint8Array, headLength: number): void {
    this.#options.onPacket(bytes.subarray(0, headLength), bytes.subarray(headLength));
  }

  #refuse(why: string): Refusal {
    return refuse("corrupt_message", `Cannot read lane ${this.#options.name}: ${why}`);
  }
}
