// What a partition's entries carry in their meta column, packed by msgpackr.
//
//   data      [keyHash, bodyHash, delta, recordCount, maxTimestamp, partitionCount] * n, flat; null without keyed appends
//   command   ["fence", token | null]
//
// Offsets of receipts are relative to the entry's base offset, so that a meta can be packed before the entry has one.
// Promise: decode(encode(x)) equals x; a command that this program does not know halts the replica instead of being
// skipped, for a fold that skips is a fold that differs. Left to others: what follows from it (fold.ts).

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";

import { Fault } from "../errors.ts";
import type { LogEntry } from "../journal/journal.ts";
import { hashBytes, type KeyReceipt } from "./idempotency.ts";

const valuesPerReceipt = 6;

export type PartitionCommand = { readonly kind: "fence"; readonly token: string | null };

/** The meta of a data entry; null when nothing in it is keyed. */
export function encodeReceipts(
  receipts: readonly KeyReceipt[],
  entryBaseOffset: number,
): Uint8Array | null {
  if (receipts.length === 0) return null;
  return pack(
    receipts.flatMap((r) => [
      r.keyHash,
      r.bodyHash,
      r.baseOffset - entryBaseOffset,
      r.recordCount,
      r.maxTimestamp,
      r.partitionCount,
    ]),
  );
}

export function decodeReceipts(entry: LogEntry): readonly KeyReceipt[] {
  if (entry.meta === null) return [];
  const values: unknown = unpack(entry.meta);
  if (!Array.isArray(values) || values.length % valuesPerReceipt !== 0) throw malformed(entry);
  const receipts: KeyReceipt[] = [];
  for (let at = 0; at < values.length; at += valuesPerReceipt) {
    receipts.push(receiptOf(entry, values.slice(at, at + valuesPerReceipt)));
  }
  return receipts;
}

export function encodeCommand(command: PartitionCommand): Uint8Array {
  return pack([command.kind, command.token]);
}

export function decodeCommand(entry: LogEntry): PartitionCommand {
  const values: unknown = entry.meta === null ? null : unpack(entry.meta);
  if (!Array.isArray(values) || values[0] !== "fence") throw malformed(entry);
  const token: unknown = values[1];
  if (token !== null && typeof token !== "string") throw malformed(entry);
  return { kind: "fence", token };
}

function receiptOf(entry: LogEntry, values: readonly unknown[]): KeyReceipt {
  const [keyHash, bodyHash, ...numbers] = values;
  if (!isHash(keyHash) || !isHash(bodyHash)) throw malformed(entry);
  if (!numbers.every((n) => typeof n === "number")) throw malformed(entry);
  const [delta, recordCount, maxTimestamp, partitionCount] = numbers;
  return {
    keyHash,
    bodyHash,
    baseOffset: entry.baseOffset + delta,
    recordCount,
    maxTimestamp,
    partitionCount,
  };
}

function isHash(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === hashBytes;
}

function malformed(entry: LogEntry): Fault {
  const detail = `Cannot apply entry ${entry.index} of kind ${entry.kind}: its meta is not what this version writes`;
  return new Fault("storage_damaged", detail, { members: { index: entry.index } });
}
