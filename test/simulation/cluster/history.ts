// What clients did and heard, checked as they go: appends are linearizable, reads are never wrong, and stale only where
// that was asked for.
//
//   append   [sent ......... acknowledged at offset]     its offset lies behind everything that anybody had seen before
//   read     [asked .... answered up to hw]              linearizable: hw covers everything seen before it was asked
//
// A value is sent by one append (or its retries, which carry a sequence or a key). Promise: O(1) a record; an offset has
// one value and a value one offset for ever; what was refused without effects never shows up. acks=leader promises
// nothing about the offset once the leader is gone. Left to others: the clients (client.ts), the whole log at the end
// (checkLog, called by cluster.ts for each replica).

import type { AppendOutcome } from "../../../src/partition/append.ts";
import { recordsIn } from "../../partition/batches.ts";
import { Violation } from "./violation.ts";

/** These never happen to clients that behave: an earlier try was forgotten, or counted twice. */
const neverRight: ReadonlySet<string> = new Set([
  "invalid_producer_epoch",
  "idempotency_key_reused",
  "invalid_record",
  "corrupt_message",
  "unknown_server_error",
]);

interface Value {
  /** -1 until known for certain. */
  offset: number;
  /** Tries that may have had an effect. */
  tries: number;
  /** Offsets that were seen when it was first sent: its own lies behind. */
  readonly floor: number;
}

export interface Read {
  readonly mode: "local" | "leader" | "linearizable";
  readonly offset: number;
  readonly highWatermark: number;
  readonly batches: readonly Uint8Array[];
  /** What linearizable means: seenEnd() when it was asked. */
  readonly floor: number;
}

export class History {
  readonly groupId: string;
  acknowledged = 0;
  reads = 0;
  readonly #values = new Map<string, Value>();
  readonly #at = new Map<number, string>();
  #seenEnd = 0;
  /** A successful deletion moved the log start at least here. */
  #startMin = 0;
  /** Some deletion may have moved it up to here. */
  #startMax = 0;

  constructor(groupId: string) {
    this.groupId = groupId;
  }

  /** Everything below was seen by some client, so it is there for good. */
  get seenEnd(): number {
    return this.#seenEnd;
  }

  sent(values: readonly string[]): void {
    for (const value of values) {
      const known = this.#values.get(value);
      if (known === undefined) {
        this.#values.set(value, { offset: -1, tries: 1, floor: this.#seenEnd });
      } else known.tries += 1;
    }
  }

  /** `durable`: the answer came after the commit (acks=all). */
  heard(values: readonly string[], outcome: AppendOutcome, durable: boolean): void {
    if (!outcome.ok) {
      if (neverRight.has(outcome.code))
        this.#wrong("client errors", `${outcome.code}: ${outcome.detail}`);
      if (outcome.sideEffects === "none") for (const v of values) this.#values.get(v)!.tries -= 1;
      return;
    }
    if (!durable) return;
    this.acknowledged += values.length;
    values.forEach((value, i) => this.#place(value, outcome.baseOffset + i));
    this.#seenEnd = Math.max(this.#seenEnd, outcome.baseOffset + values.length);
  }

  deleting(before: number): void {
    this.#startMax = Math.max(this.#startMax, before);
  }

  deleted(before: number): void {
    this.#startMin = Math.max(this.#startMin, before);
  }

  read(read: Read): void {
    this.reads += 1;
    const { mode, offset, highWatermark, floor } = read;
    if (mode === "linearizable" && highWatermark < floor) {
      this.#wrong(
        "stale reads",
        `a linearizable read ended at ${highWatermark}, seen before was ${floor}`,
      );
    }
    const records = recordsIn(read.batches).map(parse);
    if (records.length === 0) {
      if (offset < highWatermark) this.#wrong("holes", `nothing was read at ${offset}`);
      return;
    }
    const first = records[0].offset;
    if (first > offset) this.#wrong("holes", `read at ${offset} began at ${first}`);
    records.forEach((record, i) => {
      if (record.offset !== first + i) this.#wrong("holes", `nothing at ${first + i}`);
      if (record.offset < highWatermark) this.#place(record.value, record.offset);
    });
    this.#seenEnd = Math.max(this.#seenEnd, Math.min(highWatermark, records.at(-1)!.offset + 1));
  }

  /** The whole log of one replica, while no client is at work. */
  checkLog(log: {
    readonly who: string;
    readonly logStartOffset: number;
    readonly highWatermark: number;
    readonly records: readonly string[];
  }): void {
    const { who, logStartOffset, highWatermark } = log;
    if (highWatermark < this.#seenEnd) {
      this.#wrong("lost records", `${who} ends at ${highWatermark}, seen were ${this.#seenEnd}`);
    }
    if (logStartOffset < this.#startMin || logStartOffset > this.#startMax) {
      const wanted = `${this.#startMin} to ${this.#startMax}`;
      this.#wrong("log start", `${who} starts at ${logStartOffset}, wanted ${wanted}`);
    }
    const records = log.records.map(parse).filter((record) => record.offset >= logStartOffset);
    if (records.length !== highWatermark - logStartOffset) {
      const range = `${logStartOffset} to ${highWatermark}`;
      this.#wrong("holes", `${who} has ${records.length} records in ${range}`);
    }
    const found = new Set<string>();
    records.forEach((record, i) => {
      if (record.offset !== logStartOffset + i)
        this.#wrong("holes", `${who}: ${logStartOffset + i}`);
      found.add(record.value);
      this.#place(record.value, record.offset);
    });
    for (const [value, { offset }] of this.#values) {
      if (offset >= logStartOffset && !found.has(value)) {
        this.#wrong("lost records", `${who}: ${short(value)} is not at ${offset}`);
      }
    }
  }

  #place(value: string, offset: number): void {
    const known = this.#values.get(value);
    if (known === undefined) return this.#wrong("invented records", `${short(value)} at ${offset}`);
    if (known.offset === offset) return;
    if (known.offset >= 0) {
      this.#wrong("moved records", `${short(value)} at ${offset}, was at ${known.offset}`);
    }
    if (known.tries === 0) this.#wrong("refused records", `${short(value)} is at ${offset}`);
    const other = this.#at.get(offset);
    if (other !== undefined) {
      this.#wrong("moved records", `${short(value)} at ${offset}, where ${short(other)} was`);
    }
    if (offset < known.floor) {
      this.#wrong(
        "append order",
        `${short(value)} at ${offset}, sent after ${known.floor} was seen`,
      );
    }
    known.offset = offset;
    this.#at.set(offset, value);
  }

  #wrong(invariant: string, detail: string): void {
    throw new Violation(invariant, `${this.groupId}: ${detail}`);
  }
}

function parse(record: string): { readonly offset: number; readonly value: string } {
  const at = record.indexOf(":");
  return { offset: Number(record.slice(0, at)), value: record.slice(at + 1) };
}

const short = (value: string): string => value.slice(0, 20);
