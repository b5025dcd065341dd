// Damage as the disk names it: a row, or a whole file with the replicas that it may touch.

import { logIndex, offset, replicaNumber } from "../../quantities.ts";
import type { Damage } from "../journal.ts";
import type { StoredRow } from "./row-sql.ts";

/** A row that fails a check. Its columns are told as they were found, though one of them may be what is wrong. */
export function rowDamage(
  file: string,
  stored: StoredRow,
  found: { readonly groupId: string | null; readonly detail: string },
): Damage {
  const { numbers } = stored;
  return {
    file,
    lsn: whole(numbers.lsn),
    replica: numbers.replica >= 0 ? replicaNumber(numbers.replica) : null,
    groupId: found.groupId,
    index: logIndex(whole(numbers.idx) ?? 0),
    baseOffset: offset(whole(numbers.baseOffset) ?? 0),
    offsetCount: whole(numbers.offsetCount) ?? 0,
    detail: found.detail,
  };
}

/** The file's structure, its WAL or its head; `touched` is one replica that it may touch, null when unknown. */
export function fileDamage(
  file: string,
  detail: string,
  touched: { readonly replica: number; readonly groupId: string | null } | null = null,
): Damage {
  return {
    file,
    lsn: null,
    replica: touched === null ? null : replicaNumber(touched.replica),
    groupId: touched?.groupId ?? null,
    index: null,
    baseOffset: null,
    offsetCount: 0,
    detail,
  };
}

const whole = (value: number): number | null => (Number.isSafeInteger(value) ? value : null);

export function detailOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
