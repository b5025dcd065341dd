// The packed columns of fact rows (disk.ts, factKinds): what they hold and how they are laid out.
//
//   replica   { groupId, incarnation, configuration }   again whenever the configuration changes
//   state     [replica, term, vote, commit]...          every replica whose hard state changed
//   trim      [replica, index, prevTerm, offset]...     log starts that the janitor will rely on
//   cut       idx column; reset: idx, term (of idx - 1) and base_offset columns; drop: no columns
//
// Promise: decoding what was encoded gives it back; a malformed meta is a Fault that names the row. Left to others:
// images (image.ts), what follows from a fact (recovery.ts, replica-log.ts).

import { pack } from "msgpackr/pack";
import { unpack } from "msgpackr/unpack";
import { Fault } from "../errors.ts";
import { logIndex, offset, term } from "../quantities.ts";
import { factKinds, type DiskRow, type DiskRowHead } from "./disk.ts";
import type { HardState, LogStart } from "./journal.ts";

export interface ReplicaFact {
  readonly groupId: string;
  readonly incarnation: number;
  readonly configuration: Uint8Array | null;
}

export interface StateFact {
  readonly replica: number;
  readonly hardState: HardState;
}

export interface TrimFact {
  readonly replica: number;
  readonly start: LogStart;
}

/** Columns that most facts leave empty. */
const empty = {
  replica: -1,
  groupId: "",
  idx: 0,
  term: 0,
  baseOffset: 0,
  offsetCount: 0,
  time: 0,
  maxTimestamp: -1,
  meta: null,
  batch: null,
} as const;

/** A fact row with the given columns; the others are empty. */
export function factRow(
  kind: keyof typeof factKinds,
  lsn: number,
  columns: Partial<Omit<DiskRow, "kind" | "lsn">> = {},
): DiskRow {
  return { ...empty, ...columns, kind: factKinds[kind], lsn };
}

export const encodeReplicaFact = (fact: ReplicaFact): Uint8Array =>
  pack([fact.groupId, fact.incarnation, fact.configuration]);

export function decodeReplicaFact(row: DiskRowHead): ReplicaFact {
  const [groupId, incarnation, configuration] = unpackArray(row);
  if (typeof groupId !== "string" || typeof incarnation !== "number") throw malformed(row);
  return { groupId, incarnation, configuration: bytesOrNull(configuration) };
}

export function encodeStateFact(states: readonly StateFact[]): Uint8Array {
  return pack(states.flatMap(({ replica, hardState: s }) => [replica, s.term, s.vote, s.commit]));
}

export function decodeStateFact(row: DiskRowHead): StateFact[] {
  return groupsOfFour(row).map(([replica, t, vote, commit]) => ({
    replica,
    hardState: { term: term(t), vote, commit: logIndex(commit) },
  }));
}

export function encodeTrimFact(trims: readonly TrimFact[]): Uint8Array {
  return pack(
    trims.flatMap(({ replica, start }) => [replica, start.index, start.prevTerm, start.offset]),
  );
}

export function decodeTrimFact(row: DiskRowHead): TrimFact[] {
  return groupsOfFour(row).map(([replica, index, prevTerm, start]) => ({
    replica,
    start: { index: logIndex(index), prevTerm: term(prevTerm), offset: offset(start) },
  }));
}

type Four = [number, number, number, number];

function groupsOfFour(row: DiskRowHead): Four[] {
  const numbers = unpackArray(row);
  if (numbers.length % 4 !== 0 || !numbers.every((n) => typeof n === "number"))
    throw malformed(row);
  const groups: Four[] = [];
  for (let i = 0; i < numbers.length; i += 4) groups.push(numbers.slice(i, i + 4) as Four);
  return groups;
}

function unpackArray(row: DiskRowHead): unknown[] {
  let value: unknown;
  try {
    value = row.meta === null ? null : unpack(row.meta);
  } catch (cause) {
    throw malformed(row, cause);
  }
  if (!Array.isArray(value)) throw malformed(row);
  return value;
}

/** A copy, so that the fact does not keep the whole row buffer alive. */
export function bytesOrNull(value: unknown): Uint8Array | null {
  return value instanceof Uint8Array ? new Uint8Array(value) : null;
}

/** The row's crc held and yet its meta makes no sense: written by something else than this journal. */
export function malformed(row: DiskRowHead, cause?: unknown): Fault {
  const detail = `Cannot read row ${row.lsn}: kind ${row.kind} wants a packed meta, found something else`;
  return new Fault("storage_damaged", detail, { cause, members: { row: row.lsn } });
}
