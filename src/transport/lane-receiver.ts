// The receiving half of a lane: bytes in, packets out.
//
// Promise: a packet is handed on once, whole and checked, in the order in which its last frame came; memory is bounded by
// `budgetBytes` for packets that are not complete, and one frame. What is wrong is told once, and nothing is handed on
// after it. A packet that lies in one frame and one chunk is handed on where it lies, without a copy; of any other each
// byte is copied once, to its place in the packet. Left to others: acknowledging `receivedBytes`, closing the connection.

import { uint32At } from "../bytes/big-endian.ts";
import { crc32c } from "../bytes/crc32c.ts";
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
  headerChecksum,
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
  readonly length: number;
  readonly headLength: number;
  filled: number;
}

/** A frame whose header is here and whose payload is still coming. */
interface Coming {
  readonly header: FrameHeader;
  /** Where its payload goes; null: there is none to keep. */
  readonly target: Uint8Array;
  targetAt: number;
  left: number;
  /** Of all that is here. */
  crc: number;
  readonly wantedCrc: number;
}

const whole = flagFirst | flagLast;
/** Memory of a packet that was handed on is kept for the next one up to this size. */
const spareBytesMax = 4 * 1024 * 1024;

export class LaneReceiver {
  readonly #options: LaneReceiverOptions;
  readonly #budgetBytes: number;
  readonly #partials = new Map<number, Partial>();
  #partialBytes = 0;
  #sequence = 0;
  #receivedBytes = 0;
  /** The beginning of a header whose rest has yet to come. */
  readonly #header = new Uint8Array(frameHeaderBytes);
  #headerFilled = 0;
  #coming: Coming | null = null;
  /** Payload of a short packet that came in pieces. */
  #carry: Uint8Array | null = null;
  #spare: Uint8Array | null = null;
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
    const wrong = this.#take(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
    this.#broken ??= wrong;
    this.#receivedBytes += chunk.length;
    if (this.#broken !== null) this.close();
    return this.#broken;
  }

  /** Takes nothing any more and lets go of its memory. Idempotent. */
  close(): void {
    this.#broken ??= this.#refuse("it ended");
    this.#partials.clear();
    this.#partialBytes = 0;
    this.#carry = null;
    this.#spare = null;
    this.#coming = null;
  }

  #take(chunk: Uint8Array): Refusal | null {
    let at = 0;
    while (at < chunk.length || this.#coming?.left === 0) {
      if (this.#coming !== null) {
        at += this.#fill(this.#coming, chunk, at);
        const wrong = this.#coming.left === 0 ? this.#came(this.#coming) : null;
        if (wrong !== null) return wrong;
        continue;
      }
      if (this.#headerFilled > 0 || chunk.length - at < frameHeaderBytes) {
        const count = Math.min(frameHeaderBytes - this.#headerFilled, chunk.length - at);
        this.#header.set(chunk.subarray(at, at + count), this.#headerFilled);
        this.#headerFilled += count;
        at += count;
        if (this.#headerFilled < frameHeaderBytes) return null;
        this.#headerFilled = 0;
        const wrong = this.#begin(this.#header, 0);
        if (wrong !== null) return wrong;
        continue;
      }
      const end = at + frameHeaderBytes + uint32At(chunk, at + 8);
      const isWhole = end <= chunk.length && chunk[at + 5] === whole;
      const wrong = isWhole ? this.#whole(chunk.subarray(at, end)) : this.#begin(chunk, at);
      if (wrong !== null) return wrong;
      at = isWhole ? end : at + frameHeaderBytes;
    }
    return null;
  }

  /** Moves what is here of a payload to its place. Answers how many bytes. */
  #fill(coming: Coming, chunk: Uint8Array, at: number): number {
    const count = Math.min(coming.left, chunk.length - at);
    if (count === 0) return 0;
    const part = chunk.subarray(at, at + count);
    coming.crc = crc32c(part, coming.crc);
    coming.target.set(part, coming.targetAt);
    coming.targetAt += count;
    coming.left -= count;
    return count;
  }

  /** A packet that lies in one frame and one chunk. */
  #whole(frame: Uint8Array): Refusal | null {
    const header = frameHeaderAt(frame, 0);
    const wrong = this.#headerRefusal(frame, 0, header);
    if (wrong !== null) return wrong;
    if (!frameVerifies(frame, this.#options.seed)) return this.#damaged();
    this.#hand(frame.subarray(frameHeaderBytes), header.headLength);
    return null;
  }

  /** A frame whose payload comes in pieces, or is a piece. Nothing of it is handed on before its checksum was seen. */
  #begin(bytes: Uint8Array, at: number): Refusal | null {
    const header = frameHeaderAt(bytes, at);
    const wrong = this.#headerRefusal(bytes, at, header);
    if (wrong !== null) return wrong;
    const crc = headerChecksum(bytes, at, this.#options.seed);
    const wantedCrc = uint32At(bytes, at);
    const left = header.payloadLength;
    if (header.flags === flagPing || header.flags === whole) {
      this.#carry ??= new Uint8Array(limits.fragmentBytesMax);
      this.#coming = { header, target: this.#carry, targetAt: 0, left, crc, wantedCrc };
      return null;
    }
    const partial = this.#partialOf(header);
    if ("code" in partial) return partial;
    this.#coming = {
      header,
      target: partial.bytes,
      targetAt: partial.filled,
      left,
      crc,
      wantedCrc,
    };
    return null;
  }

  /** A frame that began in #begin() is complete. */
  #came({ header, crc, wantedCrc, target, targetAt }: Coming): Refusal | null {
    this.#coming = null;
    if (crc !== wantedCrc) return this.#damaged();
    if (header.flags === flagPing) return null;
    if (header.flags === whole) {
      this.#hand(target.subarray(0, targetAt), header.headLength);
      return null;
    }
    const partial = this.#partials.get(header.packet);
    if (partial !== undefined) partial.filled = targetAt;
    if ((header.flags & flagLast) === 0) return null;
    this.#partials.delete(header.packet);
    this.#partialBytes -= header.packetLength;
    this.#hand(target.subarray(0, header.packetLength), header.headLength);
    if (target.length <= spareBytesMax) this.#spare = target;
    return null;
  }

  #headerRefusal(bytes: Uint8Array, at: number, header: FrameHeader): Refusal | null {
    const fault = headerFault(bytes, at);
    if (fault !== null) return this.#refuse(fault);
    const wanted = (this.#sequence + 1) >>> 0;
    if (header.sequence !== wanted)
      return this.#refuse(`frame ${wanted} is wanted, got ${header.sequence}`);
    this.#sequence = wanted;
    const { packetLength, headLength, payloadLength, flags } = header;
    const headMax = Math.min(packetLength, limits.packetHeadBytesMax);
    if (headLength > headMax)
      return this.#refuse(`a head of at most ${headMax} bytes is wanted, got ${headLength}`);
    if ((flags === whole || flags === flagPing) && payloadLength !== packetLength)
      return this.#refuse(`packet of ${packetLength} bytes came with ${payloadLength}`);
    return null;
  }

  /** The packet to which a fragment belongs, begun when it is the first. */
  #partialOf(header: FrameHeader): Partial | Refusal {
    const { packet, packetLength, headLength, payloadLength, flags } = header;
    const refused = (flags & flagFirst) === 0 ? null : this.#newPartial(header);
    if (refused !== null) return refused;
    const partial = this.#partials.get(packet);
    if (partial === undefined) return this.#refuse(`packet ${packet} goes on but never began`);
    if (partial.length !== packetLength || partial.headLength !== headLength)
      return this.#refuse(`packet ${packet} changed its length`);
    const filled = partial.filled + payloadLength;
    const isLast = (flags & flagLast) !== 0;
    if (filled > packetLength || isLast !== (filled === packetLength) || payloadLength === 0)
      return this.#refuse(`packet ${packet} of ${packetLength} bytes came with ${filled}`);
    return partial;
  }

  #newPartial({ packet, packetLength, headLength }: FrameHeader): Refusal | null {
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
    const bytes = this.#memoryFor(packetLength);
    this.#partials.set(packet, { bytes, length: packetLength, headLength, filled: 0 });
    return null;
  }

  /** At least `length` bytes: fresh memory costs more than the copy into it. */
  #memoryFor(length: number): Uint8Array {
    const spare = this.#spare;
    if (spare === null || spare.length < length)
      return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    this.#spare = null;
    return spare;
  }

  #hand(bytes: Uint8Array, headLength: number): void {
    this.#options.onPacket(bytes.subarray(0, headLength), bytes.subarray(headLength));
  }

  #damaged(): Refusal {
    return this.#refuse("its checksum does not match: it is damaged, or of another stream");
  }

  #refuse(why: string): Refusal {
    return refuse("corrupt_message", `Cannot read lane ${this.#options.name}: ${why}`);
  }
}
