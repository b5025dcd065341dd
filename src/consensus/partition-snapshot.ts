// What a leader sends to a follower that needs entries which are gone: where the log starts, and the state of what came
// before. The entries from the log start on follow as ordinary appends.
//
//   leader   ... gone |log start ............ fold at `foldIndex` ..... last
//   data     [version, fold index, configuration index, offset of the entry at the log start, envelope]
//
// The fold's state is that of a later index than the log start: the follower's machine takes it over and passes over the
// entries up to there, while its log, its commit index and its readers start at the log start (DESIGN section 4). The
// same holds for the configuration: changes up to its index are history. The log start itself may lie inside an entry,
// which is why the entry's own offset is told too. Promise: decode(encode(x)) equals x. Left to others: sending it.

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";

import type { Snapshot } from "../../raft/types.ts";
import { Fault } from "../errors.ts";
import type { LogStart } from "../journal/journal.ts";
import { logIndex, offset, term, type LogIndex } from "../quantities.ts";
import { decodeSnapshot, type SnapshotEnvelope } from "./snapshot-envelope.ts";

const version = 1;

export interface PartitionSnapshot {
  readonly foldIndex: LogIndex;
  readonly configurationIndex: number;
  /** Base offset of the entry at the log start, at most the log start's own. */
  readonly baseOffset: number;
  /** The fold's state as the journal keeps it (snapshot-envelope.ts). */
  readonly envelope: Uint8Array;
}

/** A snapshot on its way into the journal and the state machine. */
export interface Installation extends PartitionSnapshot {
  /** Where the journal's log begins anew. */
  readonly reset: LogStart;
  readonly opened: SnapshotEnvelope;
}

export function encodePartitionSnapshot(snapshot: PartitionSnapshot): Uint8Array {
  const { foldIndex, configurationIndex, baseOffset, envelope } = snapshot;
  return pack([version, foldIndex, configurationIndex, baseOffset, envelope]);
}

/** Throws storage_damaged for what no leader of this version sends. */
export function openPartitionSnapshot({ index, term: at, data }: Snapshot): Installation {
  const values: unknown = data instanceof Uint8Array ? unpack(data) : null;
  if (!isSnapshot(values) || values[1] < index || values[3] < 0) {
    const detail = `Cannot install snapshot ${index}: its data is not of version ${version}`;
    throw new Fault("storage_damaged", detail, { members: { index } });
  }
  const [, foldIndex, configurationIndex, baseOffset, envelope] = values;
  return {
    foldIndex: logIndex(foldIndex),
    configurationIndex,
    baseOffset,
    envelope,
    reset: { index: logIndex(index + 1), prevTerm: term(at), offset: offset(baseOffset) },
    opened: decodeSnapshot(envelope),
  };
}

function isSnapshot(values: unknown): values is [number, number, number, number, Uint8Array] {
  return (
    Array.isArray(values) &&
    values.length === 5 &&
    values[0] === version &&
    values.slice(0, 4).every(Number.isSafeInteger) &&
    values[4] instanceof Uint8Array
  );
}
