// A beat: what one node tells another every 150 ms, whatever else happens, on the control lane.
//
//   | packet kind | flags | boot | sequence | echo's boot | echo's sequence | led: count, sum a, sum b | flush age | stall |
//
// It stands for the heartbeats of all replicas that the sender leads and the receiver hosts (leaderships.ts: the sums),
// and echoes the receiver's own last beat, so that each side knows whether it is heard. Promise: under 80 bytes, however
// many replicas there are; what is read back equals what was written; anything else is refused. Left to others: what
// follows from it (liveness.ts).

import { VarintReader, writeVarlong } from "../../bytes/varint.ts";
import { packetKinds } from "../wire/packet-kinds.ts";
import { malformed, type PacketRefusal } from "../wire/packet-refusal.ts";

/** Sum over a set of leaderships; two equal ones stand for equal sets (64 bits of hash and the count). */
export interface LedSum {
  readonly count: number;
  /** Unsigned 32-bit. */
  readonly a: number;
  readonly b: number;
}

export interface Beat {
  /** Random number of the sender's process: another one is another start. */
  readonly bootId: number;
  /** Counts the sender's beats, from 1. */
  readonly sequence: number;
  /** The last beat of the receiver that the sender heard: 0, 0 before the first. */
  readonly echoBootId: number;
  readonly echoSequence: number;
  /** Replicas that the sender leads and the receiver hosts. */
  readonly led: LedSum;
  /** The sender can lead: its disk takes writes, and its appends reach a majority. */
  readonly healthy: boolean;
  /** Age of the sender's oldest flush, ms. */
  readonly oldestFlushMs: number;
  /** How long the sender's oldest append to the receiver waits, ms. */
  readonly appendStalledMs: number;
}

const healthyFlag = 1;
const beatBytesMax = 2 + 9 * 10;

/** Owned by the caller. */
export function encodeBeat(beat: Beat): Uint8Array {
  const bytes = new Uint8Array(beatBytesMax);
  bytes[0] = packetKinds.beat;
  bytes[1] = beat.healthy ? healthyFlag : 0;
  let end = 2;
  for (const value of [
    beat.bootId,
    beat.sequence,
    beat.echoBootId,
    beat.echoSequence,
    beat.led.count,
    beat.led.a,
    beat.led.b,
    Math.round(beat.oldestFlushMs),
    Math.round(beat.appendStalledMs),
  ]) {
    end = writeVarlong(bytes, end, value);
  }
  return bytes.slice(0, end);
}

export function decodeBeat(head: Uint8Array): ({ readonly ok: true } & Beat) | PacketRefusal {
  if (head.length < 2 || head[0] !== packetKinds.beat || head[1] > healthyFlag) {
    return malformed("beat");
  }
  const reader = new VarintReader(head, 2);
  const beat = {
    ok: true,
    bootId: reader.varlong(),
    sequence: reader.varlong(),
    echoBootId: reader.varlong(),
    echoSequence: reader.varlong(),
    led: { count: reader.varlong(), a: reader.varlong(), b: reader.varlong() },
    healthy: head[1] === healthyFlag,
    oldestFlushMs: reader.varlong(),
    appendStalledMs: reader.varlong(),
  } as const;
  const { bootId, sequence, echoBootId, echoSequence, led, oldestFlushMs, appendStalledMs } = beat;
  const least = Math.min(echoBootId, echoSequence, led.count, oldestFlushMs, appendStalledMs);
  const cut = reader.failed || reader.at !== head.length;
  if (cut || least < 0 || bootId < 1 || sequence < 1 || !isSum(led)) return malformed("beat");
  return beat;
}

function isSum({ a, b }: LedSum): boolean {
  return a >= 0 && b >= 0 && a <= 0xffff_ffff && b <= 0xffff_ffff;
}
