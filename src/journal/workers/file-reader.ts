// Reads rows of any file, verified: what a reader Worker does.
//
// Promise: every row that comes back was compared with its crc and each batch with its own; reading stops at the first
// row that is not whole, or not where it must be, and names it. An answer is made by statements that run to their end,
// within bounds; rows of unsealed files never change and sealed files are immutable, so several statements see one truth.
//
//   by lsn        entry (unsealed) or snapshot (sealed): one look-up a row
//   by position   an index gives the first row's position; from there the table itself is read, whose positions are
//                 dense: a row that a damaged index or page hides is missed and named

import { Fault } from "../../errors.ts";
import type { DiskRead } from "../disk.ts";
import { isSealed, pathOf } from "../file-names.ts";
import { entryKinds, type Damage } from "../journal.ts";
import { batchDamage, groupSeed } from "../row-codec.ts";
import { checkVersion } from "../schema.ts";
import { openSqlite, type Connection, type SqlRow } from "../sqlite.ts";
import { fileDamage, rowDamage } from "./damage.ts";
import { RowPacker } from "./packed-rows.ts";
import type { ReadAnswer } from "./protocol.ts";
import { headColumns, rowColumns, storedDamage, storedRow, type StoredRow } from "./row-sql.ts";
import { readSpan, type PlacedSpan } from "./sealed-head.ts";

/** Handles kept open by one reader; the least recently used one goes. */
const handlesMax = 64;
/** Heads looked at in one statement while choosing what fits into a read. */
const headsPerStatement = 256;
const headsAtFirst = 16;

type Range = Exclude<DiskRead["rows"], { readonly lsns: readonly number[] }>;

export class FileReader {
  readonly #dir: string;
  /** Open files, least recently used first. */
  readonly #handles = new Map<string, Connection>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Throws Fault storage_failed when the disk cannot be read; damage is an answer. */
  read(read: DiskRead): ReadAnswer {
    const answer = new Answer(read);
    try {
      const connection = this.handle(read.file);
      if ("lsns" in read.rows) readLsns(connection, read.rows.lsns, answer);
      else readRange(connection, read.rows, answer);
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "storage_damaged") throw error;
      answer.damage ??= fileDamage(read.file, error.message, read);
    }
    return answer.finish();
  }

  forget(names: readonly string[]): void {
    for (const name of names) {
      this.#handles.get(name)?.close();
      this.#handles.delete(name);
    }
  }

  /** An open connection to the file; owned by the reader. */
  handle(name: string): Connection {
    const known = this.#handles.get(name);
    this.#handles.delete(name);
    const connection = known ?? this.#open(name);
    this.#handles.set(name, connection);
    const oldest = this.#handles.keys().next().value;
    if (this.#handles.size > handlesMax && oldest !== undefined) this.forget([oldest]);
    return connection;
  }

  #open(name: string): Connection {
    const sealed = isSealed(name);
    const connection = openSqlite(pathOf(this.#dir, name), sealed ? "immutable" : "ro");
    checkVersion(connection, sealed ? "sealed" : "journal");
    return connection;
  }
}

/** Rows of one answer, with its bounds. */
class Answer {
  damage: Damage | null = null;
  readonly read: DiskRead;
  readonly #seed: number;
  readonly #packer: RowPacker;
  /** Reserved, of the read's bounds. */
  #rows = 0;
  #bytes = 0;

  constructor(read: DiskRead) {
    this.read = read;
    this.#seed = groupSeed(read.groupId);
    this.#packer = new RowPacker(16, Math.min(read.maxBytes, 64 * 1024) + 256);
  }

  get heads(): boolean {
    return this.read.parts === "heads";
  }

  /** Counts one more row of this length if it is within the bounds; the first always is. */
  reserve(batchBytes: number): boolean {
    const { maxRows, maxBytes } = this.read;
    const bytes = this.#bytes + Math.max(0, batchBytes);
    const fits = this.#rows === 0 || (this.#rows < maxRows && (this.heads || bytes <= maxBytes));
    if (!fits) return false;
    this.#rows++;
    this.#bytes = bytes;
    return true;
  }

  /** Verifies and takes a row; false when it is damaged, and the answer ends before it. */
  take(stored: StoredRow): boolean {
    const problem = this.#problemOf(stored);
    if (problem !== null) return this.stop(stored, problem);
    const { numbers, meta, batch } = stored;
    this.#packer.addRead(numbers, meta, this.heads ? null : batch);
    return true;
  }

  stop(stored: StoredRow, detail: string): false {
    const { file, groupId, replica } = this.read;
    const numbers = { ...stored.numbers, replica };
    this.damage = rowDamage(file, { ...stored, numbers }, { groupId, detail });
    return false;
  }

  #problemOf(stored: StoredRow): string | null {
    const { replica } = stored.numbers;
    if (replica !== this.read.replica)
      return `the row says replica ${replica}, wanted ${this.read.replica}`;
    return (
      storedDamage(this.#seed, stored) ??
      (this.heads ? null : batchDamage(stored.batch, stored.batchCrc))
    );
  }

  finish(): ReadAnswer {
    return { rows: this.#packer.finish(), damage: this.damage };
  }
}

function readLsns(connection: Connection, lsns: readonly number[], answer: Answer): void {
  const table = isSealed(answer.read.file) ? "snapshot" : "entry";
  const columns = answer.heads ? headColumns : rowColumns;
  const statement = connection.prepare(`SELECT ${columns} FROM ${table} WHERE lsn = ?`);
  for (const lsn of lsns) {
    const row = statement.get([lsn]);
    if (row === undefined) {
      const damage = fileDamage(answer.read.file, `row ${lsn} is missing`, answer.read);
      answer.damage = { ...damage, lsn };
      return;
    }
    const stored = storedRow(row);
    if (!answer.reserve(stored.numbers.batchBytes) || !answer.take(stored)) return;
  }
}

function readRange(connection: Connection, range: Range, answer: Answer): void {
  const { file, replica } = answer.read;
  const span = readSpan(connection, file, replica);
  if (span === null) throw missing(`the span of replica ${replica} is missing`);
  const end = span.firstPosition + span.rows;
  const start = startPosition(connection, range, replica);
  if (start !== null) checkStart(connection, { range, span, start });
  else if (
    range.fromTimestamp === null &&
    range.fromIndex <= span.lastIndex &&
    range.fromOffset === null
  )
    throw missing(
      `no index entry leads to ${replica} at ${range.fromIndex}, last is ${span.lastIndex}`,
    );
  let take = headsAtFirst;
  for (let next = start ?? end; next < end; take = headsPerStatement) {
    const heads = headsFrom(connection, next, Math.min(next + take, end));
    const chosen = chooseRuns(heads, { first: next, range, answer });
    if (heads.length === 0) throw missing(`position ${next} is missing`);
    for (const run of chosen.runs) if (!takeRun(connection, run, answer)) return;
    if (chosen.done) return;
    next += heads.length;
  }
}

interface PlacedHead {
  readonly position: number;
  readonly stored: StoredRow;
}

/** Wanted rows that lie side by side: their heads. */
type Run = PlacedHead[];

function headsFrom(connection: Connection, first: number, end: number): PlacedHead[] {
  return connection
    .prepare(
      `SELECT position, ${headColumns} FROM entry WHERE position >= ? AND position < ? ORDER BY position`,
    )
    .all([first, end])
    .map((row) => ({ position: Number(row[0]), stored: storedRow(row, 1) }));
}

/** What of the heads is wanted and fits; done: nothing behind them is. Throws when a position is not where it must be. */
function chooseRuns(
  heads: readonly PlacedHead[],
  wanted: { readonly first: number; readonly range: Range; readonly answer: Answer },
): { readonly runs: readonly Run[]; readonly done: boolean } {
  const { range, answer } = wanted;
  const runs: Run[] = [];
  for (const [i, head] of heads.entries()) {
    if (head.position !== wanted.first + i)
      throw missing(`position ${wanted.first + i} is missing`);
    const { numbers } = head.stored;
    if (numbers.idx >= range.endIndex) return { runs, done: true };
    if (!isWanted(numbers, range)) continue;
    if (!answer.reserve(numbers.batchBytes)) return { runs, done: true };
    const last = runs.at(-1);
    if (last?.at(-1)?.position === head.position - 1) last.push(head);
    else runs.push([head]);
  }
  return { runs, done: false };
}

function isWanted(numbers: StoredRow["numbers"], range: Range): boolean {
  const { fromOffset, fromTimestamp } = range;
  if (range.dataOnly && numbers.kind !== entryKinds.data && numbers.kind !== entryKinds.gap)
    return false;
  if (fromOffset !== null && numbers.baseOffset + numbers.offsetCount <= fromOffset) return false;
  return fromTimestamp === null || numbers.maxTimestamp >= fromTimestamp;
}

function takeRun(connection: Connection, run: Run, answer: Answer): boolean {
  if (answer.heads) return run.every(({ stored }) => answer.take(stored));
  const rows = connection
    .prepare(`SELECT ${rowColumns} FROM entry WHERE position BETWEEN ? AND ? ORDER BY position`)
    .all([run[0].position, run.at(-1)!.position]);
  if (rows.length !== run.length) throw missing(`a row after ${run[0].position} is missing`);
  return rows.every((row) => answer.take(storedRow(row)));
}

/** Position of the first row that may be wanted; null when the indexes know none. */
function startPosition(connection: Connection, range: Range, replica: number): number | null {
  const found: (number | null)[] = [
    numberOrNull(
      connection
        .prepare(
          "SELECT position FROM entry INDEXED BY entry_by_index WHERE replica = ? AND idx >= ? ORDER BY idx LIMIT 1",
        )
        .get([replica, range.fromIndex]),
    ),
  ];
  if (range.fromOffset !== null)
    found.push(positionOfOffset(connection, replica, range.fromOffset));
  if (range.fromTimestamp !== null)
    found.push(
      numberOrNull(
        connection
          .prepare(
            "SELECT position FROM entry INDEXED BY entry_by_offset WHERE replica = ? AND idx >= ? AND max_timestamp >= ? ORDER BY base_offset, idx LIMIT 1",
          )
          .get([replica, range.fromIndex, range.fromTimestamp]),
      ),
    );
  return found.includes(null) ? null : Math.max(...(found as number[]));
}

/** The last row that begins at or below the offset: it holds the offset, or the rows behind it do. */
function positionOfOffset(connection: Connection, replica: number, offset: number): number | null {
  const below = connection
    .prepare(
      "SELECT position FROM entry INDEXED BY entry_by_offset WHERE replica = ? AND base_offset <= ? ORDER BY base_offset DESC, idx DESC LIMIT 1",
    )
    .get([replica, offset]);
  return (
    numberOrNull(below) ??
    numberOrNull(
      connection
        .prepare(
          "SELECT position FROM entry INDEXED BY entry_by_index WHERE replica = ? ORDER BY idx LIMIT 1",
        )
        .get([replica]),
    )
  );
}

/** An index that lost an entry would lead too far: the row before the found one must lie before what is wanted. */
function checkStart(
  connection: Connection,
  found: { readonly range: Range; readonly span: PlacedSpan; readonly start: number },
): void {
  const { range, span, start } = found;
  const inside = start >= span.firstPosition && start < span.firstPosition + span.rows;
  if (!inside) throw missing(`an index leads to position ${start}, outside its replica's span`);
  if (start === span.firstPosition || range.fromTimestamp !== null) return;
  const [before] = headsFrom(connection, start - 1, start);
  if (before === undefined) throw missing(`position ${start - 1} is missing`);
  const { numbers } = before.stored;
  if (numbers.idx >= range.fromIndex && isWanted(numbers, { ...range, dataOnly: false }))
    throw missing(`an index leads past position ${start - 1}`);
}

const numberOrNull = (row: SqlRow | undefined): number | null =>
  typeof row?.[0] === "number" ? row[0] : null;

function missing(what: string): Fault {
  return new Fault("storage_damaged", `Cannot read: ${what}`);
}
