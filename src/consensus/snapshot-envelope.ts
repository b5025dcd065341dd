// The bytes of a replica's snapshot: the host's own fold around the state machine's.
//
//   [version, log start offset, log start index, log start prevTerm, state machine's bytes]
//
// The log start is in it because the journal moves its own only after the snapshot is durable: a crash between the two
// must not bring back what was deleted. Promise: decode(encode(x)) equals x. Left to others: the inner bytes.

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";

import { Fault } from "../errors.ts";
import type { LogStart } from "../journal/journal.ts";
import { logIndex, offset, term } from "../quantities.ts";

const version = 1;

export interface SnapshotEnvelope {
  readonly logStart: LogStart;
  readonly machine: Uint8Array;
}

export function encodeSnapshot(snapshot: SnapshotEnvelope): Uint8Array {
  const { logStart, machine } = snapshot;
  return pack([version, logStart.offset, logStart.index, logStart.prevTerm, machine]);
}

/** Throws storage_damaged for bytes of a newer version. */
export function decodeSnapshot(bytes: Uint8Array): SnapshotEnvelope {
  const values = unpack(bytes) as [number, number, number, number, Uint8Array];
  if (values[0] !== version) {
    const detail = `Cannot restore snapshot: version must be ${version}, got ${values[0]}`;
    throw new Fault("storage_damaged", detail);
  }
  const [, at, index, prevTerm, machine] = values;
  return {
    logStart: { offset: offset(at), index: logIndex(index), prevTerm: term(prevTerm) },
    machine,
  };
}
