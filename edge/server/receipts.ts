// Receipts: where a record went, as JSON text; and ranges of them for those who want no line a record.

import type { Appended } from "../../src/broker/broker.ts";
import type { RecordInput } from "./record-json.ts";

export function receiptText(partition: number, offset: number, timestamp: number): string {
  return `{"partition":${partition},"offset":${offset},"timestamp":${timestamp}}`;
}

/** A replay says what the first answer said: then the clock stamped all records that brought no timestamp alike, and
 *  unless others of the batch are dated into the future, that stamp is the batch's largest. */
export function timestampOf(appended: Appended, record: RecordInput): number {
  const { logAppendTime, duplicate, maxTimestamp } = appended;
  if (logAppendTime >= 0) return logAppendTime;
  return duplicate && !record.dated ? (maxTimestamp ?? record.timestamp) : record.timestamp;
}

interface Range {
  readonly firstOffset: number;
  lastOffset: number;
  count: number;
}

/** One range a partition, however many records: the first and the last offset, and how many of those between are meant.
 *  Less than all of them means that others wrote there too. */
export class ReceiptRanges {
  readonly #ranges = new Map<number, Range>();

  add(partition: number, offset: number): void {
    const range = this.#ranges.get(partition);
    if (range === undefined) {
      this.#ranges.set(partition, { firstOffset: offset, lastOffset: offset, count: 1 });
      return;
    }
    range.lastOffset = offset;
    range.count++;
  }

  /** In order of partition, joined by commas. */
  texts(): string {
    const sorted = [...this.#ranges].sort(([a], [b]) => a - b);
    return sorted.map(([partition, range]) => JSON.stringify({ partition, ...range })).join(",");
  }
}
