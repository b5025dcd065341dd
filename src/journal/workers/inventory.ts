// What open() finds in the folder: sealed heads, heads of unsealed rows, and all damage by name.
//
// Promise: a row that is not whole is named and left out; a row that ought to be there (lsns are dense) and is not is
// named too, so that nothing is shortened in silence. Left to others: WAL frames (wal-walk.ts), what rows mean.
//
//   1  sweep half-done files          3  read sealed heads; delete the files that they replace
//   2  list                           4  walk, mend and scan each unsealed file, oldest first; one whose last row is
//                                        known is walked only when rows are missing

import { mkdirSync, rmSync } from "node:fs";
import { Fault } from "../../errors.ts";
import { factKinds, type CleanEnd, type DiskRowHead, type SealedHead } from "../disk.ts";
import { decodeReplicaFact } from "../facts.ts";
import {
  listFiles,
  pathOf,
  bytesOnDisk,
  shmSuffix,
  sweepFolder,
  syncFolder,
  walSuffix,
} from "../file-names.ts";
import { ImageReader } from "../image.ts";
import { parseName } from "../journal-files.ts";
import type { Damage } from "../journal.ts";
import { batchDamage, groupSeed } from "../row-codec.ts";
import { checkVersion } from "../schema.ts";
import { mendWal } from "../wal-mend.ts";
import { walkWal } from "../wal-walk.ts";
import { openSqlite, type Connection } from "../sqlite.ts";
import { RowPacker, type PackedRows } from "./packed-rows.ts";
import { readCatalogue, updateCatalogue } from "./catalogue.ts";
import {
  forgetCleanStop,
  isIndexed,
  isUntouched,
  readCleanStop,
  readIndex,
  type CleanStop,
} from "./clean-stop.ts";
import { detailOf, fileDamage, rowDamage } from "./damage.ts";
import type { FoundFile, Inventory } from "./protocol.ts";
import { headColumns, rowColumns, storedDamage, storedRow, type StoredRow } from "./row-sql.ts";
import { readSealedHead } from "./sealed-head.ts";

/** Takes inventory. `batches`: "verify" reads every byte of every unsealed row. Throws Fault storage_failed for a
 *  folder of a newer format, or one that cannot be read. */
export function takeInventory(
  dir: string,
  options: { readonly batches: "skip" | "verify" } = { batches: "skip" },
): Inventory & { readonly lastLsn: number | null } {
  mkdirSync(dir, { recursive: true });
  sweepFolder(dir);
  const clean = readCleanStop(dir);
  const untouched = options.batches === "skip" && clean !== null && isUntouched(dir, clean);
  const scan = new Scan(dir, { untouched, verify: options.batches === "verify" });
  const sealed = scan.sealedHeads();
  dropReplaced(dir, sealed);
  const left = listFiles(dir).unsealed;
  const index = clean === null ? null : readIndex(dir, clean);
  const whole = clean !== null && scan.damage.length === 0 && isIndexed(dir, clean);
  if (
    whole &&
    index !== null &&
    options.batches === "skip" &&
    left.every((name, i) => endsAt(dir, name, lsnRange(name, left[i + 1] ?? null, clean).last))
  ) {
    forgetCleanStop(dir);
    return indexedInventory(dir, { sealed, unsealed: left, index, lastLsn: clean.lastLsn });
  }
  const emptyIsFine = left.length > 1 || sealed.length === 0;
  const unsealed = left.flatMap((name, i) =>
    scan.unsealedFile(name, { ...lsnRange(name, left[i + 1] ?? null, clean), emptyIsFine }),
  );
  if (sealed.length > 0 && unsealed.length === 0) throw headless(sealed.at(-1)!.name);
  // A crash may have left an empty successor, which is no newest file.
  const cleanEnd = scan.cleanEnd(unsealed.at(-1)?.name ?? null, clean, index);
  if (cleanEnd === null) forgetCleanStop(dir);
  return {
    sealed: sealed.filter((head) => !sealed.some((other) => other.replaces.includes(head.name))),
    unsealed,
    groups: [...scan.groups],
    damage: scan.damage,
    mended: scan.mended,
    cleanStop: scan.lastKind === factKinds.cleanStop,
    lastLsn: scan.lastLsn,
    index: null,
    cleanEnd,
  };
}

/** The first connection to a file sums its whole WAL, frame by frame, and ends it at the first frame that fails: where
 *  the row is there that must be last, all are as they were written. */
function endsAt(dir: string, name: string, lsn: number | null): boolean {
  const connection = openSqlite(pathOf(dir, name), "ro");
  try {
    checkVersion(connection, "journal");
    return connection.scalar("SELECT max(lsn) FROM entry") === lsn;
  } catch (error) {
    if (error instanceof Fault && error.code === "storage_damaged") return false;
    throw error;
  } finally {
    connection.close();
  }
}

/** The index tells everything of the unsealed files. */
function indexedInventory(
  dir: string,
  found: {
    readonly sealed: readonly SealedHead[];
    readonly unsealed: readonly string[];
    readonly index: Uint8Array<ArrayBuffer>;
    readonly lastLsn: number;
  },
): ReturnType<typeof takeInventory> {
  const unsealed = found.unsealed.map((name) => {
    const fileBytes = bytesOnDisk(pathOf(dir, name));
    return { name, fileBytes, rows: new RowPacker(0, 0).finish() };
  });
  const none = { groups: [], damage: [], mended: [], cleanEnd: null };
  return { ...found, ...none, unsealed, cleanStop: true };
}

/** A complete sealed file wins over its inputs: the crash came between its rename and their deletion. */
function dropReplaced(dir: string, sealed: readonly SealedHead[]): void {
  const replaced = sealed.flatMap((head) => head.replaces);
  for (const name of replaced)
    for (const suffix of ["", walSuffix, shmSuffix])
      rmSync(pathOf(dir, name) + suffix, { force: true });
  if (replaced.length > 0) syncFolder(dir);
}

/** Sealed files alone tell entries, but no vote, no commit and no log start: a start from them would forget. */
function headless(newest: string): Fault {
  const detail =
    `Cannot open the journal: behind ${newest} there is no row of an unsealed file, so the newest state of ` +
    "every replica is lost; restore the folder from a copy";
  return new Fault("storage_damaged", detail, { members: { file: newest } });
}

class Scan {
  readonly groups = new Map<number, string>();
  readonly damage: Damage[] = [];
  lastKind: number | null = null;
  lastLsn: number | null = null;
  /** What was set right, for the log. */
  readonly mended: string[] = [];
  readonly #dir: string;
  /** The last stop was clean and the newest file looks as it left it: the mark knows its last row. */
  readonly #untouched: boolean;
  readonly #verify: boolean;
  readonly #seeds = new Map<number, number>([[-1, groupSeed("")]]);

  constructor(dir: string, options: { readonly untouched: boolean; readonly verify: boolean }) {
    this.#dir = dir;
    this.#untouched = options.untouched;
    this.#verify = options.verify;
  }

  /** From the catalogue, or from the files that it does not know. */
  sealedHeads(): SealedHead[] {
    const { sealed } = listFiles(this.#dir);
    if (sealed.length === 0) return [];
    const known = this.#verify ? new Map<string, SealedHead>() : readCatalogue(this.#dir);
    const read = sealed.filter((name) => !known.has(name)).flatMap((name) => this.#readHead(name));
    updateCatalogue(this.#dir, {
      put: read,
      remove: [...known.keys()].filter((name) => !sealed.includes(name)),
    });
    const heads = [...known.values(), ...read].filter((head) => sealed.includes(head.name));
    return heads.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #readHead(name: string): SealedHead[] {
    try {
      return [readSealedHead(this.#dir, name)];
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "storage_damaged") throw error;
      this.damage.push(fileDamage(name, error.message));
      return [];
    }
  }

  /** The file's rows; nothing for the newest file when a crash came before its first transaction. */
  unsealedFile(name: string, range: LsnRange): FoundFile[] {
    // Where the last row is known, SQLite may open a WAL unwalked: what it drops behind a bad frame is missed then.
    const unwalked = this.#untouched || (range.followed && !this.#verify);
    let scan = this.#scan(name, range, !unwalked && this.#walk(name));
    if (scan.missed && unwalked) scan = this.#scan(name, range, this.#walk(name));
    this.damage.push(...scan.damage);
    if (scan.lastLsn !== null) {
      this.lastKind = scan.lastKind;
      this.lastLsn = scan.lastLsn;
    }
    if (scan.rows.count === 0 && range.last === null && scan.damage.length === 0) {
      if (range.emptyIsFine) this.#removeEmpty(name);
      return [];
    }
    return [{ name, fileBytes: bytesOnDisk(pathOf(this.#dir, name)), rows: scan.rows }];
  }

  /** Walks and mends the WAL; true when every row must be verified to the last byte. */
  #walk(name: string): boolean {
    const path = pathOf(this.#dir, name);
    const report = walkWal(path + walSuffix);
    mendWal(path, report.patches);
    this.mended.push(...report.findings.map((finding) => `${name}, WAL ${finding}`));
    return this.#verify || report.verdict === "damaged";
  }

  #scan(name: string, range: LsnRange, whole: boolean): FileScan {
    const connection = openSqlite(pathOf(this.#dir, name), "ro");
    try {
      const scan = new FileScan(this, name, whole);
      scan.run(connection, range);
      return scan;
    } finally {
      connection.close();
    }
  }

  /** Told where the mark's file is damaged or gone, and nothing was written behind it since. */
  cleanEnd(
    newest: string | null,
    mark: CleanStop | null,
    index: CleanEnd["index"],
  ): CleanEnd | null {
    if (mark === null || newest === null || mark.name < newest) return null;
    const { name, lastLsn } = mark;
    if ((this.lastLsn ?? 0) > lastLsn) return null;
    if (name !== newest) this.damage.push(fileDamage(name, "the file is gone"));
    return this.damage.some((one) => one.file === name) ? { name, lastLsn, index } : null;
  }

  seedOf(replica: number): number | null {
    return this.#seeds.get(replica) ?? null;
  }

  learn(replica: number, groupId: string): void {
    this.groups.set(replica, groupId);
    this.#seeds.set(replica, groupSeed(groupId));
  }

  #removeEmpty(name: string): void {
    for (const suffix of ["", walSuffix, shmSuffix])
      rmSync(pathOf(this.#dir, name) + suffix, { force: true });
  }
}

/** First row that must be there, and the last one where it is known. */
interface LsnRange {
  readonly first: number;
  readonly last: number | null;
  /** Another file begins behind it: its last row was durable before. */
  readonly followed: boolean;
  /** A crash between a roll and its first transaction explains a file without rows. */
  readonly emptyIsFine: boolean;
}

/** The next file's name tells a file's last row, the mark of a clean stop that of the newest. */
function lsnRange(
  name: string,
  next: string | null,
  clean: CleanStop | null,
): Omit<LsnRange, "emptyIsFine"> {
  const first = parseName(name)!.range.firstLsn;
  if (next !== null) return { first, last: parseName(next)!.range.firstLsn - 1, followed: true };
  return { first, last: clean?.name === name ? clean.lastLsn : null, followed: false };
}

/** One unsealed file, its rows in lsn order. */
class FileScan {
  readonly damage: Damage[] = [];
  lastKind: number | null = null;
  lastLsn: number | null = null;
  rows: PackedRows = new RowPacker().finish();
  /** Rows that must be there are not. */
  missed = false;
  readonly #scan: Scan;
  readonly #name: string;
  /** Batches are read and verified too. */
  readonly #whole: boolean;
  readonly #packer = new RowPacker(1024, 64 * 1024);
  readonly #replicas = new Set<number>();
  readonly #image = new ImageReader();
  readonly #missing: (readonly [first: number, last: number])[] = [];

  constructor(scan: Scan, name: string, whole: boolean) {
    this.#scan = scan;
    this.#name = name;
    this.#whole = whole;
  }

  run(connection: Connection, range: LsnRange): void {
    let wanted = range.first;
    try {
      checkVersion(connection, "journal");
      this.#eachRow(connection, (stored) => {
        this.#expect(wanted, stored.numbers.lsn - 1);
        wanted = stored.numbers.lsn + 1;
        this.#take(stored);
      });
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "storage_damaged") throw error;
      this.#nameWholeFile(error.message);
    }
    if (range.last !== null) this.#expect(wanted, range.last);
    // They may have been anyone's, also of a replica that has no other row here.
    for (const [first, last] of this.#missing)
      this.damage.push(fileDamage(this.#name, `rows ${first} to ${last} are missing`));
    this.missed = this.#missing.length > 0;
    this.rows = this.#packer.finish();
  }

  /** Heads in one statement; whole rows one by one, so that a hundred large ones are never in memory at once. */
  #eachRow(connection: Connection, take: (stored: StoredRow) => void): void {
    const all = connection.prepare(`SELECT ${headColumns} FROM entry ORDER BY lsn`);
    if (!this.#whole) return all.forEach([], (row) => take(storedRow(row)));
    const next = connection.prepare(
      `SELECT ${rowColumns} FROM entry WHERE lsn > ? ORDER BY lsn LIMIT 1`,
    );
    for (let row = next.get([0]); row !== undefined; row = next.get([row[0]])) take(storedRow(row));
  }

  #expect(first: number, last: number): void {
    if (first <= last) this.#missing.push([first, last]);
  }

  #take(stored: StoredRow): void {
    const { numbers } = stored;
    const problem =
      this.#problemOf(stored) ?? (this.#whole ? batchDamage(stored.batch, stored.batchCrc) : null);
    this.lastKind = numbers.kind;
    this.lastLsn = numbers.lsn;
    if (problem !== null) {
      this.damage.push(
        rowDamage(this.#name, stored, {
          groupId: this.#scan.groups.get(numbers.replica) ?? null,
          detail: problem,
        }),
      );
      return;
    }
    if (numbers.replica >= 0) this.#replicas.add(numbers.replica);
    this.#packer.addHead(numbers, stored.meta);
  }

  /** Verifies the row's crc; learns group ids from the rows that tell them. */
  #problemOf(stored: StoredRow): string | null {
    const { numbers } = stored;
    const head = this.#headOf(stored);
    if (numbers.kind === factKinds.replica) return this.#learnReplica(stored, head);
    const seed = this.#scan.seedOf(numbers.replica);
    if (seed === null)
      return `no image or replica row tells the group of replica ${numbers.replica}`;
    const problem = storedDamage(seed, stored);
    if (problem === null && numbers.kind === factKinds.image)
      for (const { replica, groupId } of this.#image.add(head)?.replicas ?? [])
        this.#scan.learn(replica, groupId);
    return problem;
  }

  #learnReplica(stored: StoredRow, head: DiskRowHead): string | null {
    let groupId: string;
    try {
      ({ groupId } = decodeReplicaFact(head));
    } catch (error) {
      return detailOf(error);
    }
    const problem = storedDamage(groupSeed(groupId), stored);
    if (problem === null) this.#scan.learn(stored.numbers.replica, groupId);
    return problem;
  }

  #headOf(stored: StoredRow): DiskRowHead {
    return { ...stored.numbers, groupId: "", meta: stored.meta };
  }

  #nameWholeFile(detail: string): void {
    const touched = [...this.#replicas].map((replica) => ({
      replica,
      groupId: this.#scan.groups.get(replica) ?? null,
    }));
    for (const one of touched.length === 0 ? [null] : touched)
      this.damage.push(fileDamage(this.#name, detail, one));
  }
}
