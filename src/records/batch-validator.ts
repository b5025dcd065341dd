// What a client may append: one whole batch that Kafka's own broker would take, checked before it reaches the log.
//
// Promise: a validated batch can be read by every Kafka client, its counts and offsets are dense, its largest timestamp
// is known; whatever the bytes are, the answer is a refusal or the facts, in time and memory bounded by the bytes and
// by decodedBytesMax. The bytes are not changed. Left to others: producer sequences, topic and leadership, the stamps
// (batch-layout).
//
// Stricter than Kafka 4.3 in what no client sends and readers trip over: attribute bits without a meaning, lengths below
// -1, offset deltas that are not 0 to n - 1 (Kafka writes such a batch anew), trailing bytes, timestamps beyond 2^53,
// more headers on a record than either door shows (limits.headersPerRecordMax).
// Source: Kafka 4.3, LogValidator, UnifiedLog.analyzeAndValidateRecords, ProduceRequest.validateRecords.

import { refuse, type Refusal } from "../errors.ts";
import { limits } from "../limits.ts";
import { attribute, checkBatch, type BatchHeader, type TimestampType } from "./batch-layout.ts";
import { openInspected, type RecordCursor } from "./record-iterator.ts";

/** What topic and node allow. */
export interface BatchRules {
  /** max.message.bytes: the batch as stored, header included. */
  readonly maxMessageBytes: number;
  /** Records section after decompression. */
  readonly decodedBytesMax: number;
  /** message.timestamp.type of the topic. */
  readonly timestampType: TimestampType;
  /** Wall clock, ms. */
  readonly now: number;
  /** message.timestamp.before.max.ms; Infinity: no limit. */
  readonly timestampBeforeMaxMs: number;
  /** message.timestamp.after.max.ms; Infinity: no limit. */
  readonly timestampAfterMaxMs: number;
  /** cleanup.policy has compact: every record needs a key. */
  readonly compacted: boolean;
}

export interface ValidBatch {
  readonly ok: true;
  readonly header: BatchHeader;
  /** The largest timestamp that the records have, -1 for none. Differs from the header's when the client was wrong:
   *  stampMaxTimestamp then sets it (a LogAppendTime topic stamps its own). */
  readonly maxTimestamp: number;
}

/** One record's error, as Kafka tells it (KIP-467). */
export interface RecordError {
  /** Place in the batch, from 0. */
  readonly index: number;
  readonly detail: string;
}

/** Record errors that are told one by one; the detail says how many there are. */
const recordErrorsMax = 100;

/** Validates the one batch that fills bytes. Refuses: `message_too_large` (stored or decompressed), `corrupt_message`
 *  (header, CRC), `unsupported_compression_type`, `invalid_timestamp`, `invalid_record` (everything else). When single
 *  records are at fault, members.recordErrors lists them ({index, detail}). Cost: one CRC and one walk. */
export function validateBatch(bytes: Uint8Array, rules: BatchRules): ValidBatch | Refusal {
  // The size comes first, so that nothing is summed or decompressed for a batch that is too large anyway.
  if (bytes.length > rules.maxMessageBytes) return refuseSize(bytes.length, rules);
  const header = checkBatch(bytes);
  if (!header.ok) return header;
  const wrong = clientProblem(header, bytes.length);
  if (wrong !== null) return refuse("invalid_record", `Cannot append batch: ${wrong}`);
  if (header.timestampType === "LogAppendTime") {
    const detail = "Cannot append batch: CreateTime is wanted, the producer has set LogAppendTime";
    return refuse("invalid_timestamp", detail);
  }
  const cursor = openInspected(bytes, header, rules);
  return cursor.ok ? walkRecords(cursor, rules) : cursor;
}

function refuseSize(found: number, rules: BatchRules): Refusal {
  const detail = `Cannot append batch: at most ${rules.maxMessageBytes} bytes are wanted, got ${found}`;
  return refuse("message_too_large", detail, {
    members: { maxMessageBytes: rules.maxMessageBytes },
  });
}

/** What a header must not say when it comes from a client, as text, or null. */
function clientProblem(header: BatchHeader, length: number): string | null {
  const { recordCount, lastOffsetDelta, producerId, baseSequence } = header;
  if (header.totalBytes !== length) {
    return `one batch of ${length} bytes is wanted, the first one ends at ${header.totalBytes}`;
  }
  if (header.baseOffset !== 0) return `base offset 0 is wanted, got ${header.baseOffset}`;
  if (recordCount === 0) return "at least one record is wanted, got none";
  if (recordCount !== lastOffsetDelta + 1) {
    return `last offset delta must be ${recordCount - 1} for ${recordCount} records, got ${lastOffsetDelta}`;
  }
  if (header.control) return "control records are not for clients";
  if (header.attributes >= attribute.deleteHorizon) {
    return `attribute bits 6 to 15 must be 0, got ${header.attributes}`;
  }
  return producerProblem(producerId, baseSequence, header);
}

function producerProblem(id: number, sequence: number, header: BatchHeader): string | null {
  if (id < 0) {
    if (id === -1) return header.transactional ? "a transaction needs a producer id, got -1" : null;
    return `producer id -1 or more is wanted, got ${id}`;
  }
  if (sequence < 0) return `base sequence 0 or more is wanted for producer ${id}, got ${sequence}`;
  if (header.producerEpoch < 0)
    return `an epoch is wanted for producer ${id}, got ${header.producerEpoch}`;
  return null;
}

function walkRecords(cursor: RecordCursor, rules: BatchRules): ValidBatch | Refusal {
  const judge = new RecordJudge(rules);
  let maxTimestamp = -1;
  for (let index = 0; cursor.advance(); index++) {
    if (cursor.offsetDelta !== index) {
      const detail = `Cannot append batch: offset delta ${index} is wanted, got ${cursor.offsetDelta}`;
      return refuse("invalid_record", detail);
    }
    judge.judge(index, cursor);
    if (cursor.timestamp > maxTimestamp) maxTimestamp = cursor.timestamp;
  }
  if (cursor.problem !== null) {
    return refuse("invalid_record", `Cannot append batch: ${cursor.problem}`);
  }
  return judge.refusal() ?? { ok: true, header: cursor.batch, maxTimestamp };
}

/** Gathers what is wrong with single records; one refusal speaks for all, a wrong timestamp before the rest. */
class RecordJudge {
  readonly #rules: BatchRules;
  readonly #told: RecordError[] = [];
  #count = 0;
  #timestamps = 0;

  constructor(rules: BatchRules) {
    this.#rules = rules;
  }

  /** The record on which the cursor stands. */
  judge(index: number, record: RecordCursor): void {
    const { compacted, timestampType } = this.#rules;
    if (compacted && record.keyLength < 0) {
      this.#add("invalid_record", index, "A record of a compacted topic needs a key");
    } else if (record.headerCount > limits.headersPerRecordMax) {
      const detail = `At most ${limits.headersPerRecordMax} headers are wanted, got ${record.headerCount}`;
      this.#add("invalid_record", index, detail);
    } else if (timestampType === "CreateTime") {
      const fault = timestampFault(record.timestamp, this.#rules);
      if (fault !== null) this.#add("invalid_timestamp", index, fault);
    }
  }

  #add(code: "invalid_record" | "invalid_timestamp", index: number, detail: string): void {
    this.#count++;
    if (code === "invalid_timestamp") this.#timestamps++;
    if (this.#told.length < recordErrorsMax) this.#told.push({ index, detail });
  }

  refusal(): Refusal | null {
    const first = this.#told[0];
    if (first === undefined) return null;
    const code = this.#timestamps > 0 ? "invalid_timestamp" : "invalid_record";
    const detail = `Cannot append batch: ${this.#count} of its records are invalid, the first is record ${first.index}: ${first.detail}`;
    return refuse(code, detail, { members: { recordErrors: this.#told } });
  }
}

export type TimestampRules = Pick<
  BatchRules,
  "now" | "timestampBeforeMaxMs" | "timestampAfterMaxMs"
>;

/** Why a record of a CreateTime topic may not have this timestamp, or null. -1 says that it has none: exempt. */
export function timestampFault(timestamp: number, rules: TimestampRules): string | null {
  if (timestamp === -1) return null;
  const { now, timestampBeforeMaxMs, timestampAfterMaxMs } = rules;
  if (timestamp > now + timestampAfterMaxMs) {
    return `Timestamp ${now + timestampAfterMaxMs} at most is wanted (message.timestamp.after.max.ms is ${timestampAfterMaxMs}), got ${timestamp}`;
  }
  if (now - timestamp <= timestampBeforeMaxMs) return null;
  return `Timestamp ${now - timestampBeforeMaxMs} at least is wanted (message.timestamp.before.max.ms is ${timestampBeforeMaxMs}), got ${timestamp}`;
}
