// Records out of lines: batches of what has come, each line with its number.
//
// Promise: lines are read in order and one at a time; the first that is not one record ends it, with what came before it
// intact; blank lines are passed over and counted. Left to others: which topic, which partition (ndjson-write.ts).

import { decodeUtf8 } from "../../src/bytes/unicode.ts";
import { refuse, type Refusal } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { batchBytes } from "../../src/records/batch-builder.ts";
import type { LineIntake } from "./ndjson-intake.ts";
import { parseRecord, type RecordInput } from "./record-json.ts";

export interface LineBatch {
  readonly records: readonly RecordInput[];
  /** Number of each record's line, from 1. */
  readonly lines: readonly number[];
  /** "more": ask again. "end": the body is over. A refusal: of line `line`, behind the records. */
  readonly follows: "more" | "end" | Refusal;
  readonly line: number;
}

/** A record in a batch costs no more than alone: its distances from the first one are longer numbers. */
const distanceBytes = 16;

export class LineRecords {
  readonly #intake: LineIntake;
  #texts: readonly (string | null)[] = [];
  #at = 0;
  #line = 0;

  constructor(intake: LineIntake) {
    this.#intake = intake;
  }

  /** Lines that were read, the blank ones included. */
  get line(): number {
    return this.#line;
  }

  /** Waits for the first line that is not blank: null when it is a record, "end" when there is none. */
  async first(): Promise<"end" | Refusal | null> {
    const state = await this.#here();
    if (state !== null) return state;
    const parsed = parseLine(this.#texts[this.#at]);
    return parsed.ok ? null : parsed;
  }

  /** The records that are here, at most `bytesMax` as one batch. */
  async next(bytesMax: number): Promise<LineBatch> {
    const records: RecordInput[] = [];
    const lines: number[] = [];
    const cut = (follows: LineBatch["follows"]): LineBatch => ({
      records,
      lines,
      follows,
      line: this.#line + 1,
    });
    const state = await this.#here();
    if (state !== null) return cut(state);
    let bytes = 0;
    for (; this.#at < this.#texts.length; this.#pass()) {
      const text = this.#texts[this.#at];
      if (text !== null && isBlank(text)) continue;
      const parsed = parseLine(text);
      if (!parsed.ok) return cut(parsed);
      const alone = batchBytes([parsed.record]);
      if (alone > bytesMax) return cut(tooLarge(alone, bytesMax));
      bytes += alone + distanceBytes;
      const full = bytes > bytesMax || records.length >= limits.recordsPerRequestMax;
      if (full && records.length > 0) return cut("more");
      records.push(parsed.record);
      lines.push(this.#line + 1);
    }
    return cut("more");
  }

  #pass(): void {
    this.#at++;
    this.#line++;
  }

  /** Waits until a line that is not blank stands next; "end" or why there is none. */
  async #here(): Promise<"end" | Refusal | null> {
    for (;;) {
      for (; this.#at < this.#texts.length; this.#pass()) {
        const text = this.#texts[this.#at];
        if (text === null || !isBlank(text)) return null;
      }
      const block = await this.#intake.next();
      if (block === null) return "end";
      if (!(block instanceof Uint8Array)) return block;
      this.#texts = linesOf(block);
      this.#at = 0;
    }
  }
}

function isBlank(text: string): boolean {
  return !(text.charCodeAt(0) > 0x20) && text.trim() === "";
}

function parseLine(
  text: string | null,
): { readonly ok: true; readonly record: RecordInput } | Refusal {
  if (text === null) return refuse("invalid_request", "The line is not valid UTF-8");
  return parseRecord(text);
}

function tooLarge(bytes: number, bytesMax: number): Refusal {
  const detail = `Cannot append a record of ${bytes} bytes as a batch: max.message.bytes is ${bytesMax}`;
  return refuse("message_too_large", detail);
}

const newline = 0x0a;

/** Line by line; null for one that is not UTF-8. The usual case decodes the block at once. */
function linesOf(block: Uint8Array): readonly (string | null)[] {
  const ended = block.at(-1) === newline;
  const text = decodeUtf8(ended ? block.subarray(0, -1) : block);
  if (text !== null) return text.split("\n");
  const lines: (string | null)[] = [];
  for (let start = 0; start < block.length;) {
    const found = block.indexOf(newline, start);
    const end = found < 0 ? block.length : found;
    lines.push(decodeUtf8(block.subarray(start, end)));
    start = end + 1;
  }
  return lines;
}
