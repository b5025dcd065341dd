// The entries of a MsgApp on the wire: their columns in one run of bytes, their batches behind it.
//
//   entry   | flags | term + | records | time + | max timestamp | change | meta: length, bytes | batch: length |
//   flags   | 7 max timestamp | 6 batch | 5 meta | 4 change | 3 configuration entry | 2..0 kind |
//
// "+": the difference to the entry before. Index and base offset follow from the entry before and are not sent. Promise:
// what is read back equals what was written; a batch's bytes are copied once, into the receiver's slabs, and nothing is
// allocated there before every column was checked. Left to others: the message around them (message-codec.ts).

import type {
  ConfChange,
  ConfChangeStep,
  ConfChangeType,
  Entry,
  Transition,
} from "../../../raft/types.ts";
import { assert } from "../../assert.ts";
import type { SlabPool } from "../../bytes/slab.ts";
import { VarintReader, writeVarlong } from "../../bytes/varint.ts";
import type { EntryKind } from "../../journal/journal.ts";
import { entryKinds } from "../../journal/journal.ts";
import { offset } from "../../quantities.ts";
import { malformed, refusePacket, type PacketRefusal } from "./packet-refusal.ts";
import { draftBytes, type Payload } from "../payload.ts";

const flag = {
  kind: 0x07,
  configuration: 0x08,
  change: 0x10,
  meta: 0x20,
  batch: 0x40,
  maxTimestamp: 0x80,
} as const;

/** Flags, term, records and time: the least that an entry takes. */
const entryBytesMin = 4;
/** Flags and six numbers, without change and meta. */
const entryBytesMax = 64;
const stepBytesMax = 16;

const transitions: readonly Transition[] = ["auto", "implicit", "explicit"];
const changeTypes: readonly ConfChangeType[] = ["addVoter", "addLearner", "remove", "update"];
const kinds: ReadonlySet<number> = new Set(Object.values(entryKinds));

/** Where columns are written before they are cut to length; grows to the largest message. */
let scratch = new Uint8Array(1024);
let end = 0;

/** Columns of contiguous entries behind entry `previous`, which has index and logTerm of the message. */
export function columnsOf(
  entries: readonly Entry<Payload>[],
  previous: { readonly index: number; readonly logTerm: number },
): { readonly columns: Uint8Array; readonly firstOffset: number } {
  end = 0;
  const firstOffset = payloadOf(entries[0]).baseOffset;
  let { index, logTerm: term } = previous;
  let time = 0;
  let next: number = firstOffset;
  for (const entry of entries) {
    const data = payloadOf(entry);
    index += 1;
    assert(
      entry.index === index && data.baseOffset === next,
      () =>
        `Entry ${index} at offset ${next} must follow, got ${entry.index} at ${data.baseOffset}`,
    );
    writeEntry(entry, data, { term, time });
    ({ term } = entry);
    ({ time } = data);
    next += data.offsetCount;
  }
  return { columns: scratch.slice(0, end), firstOffset };
}

/** The body's pieces: columns, then the batches, each retained once. */
export function batchPieces(columns: Uint8Array, entries: readonly Entry<Payload>[]): Uint8Array[] {
  const pieces = [columns];
  for (const { data } of entries) {
    if (data === null || data.batch === null) continue;
    data.batch.retain();
    if (data.batch.bytes.length > 0) pieces.push(data.batch.bytes);
  }
  return pieces;
}

export function releaseBatches(entries: readonly Entry<Payload>[]): void {
  for (const { data } of entries) data?.batch?.release();
}

function payloadOf(entry: Entry<Payload>): Payload {
  const { data } = entry;
  assert(
    data !== null,
    () => `Entry ${entry.index} cannot be sent: its payload is on the disk only`,
  );
  return data;
}

function writeEntry(
  entry: Entry<Payload>,
  data: Payload,
  before: { readonly term: number; readonly time: number },
): void {
  const { change } = entry;
  const { kind, offsetCount, time, maxTimestamp, meta, batch } = data;
  reserve(entryBytesMax + (meta?.length ?? 0) + (change?.steps.length ?? 0) * stepBytesMax);
  let flags: number = kind;
  if (entry.type === "confChange") flags |= flag.configuration;
  if (change !== null) flags |= flag.change;
  if (meta !== null) flags |= flag.meta;
  if (batch !== null) flags |= flag.batch;
  if (maxTimestamp !== -1) flags |= flag.maxTimestamp;
  scratch[end++] = flags;
  put(entry.term - before.term);
  put(offsetCount);
  put(time - before.time);
  if (maxTimestamp !== -1) put(maxTimestamp);
  if (change !== null) writeChange(change);
  if (meta !== null) writeMeta(meta);
  if (batch !== null) put(batch.bytes.length);
}

function writeChange({ transition, steps }: ConfChange): void {
  put(transitions.indexOf(transition));
  put(steps.length);
  for (const { type, id } of steps) {
    put(changeTypes.indexOf(type));
    put(id);
  }
}

function writeMeta(meta: Uint8Array): void {
  put(meta.length);
  scratch.set(meta, end);
  end += meta.length;
}

function put(value: number): void {
  end = writeVarlong(scratch, end, value);
}

function reserve(bytes: number): void {
  if (scratch.length - end >= bytes) return;
  const larger = new Uint8Array(Math.max(2 * scratch.length, end + bytes));
  larger.set(scratch.subarray(0, end));
  scratch = larger;
}

/** Columns first, batches behind them. */
export interface EntryBytes {
  readonly body: Uint8Array;
  readonly columnBytes: number;
  readonly count: number;
}

/** The entry before the first, the message's term, and where the first entry begins. */
export interface EntryBase {
  readonly index: number;
  readonly logTerm: number;
  readonly term: number;
  readonly firstOffset: number;
}

export type EntriesRead =
  { readonly ok: true; readonly entries: readonly Entry<Payload>[] } | PacketRefusal;

/** Entries of a peer, checked: known kinds, terms that never fall nor pass the message's, times and offsets in range,
 *  batches that fill the body to its last byte. Cost: one object pair and one copy an entry. */
export function readEntries(
  { body, columnBytes, count }: EntryBytes,
  base: EntryBase,
  slabs: SlabPool,
): EntriesRead {
  if (count > columnBytes / entryBytesMin || !Number.isSafeInteger(base.index + count)) {
    return malformed("number of entries");
  }
  const columns = new ColumnReader(body, columnBytes, base);
  const drafts: DraftEntry[] = [];
  for (let i = 0; i < count; i += 1) {
    const draft = columns.next();
    if (!("batchBytes" in draft)) return draft;
    drafts.push(draft);
  }
  if (!columns.complete) return malformed("batches");
  let at = columnBytes;
  const entries = drafts.map((draft) => {
    const batch = draft.batchBytes < 0 ? null : slabs.allocate(draft.batchBytes);
    if (batch !== null && draft.batchBytes > 0) {
      batch.bytes.set(body.subarray(at, at + draft.batchBytes));
      at += draft.batchBytes;
    }
    return finished(draft, batch);
  });
  return { ok: true, entries };
}

/** An entry whose batch is not copied yet; -1: it has none. */
interface DraftEntry {
  readonly entry: Omit<Entry<Payload>, "data" | "bytes">;
  readonly data: Omit<Payload, "batch">;
  readonly batchBytes: number;
}

function finished({ entry, data }: DraftEntry, batch: Payload["batch"]): Entry<Payload> {
  const { kind, baseOffset, offsetCount, maxTimestamp, meta, time } = data;
  const payload = { kind, baseOffset, offsetCount, maxTimestamp, meta, batch, time };
  const { index, term, type, change } = entry;
  return { index, term, type, data: payload, change, bytes: draftBytes(payload) };
}

class ColumnReader {
  readonly #reader: VarintReader;
  readonly #body: Uint8Array;
  readonly #termMax: number;
  #index: number;
  #term: number;
  #time = 0;
  #offset: number;
  /** Bytes of the body that no entry has claimed. */
  #unclaimed: number;

  constructor(body: Uint8Array, columnBytes: number, base: EntryBase) {
    this.#reader = new VarintReader(body, 0, columnBytes);
    this.#body = body;
    this.#termMax = base.term;
    this.#index = base.index;
    this.#term = base.logTerm;
    this.#offset = base.firstOffset;
    this.#unclaimed = body.length - columnBytes;
  }

  /** Columns and batches were used up, no byte more and no byte less. */
  get complete(): boolean {
    return this.#reader.at === this.#reader.end && this.#unclaimed === 0;
  }

  next(): DraftEntry | PacketRefusal {
    const reader = this.#reader;
    if (reader.at >= reader.end) return malformed("columns");
    const flags = this.#body[reader.at++];
    const term = this.#term + reader.varlong();
    const offsetCount = reader.varlong();
    const time = this.#time + reader.varlong();
    const maxTimestamp = (flags & flag.maxTimestamp) === 0 ? -1 : reader.varlong();
    const change = (flags & flag.change) === 0 ? null : readChange(reader);
    const meta = (flags & flag.meta) === 0 ? null : this.#readMeta();
    const batchBytes = (flags & flag.batch) === 0 ? -1 : reader.varlong();
    const refusal = this.#refuse({ flags, term, offsetCount, time, change, batchBytes });
    if (refusal !== null) return refusal;
    const baseOffset = offset(this.#offset);
    this.#index += 1;
    this.#term = term;
    this.#time = time;
    this.#offset += offsetCount;
    this.#unclaimed -= Math.max(0, batchBytes);
    const kind = (flags & flag.kind) as EntryKind;
    const type = (flags & flag.configuration) === 0 ? "normal" : "confChange";
    const entry = { index: this.#index, term, type, change: change ?? null } as const;
    return {
      entry,
      data: { kind, baseOffset, offsetCount, maxTimestamp, meta, time },
      batchBytes,
    };
  }

  #refuse(columns: {
    readonly flags: number;
    readonly term: number;
    readonly offsetCount: number;
    readonly time: number;
    readonly change: ConfChange | null | undefined;
    readonly batchBytes: number;
  }): PacketRefusal | null {
    const { flags, term, offsetCount, time, change, batchBytes } = columns;
    if (this.#reader.failed) return malformed("columns");
    const kind = flags & flag.kind;
    if (!kinds.has(kind)) return refusePacket("kind", `entry kind ${kind} is unknown`);
    if (term < this.#term || term > this.#termMax || term === 0) {
      const wanted = `a term of ${this.#term} to ${this.#termMax}`;
      return refusePacket("order", `${wanted} is wanted, got ${term}`);
    }
    const end = this.#offset + offsetCount;
    if (offsetCount < 0 || !Number.isSafeInteger(end) || !Number.isSafeInteger(time) || time < 0) {
      return malformed("offsets or times");
    }
    const takesChange = (flags & flag.configuration) !== 0;
    if (change === undefined || (change !== null && !takesChange)) return malformed("change");
    if (batchBytes < -1 || batchBytes > this.#unclaimed) return malformed("batch length");
    return null;
  }

  #readMeta(): Uint8Array {
    const reader = this.#reader;
    const length = reader.varlong();
    const start = reader.skip(length);
    return reader.failed ? new Uint8Array(0) : this.#body.slice(start, start + length);
  }
}

/** Undefined: not a change. */
function readChange(reader: VarintReader): ConfChange | undefined {
  const transition = transitions[reader.varlong()];
  const count = reader.varlong();
  if (transition === undefined || count < 0 || count > reader.end - reader.at) return undefined;
  const steps: ConfChangeStep[] = [];
  for (let i = 0; i < count; i += 1) {
    const type = changeTypes[reader.varlong()];
    const id = reader.varlong();
    if (type === undefined || id <= 0) return undefined;
    steps.push({ type, id });
  }
  return { transition, steps };
}
