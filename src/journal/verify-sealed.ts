// Every byte of one sealed file: SQLite's structure with its indexes, head, spans, rows, batches.
//
// Promise: opened immutable, nothing is written; what is wrong is named by row where a row can be named, else by file
// with the replicas that it may touch.

import { Fault } from "../errors.ts";
import { pathOf } from "./file-names.ts";
import type { Damage } from "./journal.ts";
import { batchDamage, groupSeed } from "./row-codec.ts";
import { openSqlite, type Connection } from "./sqlite.ts";
import { detailOf, fileDamage, rowDamage } from "./workers/damage.ts";
import { rowColumns, storedDamage, storedRow, type StoredRow } from "./workers/row-sql.ts";
import { readHead, readSpans, type PlacedSpan } from "./workers/sealed-head.ts";

export interface SealedVerdict {
  readonly rows: number;
  readonly damage: readonly Damage[];
}

/** Verifies a sealed file. `groups` tells group ids of replicas that have no span in it (their snapshots only). */
export function verifySealed(
  dir: string,
  name: string,
  groups: ReadonlyMap<number, string>,
): SealedVerdict {
  const check = new SealedCheck(name, groups);
  try {
    const connection = openSqlite(pathOf(dir, name), "immutable");
    try {
      check.run(connection);
    } finally {
      connection.close();
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    check.wholeFile(detailOf(error));
  }
  return { rows: check.rows, damage: check.damage };
}

class SealedCheck {
  rows = 0;
  readonly damage: Damage[] = [];
  readonly #name: string;
  readonly #groups: Map<number, string>;
  #spans: readonly PlacedSpan[] = [];

  constructor(name: string, groups: ReadonlyMap<number, string>) {
    this.#name = name;
    this.#groups = new Map(groups);
  }

  run(connection: Connection): void {
    const { counts } = readHead(connection, this.#name);
    this.#spans = readSpans(connection, this.#name);
    for (const span of this.#spans) this.#groups.set(span.replica, span.groupId);
    this.#structure(connection);
    const entries = this.#eachRow(connection, { table: "entry", key: "position" });
    const snapshots = this.#eachRow(connection, { table: "snapshot", key: "lsn" });
    const found = `${this.#spans.length} spans, ${entries} entries, ${snapshots} snapshot chunks`;
    const wanted = `${counts.spans} spans, ${counts.entries} entries, ${counts.snapshots} snapshot chunks`;
    if (found !== wanted) this.wholeFile(`the head counts ${wanted}; found ${found}`);
    for (const span of this.#spans) this.#checkSpan(connection, span);
  }

  /** Pages, cells, and each index against its table. */
  #structure(connection: Connection): void {
    for (const [line] of connection.prepare("PRAGMA integrity_check(10)").all([]))
      if (line !== "ok") this.wholeFile(`SQLite: ${String(line)}`);
  }

  /** Rows one by one, so that only one batch is in memory. */
  #eachRow(connection: Connection, { table, key }: { table: string; key: string }): number {
    const next = connection.prepare(
      `SELECT ${key}, ${rowColumns} FROM ${table} WHERE ${key} > ? ORDER BY ${key} LIMIT 1`,
    );
    let count = 0;
    for (let row = next.get([-1]); row !== undefined; row = next.get([row[0]])) {
      count++;
      if (key === "position" && row[0] !== count) this.wholeFile(`position ${count} is missing`);
      this.#check(storedRow(row, 1));
      if (key === "position" && row[0] !== count) break;
    }
    this.rows += count;
    return count;
  }

  #check(stored: StoredRow): void {
    const groupId = this.#groups.get(stored.numbers.replica) ?? null;
    const head =
      groupId === null
        ? `no span tells the group of replica ${stored.numbers.replica}`
        : storedDamage(groupSeed(groupId), stored);
    const detail = head ?? batchDamage(stored.batch, stored.batchCrc);
    if (detail !== null) this.damage.push(rowDamage(this.#name, stored, { groupId, detail }));
  }

  #checkSpan(connection: Connection, span: PlacedSpan): void {
    const [count, first, max, bytes] = connection
      .prepare(
        "SELECT count(*), min(idx), max(max_timestamp), coalesce(sum(octet_length(batch)), 0) " +
          "FROM entry WHERE replica = ? AND position BETWEEN ? AND ?",
      )
      .get([span.replica, span.firstPosition, span.firstPosition + span.rows - 1]) ?? [0];
    const holds =
      count === span.rows &&
      first === span.firstIndex &&
      max === span.maxTimestamp &&
      bytes === span.bytes;
    if (!holds)
      this.damage.push(fileDamage(this.#name, "the rows differ from the replica's span", span));
  }

  wholeFile(detail: string): void {
    const touched = this.#spans.length === 0 ? [null] : this.#spans;
    for (const span of touched) this.damage.push(fileDamage(this.#name, detail, span));
  }
}
