// The state of one partition as a pure function of its log: fence token, producers, idempotency keys.
//
// Promise: fold(log) == live state, whoever applies and in whatever pages: apply() reads nothing but the entry, and
// time is the entry's own. The snapshot is canonical: equal states give equal bytes. Bounded by limits.ts.
// Left to others: positions (high watermark and log start are the replica's), proposals in flight (overlay.ts).

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";

import { assert } from "../assert.ts";
import { int64At } from "../bytes/big-endian.ts";
import { Fault } from "../errors.ts";
import { entryKinds, type LogEntry } from "../journal/journal.ts";
import { batchBytesAt, field, inspectBatch } from "../records/batch-layout.ts";
import { decodeCommand, decodeReceipts } from "./entry-meta.ts";
import { KeyTable } from "./idempotency.ts";
import { ProducerTable } from "./producers.ts";

const snapshotVersion = 1;

/** A snapshot's fields; number columns travel as little-endian bytes of their Float64Array. */
interface FoldSnapshot {
  readonly v: number;
  readonly time: number;
  readonly fence: string | null;
  readonly keyHashes: Uint8Array;
  readonly keyNumbers: Uint8Array;
  readonly producers: Uint8Array;
  readonly producerBatches: Uint8Array;
}

export class PartitionFold {
  readonly producers = new ProducerTable();
  readonly keys = new KeyTable();
  #fence: string | null = null;
  #time = 0;

  /** The fence token that conditional appends must show; null for none. */
  get fence(): string | null {
    return this.#fence;
  }

  /** Time of the newest applied entry, ms. */
  get time(): number {
    return this.#time;
  }

  /** One committed entry. Cost: the number of batches plus receipts; nothing per record. */
  apply(entry: LogEntry): void {
    assert(entry.time >= this.#time, () => `Entry time ran back: ${this.#time} to ${entry.time}`);
    this.#time = entry.time;
    this.keys.expire(entry.time);
    this.producers.expire(entry.time);
    if (entry.kind === entryKinds.command) this.#fence = decodeCommand(entry).token;
    if (entry.kind === entryKinds.data) this.#applyData(entry);
  }

  /** Owned by the caller. Cost: a copy of the columns. */
  snapshot(): Uint8Array {
    const keys = this.keys.columns();
    const producers = this.producers.columns();
    const state: FoldSnapshot = {
      v: snapshotVersion,
      time: this.#time,
      fence: this.#fence,
      keyHashes: keys.hashes,
      keyNumbers: bytesOf(keys.numbers),
      producers: bytesOf(producers.producers),
      producerBatches: bytesOf(producers.batches),
    };
    return pack(state);
  }

  /** Becomes what the snapshot says, whatever it was before. Throws storage_damaged for a snapshot of a newer version. */
  restore(bytes: Uint8Array): void {
    const state = unpack(bytes) as FoldSnapshot;
    if (state.v !== snapshotVersion) {
      const detail = `Cannot restore partition state: version must be ${snapshotVersion}, got ${state.v}`;
      throw new Fault("storage_damaged", detail);
    }
    this.#time = state.time;
    this.#fence = state.fence;
    this.keys.restore({ hashes: state.keyHashes, numbers: numbersOf(state.keyNumbers) });
    this.producers.restore({
      producers: numbersOf(state.producers),
      batches: numbersOf(state.producerBatches),
    });
  }

  #applyData(entry: LogEntry): void {
    if (entry.meta !== null) {
      for (const receipt of decodeReceipts(entry)) this.keys.apply(receipt, entry.time);
    }
    const bytes = entry.batch?.bytes;
    if (bytes === undefined) return;
    for (let at = 0; at < bytes.length; at += batchBytesAt(bytes, at)) {
      if (hasProducer(bytes, at)) this.#applyProducer(bytes, at, entry);
    }
  }

  #applyProducer(bytes: Uint8Array, at: number, entry: LogEntry): void {
    const header = inspectBatch(bytes, at);
    assert(header.ok, () => `Entry ${entry.index} holds no batch at ${at}`);
    if (header.baseSequence < 0) return;
    const { baseOffset, maxTimestamp } = header;
    this.producers.apply(header, { baseOffset, maxTimestamp, time: entry.time });
  }
}

/** Whether the batch at bytes[at...] names a producer. Cost: one field. */
export function hasProducer(bytes: Uint8Array, at: number): boolean {
  return int64At(bytes, at + field.producerId) >= 0;
}

function bytesOf(numbers: Float64Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** Copies: an unpacked view need not be aligned to eight bytes. */
function numbersOf(bytes: Uint8Array): Float64Array {
  return new Float64Array(new Uint8Array(bytes).buffer);
}
