// What the clients of a simulation were told, and what must therefore be in the logs.
//
//   sent            may be there, once
//   acknowledged    is there, once, at the offset that was told, unless it was deleted
//   refused         without effects, and never sent again: is not there
//
// Promise: knows nothing but what clients saw. Left to others: reading the logs (simulation.ts).

import type { AppendOutcome } from "../../src/partition/append.ts";
import { recordsIn } from "../partition/batches.ts";

/** The clients do nothing that deserves these: told all the same, an earlier try was forgotten or counted twice. */
const neverRight: ReadonlySet<string> = new Set([
  "invalid_producer_epoch",
  "idempotency_key_reused",
  "invalid_record",
  "corrupt_message",
  "unknown_server_error",
]);

interface Value {
  /** -1 until it was acknowledged. */
  offset: number;
  /** Tries that may have had an effect: all but those that were refused without. */
  tries: number;
}

interface PartitionLedger {
  readonly values: Map<string, Value>;
  /** Offsets acknowledged lie below this. */
  end: number;
  /** A successful deletion moved the log start at least here. */
  startMin: number;
  /** Some deletion may have moved it up to here. */
  startMax: number;
}

export class Ledger {
  readonly #partitions: PartitionLedger[];
  acknowledged = 0;
  readonly codes = new Map<string, number>();

  constructor(groups: number) {
    this.#partitions = Array.from({ length: groups }, () => ({
      values: new Map(),
      end: 0,
      startMin: 0,
      startMax: 0,
    }));
  }

  sent(group: number, values: readonly string[]): void {
    const known = this.#partitions[group].values;
    for (const value of values) {
      // Until it is answered, anything may have happened: the node may crash with the answer under way.
      const entry = known.get(value);
      if (entry === undefined) known.set(value, { offset: -1, tries: 1 });
      else entry.tries += 1;
    }
  }

  heard(group: number, values: readonly string[], outcome: AppendOutcome): void {
    const partition = this.#partitions[group];
    if (!outcome.ok) {
      this.codes.set(outcome.code, (this.codes.get(outcome.code) ?? 0) + 1);
      if (neverRight.has(outcome.code)) throw new Error(`${outcome.code}: ${outcome.detail}`);
      if (outcome.sideEffects === "none") {
        for (const value of values) partition.values.get(value)!.tries -= 1;
      }
      return;
    }
    this.acknowledged += values.length;
    values.forEach((value, i) => {
      const entry = partition.values.get(value)!;
      const offset = outcome.baseOffset + i;
      if (entry.offset >= 0 && entry.offset !== offset) {
        throw new Error(`${value} was told offset ${entry.offset}, then ${offset}`);
      }
      entry.offset = offset;
    });
    partition.end = Math.max(partition.end, outcome.baseOffset + values.length);
  }

  deleting(group: number, before: number): void {
    const partition = this.#partitions[group];
    partition.startMax = Math.max(partition.startMax, before);
  }

  deleted(group: number, before: number): void {
    const partition = this.#partitions[group];
    partition.startMin = Math.max(partition.startMin, before);
  }

  /** A client's page: whole, dense, and as acknowledged. */
  read(
    group: number,
    page: {
      readonly offset: number;
      readonly batches: readonly Uint8Array[];
      readonly highWatermark: number;
    },
  ): void {
    const records = recordsIn(page.batches).map(parse);
    if (records.length === 0) {
      if (page.offset < page.highWatermark) throw new Error(`Nothing was read at ${page.offset}`);
      return;
    }
    const first = records[0].offset;
    if (first > page.offset) throw new Error(`Read at ${page.offset} began at ${first}`);
    records.forEach((record, i) => {
      if (record.offset !== first + i) throw new Error(`Hole at ${first + i} of ${group}`);
      this.#compare(group, record);
    });
  }

  /** The whole log, read while no client was at work. */
  checkLog(
    group: number,
    log: {
      readonly logStartOffset: number;
      readonly highWatermark: number;
      readonly records: readonly string[];
    },
  ): void {
    const { values, end, startMin, startMax } = this.#partitions[group];
    const { logStartOffset, highWatermark } = log;
    if (highWatermark < end)
      throw new Error(`Partition ${group} ends at ${highWatermark}, acknowledged ${end}`);
    if (logStartOffset < startMin || logStartOffset > startMax) {
      throw new Error(
        `Partition ${group} starts at ${logStartOffset}, wanted ${startMin} to ${startMax}`,
      );
    }
    const records = log.records.map(parse).filter((r) => r.offset >= logStartOffset);
    if (records.length !== highWatermark - logStartOffset) {
      throw new Error(
        `Partition ${group} has ${records.length} records in ${logStartOffset} to ${highWatermark}`,
      );
    }
    const seen = new Set<string>();
    records.forEach((record, i) => {
      if (record.offset !== logStartOffset + i) throw new Error(`Hole at ${logStartOffset + i}`);
      if (seen.has(record.value)) throw new Error(`${record.value} is twice in partition ${group}`);
      seen.add(record.value);
      this.#compare(group, record);
    });
    for (const [value, { offset }] of values) {
      if (offset >= logStartOffset && !seen.has(value)) {
        throw new Error(
          `Acknowledged ${value.slice(0, 20)} is not at ${offset} of partition ${group}`,
        );
      }
    }
  }

  #compare(group: number, record: { readonly offset: number; readonly value: string }): void {
    const entry = this.#partitions[group].values.get(record.value);
    if (entry === undefined)
      throw new Error(`${record.value.slice(0, 20)} was never sent to ${group}`);
    if (entry.tries === 0)
      throw new Error(`${record.value.slice(0, 20)} was refused without effects`);
    if (entry.offset >= 0 && entry.offset !== record.offset) {
      throw new Error(
        `${record.value.slice(0, 20)} lies at ${record.offset}, told ${entry.offset}`,
      );
    }
  }
}

function parse(record: string): { offset: number; value: string } {
  const at = record.indexOf(":");
  return { offset: Number(record.slice(0, at)), value: record.slice(at + 1) };
}
