// The sending half of a lane: a queue of packets, cut into frames, written together once a turn, and never more
// outstanding than the window.
//
//   push() -> | fifo of whole packets | -> frames -> chunk -> write()        acked(n) frees the window and the chunks
//             | open: long packets, a fragment at a time, in turn |
//
// Promise: packets of one flow leave in order. A long packet lets those of other flows pass between its fragments, the
// short ones never pass each other. release() once a packet's bytes are in a chunk, or dropped. Costs: a copy of each
// byte, one checksum a frame, one write a chunk or a turn. Left to others: the connection, and what is done when it stalls.

import { assert } from "../assert.ts";
import { crc32c } from "../bytes/crc32c.ts";
import { limits } from "../limits.ts";
import { chunkBytes, type ChunkPool } from "./chunk-pool.ts";
import {
  flagFirst,
  flagLast,
  flagPing,
  frameHeaderBytes,
  headerChecksum,
  putFrameChecksum,
  putFrameHeader,
} from "./frame.ts";
import type { OutPacket } from "./transport.ts";

export interface LaneSenderOptions {
  /** Of every frame's checksum. */
  readonly seed: number;
  readonly pool: ChunkPool;
  readonly now: () => number;
  readonly defer: (fn: () => void) => void;
  /** Takes bytes that stay as they are until they are acknowledged. */
  readonly write: (bytes: Uint8Array) => void;
  /** Default limits.laneWindowBytes. */
  readonly windowBytes?: number;
}

/** A packet on its way, and how far it is. */
interface Sending {
  readonly packet: OutPacket;
  readonly number: number;
  readonly bytes: number;
  sent: number;
  /** The piece from which the next byte comes (0: the head), and where in it. */
  piece: number;
  pieceAt: number;
}

/** Bytes handed to the connection by one write. */
interface Written {
  /** Count of the lane's bytes up to its end. */
  readonly end: number;
  readonly at: number;
  /** A chunk that nobody writes into any more and that ends here. */
  chunk: Uint8Array | null;
}

/** A lane fills no more than this in one turn: a full window of bulk would keep a beat waiting for milliseconds. */
const turnBytesMax = 128 * 1024;

export class LaneSender {
  readonly #options: LaneSenderOptions;
  readonly #windowBytes: number;
  #fifo: Sending[] = [];
  #fifoAt = 0;
  readonly #open: Sending[] = [];
  #openTurn = false;
  #packets = 0;
  #sequence = 0;
  #queuedBytes = 0;
  #scheduled = false;
  #closed = false;
  #pingWanted = false;
  /** The chunk being filled: [emitted, filled) is yet to be written. */
  #chunk: Uint8Array | null = null;
  #emitted = 0;
  #filled = 0;
  #written: Written[] = [];
  #writtenAt = 0;
  #sentBytes = 0;
  #ackedBytes = 0;
  #ackedAt = 0;

  constructor(options: LaneSenderOptions) {
    this.#options = options;
    this.#windowBytes = options.windowBytes ?? limits.laneWindowBytes;
  }

  /** Bytes of packets that wait, those that have begun to leave included. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Bytes that have left and are not acknowledged. */
  get outstandingBytes(): number {
    return this.#sentBytes - this.#ackedBytes;
  }

  get sentBytes(): number {
    return this.#sentBytes;
  }

  get room(): number {
    return limits.laneQueueBytesMax - this.#queuedBytes;
  }

  /** How long the oldest unacknowledged byte is under way, ms. */
  get waitingMs(): number {
    const oldest = this.#written[this.#writtenAt];
    return oldest === undefined ? 0 : this.#options.now() - oldest.at;
  }

  /** How long nothing was acknowledged although something is under way, ms. */
  get stalledMs(): number {
    return Math.min(this.waitingMs, this.#options.now() - this.#ackedAt);
  }

  /** How long nothing has left, ms. */
  get silentMs(): number {
    const latest = this.#written.at(-1)?.at ?? this.#ackedAt;
    return this.#options.now() - latest;
  }

  /** Queues a packet of `bytes` bytes for which there is room. */
  push(packet: OutPacket, bytes: number): void {
    assert(!this.#closed && bytes <= this.room, "A packet is pushed where there is room");
    const number = (this.#packets = (this.#packets + 1) >>> 0);
    this.#fifo.push({ packet, number, bytes, sent: 0, piece: 0, pieceAt: 0 });
    this.#queuedBytes += bytes;
    this.#schedule();
  }

  /** Asks for an acknowledgement unless one is awaited. */
  ping(): void {
    if (this.#closed || this.outstandingBytes > 0) return;
    this.#pingWanted = true;
    this.#schedule();
  }

  /** The peer has taken this many bytes of the lane. False: more than were sent, or fewer than it said before. */
  acked(bytes: number): boolean {
    if (!(bytes >= this.#ackedBytes && bytes <= this.#sentBytes)) return false;
    if (bytes > this.#ackedBytes) this.#ackedAt = this.#options.now();
    this.#ackedBytes = bytes;
    while (this.#writtenAt < this.#written.length && this.#written[this.#writtenAt].end <= bytes) {
      const { chunk } = this.#written[this.#writtenAt];
      this.#writtenAt += 1;
      if (chunk !== null) this.#options.pool.give(chunk);
    }
    if (this.#writtenAt === this.#written.length || this.#writtenAt > 1_000) {
      this.#written = this.#written.slice(this.#writtenAt);
      this.#writtenAt = 0;
    }
    if (this.#hasFrames()) this.#schedule();
    return true;
  }

  /** The connection is gone: everything that waits is released. Its chunks are left to the collector: the connection
   *  may still be reading them. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const waiting = [...this.#open, ...this.#fifo.slice(this.#fifoAt)];
    this.#open.length = 0;
    this.#fifo = [];
    this.#fifoAt = 0;
    this.#queuedBytes = 0;
    for (const { packet } of waiting) packet.release?.();
  }

  /** At the end of the turn, so that what one turn sends goes out in one write. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.defer(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const turnEnd = this.#sentBytes + turnBytesMax;
    while (!this.#closed && this.#hasFrames() && this.outstandingBytes < this.#windowBytes) {
      if (this.#sentBytes >= turnEnd) {
        this.#schedule();
        break;
      }
      this.#sendFrame(this.#next());
    }
    if (this.#pingWanted && !this.#closed) {
      this.#pingWanted = false;
      if (this.outstandingBytes === 0) this.#frame(flagPing, 0, null);
    }
    this.#emit();
  }

  #hasFrames(): boolean {
    return this.#fifoAt < this.#fifo.length || this.#open.length > 0;
  }

  /** Whose frame comes next: long packets and the queue take turns. */
  #next(): Sending {
    const first = this.#fifo[this.#fifoAt] as Sending | undefined;
    const blocked =
      first === undefined ||
      this.#open.length >= limits.openPacketsMax ||
      this.#open.some(({ packet }) => packet.flow === first.packet.flow);
    this.#openTurn = blocked || (this.#open.length > 0 && !this.#openTurn);
    if (this.#openTurn) {
      const open = this.#open.shift();
      assert(open !== undefined, "What blocks the queue is a packet that is open");
      return open;
    }
    this.#fifoAt += 1;
    if (this.#fifoAt === this.#fifo.length || this.#fifoAt > 1_000) {
      this.#fifo = this.#fifo.slice(this.#fifoAt);
      this.#fifoAt = 0;
    }
    assert(first !== undefined, "A queue that is not blocked has a first packet");
    return first;
  }

  #sendFrame(sending: Sending): void {
    const length = Math.min(limits.fragmentBytesMax, sending.bytes - sending.sent);
    const first = sending.sent === 0;
    const last = sending.sent + length === sending.bytes;
    this.#frame((first ? flagFirst : 0) | (last ? flagLast : 0), length, sending);
    if (!last) {
      this.#open.push(sending);
      return;
    }
    this.#queuedBytes -= sending.bytes;
    sending.packet.release?.();
  }

  #frame(flags: number, payloadLength: number, sending: Sending | null): void {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const whole = frameHeaderBytes + payloadLength;
    this.#makeRoom(Math.min(whole, chunkBytes) <= chunkBytes / 2 ? whole : frameHeaderBytes);
    const chunk = this.#chunk as unknown as Uint8Array;
    const at = this.#filled;
    putFrameHeader(chunk, at, {
      flags,
      payloadLength,
      sequence: this.#sequence,
      packet: sending?.number ?? 0,
      headLength: sending?.packet.head.length ?? 0,
      packetLength: sending?.bytes ?? 0,
    });
    this.#filled += frameHeaderBytes;
    const { seed } = this.#options;
    if (at + whole <= chunkBytes) {
      if (sending !== null) this.#copy(sending, payloadLength);
      putFrameChecksum(chunk, at, crc32c(chunk.subarray(at + 4, at + whole), seed));
      return;
    }
    // The payload spans chunks, and its first may leave before the last is filled: the checksum goes ahead.
    assert(sending !== null, "A ping fits into a chunk");
    const crc = headerChecksum(chunk, at, seed);
    putFrameChecksum(chunk, at, checksumAhead(sending, payloadLength, crc));
    this.#copy(sending, payloadLength);
  }

  /** Copies the next `length` bytes of a packet into chunks. */
  #copy(sending: Sending, length: number): void {
    let left = length;
    while (left > 0) {
      const piece = pieceOf(sending.packet, sending.piece);
      const available = piece.length - sending.pieceAt;
      if (available === 0) {
        sending.piece += 1;
        sending.pieceAt = 0;
        continue;
      }
      if (this.#filled === chunkBytes) this.#makeRoom(1);
      const count = Math.min(left, available, chunkBytes - this.#filled);
      const from = sending.pieceAt;
      const part = count === piece.length ? piece : piece.subarray(from, from + count);
      (this.#chunk as unknown as Uint8Array).set(part, this.#filled);
      this.#filled += count;
      sending.pieceAt += count;
      left -= count;
    }
    sending.sent += length;
  }

  /** A chunk with `bytes` left; the former leaves. */
  #makeRoom(bytes: number): void {
    if (this.#chunk !== null && chunkBytes - this.#filled >= bytes) return;
    this.#emit();
    const latest = this.#written.at(-1);
    // Nothing of it is under way any more when its last write is acknowledged already.
    if (this.#chunk !== null) {
      if (latest === undefined || latest.end <= this.#ackedBytes)
        this.#options.pool.give(this.#chunk);
      else latest.chunk = this.#chunk;
    }
    this.#chunk = this.#options.pool.take();
    this.#emitted = 0;
    this.#filled = 0;
  }

  #emit(): void {
    if (this.#closed || this.#chunk === null || this.#emitted === this.#filled) return;
    const bytes = this.#chunk.subarray(this.#emitted, this.#filled);
    this.#emitted = this.#filled;
    if (this.outstandingBytes === 0) this.#ackedAt = this.#options.now();
    this.#sentBytes += bytes.length;
    this.#written.push({ end: this.#sentBytes, at: this.#options.now(), chunk: null });
    this.#options.write(bytes);
  }
}

function pieceOf({ head, body }: OutPacket, piece: number): Uint8Array {
  return piece === 0 ? head : body[piece - 1];
}

/** CRC of the next `length` bytes of a packet, which stay where they are. */
function checksumAhead(sending: Sending, length: number, crc: number): number {
  let { piece, pieceAt } = sending;
  let sum = crc;
  for (let left = length; left > 0; piece += 1, pieceAt = 0) {
    const part = pieceOf(sending.packet, piece).subarray(pieceAt, pieceAt + left);
    if (part.length > 0) sum = crc32c(part, sum);
    left -= part.length;
  }
  return sum;
}
